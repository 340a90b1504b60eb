"""QPUs that are wrong about their leases."""

from typing import Any

from protocols.job import qpu
from protocols.job.qpu import QpuLeases
from protocols.job.states import LEASE_TABLE, LeaseDo, LeaseInput, LeaseState
from protocols.wire import JobCensus, JobHere, JobLoad, JobLoaded, JobOutcome, JobReleased, JobWhy
from stack.application import leases
from stack.application.data_qubits import PROGRAM, DataQubits
from testbed.conformance.mutants import Wrong, breaks
from testbed.conformance.mutants.means import instead, never_says, nothing, rows, says, value


@breaks("JOB-4")
def comes_up_in_silence() -> Wrong:
    """Nobody hears that it is there."""
    return nothing(QpuLeases, "come_up")


@breaks("JOB-4")
def hears_no_census() -> Wrong:
    """Who asks is not answered."""

    def receive(right: Any, machine: QpuLeases, message: Any, source: int, now: int) -> None:
        if not isinstance(message, JobCensus):
            right(machine, message, source, now)

    return instead(QpuLeases, "receive", receive)


@breaks("JOB-4")
def hides_its_lease() -> Wrong:
    """It always says that it is free."""
    return says(JobHere, lambda message: message._replace(lease=0))


@breaks("JOB-4")
def keeps_its_room_to_itself() -> Wrong:
    """It does not say when there is more of it."""
    return nothing(QpuLeases, "room")


@breaks("JOB-4")
def says_nothing_again() -> Wrong:
    """What was lost with its controller is not said again."""
    return value(qpu, "AGAIN_PS", None)


@breaks("JOB-21")
def takes_what_others_hold() -> Wrong:
    """A program runs on qubits that are another's."""
    return instead(DataQubits, "claim", lambda right, data, indices, holder: None)


@breaks("JOB-21")
def gives_away_what_is_leased() -> Wrong:
    """Whoever asks gets the qubits of a lease."""

    def take(right: Any, data: DataQubits) -> int:
        for index in [index for index, holder in data._holders.items() if holder != PROGRAM]:
            del data._holders[index]
        return int(right(data))

    return instead(DataQubits, "take", take)


@breaks("JOB-21")
def is_in_use_in_silence() -> Wrong:
    """It does not say how much room is left."""
    return says(JobHere, lambda message: None if message.lease else message)


@breaks("JOB-5")
def obeys_anybody() -> Wrong:
    """Who speaks to it is its controller."""

    def receive(right: Any, machine: QpuLeases, message: Any, source: int, now: int) -> None:
        machine._controller = source
        right(machine, message, source, now)

    return instead(QpuLeases, "receive", receive)


@breaks("JOB-6")
def changes_its_lease() -> Wrong:
    """A new Load ends the lease that there is."""

    def load(right: Any, machine: QpuLeases, message: JobLoad) -> None:
        if machine._lease is not None and machine._lease.number != message.lease:
            machine._lease = None
        right(machine, message)

    return instead(QpuLeases, "_load", load)


@breaks("JOB-6")
def is_busy_in_silence() -> Wrong:
    """A Load that it cannot take is not answered."""
    return says(JobReleased, lambda message: None if message.why == JobWhy.BUSY else message)


@breaks("JOB-7")
def takes_pieces_as_they_come() -> Wrong:
    """The number of a piece is not looked at."""

    def load(right: Any, machine: QpuLeases, message: JobLoad) -> None:
        held = machine._lease
        if held is not None:
            message = message._replace(part=len(held.pieces), parts=held.parts)
        right(machine, message)

    return instead(QpuLeases, "_load", load)


@breaks("JOB-7")
def checks_no_program() -> Wrong:
    """Qubits that there are not are no matter."""
    return value(leases, "check_steps", lambda steps, data_qubits, reaches: set())


@breaks("JOB-8")
def is_loaded_too_soon() -> Wrong:
    """Loaded comes with the first piece."""
    key = (LeaseState.LOADING, LeaseInput.PIECE)
    return rows(LEASE_TABLE, {key: (LeaseState.LOADING, (LeaseDo.CONFIRM,))})


@breaks("JOB-8")
def says_nothing_when_loaded() -> Wrong:
    """The controller waits for ever."""
    return never_says(JobLoaded)


@breaks("JOB-9")
def numbers_no_shots() -> Wrong:
    """Every Outcome begins with shot 0."""
    return says(JobOutcome, lambda message: message._replace(first_shot=0))


@breaks("JOB-9")
def keeps_no_time() -> Wrong:
    """What shots took is told at the end only."""
    return says(JobOutcome, lambda message: message._replace(elapsed_ps=0))


@breaks("JOB-9")
def tells_shots_twice() -> Wrong:
    """Every Outcome comes again."""
    return says(JobOutcome, lambda message: (message, message))


@breaks("JOB-10")
def has_two_last_words() -> Wrong:
    """Released is said twice."""
    return says(JobReleased, lambda message: (message, message))


@breaks("JOB-10")
def says_nothing_of_what_it_has_not() -> Wrong:
    """A Stop of a lease that is not there is left unanswered."""
    return says(JobReleased, lambda message: None if message.why == JobWhy.UNKNOWN else message)


@breaks("JOB-11")
def is_true_beyond_death() -> Wrong:
    """A lost controller's lease lasts."""
    return nothing(QpuLeases, "peer_lost")
