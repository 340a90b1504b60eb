"""Which lines of protocols, stack and the plane have been run, at next to no cost: each line tells of itself once.

What may live here: that, with sys.monitoring (PEP 669).
"""

import sys
from pathlib import Path
from types import CodeType, TracebackType
from typing import Any, Self

import protocols
import stack
import testbed.plane

_ROOMS = tuple(str(Path(next(iter(room.__path__)))) for room in (protocols, stack, testbed.plane))


class Coverage:
    """A context.  ``lines`` grows with every line that is run for the first time."""

    def __init__(self) -> None:
        self.lines = 0
        self._tool = sys.monitoring.COVERAGE_ID

    def __enter__(self) -> Self:
        monitoring = sys.monitoring
        if monitoring.get_tool(self._tool) is not None:
            self._tool = next(tool for tool in range(6) if monitoring.get_tool(tool) is None)
        monitoring.use_tool_id(self._tool, "bellwire fuzz")
        monitoring.register_callback(self._tool, monitoring.events.LINE, self._line)
        monitoring.set_events(self._tool, monitoring.events.LINE)
        monitoring.restart_events()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.monitoring.set_events(self._tool, 0)
        sys.monitoring.free_tool_id(self._tool)

    def _line(self, code: CodeType, line: int) -> Any:
        if code.co_filename.startswith(_ROOMS):
            self.lines += 1
        return sys.monitoring.DISABLE
