"""A trace without a file: what is said in one performance of a script.

What may live here: the recorder that takes it down.
"""

from stack.record import NullRecorder
from testbed.conformance.traces.capture import Captured


class Tape(NullRecorder):
    """Takes the place of a node's recorder; the kit adds what its peers send and get."""

    def __init__(self) -> None:
        super().__init__()
        self.end_ps = 0
        self._taken: list[tuple[int, bool, bytes, str]] = []

    def frame(
        self, t_ps: int, received: bool, source: int, destination: int, payload: bytes, note: str = ""
    ) -> None:
        if received or int.from_bytes(payload[6:8]) == source:  # what is sent in another's name is nobody's word
            self._taken.append((t_ps, received, payload, note))

    def captured(self) -> list[Captured]:
        """In order of time, numbered as a file would."""
        rows = sorted(self._taken, key=lambda row: row[0])
        return [Captured(n, t_ps, received, note, frame) for n, (t_ps, received, frame, note) in enumerate(rows, 1)]
