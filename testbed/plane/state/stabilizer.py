"""Stabilizer states: a group of any number of qubits as a tableau (stim); what noise does is drawn.

What may live here: the group, which gates it takes (Clifford gates), and which mixed states are mixtures of
stabilizer states. Aaronson and Gottesman (2004); Gidney, Quantum 5, 497 (2021).

Decay is exact where T2 <= T1: with gamma = 1 - e^(-t/T1) a reset to |0> with probability gamma and a phase flip with
probability (1 - e^(-t/T2)/(1 - gamma))/2 have the Pauli transfer matrix of T1/T2 decay. No mixture of Clifford
operations does that for T1 < T2 <= 2 T1. There `twirled` groups apply its Pauli twirl, which keeps the decay of
coherence and of population difference and lets a qubit settle in the mixed state rather than in |0>; others refuse.
"""

from functools import lru_cache

import numpy as np
import stim

from testbed.plane.state.density import Decay, Decays, Draw, Draws
from testbed.plane.state.gates import NAMED, Complex, Gate1, Gate2, Real
from testbed.plane.state.noise import coherence, damping
from testbed.plane.state.pauli_draws import PauliDraws
from testbed.plane.state.trajectory import TrajectoryGroup

# Up to here a marginal is taken from the ket; beyond, from one expectation value per Pauli string.
_KET_QUBITS = 8
_TOLERANCE = 1e-9
_PAULI_LETTERS = "IXYZ"


class NotClifford(ValueError):
    """A stabilizer state was asked for what it cannot do; nothing has been touched."""


@lru_cache(maxsize=4096)
def _tableau(gate: Gate1 | Gate2) -> stim.Tableau:
    """A Clifford gate as stim has it. Judged by its transfer matrix: stim's own tolerance is that of a float32."""
    if np.abs(gate.transfer - np.rint(gate.transfer)).max() > _TOLERANCE:
        raise NotClifford("the gate is not a Clifford gate")
    return stim.Tableau.from_unitary_matrix(gate.unitary, endian="big")


_METHODS = {name: name for name in ("x", "y", "z", "h", "s", "cx", "cz", "swap")} | {"sdg": "s_dag", "sx": "sqrt_x"}


@lru_cache(maxsize=4096)
def _method(gate: Gate1 | Gate2) -> str:
    """The simulator's own method for a gate, many times quicker than a tableau; "" if it has none."""
    for name, method in _METHODS.items():
        matrix = NAMED[name]
        if matrix.shape == gate.unitary.shape and (matrix == gate.unitary).all():
            return method
    return ""


