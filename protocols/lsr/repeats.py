"""When what a neighbour has not answered is said again.

What may live here: timeouts and their back-off.  What is said then is node.py's business.
"""

from typing import Final

from protocols.lsr.neighbour import Neighbour
from protocols.lsr.shared import RETRY, Shared

LATE: Final = 8
"""A neighbour that was down for some time is found again within an eighth of that."""


class Repeats:
    """Towards all neighbours of one node."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def heard(self, neighbour: Neighbour, now: int) -> None:
        """Anything: its silence begins anew."""
        neighbour.heard_at = now
        if neighbour.asked_at is not None:
            neighbour.asked_at = now

    def wait(self, neighbour: Neighbour, now: int) -> None:
        """Something has been sent that must be answered."""
        if neighbour.asked_at is None:
            neighbour.asked_at = now
        due = now + self._timeout(neighbour, now)
        if (RETRY, neighbour.number) not in self._shared.timers:
            self._shared.timers.set((RETRY, neighbour.number), due)

    def _timeout(self, neighbour: Neighbour, now: int) -> int:
        most = max(self._shared.settings.hello_ps, neighbour.timeout_ps)
        if not (neighbour.up or self._shared.watches or self._shared.settings.idle_hello_ps):
            # Nobody is waited for: a little longer is nothing beside how long it has been down already.  LSR-13
            most = max(most, (now - neighbour.down_at) // LATE)
        return min(neighbour.timeout_ps << min(neighbour.back_off, 64), most)

    def rearm(self, neighbour: Neighbour, now: int) -> None:
        """After anything has been heard: is there still something to wait for?"""
        if neighbour.outstanding:
            self.wait(neighbour, now)
        else:
            neighbour.asked_at = None
            neighbour.back_off = 0
            self._shared.timers.cancel((RETRY, neighbour.number))

    def progress(self, neighbour: Neighbour) -> None:
        """What was waited for has come, in part: the rest has a first timeout from now."""
        neighbour.back_off = 0
        self._shared.timers.cancel((RETRY, neighbour.number))
