"""QPUs that tell or hear results wrongly."""

from typing import Any

from protocols.job import results
from protocols.job.results import Results
from protocols.wire import JobGivenUp
from testbed.conformance.mutants import Wrong, breaks
from testbed.conformance.mutants.means import instead, never_says, nothing, value


@breaks("JOB-1")
def keeps_nothing() -> Wrong:
    """What is not expected yet is thrown away."""
    return value(results, "MAX_EARLY", 0)


@breaks("JOB-1")
def believes_the_last() -> Wrong:
    """Of several results that come early the last counts."""

    def on_result(right: Any, machine: Results, source: int, run: int, measurement: int, outcome: int) -> None:
        machine._early.get(source, {}).pop((run, measurement), None)
        right(machine, source, run, measurement, outcome)

    return instead(Results, "_on_result", on_result)


@breaks("JOB-1")
def keeps_what_is_over() -> Wrong:
    """The end of a shot clears nothing."""
    return nothing(Results, "end")


@breaks("JOB-2")
def gives_up_in_silence() -> Wrong:
    """Nobody is told."""
    return never_says(JobGivenUp)


@breaks("JOB-2")
def forgets_what_was_given_up() -> Wrong:
    """What is expected later is waited for."""

    def receive(right: Any, machine: Results, *row: Any) -> None:
        right(machine, *row)
        machine._given_up.clear()

    return instead(Results, "receive", receive)


@breaks("JOB-3")
def waits_for_the_dead() -> Wrong:
    """The loss of a peer changes nothing."""
    return nothing(Results, "peer_lost")
