"""The oracle: what the experimenter may see and no node may know, namely the true state, its fidelity, a log
of pairs.

Privileged and without effect: it works on copies, draws nothing, and schedules nothing, so a run with it and
a run without it are equal to the byte. Protocol code never uses it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from protocols.device import pack_handle, unpack_handle
from testbed.plane.devices import Device, DeviceModel, Qubit
from testbed.plane.links import Arrivals
from testbed.plane.state.density import apply1, from_pauli, relaxation, to_pauli
from testbed.plane.state.gates import Complex
from testbed.plane.state.noise import depolarising2

if TYPE_CHECKING:
    from testbed.plane.state.engine import StateEngine
    from testbed.plane.trains import Train

_ROOT: Final = 2**-0.5
BELL_KETS: Final[tuple[Complex, ...]] = (
    np.array([_ROOT, 0, 0, _ROOT], complex),
    np.array([_ROOT, 0, 0, -_ROOT], complex),
    np.array([0, _ROOT, _ROOT, 0], complex),
    np.array([0, _ROOT, -_ROOT, 0], complex),
)
"""Φ+, Φ−, Ψ+, Ψ−, by Bell index."""

type Place = tuple[int, int]
"""A qubit as the oracle is asked for it: (node, handle)."""


@dataclass(slots=True)
class HeraldedPair:
    """One success of a link, as it truly is."""

    link: int
    slot: int
    outcome: int
    """Bell index of the state that the herald names: 2 or 3."""
    a: tuple[int, int]
    """(node, index of the qubit) at the link's end a."""
    b: tuple[int, int]
    fidelity_at_emission: float
    heralds_home_ps: int
    """When both nodes could have heard of it."""
    fidelity_at_home: float
    """Fidelity when the heralds arrive: each half as its own node finds it, if neither touches it before; where a node
    has storage, when the half has been moved there."""
    arrivals: Arrivals | None = None
    """How late the two photons were, if the nodes have clocks of their own."""
    lost_ps: int | None = None
    """When an emission after the success, or the death of a node, destroyed a half."""
    measured: int = 0
    """How many of its halves were measured at emission: such a pair counts as it was then."""


class HeraldLog:
    """The true fidelity of every heralded pair."""

    def __init__(self) -> None:
        self.pairs: list[HeraldedPair] = []

    def heralded(
        self,
        link: int,
        slot: int,
        index: int,
        trains: "tuple[Train, Train]",
        state: Complex,
        births_ps: tuple[int, int],
        homes_ps: tuple[int, int],
        arrivals: Arrivals | None = None,
    ) -> HeraldedPair:
        """Called when the pair has been put into the engine, before anything else happens to it.

        births_ps, homes_ps: when each half came to be, and when its node can know of it.
        """
        a, b = trains
        measured = sum(train.measure is not None for train in trains)
        waits = tuple(
            0 if train.measure is not None else home - birth
            for train, home, birth in zip(trains, homes_ps, births_ps, strict=True)
        )
        models = a.device.model, b.device.model
        moves = a.measure is None, b.measure is None
        pair = HeraldedPair(
            link,
            slot,
            index,
            (a.node, a.qubit.index),
            (b.node, b.qubit.index),
            pair_fidelity(state, index),
            max(homes_ps),
            pair_fidelity(stored(waited(state, (waits[0], waits[1]), models), models, moves), index),
            arrivals,
            measured=measured,
        )
        self.pairs.append(pair)
        return pair

    def lost(self, pair: HeraldedPair, time: int) -> None:
        """A half has been replaced by a fully mixed qubit, so that what is left has fidelity 1/4 to any Bell
        state.
        """
        if pair.lost_ps is None or time < pair.lost_ps:
            pair.lost_ps = time
        if time <= pair.heralds_home_ps:
            pair.fidelity_at_home = 0.25


class Spent(NamedTuple):
    """A pair, as it truly was when one of its halves was released."""

    at_ps: int
    fidelities: tuple[float, ...]
    """To the four Bell states, by index."""
    other: Place | None
    """Where its other half was; None if the node that had it has died since."""


class SpentLog:
    """The true state of every pair at the moment when a half of it is released."""

    def __init__(self, engine: "StateEngine", devices: Mapping[int, Device]) -> None:
        self._engine = engine
        self._devices = devices
        self._places: dict[int, tuple[int, Qubit]] = {}
        self.pairs: dict[Place, Spent] = {}
        """By whose half was released."""

    def released(self, node: int, handle: int, key: int, now: int) -> None:
        """Called before anything happens to the qubit; one that shares no state with one other is none of a pair."""
        keys = self._engine.group_keys(key)
        if len(keys) == 2:
            rho = self._engine.density(keys, now)
            fidelities = tuple(float(np.vdot(ket, rho @ ket).real) for ket in BELL_KETS)
            (other,) = (one for one in keys if one != key)
            self.pairs[node, handle] = Spent(now, fidelities, self._place(other))

    def _place(self, key: int) -> Place | None:
        """Where a qubit of the state engine is.  A place has its key for as long as its node lives."""
        known = self._places.get(key)
        if known is None or known[1].key != key:
            self._places = {
                qubit.key: (number, qubit) for number, device in self._devices.items() for qubit in device
            }
            known = self._places.get(key)
        return None if known is None else (known[0], pack_handle(known[1].index, known[1].generation))