class StabilizerGroup(PauliDraws):
    """Qubits that share one sampled stabilizer state.

    A qubit that leaves makes its slot in the tableau free; a free slot is in |0>.
    """

    __slots__ = ("_free", "_simulator", "_slots", "keys", "twirled")

    def __init__(self, keys: list[int], tableau: stim.Tableau | None, twirled: bool) -> None:
        """In |0...0>, or in what the tableau makes of that."""
        self.keys = keys
        self.twirled = twirled
        self._slots = list(range(len(keys)))
        self._free: list[int] = []
        # Its own random numbers are never asked for: every outcome is drawn by the caller.
        self._simulator = stim.TableauSimulator(seed=0)
        self._simulator.set_num_qubits(len(keys))
        if tableau is not None:
            self._simulator.do_tableau(tableau, self._slots)

    def gate1(self, axis: int, gate: Gate1) -> None:
        self._apply(gate, self._slots[axis])

    def gate2(self, a: int, b: int, gate: Gate2) -> None:
        self._apply(gate, self._slots[a], self._slots[b])

    def _apply(self, gate: Gate1 | Gate2, *slots: int) -> None:
        method = _method(gate)
        if method:
            getattr(self._simulator, method)(*slots)
        else:
            self._simulator.do_tableau(_tableau(gate), slots)

    def _takes(self, t1_ps: int, t2_ps: int) -> None:
        """NotClifford if decay with these times cannot be applied, whatever has elapsed."""
        if t1_ps and not self.twirled and not 0 < t2_ps <= t1_ps:
            raise NotClifford("amplitude damping with T2 > T1 is no mixture of Clifford operations")

    def relax(self, axis: int, elapsed_ps: int, t1_ps: int, t2_ps: int, draw: Draw) -> None:
        self._takes(t1_ps, t2_ps)
        gamma = damping(elapsed_ps, t1_ps)
        kept = coherence(elapsed_ps, t2_ps, t1_ps)
        if not gamma:
            self.pauli1(axis, 0.0, 0.0, 0.5 * (1.0 - kept), draw)
        elif t2_ps and t2_ps <= t1_ps:
            # A reset hides any flip, so one sample decides between the two.
            sample = draw()
            flip = 0.5 * (1.0 - gamma - kept)
            if sample < gamma:
                slot = self._slots[axis]
                if self._collapse(slot, draw()):
                    self._simulator.x(slot)
            elif sample < gamma + flip:
                self._simulator.z(self._slots[axis])
        else:
            quarter = 0.25 * gamma
            self.pauli1(axis, quarter, quarter, max(0.0, 0.5 * (1.0 - kept) - quarter), draw)

    def noisy_gate1(self, axis: int, gate: Gate1, error: float, decay: Decay | None, draw: Draw) -> None:
        """Decay, the gate, depolarising."""
        _tableau(gate)
        if decay is not None:
            self.relax(axis, *decay, draw)
        self._apply(gate, self._slots[axis])
        if error:
            self.pauli1(axis, error / 3, error / 3, error / 3, draw)

    def noisy_gate2(self, a: int, b: int, gate: Gate2, error: float, decays: Decays, draws: Draws) -> None:
        """Decay of both, the gate, depolarising."""
        _tableau(gate)
        pending = [
            (axis, decay, draw) for axis, decay, draw in zip((a, b), decays, draws, strict=True) if decay is not None
        ]
        for _, (_, t1_ps, t2_ps), _ in pending:
            self._takes(t1_ps, t2_ps)
        for axis, decay, draw in pending:
            self.relax(axis, *decay, draw)
        self._apply(gate, self._slots[a], self._slots[b])
        if error:
            self.depolarise2(a, b, error, draws[0])

    def _pauli(self, axis: int, which: int) -> None:
        if which & 1:
            (self._simulator.x if which == 1 else self._simulator.z)(self._slots[axis])
        elif which:
            self._simulator.y(self._slots[axis])

    def _collapse(self, slot: int, sample: float) -> int:
        """Projects on Z = ±1; an outcome of a stabilizer state is certain or a fair coin."""
        known = self._simulator.peek_z(slot)
        if known:
            return int(known < 0)
        bit = int(sample < 0.5)
        self._simulator.postselect_z(slot, desired_value=bool(bit))
        return bit

    def measure(self, axis: int, sample: float) -> int:
        """Projects on Z = ±1 and drops the qubit; `sample` in [0, 1) below P(1) gives 1."""
        slot = self._slots[axis]
        bit = self._collapse(slot, sample)
        if bit:
            self._simulator.x(slot)
        self._free.append(slot)
        del self._slots[axis]
        del self.keys[axis]
        return bit

    def discard(self, axis: int, draw: Draw) -> None:
        """Traces the qubit out by a measurement whose result nobody learns."""
        self.measure(axis, draw())

    def ket(self) -> Complex:
        """The 2^n amplitudes, axes in the order of `keys`; the group itself is not changed."""
        simulator = self._simulator.copy()
        places = list(self._slots)
        for axis in range(len(places)):
            here = places[axis]
            if here != axis:
                simulator.swap(axis, here)
                places = [here if p == axis else p for p in places]
                places[axis] = axis
        simulator.set_num_qubits(len(places))
        ket: Complex = simulator.state_vector(endian="big").astype(np.complex128)
        ket /= np.sqrt(np.vdot(ket, ket).real)
        return ket

    def reduced(self, axes: list[int]) -> Real:
        """Pauli components over these axes, in this order, of this sample; a copy."""
        if len(self.keys) <= _KET_QUBITS:
            return TrajectoryGroup(self.keys, self.ket()).reduced(axes)
        strings = np.indices((4,) * len(axes)).reshape(len(axes), -1).T
        observable = stim.PauliString(max(self._slots) + 1)
        values = np.empty(len(strings))
        for row, string in enumerate(strings):
            for axis, which in zip(axes, string, strict=True):
                observable[self._slots[axis]] = int(which)
            values[row] = self._simulator.peek_observable_expectation(observable)
        return values

    def absorb(self, other: "StabilizerGroup") -> None:
        simulator = self._simulator
        grown: list[int] = []
        for _ in other._slots:
            if self._free:
                grown.append(self._free.pop())
            else:
                grown.append(simulator.num_qubits)
                simulator.set_num_qubits(simulator.num_qubits + 1)
        # The other tableau is moved whole, so its free slots need (and give) room for the time being.
        spare = [simulator.num_qubits + i for i in range(len(other._free))]
        place = dict(zip(other._slots, grown, strict=True)) | dict(zip(other._free, spare, strict=True))
        inverse = other._simulator.current_inverse_tableau()
        simulator.do_tableau(inverse.inverse(), [place[slot] for slot in range(len(inverse))])
        self._free += spare
        self._slots += grown
        self.keys += other.keys


