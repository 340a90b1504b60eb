"""Controllers that are wrong about the QPUs that they lease."""

from typing import Any

from protocols.job import controller
from protocols.job.controller import Controller
from protocols.job.states import JOB_TABLE, JobDo, JobInput, JobState
from protocols.wire import JobHere, JobLoaded, JobOutcome, JobReleased, JobRun, JobStop, JobWhy
from testbed.conformance.mutants import Wrong, breaks
from testbed.conformance.mutants.means import instead, never_says, nothing, rows, value


@breaks("JOB-12")
def leases_what_is_leased() -> Wrong:
    """A QPU that holds a lease counts as free."""
    return instead(
        Controller, "_free", lambda right, machine: {node: qpu.data_qubits for node, qpu in machine._qpus.items()}
    )


@breaks("JOB-22")
def believes_in_empty_qpus() -> Wrong:
    """What a QPU says of its room is no matter."""

    def here(right: Any, machine: Controller, node: int, qpu: Any, message: JobHere) -> None:
        right(machine, node, qpu, message._replace(data_qubits=qpu.data_qubits))

    return instead(Controller, "_here", here)


@breaks("JOB-22")
def counts_what_was_in_use() -> Wrong:
    """A job that was tried five times in vain has failed."""

    def hear(right: Any, machine: Controller, lease: Any, part: Any, message: Any, now: int) -> None:
        if isinstance(message, JobReleased) and message.why == JobWhy.IN_USE:
            message = message._replace(why=JobWhy.STOPPED)
        right(machine, lease, part, message, now)

    return instead(Controller, "_hear", hear)


@breaks("JOB-20")
def leaves_old_leases_alone() -> Wrong:
    """A QPU that holds a lease of nobody's is no matter of its."""

    def here(right: Any, machine: Controller, node: int, qpu: Any, message: JobHere) -> None:
        right(machine, node, qpu, message._replace(lease=0))
        qpu.lease = message.lease

    return instead(Controller, "_here", here)


@breaks("JOB-20")
def does_not_ask_who_is_busy() -> Wrong:
    """It is leased again, in vain."""

    def ask(right: Any, machine: Controller, node: int, qpu: Any) -> None:
        if qpu.up is not True:
            right(machine, node, qpu)

    return instead(Controller, "_ask", ask)


@breaks("JOB-20")
def counts_who_was_busy() -> Wrong:
    """A job that was tried five times in vain has failed."""
    return instead(Controller, "_excused", lambda right, *arguments: False)


@breaks("JOB-13")
def gives_up_at_once() -> Wrong:
    """A job that fits only with a QPU that is lost has failed."""
    return value(controller, "PATIENCE_PS", 0)


@breaks("JOB-13")
def asks_once() -> Wrong:
    """A QPU that is lost must come by itself."""
    return nothing(Controller, "_recall")


@breaks("JOB-13")
def waits_for_ever() -> Wrong:
    """A job waits for a QPU that is lost, however long."""
    return value(controller, "PATIENCE_PS", 10**18)


@breaks("JOB-13")
def takes_on_everything() -> Wrong:
    """A job that no QPUs could hold waits in the queue."""

    def submit(right: Any, machine: Controller, order: Any, now: int) -> int:
        return int(right(machine, order._replace(qubits=1, circuit=order.circuit._replace(qubits=1, ops=())), now))

    return instead(Controller, "submit", submit)


@breaks("JOB-14")
def runs_with_the_first() -> Wrong:
    """One Loaded is enough."""

    def hear(right: Any, machine: Controller, lease: Any, part: Any, message: Any, now: int) -> None:
        if isinstance(message, JobLoaded):
            for other in lease.parts.values():
                other.loaded = True
        right(machine, lease, part, message, now)

    return instead(Controller, "_hear", hear)


@breaks("JOB-14")
def never_runs() -> Wrong:
    """All are loaded, and nothing comes of it."""
    return never_says(JobRun)


@breaks("JOB-15")
def leaves_the_others_running() -> Wrong:
    """Nobody is told to stop."""
    return never_says(JobStop)


@breaks("JOB-15")
def does_not_wait_for_the_others() -> Wrong:
    """A job is placed anew when the first has let go."""

    def hear(right: Any, machine: Controller, lease: Any, part: Any, message: Any, now: int) -> None:
        right(machine, lease, part, message, now)
        if isinstance(message, JobReleased):
            for other in list(lease.open):
                machine._qpus[other.node].lease = 0
                machine._part_over(lease, other, now, "")

    return instead(Controller, "_hear", hear)


@breaks("JOB-23")
def forgets_who_was_lost() -> Wrong:
    """Who could not be reached is asked for when a job waits for it, and not before."""

    def here(right: Any, machine: Controller, node: int, qpu: Any, message: JobHere) -> None:
        right(machine, node, qpu, message)
        qpu.again_ps = None

    return instead(Controller, "_here", here)


@breaks("JOB-16")
def counts_what_is_spoilt() -> Wrong:
    """A spoilt shot is a shot of zeros."""

    def take(right: Any, machine: Controller, lease: Any, part: Any, told: JobOutcome) -> None:
        right(machine, lease, part, told._replace(rows=bytes(row & 3 for row in told.rows)))

    return instead(Controller, "_take_rows", take)


@breaks("JOB-16")
def counts_what_one_has_told() -> Wrong:
    """The first word about a shot counts."""

    def take(right: Any, machine: Controller, lease: Any, part: Any, told: JobOutcome) -> None:
        for other in lease.parts.values():
            right(machine, lease, other, told)

    return instead(Controller, "_take_rows", take)


@breaks("JOB-17")
def is_over_at_once() -> Wrong:
    """A cancelled job has ended, whoever holds its lease."""
    key = (JobState.RUNNING, JobInput.CANCEL)
    return rows(JOB_TABLE, {key: (JobState.CANCELLED, (JobDo.STOP, JobDo.END))})


@breaks("JOB-17")
def begins_again() -> Wrong:
    """A cancelled job goes back into the queue."""
    key = (JobState.CANCELLING, JobInput.RELEASED)
    return rows(JOB_TABLE, {key: (JobState.QUEUED, (JobDo.REQUEUE,))})