class Oracle:
    """True states by handle. `log` has the heralded pairs if the plane was made with oracle=True."""

    def __init__(
        self,
        engine: "StateEngine",
        devices: Mapping[int, Device],
        log: HeraldLog | None,
        spent: SpentLog | None = None,
    ) -> None:
        self._engine = engine
        self._devices = devices
        self._log = log
        self._spent = spent

    @property
    def pairs(self) -> list[HeraldedPair]:
        """Heralded pairs so far, in order; raises LookupError if they are not logged."""
        if self._log is None:
            raise LookupError("this plane keeps no log of pairs: make it with oracle=True")
        return self._log.pairs

    @property
    def spent(self) -> dict[Place, Spent]:
        """Pairs that were released as such, see :class:`SpentLog`; none if they are not logged."""
        return {} if self._spent is None else self._spent.pairs

    def forget(self, kept: int) -> None:
        """Of the logs, keep the latest `kept` entries each."""
        if self._log is not None:
            del self._log.pairs[:-kept]
        spent = self.spent
        while len(spent) > kept:
            del spent[next(iter(spent))]

    def density(self, places: Sequence[Place], now: int) -> Complex:
        """Density matrix over these qubits, first most significant, as it would be at `now` if nothing else
        happened.

        A qubit that its program has used later than `now` is seen as that left it. LookupError for a bad
        handle.
        """
        qubits = [self._qubit(place) for place in places]
        rho = np.array(self._engine.density([qubit.key for qubit in qubits], now))
        for axis, (qubit, (node, _)) in enumerate(zip(qubits, places, strict=True)):
            device = self._devices[node]
            worn = device.emissions(now) - qubit.wear
            if qubit.stores and device.model.attempt_dephasing and worn > 0:
                _dephase(rho, axis, len(qubits), device.phase_error(worn))
        return rho

    def fidelity(self, places: Sequence[Place], ket: Complex, now: int) -> float:
        """⟨ket|ρ|ket⟩ over these qubits at `now`."""
        return float(np.vdot(ket, self.density(places, now) @ ket).real)

    def pair_fidelity(self, a: Place, b: Place, bell_index: int, now: int) -> float:
        """Fidelity of a pair to a Bell state, the index with respect to the second qubit (protocols.bell)."""
        return self.fidelity((a, b), BELL_KETS[bell_index], now)

    def _qubit(self, place: Place) -> Qubit:
        node, handle = place
        qubit = self._devices[node].find(handle)
        if not isinstance(qubit, Qubit):
            raise LookupError(f"node {node}: {unpack_handle(handle)} is {qubit.name}")
        return qubit


def pair_fidelity(state: Complex, index: int) -> float:
    """Of a 4x4 state to the Bell state of that index."""
    ket = BELL_KETS[index]
    return float(np.vdot(ket, state @ ket).real)


def waited(
    state: Complex, waits_ps: tuple[int, int], models: tuple[DeviceModel, DeviceModel]
) -> Complex:
    """A pair in communication qubits of those devices after each half has waited so long (T1, T2)."""
    vector = to_pauli(np.asarray(state, complex))
    for axis, (wait_ps, model) in enumerate(zip(waits_ps, models, strict=True)):
        decay = relaxation(wait_ps, model.t1_communication_ps, model.t2_communication_ps)
        vector = apply1(vector, axis, axis == 1, decay)
    return from_pauli(vector)


def stored(
    state: Complex, models: tuple[DeviceModel, DeviceModel], moves: tuple[bool, bool] = (True, True)
) -> Complex:
    """A pair after each half of a device with storage, if it moves, has been moved there: INIT of the place, SWAP.

    A depolarising SWAP of Pauli probability p leaves one of its qubits with a Pauli in 12 of 15 cases, so its Bloch
    vector shrinks by 1 - 16 p/15.
    """
    vector = to_pauli(np.asarray(state, complex))
    for axis, (model, move) in enumerate(zip(models, moves, strict=True)):
        if not model.storage or not move:
            continue
        times = model.durations
        waiting = relaxation(times.init_ps, model.t1_communication_ps, model.t2_communication_ps)
        vector = apply1(vector, axis, axis == 1, waiting)
        fidelity = model.two_qubit_fidelity if model.swap_fidelity is None else model.swap_fidelity
        left = 1 - 16 * depolarising2(fidelity) / 15
        shrink = np.array([1.0, left, left, left])
        vector = (vector.reshape(4, 4) * (shrink[:, None] if axis == 0 else shrink)).reshape(vector.shape)
        vector = apply1(vector, axis, axis == 1, relaxation(times.swap_ps, model.t1_data_ps, model.t2_data_ps))
    return from_pauli(vector)


def _dephase(rho: Complex, axis: int, count: int, probability: float) -> None:
    """Z with that probability on one qubit, in place: elements off its diagonal shrink by 1 - 2p."""
    tensor = np.moveaxis(rho.reshape((2,) * (2 * count)), (axis, count + axis), (0, 1))
    tensor[0, 1] *= 1.0 - 2.0 * probability
    tensor[1, 0] *= 1.0 - 2.0 * probability
