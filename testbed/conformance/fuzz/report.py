"""What fuzzing has found, as values and as lines for people.

What may live here: form.
"""

from collections.abc import Sequence
from typing import NamedTuple


class Finding(NamedTuple):
    """What should not have happened."""

    subject: str
    episode: int
    frame: int
    what: str
    last: str
    """What was said last."""


class Tally(NamedTuple):
    """What one protocol was put through."""

    protocol: str
    frames: int
    forged: int
    """Frames among them of somebody without a key."""
    lines: int
    """Lines of protocols, stack and the plane that were run."""
    findings: tuple[Finding, ...]


def row(tally: Tally) -> str:
    found = f"{len(tally.findings)} findings" if tally.findings else "nothing broke"
    counts = f"{tally.frames:>9} frames, {tally.forged:>6} of them forged, {tally.lines:>5} lines"
    return f"{tally.protocol:8} {counts}: {found}"


def lines(findings: Sequence[Finding]) -> list[str]:
    shown = []
    for finding in findings:
        shown.append(f"{finding.subject}, episode {finding.episode}, frame {finding.frame}: {finding.what}")
        shown.append(f"  after {finding.last[:300]}")
    return shown
