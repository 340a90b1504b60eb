"""The oracle: what the experimenter may see and no node may know, namely the true state, its fidelity, a log
of pairs.

Privileged and without effect: it works on copies, draws nothing, and schedules nothing, so a run with it and
a run without it are equal to the byte. Protocol code never uses it.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from protocols.device import pack_handle, unpack_handle
from testbed.plane.devices import Device, Qubit
from testbed.plane.links import Arrivals
from testbed.plane.pairs import BELL_KETS, HeraldedPair, pair_fidelity, stored, waited
from testbed.plane.state.gates import Complex
from testbed.plane.train import Train

if TYPE_CHECKING:
    from testbed.plane.state.engine import StateEngine

type Place = tuple[int, int]
"""A qubit as the oracle is asked for it: (node, handle)."""


class HeraldLog:
    """The true fidelity of every heralded pair."""

    def __init__(self) -> None:
        self.pairs: list[HeraldedPair] = []

    def heralded(
        self,
        link: int,
        slot: int,
        index: int,
        trains: tuple[Train, Train],
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


def _dephase(rho: Complex, axis: int, count: int, probability: float) -> None:
    """Z with that probability on one qubit, in place: elements off its diagonal shrink by 1 - 2p."""
    tensor = np.moveaxis(rho.reshape((2,) * (2 * count)), (axis, count + axis), (0, 1))
    tensor[0, 1] *= 1.0 - 2.0 * probability
    tensor[1, 0] *= 1.0 - 2.0 * probability
