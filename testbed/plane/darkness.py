"""When a link cannot herald: its fibre is cut, or its detectors are blinded.

What may live here: from when till when it is dark, and what that means for an attempt.  Nobody knows beforehand: a
fault begins, and is over, when somebody says so.
"""

from collections import deque
from typing import Final

from stack.runtime.times import NEVER
from testbed.plane.config import LinkConfig

_KEPT: Final = 32
"""Spells of darkness that are remembered, of each kind: attempts that are on their way may have met the latest few."""


class _Spells:
    """From when till when something was dark; the last may last still."""

    def __init__(self, after_ps: int) -> None:
        self.after_ps = after_ps
        """How long after its end an attempt is still spoilt by it."""
        self.spans: deque[tuple[int, int]] = deque(maxlen=_KEPT)

    def become(self, dark: bool, t_ps: int) -> None:
        lasts = bool(self.spans) and self.spans[-1][1] == NEVER
        if dark and not lasts:
            self.spans.append((t_ps, NEVER))
        elif lasts and not dark:
            self.spans[-1] = self.spans[-1][0], t_ps


class Darkness:
    """Of one link.  An attempt begins with the first photon on its way, and ends when the last has been looked for."""

    def __init__(self, config: LinkConfig) -> None:
        lead_ps = max(config.leads_ps)
        self._attempt_ps = config.model.attempt_ps
        self._cut = _Spells(lead_ps)
        self._blind = _Spells(lead_ps - max(config.arm_a_ps, config.arm_b_ps))

    def become(self, cut: bool, blind: bool, t_ps: int) -> None:
        """So it is from ``t_ps`` on."""
        self._cut.become(cut, t_ps)
        self._blind.become(blind, t_ps)

    def covers(self, at_ps: int) -> bool:
        """Whether an attempt whose slot is at ``at_ps``, and which is over by now, cannot have heralded."""
        over_ps = at_ps + self._attempt_ps
        return any(
            start < over_ps and at_ps < end + spells.after_ps
            for spells in (self._cut, self._blind)
            for start, end in spells.spans
        )
