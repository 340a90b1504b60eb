"""What the physical layer offers upward.  Replace the layer by writing another class with these methods.

What may live here: the interface only.
"""

from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

from protocols.device import Program
from protocols.egp.service import StartTrain
from protocols.mhp.node import TrainOutcome
from protocols.wire import DeviceRemembered


class Herald(NamedTuple):
    """What came of a train, as the station told it, and what the node's own device did meanwhile."""

    told: TrainOutcome
    last_emitted_slot: int
    """The slot of the qubit's last emission.  Later than the herald's: this half of the pair, if it was kept, has been
    destroyed."""
    remembered: DeviceRemembered | None = None
    """Of a measuring train that has heralded: what was measured at that slot."""


class QubitMemory(Protocol):
    """Handles of the node's qubits; each communication qubit is free or has one owner."""

    def data(self, index: int) -> int:
        """The current handle of data qubit ``index`` (0 ..); raises ValueError if there is none."""

    def is_data(self, qubit: int) -> bool:
        """Is it a data qubit, not one for communication or storage?"""

    def take_communication(self) -> int | None:
        """A free communication qubit, now the caller's, or None."""

    def take_storage(self, fits: Callable[[int], bool]) -> int | None:
        """A free place for a half that is to be kept, with an index that fits, now the caller's, or None."""

    def release(self, qubit: int) -> None:
        """Give a communication or storage qubit back; its handle is void from now on.  It is free once the device has
        let go of it.  Raises ValueError if nobody has it."""

    def void(self, qubit: int) -> None:
        """The same for a qubit that a device program has released already."""

    def is_current(self, qubit: int) -> bool:
        """Is this handle of one of the node's qubits still good: not released since, nor about to be?"""

    def when_freed(self, callback: Callable[[], None]) -> None:
        """Call back whenever a communication qubit becomes free."""

    def when_room(self, callback: Callable[[int], None]) -> None:
        """Call back, with its index, whenever a storage qubit becomes free."""

    def shown(self) -> list[dict[str, int | str]]:
        """Every qubit and its state, for people who look."""


class PhysicalLayer(Protocol):
    """Trains of attempts on links, and programs on the node's qubits."""

    memory: QubitMemory

    def run(self, program: Program) -> Awaitable[tuple[int, ...]]:
        """Execute a program, as soon as no other program and no train uses its qubits; its measurement results.
        Raises DeviceRefused."""

    def submit(self, program: Program, done: Callable[[tuple[int, ...]], None]) -> None:
        """The same for synchronous callers; a refusal ends the node, as it is a defect of ours."""

    def start_train(self, train: StartTrain, done: Callable[[Herald | None], None]) -> None:
        """Emit, and ask the station; ``done`` is called once, unless the train is given up before, and for each success
        after which the train goes on (`more`).  None: the device refused."""

    def ask(self, link: int) -> None:
        """Ask the station for the outcome of the running train: there is reason to think that it has one."""

    def cut(self, link: int) -> None:
        """Have the station end the running train; ``done`` of its start will be called."""

    def when_heard(self, callback: Callable[[int], None]) -> None:
        """Call back with a station that says something, though no train of that link runs here."""

    def give_up(self, link: int, qubit: int) -> None:
        """End the running train of a link: what comes of it is of no interest any more."""
