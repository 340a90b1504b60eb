"""A QPU's end of a controller's leases.  JOB-n: job.toml.

A lease is the QPU given to one job, from the first piece of its program (Load) to its last word (Released).  There is
at most one at a time.  Between them the layer above looks at the program, does the shots, and lets go; here are the
order of things and what is told.

What was said to a controller before it was lost may not have reached it, a Released or a Here among it, and it may live
and know nothing of the loss.  So Here is said again, until it arrives: the stream that it opens tells the controller
that the one before has ended (REL-12), and with it every lease that it knows here.

What passes between this and its neighbours stands in service.py, the table in states.py.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from protocols.ignored import Ignored
from protocols.job.service import Ending, Halt, Offered, Start, Unwatch, Watch
from protocols.job.states import LEASE_TABLE, LeaseDo, LeaseInput, LeaseState
from protocols.machine import Output, Send
from protocols.timers import UNTIL_REST, Pauses, Timers
from protocols.wire import (
    JobCensus,
    JobHere,
    JobLoad,
    JobLoaded,
    JobOutcome,
    JobReleased,
    JobRun,
    JobStop,
    JobWhy,
)

PIECE: Final = 1024
"""Bytes of a program in one Load, of rows in one Outcome."""

MAX_PARTS: Final = 8192
"""Pieces of a program: 8 MiB."""

AGAIN_PS: Final = 10 * 10**9
"""How long after the loss of its controller a QPU says Here; twice as long after each further one, until the controller
is heard, or stays away for so long that the lab comes to rest."""

_STOPPED: Final = Ending(JobWhy.STOPPED)


@dataclass(slots=True)
class _Lease:
    number: int
    job: int
    parts: int
    state: LeaseState = LeaseState.LOADING
    pieces: list[bytes] = field(default_factory=list)
    shots: int = 0
    told: int = 0  # shots whose outcome has been told
    ending: Ending = _STOPPED


class QpuLeases:
    """The leases of one QPU by its one controller."""

    def __init__(self, controller: int, data_qubits: int, pauses: Pauses = UNTIL_REST) -> None:
        self._controller = controller
        self._pauses = pauses
        self._room = data_qubits
        self._told = 0  # in the last Here
        self._outputs: list[Output] = []
        self._lease: _Lease | None = None
        self._again: Timers[None] = Timers()  # Here is said when it is due
        self._again_ps: int | None = AGAIN_PS

    # The service upward.

    def come_up(self) -> None:
        """The QPU is there (JOB-4)."""
        self._here()

    def room(self, data_qubits: int) -> None:
        """How many data qubits a lease can have from now on; the controller is told when that is more than it knows
        (JOB-4).  That it is less a lease finds out (JOB-21)."""
        self._room = data_qubits
        if data_qubits > self._told:
            self._here()

    def accept(self, lease: int) -> None:
        """The program that was offered can be run here."""
        held = self._held(lease)
        if held is not None:
            self._move(held, LeaseInput.ACCEPT)

    def outcome(self, lease: int, clbits: int, rows: Iterable[int], pairs: int, elapsed_ps: int) -> None:
        """The next shots (JOB-9); `clbits`: how many bits a row has below that of a spoilt shot; what the lease has
        used until the last of them."""
        held = self._held(lease)
        if held is None or held.state not in (LeaseState.RUNNING, LeaseState.STOPPING):
            return
        width = row_bytes(clbits)
        rows = list(rows)
        most = PIECE // width
        for at in range(0, len(rows), most):
            some = rows[at : at + most]
            packed = b"".join(row.to_bytes(width, "big") for row in some)
            self._send(JobOutcome(held.number, held.told, len(some), pairs, elapsed_ps, packed))
            held.told += len(some)

    def ended(self, lease: int, ending: Ending) -> None:
        """Nothing is held any more for this lease (JOB-10)."""
        held = self._held(lease)
        if held is not None:
            held.ending = ending
            if ending.why is JobWhy.IN_USE:  # JOB-21: before it is free, the controller knows better
                self._here()
            self._move(held, LeaseInput.ENDED)

    # The machine.

    def receive(self, message: NamedTuple, source: int, now: int) -> None:
        if source != self._controller:
            self._ignore(source, message, "it is not from the controller of this QPU")  # JOB-5
            return
        self._again_ps = AGAIN_PS
        match message:
            case JobCensus():
                self._here()
            case JobLoad():
                self._load(message)
            case JobRun(lease, shots):
                held = self._held(lease)
                if held is None or held.state is not LeaseState.LOADED or not shots:
                    self._ignore(source, message, "no such lease is loaded")
                    return
                held.shots = shots
                self._move(held, LeaseInput.RUN)
            case JobStop(lease):
                held = self._held(lease)
                if held is None:
                    self._send(JobReleased(lease, JobWhy.UNKNOWN, 0, 0, 0))  # JOB-10
                else:
                    self._move(held, LeaseInput.STOP)
            case _:
                self._ignore(source, message, "it is none for a QPU")

    def peer_lost(self, peer: int, now: int) -> None:
        """The node is gone, or has started anew (JOB-11), or could not be reached for a while (JOB-4)."""
        if peer != self._controller:
            return
        if self._again_ps is not None:
            self._again.set(None, now + self._again_ps)
            self._again_ps = self._pauses.after(self._again_ps)
        if self._lease is not None:
            self._move(self._lease, LeaseInput.LOST)

    def poll(self, now: int) -> list[Output]:
        for _ in list(self._again.take_due(now)):
            self._here()
        outputs, self._outputs = self._outputs, []
        return outputs

    def next_timeout(self) -> int | None:
        return self._again.next()

    def at_rest(self) -> bool:
        """Whether nothing is due but to ask once more who has not been heard."""
        return True

    # Small steps.

    def _held(self, lease: int) -> _Lease | None:
        return self._lease if self._lease is not None and self._lease.number == lease else None

    def _load(self, load: JobLoad) -> None:
        held = self._lease
        if held is None:
            held = self._lease = _Lease(load.lease, load.job, load.parts)
            self._outputs.append(Watch(self._controller))
        elif held.number != load.lease:
            self._send(JobReleased(load.lease, JobWhy.BUSY, 0, 0, 0))  # JOB-6
            return
        if held.state is not LeaseState.LOADING:
            self._ignore(self._controller, load, f"the lease is {held.state.name}")
            return
        if (load.part, load.parts) != (len(held.pieces), held.parts) or not load.part < load.parts <= MAX_PARTS:
            held.ending = Ending(JobWhy.MALFORMED)  # JOB-7
            self._move(held, LeaseInput.WRONG_PIECE)
            return
        held.pieces.append(load.piece)
        whole = len(held.pieces) == held.parts
        self._move(held, LeaseInput.LAST_PIECE if whole else LeaseInput.PIECE)

    def _move(self, lease: _Lease, stimulus: LeaseInput) -> None:
        lease.state, actions = LEASE_TABLE[lease.state, stimulus]
        if lease.state is LeaseState.FREE:
            self._lease = None
            self._outputs.append(Unwatch(self._controller))
        for action in actions:
            self._perform(lease, action)

    def _perform(self, lease: _Lease, action: LeaseDo) -> None:
        match action:
            case LeaseDo.OFFER:
                self._outputs.append(Offered(lease.number, lease.job, b"".join(lease.pieces)))
                lease.pieces.clear()
            case LeaseDo.CONFIRM:
                self._send(JobLoaded(lease.number))  # JOB-8
            case LeaseDo.START:
                self._outputs.append(Start(lease.number, lease.shots))
            case LeaseDo.HALT:
                self._outputs.append(Halt(lease.number))
            case LeaseDo.RELEASE:
                self._send(JobReleased(lease.number, *lease.ending))

    def _here(self) -> None:
        self._told = self._room
        self._again.cancel(None)
        self._send(JobHere(self._room, 0 if self._lease is None else self._lease.number))

    def _send(self, message: NamedTuple) -> None:
        self._outputs.append(Send(self._controller, message, reliable=True))

    def _ignore(self, source: int, message: NamedTuple, reason: str) -> None:
        self._outputs.append(Ignored(source, type(message).__name__, reason))


def row_bytes(clbits: int) -> int:
    """Bytes of a row with so many classical bits, and the one that says spoilt."""
    return clbits // 8 + 1
