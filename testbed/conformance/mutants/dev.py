"""Quantum planes that carry out programs wrongly."""

from dataclasses import replace
from typing import Any

from protocols.device import schedule
from protocols.wire import DeviceError, DeviceFailed
from testbed.conformance.mutants import Wrong, breaks
from testbed.conformance.mutants.means import fails_as, instead, value
from testbed.plane import devices, programs
from testbed.plane.events import Answers


@breaks("DEV-1")
def takes_the_foreign_for_stale() -> Wrong:
    """An index that there is not is called STALE."""
    return fails_as(DeviceError.FOREIGN, DeviceError.STALE)


@breaks("DEV-2")
def has_one_generation() -> Wrong:
    """A released qubit keeps its handle."""
    return value(devices, "next_generation", lambda generation: generation)


@breaks("DEV-2")
def forgets_its_lives() -> Wrong:
    """Generations begin at 1 in every life."""
    return value(devices, "first_generation", lambda incarnation: 1)


@breaks("DEV-3")
def answers_twice() -> Wrong:
    """Every answer comes again."""
    return instead(Answers, "take", lambda right, answers: 2 * right(answers))


@breaks("DEV-4")
def does_everything_in_turn() -> Wrong:
    """A parallel device waits for each operation."""
    return value(programs, "schedule", lambda ops, durations: schedule(ops, replace(durations, parallel=False)))


@breaks("DEV-4")
def does_everything_at_once() -> Wrong:
    """A sequential device does what it can at once."""
    return value(programs, "schedule", lambda ops, durations: schedule(ops, replace(durations, parallel=True)))


@breaks("DEV-5")
def fails_at_once() -> Wrong:
    """A failure is told before the program would have been over."""

    def give(right: Any, answers: Answers, node: int, sequence: int, due: int, message: Any) -> None:
        if isinstance(message, DeviceFailed):
            answers._waiting[node][sequence] = 0
            due = due // 2
        right(answers, node, sequence, due, message)

    return instead(Answers, "give", give)


@breaks("DEV-6")
def minds_no_condition() -> Wrong:
    """Every operation runs."""
    return value(programs, "holds", lambda op, results: True)


@breaks("DEV-7")
def sees_no_fault() -> Wrong:
    """Programs are not looked at."""
    return value(programs, "fault", lambda ops: None)


@breaks("DEV-8")
def takes_the_released_for_foreign() -> Wrong:
    """What a program names after it has released it is called FOREIGN."""
    return fails_as(DeviceError.STALE, DeviceError.FOREIGN)
