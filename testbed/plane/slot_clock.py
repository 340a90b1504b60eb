"""Where the slots of a link lie in true time for one of its nodes: its clock numbers them.

What may live here: that conversion, both ways, for nodes with a clock of their own and for those that show true time.
"""

from typing import Final

from stack.runtime.clock import NodeClock


class SlotClock:
    """What a node does for slot k it does `lead_ps` before its clock shows k slots."""

    __slots__ = ("_clock", "_lead_ps", "_slot_ps")

    def __init__(self, clock: NodeClock | None, slot_ps: int, lead_ps: int = 0) -> None:
        self._clock = clock
        self._slot_ps: Final = slot_ps
        self._lead_ps: Final = lead_ps

    def wind(self, clock: NodeClock) -> None:
        """The node has a clock of its own from now on, which shows what it has shown."""
        self._clock = clock

    def at(self, slot: int) -> int:
        """When the node acts for a slot, as its clock is steered now."""
        shown = slot * self._slot_ps - self._lead_ps
        return shown if self._clock is None else self._clock.true_time(shown)

    def upto(self, true_ps: int) -> int:
        """The last slot for which it has acted by then, that instant included."""
        shown = true_ps if self._clock is None else self._clock.node_time(true_ps)
        return (shown + self._lead_ps) // self._slot_ps

    def after(self, true_ps: int) -> int:
        """The first slot for which it acts then or later."""
        return self.upto(true_ps - 1) + 1

    def nearest(self, true_ps: int) -> int:
        """The slot whose action is closest to that instant."""
        return self.upto(true_ps + self._slot_ps // 2)
