"""Fuzzing: hostile frames against our own nodes, until something breaks or a bound is reached.

What may live here: `messages` (what is sent), `coverage` (which of it was new), `snapshot` (what a node is),
`subjects` (against whom), `loop` and `devices` (the work), `report`.  Findings become tests where they belong.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from protocols.wire import ProtocolId
from testbed.conformance.fuzz.devices import fuzz_devices
from testbed.conformance.fuzz.loop import fuzz_frames
from testbed.conformance.fuzz.report import Finding, Tally
from testbed.conformance.fuzz.subjects import SUBJECTS

PROTOCOLS: Final[dict[str, Callable[[int, int], Tally]]] = {
    **{ProtocolId(subject.protocol).name: partial(fuzz_frames, subject.protocol) for subject in SUBJECTS},
    "DEVICE": fuzz_devices,
}
"""What can be fuzzed, and how: by frames, the devices by commands."""


def fuzz(protocol: str, number: int, seed: int = 1) -> Tally:
    """So many frames (or commands) of one protocol.  The same seed does the same."""
    return PROTOCOLS[protocol](number, seed)


__all__ = ["PROTOCOLS", "Finding", "Tally", "fuzz"]
