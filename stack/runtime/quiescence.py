"""The trio clock of emulated time: it never moves, and tells its pump when no task can run.

What may live here: the one place that touches trio's clock interface.  trio calls ``deadline_to_sleep_time`` exactly
when no task is runnable; nodes register nothing with trio's I/O, so that moment *is* quiescence.
"""

import math

import outcome
import trio


class QuiescenceClock(trio.abc.Clock):
    """Hands the thread to the task parked in :meth:`idle` whenever every other task is blocked."""

    def __init__(self) -> None:
        self._parked: trio.lowlevel.Task | None = None

    def start_clock(self) -> None:
        pass

    def current_time(self) -> float:
        return 0.0

    def deadline_to_sleep_time(self, deadline: float) -> float:
        task, self._parked = self._parked, None
        if task is None:
            return 0.05 if deadline == math.inf else 0.0
        if deadline == math.inf:
            trio.lowlevel.reschedule(task)
        else:
            # Floats must not decide an event (a float second loses whole picoseconds within hours).
            error = RuntimeError("a trio deadline was set inside a node; wait with Kernel.sleep or Kernel.at instead")
            trio.lowlevel.reschedule(task, outcome.Error(error))
        return 0.0

    async def idle(self) -> None:
        """Return when no other task can run."""
        self._parked = trio.lowlevel.current_task()

        def abort(_: object) -> trio.lowlevel.Abort:
            self._parked = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)
