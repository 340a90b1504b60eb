"""What comes to a run from outside, written down as it counts: ``inputs.jsonl``, from which a run is done again.

What may live here: appending to it.  What stands in it, and how it is read, says ``testbed.lab.inputs``.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

from stack.record import NO_ROOM


class InputLog:
    """Appends lines, each whole however suddenly its writer ends; several processes write to one file."""

    def __init__(self, path: str) -> None:
        self._path = path

    def write(self, t_ps: int, what: Mapping[str, Any]) -> None:
        """On a full disk nothing is written: the run goes on, but cannot be done again from there on."""
        line = json.dumps({"t_ps": t_ps, **what}, separators=(",", ":")).encode() + b"\n"
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            try:
                os.write(descriptor, line)
            finally:
                os.close(descriptor)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise


__all__ = ["InputLog"]
