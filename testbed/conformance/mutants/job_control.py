"""Controllers that are wrong about the QPUs that they lease."""

from typing import Any

from protocols.job.controller import Controller
from protocols.job.states import JOB_TABLE, JobDo, JobInput, JobState
from protocols.wire import JobLoaded, JobOutcome, JobReleased, JobRun, JobStop
from testbed.conformance.mutants import Wrong, breaks
from testbed.conformance.mutants.means import instead, never_says, rows


@breaks("JOB-12")
def leases_what_is_leased() -> Wrong:
    """A QPU that holds a lease counts as free."""
    return instead(
        Controller, "_free", lambda right, machine: {node: qpu.data_qubits for node, qpu in machine._qpus.items()}
    )


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
