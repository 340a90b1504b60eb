"""The qubits of a node, and what each is doing now.

What may live here: the bookkeeping of handles and of who holds a qubit. What operations do to
a state is in programs.py, what attempts do in trains.py.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

from protocols.device import FIRST_GENERATION, first_generation, next_generation, pack_handle
from protocols.wire.codec import DeviceError
from testbed.plane.config import DeviceModel
from testbed.plane.state.noise import depolarising1, depolarising2

if TYPE_CHECKING:
    from testbed.plane.state.engine import StateEngine

type Watcher = Callable[[int, int, int], None]


class Emitting(Protocol):
    """A train of attempts, as far as it is a device's business."""

    def emitted(self, now: int) -> int:
        """Emissions so far."""


class Qubit:
    """A place for a qubit: its key in the state engine, its generation, and who holds it."""

    __slots__ = ("free_ps", "generation", "index", "key", "stores", "train", "wear")

    def __init__(self, index: int, key: int, stores: bool) -> None:
        self.index = index
        self.key = key
        self.stores = stores
        self.generation = FIRST_GENERATION
        self.train: Emitting | None = None
        self.free_ps = 0
        """The last program that used it ends here."""
        self.wear = 0
        """Emissions of its node that it has already suffered from (data qubits)."""


class Device:
    """The device of one node, or of none: a node without a model has no qubits."""

    __slots__ = (
        "emitted",
        "engine",
        "lives",
        "model",
        "one_qubit_error",
        "qubits",
        "swap_error",
        "trains",
        "two_qubit_error",
        "watcher",
    )

    def __init__(self, model: DeviceModel | None, engine: "StateEngine") -> None:
        self.model = model = model or DeviceModel(0, 0)
        self.engine = engine
        # Pauli probabilities of the operations' depolarising channels.
        self.one_qubit_error = depolarising1(model.one_qubit_fidelity)
        self.two_qubit_error = depolarising2(model.two_qubit_fidelity)
        swap = model.two_qubit_fidelity if model.swap_fidelity is None else model.swap_fidelity
        self.swap_error = depolarising2(swap)
        self.trains: list[Emitting] = []
        self.lives = 1
        """How often the node has been born: the incarnation that it knows itself by."""
        self.watcher: Watcher | None = None
        self.emitted = 0
        """Emissions of the trains that are over."""
        self.qubits = [
            Qubit(index, self._new_key(index, 0), self.model.stores(index))
            for index in range(self.model.data + self.model.communication + self.model.storage)
        ]

    def _new_key(self, index: int, now: int) -> int:
        model = self.model
        if model.stores(index):
            return self.engine.new_qubit(now, model.t1_data_ps, model.t2_data_ps)
        return self.engine.new_qubit(now, model.t1_communication_ps, model.t2_communication_ps)

    def handles(self) -> list[int]:
        """The handles that are good now, by index."""
        return [pack_handle(qubit.index, qubit.generation) for qubit in self.qubits]

    def find(self, handle: int) -> Qubit | DeviceError:
        """The qubit of a handle (DEV-1)."""
        index = handle >> 16
        if index >= len(self.qubits):
            return DeviceError.FOREIGN
        qubit = self.qubits[index]
        return qubit if qubit.generation == handle & 0xFFFF else DeviceError.STALE

    def claim(self, handle: int, now: int) -> Qubit | DeviceError:
        """The qubit of a handle, if nothing holds it (DEV-9)."""
        qubit = self.find(handle)
        if isinstance(qubit, Qubit) and (qubit.train is not None or qubit.free_ps > now):
            return DeviceError.BUSY
        return qubit

    def watch(self, watcher: "Watcher") -> None:
        """Have the oracle see every qubit that is about to be released: (handle, key, now)."""
        self.watcher = watcher

    def release(self, qubit: Qubit) -> None:
        qubit.generation = next_generation(qubit.generation)

    # -- damage by attempts ----------------------------------------------------------------------------------

    def emissions(self, now: int) -> int:
        """Emissions of this node so far."""
        return self.emitted + sum(train.emitted(now) for train in self.trains)

    def phase_error(self, attempts: int) -> float:
        """Chance of an odd number of phase flips in so many attempts: 1 - 2p multiplies."""
        return (1.0 - (1.0 - 2.0 * self.model.attempt_dephasing) ** attempts) / 2.0

    def wear_out(self, qubit: Qubit, now: int) -> None:
        """Let a data qubit suffer from the emissions since its last use.

        Dephasing commutes with T1, T2 and with other dephasing, so it does not matter when in between they
        were.
        """
        emissions = self.emissions(now)
        if emissions > qubit.wear:
            self.engine.pauli1(qubit.key, 0.0, 0.0, self.phase_error(emissions - qubit.wear))
            qubit.wear = emissions

    # -- death -----------------------------------------------------------------------------------------------

    def die(self, now: int) -> None:
        """Communication qubits start afresh, data qubits go on decaying, no handle is good any more.

        A photon of a dead node may still herald. Its half must not fall on a qubit that the next incarnation
        uses, so a communication qubit gets a new key, and the old one stays with the train that emitted.
        """
        self.lives += 1
        for qubit in self.qubits:
            qubit.generation = first_generation(self.lives)
            if not qubit.stores:
                if qubit.train is None:
                    self.engine.remove(qubit.key)
                qubit.key = self._new_key(qubit.index, now)
                qubit.train = None
                qubit.free_ps = now

    def __iter__(self) -> Iterator[Qubit]:
        return iter(self.qubits)
