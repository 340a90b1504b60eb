"""The state engine: which qubits exist, which share a state, when each was touched, in which formalism.

A group is born when qubits interact, and loses a qubit when that is measured or reset. Up to `density_qubits`
a group is an exact density matrix; beyond, or by setting, a quantum trajectory, which it stays until it falls
apart into single qubits; beyond `trajectory_qubits`, or by setting, a stabilizer state, if that is what it is.
A stabilizer state that meets what it cannot do becomes a trajectory, if it is small enough for one. Noise by
elapsed time is applied lazily, on touch. The kernels are in density.py, trajectory.py and stabilizer.py.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import stim
from numpy.random import Generator

from testbed.keyed import keyed_generator
from testbed.plane.simulator import DENSITY_MATRIX_FORMALISM, Circuit, QuantumManager, gate_matrix
from testbed.plane.state.density import Decay, DensityGroup, apply1, from_pauli, relaxation, to_pauli
from testbed.plane.state.gates import Complex, Gate1, Gate2, Real, gate1, gate2
from testbed.plane.state.noise import check_times
from testbed.plane.state.stabilizer import NotClifford, StabilizerGroup, ket_tableau, sample_tableau
from testbed.plane.state.trajectory import TrajectoryGroup, norm2, sample_ket

FORMALISM = "bellwire"
_UNBOUNDED = 1 << 30
_BASIS: tuple[Real, Real] = (np.array([1.0, 0.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0, -1.0]))

_FLIP = stim.Tableau.from_named_gate("X")

type Group = DensityGroup | TrajectoryGroup | StabilizerGroup
type Formalism = Literal["auto", "density", "trajectory", "stabilizer"]

FORMALISMS: tuple[Formalism, ...] = ("auto", "density", "trajectory", "stabilizer")


class Qubit:
    """One qubit's times and its place; its random stream serves trajectories only."""

    __slots__ = ("_stream", "group", "key", "seed", "t1_ps", "t2_ps", "touched_ps")

    def __init__(self, key: int, group: Group, touched_ps: int, t1_ps: int, t2_ps: int, seed: int) -> None:
        self.key, self.group, self.touched_ps = key, group, touched_ps
        self.t1_ps, self.t2_ps, self.seed = t1_ps, t2_ps, seed
        self._stream: Generator | None = None

    def draw(self) -> float:
        """A uniform sample of this qubit's own stream: noise on one qubit moves no other qubit's draws."""
        if self._stream is None:
            self._stream = keyed_generator(self.seed, "trajectory noise", self.key)
        return self._stream.random()


class Snapshot:
    """What SeQUeNCe's components read of a state: its keys and density matrix when they asked."""

    __slots__ = ("_vector", "keys")

    def __init__(self, keys: list[int], vector: Real) -> None:
        self.keys = keys
        self._vector = vector

    @property
    def state(self) -> Complex:
        return from_pauli(self._vector)


