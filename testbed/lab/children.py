"""Child processes of a run: started with inherited sockets, watched, and never left behind.

What may live here: processes in general.  A child holds the read end of a lifeline pipe: when this process ends, in
whatever way, the pipe closes and the child ends itself.  Children are in a session of their own, so that Ctrl-C
reaches the launcher alone, which then takes them down in order.
"""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import trio

from stack.process import EXIT_COUNT, EXIT_ORPHAN
from testbed.lab.spawning import adopt_orphans, end_program, environment, how_it_ended, kill_session, note, python

SETTLE_S = 0.2
ORPHANS_WAIT = 10
"""After a death, how long the launcher waits to learn who else died, before it says who was first to blame."""

GRACE_S = 1.5
"""How long a run that is interrupted may take to end in order, so that it can be told of; then it is broken off."""

FLOOR_S = 0.5
"""How long it may take with its programs: one that has the floor keeps time from moving, and the run from its end.
Then they are ended, and the run has ``GRACE_S``."""

CUT_OFF_S = 2.0
"""How long a program may take to end after the run has ended without it; then it is killed."""

GONE_S = 1.0
"""How long the launcher waits at its own end for processes that it has killed to be gone."""

TEMPLATE = "template"
"""The name of the process from which the nodes are forked; it is gone when they are up."""

PROGRAM = "program-"
"""How the names of attached programs begin."""


class ProcessDied(Exception):
    """A child ended that should not have (exit code 3, or 4 if it says that the emulator broke its rules)."""

    def __init__(self, name: str, how: str, broken_rules: bool) -> None:
        super().__init__(f"{name} {how}")
        self.name = name
        self.how = how
        self.broken_rules = broken_rules


class HostStart(NamedTuple):
    """What a node process is started with: its orders, and the descriptors that are its own."""

    name: str
    orders: dict[str, Any]
    own: list[int]


class Process(Protocol):
    """What of ``trio.Process`` is used here; ``pid`` is 0 of one on another machine."""

    @property
    def pid(self) -> int: ...
    async def wait(self) -> int: ...
    def kill(self) -> None: ...


