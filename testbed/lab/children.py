"""Child processes of a run: started with inherited sockets, watched, and never left behind.

What may live here: processes in general.  A child holds the read end of a lifeline pipe: when this process ends, in
whatever way, the pipe closes and the child ends itself.  Children are in a session of their own, so that Ctrl-C
reaches the launcher alone, which then takes them down in order.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

from stack.runtime.process import EXIT_COUNT, EXIT_ORPHAN

SETTLE_S = 0.2
"""After a death, how long the launcher waits to learn who else died, before it says who was first to blame."""


class ProcessDied(Exception):
    """A child ended that should not have (exit code 3, or 4 if it says that the emulator broke its rules)."""

    def __init__(self, name: str, how: str, broken_rules: bool) -> None:
        super().__init__(f"{name} {how}")
        self.name = name
        self.how = how
        self.broken_rules = broken_rules


class Children:
    """All children of one run; use inside :func:`children`."""

    def __init__(self, nursery: trio.Nursery, logs: Path, lifeline: int) -> None:
        self._nursery = nursery
        self._logs = logs
        self.lifeline = lifeline
        self._running: dict[str, trio.Process] = {}
        self._pardoned: set[str] = set()
        self._dead: list[tuple[str, int]] = []
        self._judging = False

    async def start(self, name: str, module: list[str], orders: bytes, fds: list[int], env: dict[str, str]) -> int:
        """Start ``python -m module...`` with ``orders`` on standard input; its output goes to ``logs/name.log``."""
        with open(self._logs / f"{name}.log", "ab") as log:  # noqa: ASYNC230 - a local file, at once
            process = await trio.lowlevel.open_process(
                [sys.executable, *module],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=[*fds, self.lifeline],
                start_new_session=True,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", **env},
            )
        self._running[name] = process
        self._pardoned.discard(name)
        self._nursery.start_soon(self._watch, name, process)
        assert process.stdin is not None
        try:
            await process.stdin.send_all(orders)
            await process.stdin.aclose()
        except trio.BrokenResourceError:
            pass  # it died at once; the watch says so
        return process.pid

    async def _watch(self, name: str, process: trio.Process) -> None:
        code = await process.wait()
        if self._running.get(name) is process:
            del self._running[name]
        if code == 0 or name in self._pardoned:
            return
        self._dead.append((name, code))
        if self._judging:
            return
        self._judging = True
        await trio.sleep(SETTLE_S)
        name, code = min(self._dead, key=lambda d: d[1] == EXIT_ORPHAN)
        if code < 0:
            how = f"was killed by {signal.Signals(-code).name}"
        else:
            how = f"ended with exit code {code}; see {self._logs / name}.log"
        raise ProcessDied(name, how, code == EXIT_COUNT)

    async def kill(self, name: str) -> None:
        """A planned death."""
        self._pardoned.add(name)
        process = self._running[name]
        process.kill()
        await process.wait()

    def pids(self) -> dict[str, int]:
        return {name: process.pid for name, process in self._running.items()}

    async def wait_all(self) -> None:
        """Until every child has ended by itself."""
        for process in list(self._running.values()):
            await process.wait()

    def kill_all(self) -> None:
        for name, process in self._running.items():
            self._pardoned.add(name)
            process.kill()


@contextmanager
def lifeline() -> Iterator[int]:
    """The read end, to be inherited; the write end lives exactly as long as this process cares."""
    read, write = os.pipe()
    try:
        yield read
    finally:
        os.close(write)
        os.close(read)