def sample_tableau(vector: Real, draw: Draw) -> stim.Tableau | None:
    """A stabilizer state out of a mixture that equals the state with these Pauli components; None if none is known.

    One qubit: any state in the octahedron of the six Pauli eigenstates. Two: a mixture of Bell states and basis
    states, which takes in every heralded pair (a Bell-diagonal one is a Bell state with a random Pauli error).
    """
    if len(vector) == 4:
        return _sample_one(vector, draw)
    if len(vector) == 16:
        return _sample_two(vector, draw)
    return None


def ket_tableau(ket: Complex) -> stim.Tableau | None:
    """The tableau of a pure stabilizer state; None if it is not one (checked to 1e-9, not as a float32)."""
    ket = ket / np.sqrt(np.vdot(ket, ket).real)
    try:
        tableau = stim.Tableau.from_state_vector(ket, endian="big")
    except ValueError:
        return None
    found = StabilizerGroup(list(range(len(tableau))), tableau, twirled=False).ket()
    # The phases of a stabilizer state are multiples of i up to a common one: as float32 they are off by 1e-8.
    return tableau if abs(abs(np.vdot(found, ket)) - 1.0) < _TOLERANCE else None


def _sample_one(vector: Real, draw: Draw) -> stim.Tableau | None:
    lengths = np.abs(vector[1:])
    rest = 1.0 - float(lengths.sum())
    if rest < -_TOLERANCE:
        return None
    sample = draw()
    for axis, length in enumerate(lengths):
        if sample < length:
            sign = "+" if vector[1 + axis] > 0 else "-"
            return stim.Tableau.from_stabilizers([stim.PauliString(sign + _PAULI_LETTERS[1 + axis])])
        sample -= length
    # What is left is fully mixed: |0> or |1>, evenly (or, by rounding alone, nothing).
    return stim.Tableau.from_stabilizers([stim.PauliString("+Z" if 2 * sample < rest else "-Z")])


@lru_cache(maxsize=8)
def _stabilized(first: str, second: str) -> stim.Tableau:
    return stim.Tableau.from_stabilizers([stim.PauliString(first), stim.PauliString(second)])


# Indices of a two-qubit Pauli vector: 4 P_a + P_b.
_XX, _YY, _ZZ, _ZI, _IZ = 5, 10, 15, 12, 3


def _sample_two(vector: Real, draw: Draw) -> stim.Tableau | None:
    others = [i for i in range(1, 16) if i not in (_XX, _YY, _ZZ, _ZI, _IZ)]
    if np.abs(vector[others]).max() > _TOLERANCE:
        return None
    zz, zi, iz = vector[_ZZ], vector[_ZI], vector[_IZ]
    # rho_00,11 and rho_01,10; a Bell state of weight 2 |c| carries the coherence c.
    even, odd = 0.25 * (vector[_XX] - vector[_YY]), 0.25 * (vector[_XX] + vector[_YY])
    parts = [
        (2 * abs(even), "+XX" if even > 0 else "-XX", "+ZZ"),
        (2 * abs(odd), "+XX" if odd > 0 else "-XX", "-ZZ"),
        (0.25 * (1 + zi + iz + zz) - abs(even), "+Z_", "+_Z"),
        (0.25 * (1 + zi - iz - zz) - abs(odd), "+Z_", "-_Z"),
        (0.25 * (1 - zi + iz - zz) - abs(odd), "-Z_", "+_Z"),
        (0.25 * (1 - zi - iz + zz) - abs(even), "-Z_", "-_Z"),
    ]
    if min(weight for weight, _, _ in parts) < -_TOLERANCE:
        return None
    sample = draw()
    for weight, first, second in parts:
        if sample < weight:
            return _stabilized(first, second)
        sample -= weight
    # By rounding, beyond the last weight: the heaviest part.
    return _stabilized(*max(parts)[1:])