class _Forked:
    """A child that we did not start ourselves, but have adopted."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._handle = os.pidfd_open(pid)
        self._code: int | None = None
        self._one = trio.Lock()

    async def wait(self) -> int:
        async with self._one:
            if self._code is None:
                await trio.lowlevel.wait_readable(self._handle)
                _, status = os.waitpid(self.pid, 0)  # noqa: ASYNC222 - it has ended
                self._code = os.waitstatus_to_exitcode(status)
                os.close(self._handle)
        return self._code

    def kill(self) -> None:
        if self._code is None:
            os.kill(self.pid, signal.SIGKILL)


class _Death(NamedTuple):
    name: str
    code: int
    process: Process
    log: Path


class Children:
    """All children of one run."""

    def __init__(self, nursery: trio.Nursery, logs: Path, lifeline: int) -> None:
        self._nursery = nursery
        self._logs = logs
        self.lifeline = lifeline
        self.over = False
        """The run has reached its end: a program may end because its node has."""
        self._running: dict[str, Process] = {}
        self._all: dict[str, Process] = {}
        self._titles: dict[str, str] = {}
        self._pardoned: set[Process] = set()
        self._dead: list[_Death] = []
        self._late: list[_Death] = []
        self._judging = False
        self._fallen: set[str] = set()
        self.on_fall: Callable[[str, str], bool] = lambda name, how: False
        """Called with the name of a child that has died unasked, and how; True: the run goes on without it."""

    async def start(
        self, name: str, module: list[str], orders: bytes, fds: list[int], env: dict[str, str], title: str = ""
    ) -> int:
        """Start ``python module...`` with ``orders`` on standard input; its output goes to ``logs/name.log``.

        ``title`` is what a person is told it was, should it die.
        """
        with self._opened(name) as log:
            process = await trio.lowlevel.open_process(
                python(*module),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=[*fds, self.lifeline],
                start_new_session=True,
                env=environment(env),
            )
        self.join(name, process, title)
        assert process.stdin is not None
        with suppress(trio.BrokenResourceError):  # it died at once; the watch says so
            await process.stdin.send_all(orders)
            await process.stdin.aclose()
        return process.pid

    async def start_hosts(self, hosts: list[HostStart]) -> None:
        """Start node processes (``stack.process``).  Raises ProcessDied if the process they are forked from
        does not live to see them all."""
        if not hosts:
            return
        with ExitStack() as stack:
            logs = [stack.enter_context(self._opened(name)).fileno() for name in (TEMPLATE, *(h.name for h in hosts))]
            orders = [{**h.orders, "log": log, "own": h.own} for h, log in zip(hosts, logs[1:], strict=True)]
            stack.callback(adopt_orphans, False)
            adopt_orphans(True)  # when their parent ends, the nodes become children of ours
            template = await trio.lowlevel.open_process(
                python("-m", "stack.process"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=logs[0],
                pass_fds=[self.lifeline, *logs, *(fd for h in hosts for fd in h.own)],
                start_new_session=True,
                env=environment({}),
            )
            self._running[TEMPLATE] = template
            assert template.stdin is not None
            assert template.stdout is not None
            async with template.stdin, template.stdout:
                with suppress(trio.BrokenResourceError):  # it died at once; its exit code says so
                    await template.stdin.send_all(json.dumps(orders).encode())
                    await template.stdin.aclose()
                said = b"".join([part async for part in template.stdout])
            code = await template.wait()
            del self._running[TEMPLATE]
        if code != 0:
            raise ProcessDied(TEMPLATE, how_it_ended(code, self._log(TEMPLATE)), False)
        if not self._log(TEMPLATE).stat().st_size:
            self._log(TEMPLATE).unlink()
        for host, pid in zip(hosts, said.split(), strict=True):
            self.join(host.name, _Forked(int(pid)))

    def join(self, name: str, process: Process, title: str = "") -> None:
        """A process is there, started somehow: from now on it is watched."""
        self._running[name] = self._all[name] = process
        self._fallen.discard(name)
        self._titles[name] = title = title or name
        self._nursery.start_soon(self._watch, name, process)
        note(self._log(name), f"{_called(process)} started: {title}")

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def _opened(self, name: str) -> FileIO:
        return open(self._log(name), "ab", buffering=0)

    async def _watch(self, name: str, process: Process) -> None:
        code = await process.wait()
        if self._running.get(name) is process:
            del self._running[name]
        note(self._log(name), f"{_called(process)} {how_it_ended(code)}")
        if name.startswith(PROGRAM):
            kill_session(process.pid)  # if its keeper was killed, the program is still there
        if code == 0:
            return
        if process not in self._pardoned and self.on_fall(name, how_it_ended(code, self._log(name))):
            self._fallen.add(name)
            return
        self._dead.append(_Death(name, code, process, self._log(name)))
        if self._judging:
            return  # another watch is about to say who is to blame
        self._judging = True
        await trio.sleep(SETTLE_S)
        for _ in range(ORPHANS_WAIT):
            if any(d.code != EXIT_ORPHAN for d in self._dead):
                break
            await trio.sleep(SETTLE_S)  # whoever made them orphans is still falling
        self._judging = False
        dead, self._dead = [d for d in self._dead if d.process not in self._pardoned], []
        if self.over and all(d.name.startswith(PROGRAM) for d in dead):
            self._late += dead
        else:
            self._blame(dead)

    def _blame(self, dead: list[_Death]) -> None:
        """Who lost its coordinator or its node only followed; a signal came from outside, an error may be its echo."""
        if dead:
            name, code, _, log = min(
                dead, key=lambda d: (d.code == EXIT_ORPHAN, d.name.startswith(PROGRAM), d.code > 0)
            )
            raise ProcessDied(self._titles[name], how_it_ended(code, log), code == EXIT_COUNT)

    def end_programs(self) -> None:
        """At once; whatever they held is free then."""
        for name, process in list(self._running.items()):
            if name.startswith(PROGRAM):
                self._pardoned.add(process)
                _end(name, process)

    def judge_programs(self) -> None:
        """All nodes have ended, and who was cut off by that is pardoned: programs that failed themselves are not."""
        self.over = False
        self._blame([d for d in self._late if d.process not in self._pardoned])

    async def kill(self, name: str) -> None:
        """A planned death."""
        process = self._running.get(name)
        if process is None and name in self._fallen:
            return
        if process is None:
            await trio.sleep_forever()  # it has died by itself a moment ago: its watch ends the run
            return
        self._pardoned.add(process)
        process.kill()
        await process.wait()

    def pardon(self, name: str) -> None:
        """However this child ends from here on, it does not end the run."""
        process = self._all.get(name)
        if process is not None:
            self._pardoned.add(process)

    def pids(self) -> dict[str, int]:
        """Of those on this machine."""
        return {name: process.pid for name, process in self._running.items() if process.pid}

    async def wait_for(self, names: list[str]) -> None:
        """Until these children have ended by themselves."""
        for process in [self._running[n] for n in names if n in self._running]:
            await process.wait()

    async def wait_all(self) -> None:
        """Until every child has ended by itself; those who were pardoned get no more than ``CUT_OFF_S``."""
        with trio.move_on_after(CUT_OFF_S):
            for process in [p for p in self._running.values() if p in self._pardoned]:
                await process.wait()
        for name, process in list(self._running.items()):
            if process in self._pardoned:
                _end(name, process)
                note(self._log(name), f"process {process.pid} had to be killed")
            await process.wait()

    async def kill_all(self) -> None:
        """End whoever is left, and see them gone (or let go of one that not even this ends)."""
        left = dict(self._running)
        for name, process in left.items():
            self._pardoned.add(process)
            _end(name, process)
        with trio.move_on_after(GONE_S, shield=True):
            for process in left.values():
                await process.wait()


def _called(process: Process) -> str:
    return f"process {process.pid}" if process.pid else "its process, elsewhere,"


def _end(name: str, process: Process) -> None:
    """At once; a program through its keeper, which knows all that it has started."""
    if name.startswith(PROGRAM):
        end_program(process.pid)
    else:
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