@QuantumManager.register(FORMALISM)
class StateEngine(QuantumManager):  # type: ignore[misc, unused-ignore]
    """The state of all qubits of a network; `Timeline(formalism='bellwire', manager_kwargs={...})` makes one.

    seed: of the noise of trajectories.
    formalism: 'auto' (by group size, exact on average), or 'density', 'trajectory' or 'stabilizer' for every group.
    'stabilizer' alone applies decay with T2 > T1 as its Pauli twirl (stabilizer.py).
    density_qubits: the largest group that 'auto' keeps exact.
    trajectory_qubits: the largest group that 'auto' and 'stabilizer' make a trajectory: 16 bytes times 2^n.
    NotClifford: a group beyond that is no stabilizer state, or would cease to be one.
    Times are ps. A time before a qubit's last touch is a ValueError, except for the oracle's calls `density`
    and `fidelity`, which then see the state as last touched.
    """

    def __init__(
        self,
        seed: int = 0,
        formalism: Formalism = "auto",
        density_qubits: int = 6,
        trajectory_qubits: int = 20,
    ) -> None:
        super().__init__()
        if formalism not in FORMALISMS:
            raise ValueError(f"formalism: {formalism!r} is none of {', '.join(FORMALISMS)}")
        self.seed = seed
        self._stabilizer = formalism == "stabilizer"
        self.exact_limit = {"auto": density_qubits, "density": _UNBOUNDED}.get(formalism, 0)
        self.ket_limit = _UNBOUNDED if formalism == "trajectory" else trajectory_qubits
        self._qubits: dict[int, Qubit] = {}
        self._made = 0

    @classmethod
    def get_active_formalism(cls) -> str:
        """What SeQUeNCe's components are to hand to `set` and to expect of `get`: density matrices."""
        return str(DENSITY_MATRIX_FORMALISM)

    # ---- qubits ----

    def new_qubit(self, now_ps: int, t1_ps: int = 0, t2_ps: int = 0) -> int:
        """A fresh qubit in |0> (T1, T2 in ps, 0 = infinite); its key. ValueError unless T2 <= 2 T1."""
        check_times(t1_ps, t2_ps)
        key = self._least_available
        self._least_available += 1
        self._qubits[key] = Qubit(key, self._alone(key, 0), now_ps, t1_ps, t2_ps, self.seed)
        return key

    def remove(self, key: int) -> None:
        """Traces the qubit out and forgets its key."""
        self._detach(self._qubits[key])
        del self._qubits[key]

    def group_keys(self, key: int) -> list[int]:
        """The keys that share a state with this one, itself included; a copy."""
        return list(self._qubits[key].group.keys)

    def touch(self, key: int, now_ps: int) -> None:
        """Applies what T1 and T2 did since the last touch."""
        self._touch(self._qubits[key], now_ps)

    def _touch(self, qubit: Qubit, now_ps: int) -> None:
        elapsed = now_ps - qubit.touched_ps
        if elapsed > 0:
            if qubit.t1_ps or qubit.t2_ps:
                group = qubit.group
                axis = group.keys.index(qubit.key)
                try:
                    group.relax(axis, elapsed, qubit.t1_ps, qubit.t2_ps, qubit.draw)
                except NotClifford as error:
                    self._expand(group, error).relax(axis, elapsed, qubit.t1_ps, qubit.t2_ps, qubit.draw)
            qubit.touched_ps = now_ps
        elif elapsed < 0:
            raise ValueError(f"qubit {qubit.key} was touched at {qubit.touched_ps} ps, after {now_ps} ps")

    # ---- gates and channels ----

    def gate1(self, key: int, gate: Complex | str | Gate1, now_ps: int, error: float = 0.0) -> None:
        """A 2x2 unitary, or a name in gates.NAMED, at that time; error: as `depolarise1` with it right after."""
        qubit = self._qubits[key]
        group, compiled = qubit.group, gate1(gate)
        axis, decay = group.keys.index(key), self._decay(qubit, now_ps)
        try:
            group.noisy_gate1(axis, compiled, error, decay, qubit.draw)
        except NotClifford as reason:
            self._expand(group, reason).noisy_gate1(axis, compiled, error, decay, qubit.draw)
        qubit.touched_ps = now_ps

    def gate2(self, key_a: int, key_b: int, gate: Complex | str | Gate2, now_ps: int, error: float = 0.0) -> None:
        """A 4x4 unitary over |ab>, or a name in gates.NAMED; the two share a state from then on.

        error: as `depolarise2` with that probability right after, in the same pass. A SWAP without error exchanges
        the two, and joins nothing.
        """
        a, b = self._qubits[key_a], self._qubits[key_b]
        compiled = gate2(gate)
        decays = self._decay(a, now_ps), self._decay(b, now_ps)
        group = a.group
        if group is not b.group or a is b:
            if compiled.swaps and not error and a is not b:
                self._touch(a, now_ps)
                self._touch(b, now_ps)
                self._exchange(a, b)
                return
            group = self._merge(a, b)
        axes, draws = (group.keys.index(key_a), group.keys.index(key_b)), (a.draw, b.draw)
        try:
            group.noisy_gate2(*axes, compiled, error, decays, draws)
        except NotClifford as reason:
            self._expand(group, reason).noisy_gate2(*axes, compiled, error, decays, draws)
        a.touched_ps = b.touched_ps = now_ps

    def _gate1(self, group: Group, axis: int, gate: Gate1) -> None:
        try:
            group.gate1(axis, gate)
        except NotClifford as error:
            self._expand(group, error).gate1(axis, gate)

    def _gate2(self, group: Group, a: int, b: int, gate: Gate2) -> None:
        try:
            group.gate2(a, b, gate)
        except NotClifford as error:
            self._expand(group, error).gate2(a, b, gate)

    def _exchange(self, a: Qubit, b: Qubit) -> None:
        """Two qubits of different groups take each other's place."""
        first, second = a.group, b.group
        first.keys[first.keys.index(a.key)], second.keys[second.keys.index(b.key)] = b.key, a.key
        a.group, b.group = second, first

    def _decay(self, qubit: Qubit, now_ps: int) -> Decay | None:
        elapsed = now_ps - qubit.touched_ps
        if elapsed < 0:
            raise ValueError(f"qubit {qubit.key} was touched at {qubit.touched_ps} ps, after {now_ps} ps")
        return (elapsed, qubit.t1_ps, qubit.t2_ps) if elapsed and (qubit.t1_ps or qubit.t2_ps) else None

    def depolarise1(self, key: int, probability: float) -> None:
        """X, Y or Z, each with a third of that probability, as of the last touch (noise.depolarising1)."""
        self.pauli1(key, probability / 3, probability / 3, probability / 3)

    def depolarise2(self, key_a: int, key_b: int, probability: float) -> None:
        """One of the 15 two-qubit Paulis with that total probability (noise.depolarising2)."""
        a, b = self._qubits[key_a], self._qubits[key_b]
        group = a.group if a.group is b.group and a is not b else self._merge(a, b)
        group.depolarise2(group.keys.index(key_a), group.keys.index(key_b), probability, a.draw)

    def pauli1(self, key: int, x: float, y: float, z: float) -> None:
        """X, Y, Z with these probabilities: a preparation error is (p, 0, 0), a phase error (0, 0, p)."""
        qubit = self._qubits[key]
        group = qubit.group
        group.pauli1(group.keys.index(key), x, y, z, qubit.draw)

    # ---- measurement and preparation ----

    def measure(self, key: int, now_ps: int, rng: Generator) -> int:
        """Projective Z measurement with one draw of `rng`; the qubit leaves its group."""
        self._touch(self._qubits[key], now_ps)
        return self._project(self._qubits[key], rng.random())

    def _project(self, qubit: Qubit, sample: float) -> int:
        """`sample` below P(1) gives 1."""
        group = qubit.group
        bit = group.measure(group.keys.index(qubit.key), sample)
        self._settle(group)
        qubit.group = self._alone(qubit.key, bit)
        return bit

    def reset(self, key: int, now_ps: int) -> None:
        """Traces the qubit out of its group and puts it in |0>."""
        qubit = self._qubits[key]
        self._detach(qubit)
        qubit.group = self._alone(key, 0)
        qubit.touched_ps = now_ps

    def set_pair(self, key_a: int, key_b: int, rho: Complex, touched_a_ps: int, touched_b_ps: int) -> None:
        """Puts two qubits into a heralded state (4x4 over |ab>); each decays from its own emission."""
        a, b = self._qubits[key_a], self._qubits[key_b]
        self._assign([a, b], to_pauli(np.asarray(rho, complex)))
        a.touched_ps, b.touched_ps = touched_a_ps, touched_b_ps

    # ---- the oracle: on a copy, drawing nothing ----

    def density(self, keys: Sequence[int], now_ps: int) -> Complex:
        """Reduced density matrix (2^n x 2^n) over these keys, in this order, as it would be at that time."""
        parts, order = [], []
        for group in dict.fromkeys(self._qubits[key].group for key in keys):
            inside = [key for key in keys if self._qubits[key].group is group]
            vector = group.reduced([group.keys.index(key) for key in inside])
            for axis, key in enumerate(inside):
                qubit = self._qubits[key]
                if now_ps > qubit.touched_ps and (qubit.t1_ps or qubit.t2_ps):
                    decay = relaxation(now_ps - qubit.touched_ps, qubit.t1_ps, qubit.t2_ps)
                    vector = apply1(vector, axis, axis == len(inside) - 1, decay)
            parts.append(vector)
            order += inside
        whole = parts[0]
        for part in parts[1:]:
            whole = np.multiply.outer(whole, part).reshape(-1)
        tensor = whole.reshape((4,) * len(order)).transpose([order.index(key) for key in keys])
        return from_pauli(np.ascontiguousarray(tensor).reshape(-1))

    def fidelity(self, keys: Sequence[int], ket: Complex, now_ps: int) -> float:
        """<ket| rho |ket> over these keys at that time; `ket` is normalised, first key most significant."""
        ket = np.asarray(ket, complex)
        return float(np.vdot(ket, self.density(keys, now_ps) @ ket).real)

    # ---- groups ----

    def _merge(self, a: Qubit, b: Qubit) -> Group:
        """One group of two; it is exact only if both were and it is small enough. May raise NotClifford."""
        if a is b:
            raise ValueError(f"qubit {a.key} cannot interact with itself")
        first, second = a.group, b.group
        count = len(first.keys) + len(second.keys)
        if count <= self.exact_limit and isinstance(first, DensityGroup) and isinstance(second, DensityGroup):
            first.absorb(second)
            return self._place(first)
        if self._stabilizer or count > self.ket_limit or StabilizerGroup in (type(first), type(second)):
            ours, theirs = self._as_stabilizer(first), self._as_stabilizer(second)
            if ours is not None and theirs is not None:
                ours.absorb(theirs)
                return self._place(ours)
            # What has been sampled stays sampled.
            first, second = ours or first, theirs or second
            if count > self.ket_limit:
                raise self._too_large(count, "its state is no stabilizer state")
        joined = self._as_trajectory(first)
        joined.absorb(self._as_trajectory(second))
        return self._place(joined)

    def _place(self, group: Group) -> Group:
        """Makes it the group of its qubits."""
        for key in group.keys:
            self._qubits[key].group = group
        return group

    def _alone(self, key: int, bit: int) -> Group:
        """The group of a qubit by itself, in |bit>."""
        if self._stabilizer:
            return StabilizerGroup([key], _FLIP if bit else None, twirled=True)
        return DensityGroup([key], _BASIS[bit].copy())

    def _as_trajectory(self, group: Group) -> TrajectoryGroup:
        if isinstance(group, TrajectoryGroup):
            return group
        if isinstance(group, StabilizerGroup):
            return TrajectoryGroup(group.keys, group.ket())
        return TrajectoryGroup(group.keys, sample_ket(group.vector, self._qubits[group.keys[0]].draw))

    def _as_stabilizer(self, group: Group) -> StabilizerGroup | None:
        """None if it is no mixture of stabilizer states, as far as that is known."""
        if isinstance(group, StabilizerGroup):
            return group
        if isinstance(group, DensityGroup):
            draw = self._qubits[group.keys[0]].draw
            tableau = sample_tableau(group.vector, draw) or ket_tableau(sample_ket(group.vector, draw))
        else:
            tableau = ket_tableau(group.ket)
        return None if tableau is None else StabilizerGroup(group.keys, tableau, self._stabilizer)

    def _expand(self, group: Group, reason: NotClifford) -> Group:
        """A stabilizer group in a formalism that takes any gate and any decay; NotClifford if it is too large."""
        if len(group.keys) > self.ket_limit:
            raise self._too_large(len(group.keys), str(reason)) from None
        trajectory = self._as_trajectory(group)
        if len(group.keys) == 1:
            return self._place(DensityGroup(group.keys, trajectory.reduced([0])))
        return self._place(trajectory)

    def _too_large(self, count: int, reason: str) -> NotClifford:
        return NotClifford(
            f"a group of {count} entangled qubits cannot go on: {reason}, and only groups up to trajectory_qubits ="
            f" {self.ket_limit} can be anything else"
        )

    def _assign(self, qubits: list[Qubit], vector: Real) -> None:
        if abs(vector[0] - 1.0) > 1e-6:
            raise ValueError(f"a state of trace {vector[0]}")
        for qubit in qubits:
            self._detach(qubit)
        keys = [qubit.key for qubit in qubits]
        group: Group = DensityGroup(keys, vector)
        if self._stabilizer:
            tableau = sample_tableau(vector, qubits[0].draw)
            if tableau is not None:
                group = StabilizerGroup(keys, tableau, twirled=True)
        if 1 < len(keys) > self.exact_limit and isinstance(group, DensityGroup):
            group = TrajectoryGroup(keys, sample_ket(vector, qubits[0].draw))
        for qubit in qubits:
            qubit.group = group

    def _detach(self, qubit: Qubit) -> None:
        group = qubit.group
        if len(group.keys) > 1:
            group.discard(group.keys.index(qubit.key), qubit.draw)
            self._settle(group)

    def _settle(self, group: Group) -> None:
        """A qubit left alone is exact again."""
        if isinstance(group, TrajectoryGroup) and len(group.keys) == 1:
            qubit = self._qubits[group.keys[0]]
            qubit.group = DensityGroup(group.keys, group.reduced([0]))

    # ---- what SeQUeNCe's own components call; no time passes in these ----

    def new(self, state: Any = None) -> int:
        """A component's qubit, without decay. Keys count down from -1: components move no other keys."""
        self._made += 1
        key = -self._made
        self._qubits[key] = Qubit(key, self._alone(key, 0), 0, 0, 0, self.seed)
        if state is not None:
            self.set([key], state)
        return key

    def get(self, key: int) -> Any:
        group = self._qubits[key].group
        return Snapshot(list(group.keys), group.reduced(list(range(len(group.keys)))))

    def set(self, keys: list[int], state: Any) -> None:
        """A ket (2^n) or a density matrix (2^n x 2^n) over these keys."""
        array = np.asarray(state, complex)
        if array.ndim == 1:
            array = np.multiply.outer(array, array.conj()) / norm2(array)
        if array.shape != (1 << len(keys),) * 2:
            raise ValueError(f"a state of shape {array.shape} does not fit {len(keys)} qubits")
        self._assign([self._qubits[key] for key in keys], to_pauli(array))

    def discard(self, key: int, meas_samp: float | None = None) -> None:
        """Traces the qubit out of its group; it is left in |0>."""
        qubit = self._qubits[key]
        if len(qubit.group.keys) > 1:
            self._detach(qubit)
            qubit.group = self._alone(key, 0)

    def run_circuit(self, circuit: Circuit, keys: list[int], meas_samp: float | None = None) -> dict[int, int]:
        """Runs one of SeQUeNCe's circuits; one sample serves all its measurements, as in its own managers."""
        gates: list[tuple[str, list[int], float | None]] = circuit.gates  # type: ignore[assignment]
        for name, where, argument in gates:
            targets = [self._qubits[keys[i]] for i in where]
            if len(targets) > 2:
                raise NotImplementedError(f"gate {name} on {len(targets)} qubits")
            matrix = np.ascontiguousarray(gate_matrix(name, argument), np.complex128)
            if len(targets) == 1:
                group = targets[0].group
                self._gate1(group, group.keys.index(targets[0].key), gate1(matrix))
            else:
                a, b = targets
                group = a.group if a.group is b.group else self._merge(a, b)
                self._gate2(group, group.keys.index(a.key), group.keys.index(b.key), gate2(matrix))
        results: dict[int, int] = {}
        for i in circuit.measured_qubits:
            if meas_samp is None:
                raise ValueError("a circuit that measures needs a sample")
            qubit = self._qubits[keys[i]]
            # SeQUeNCe takes a sample below P(0) as 0; what is left of it, stretched, is uniform again.
            one = 0.5 * (1.0 - float(qubit.group.reduced([qubit.group.keys.index(qubit.key)])[3]))
            bit = int(meas_samp >= 1.0 - one)
            self._project(qubit, 0.0 if bit else 1.0)
            meas_samp = (meas_samp - (1.0 - one)) / one if bit else meas_samp / (1.0 - one)
            results[qubit.key] = bit
        return results
