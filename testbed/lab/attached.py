"""Programs of a person's own, attached to nodes: how they are told so, and how they live beside the ``local`` clock.

What may live here: starting them, watching them and judging their ends.  Under ``virtual`` and ``paced`` they are
children like the nodes (``testbed.lab.virtual``); under ``local`` they are the only processes apart from ours.

A program that fails ends the run (exit code 3).  Two are excused: one whose node was killed by plan, and one that
still held its session when the run was over.
"""

import os
import signal
import socket
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from testbed.lab.children import CUT_OFF_S, PROGRAM, SETTLE_S, ProcessDied
from testbed.lab.program_process import LIFELINE, SESSION
from testbed.lab.spawning import end_program, environment, how_it_ended, kill_session, note, python
from testbed.plan.plan import Plan
from testbed.report.outcome import Outcome


def program_title(plan: Plan, index: int) -> str:
    """What a person is told of a program: its number, and its file."""
    return f"{PROGRAM}{index} ({os.path.basename(plan.programs[index].path)})"


def program_environment(session: int, node: str, lifeline: int) -> dict[str, str]:
    """What ``stack.sdk`` and ``program_process`` read."""
    return {SESSION: str(session), "BELLWIRE_NODE": node, LIFELINE: str(lifeline)}


class Attached:
    """The programs of a ``local`` run; inside the context they run, and none is left behind after it."""

    def __init__(self, plan: Plan, logs: Path, lifeline: int) -> None:
        self.sessions: dict[int, list[socket.socket]] = {}
        """The nodes' ends."""
        self._plan = plan
        self._logs = logs
        self._lifeline = lifeline
        self._children: list[subprocess.Popen[bytes]] = []
        self._watches: list[threading.Thread] = []
        self._lock = threading.RLock()  # guards the three below, in a signal's handler, too
        self._pardoned: set[int] = set()
        self._over = False
        self._died: ProcessDied | None = None
        self._ours = threading.get_ident()

    @property
    def pids(self) -> dict[str, int]:
        return {f"{PROGRAM}{index}": child.pid for index, child in enumerate(self._children)}

    def __enter__(self) -> Self:
        names = {n.number: n.name for n in self._plan.nodes}
        for index, program in enumerate(self._plan.programs):
            ours, theirs = socket.socketpair()
            self.sessions.setdefault(program.node, []).append(ours)
            log = self._log(index)
            with open(log, "ab", buffering=0) as output, theirs:
                child = subprocess.Popen(
                    python("-m", "testbed.lab.program_process", program.path),
                    pass_fds=[theirs.fileno(), self._lifeline],
                    env=environment(program_environment(theirs.fileno(), names[program.node], self._lifeline)),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            self._children.append(child)
            note(log, f"process {child.pid} started: {program_title(self._plan, index)}")
            watch = threading.Thread(target=self._watch, args=(index, child), name=f"{PROGRAM}{index}", daemon=True)
            self._watches.append(watch)
            watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._over = True
        self._close_sessions()
        for child in self._children:
            if child.poll() is None:
                end_program(child.pid)
        for watch in self._watches:
            watch.join()
        if isinstance(error, KeyboardInterrupt) and self._died is not None:
            raise self._died from None  # the interrupt was our own

    def pardon(self, node: int) -> None:
        """This node has been killed by plan."""
        with self._lock:
            self._pardoned |= {index for index, program in enumerate(self._plan.programs) if program.node == node}

    def end(self) -> None:
        """End them all at once: somebody waits for the end of the run."""
        with self._lock:
            self._pardoned |= set(range(len(self._children)))
        for child in self._children:
            if child.poll() is None:
                end_program(child.pid)

    def finish(self, outcome: Outcome) -> None:
        """The run is over: let the programs end, or, if somebody waits for that, end them.  Raises ProcessDied for one
        that failed."""
        with self._lock:
            self._over = True
        if self._died is not None:
            raise self._died
        for node in self._plan.nodes:
            sessions = outcome.results[node.name].get("sessions", [])
            self._pardoned.update(self._plan.holders(node.number, sessions))
        self._close_sessions()
        for index, child in enumerate(self._children):
            if index not in self._pardoned:
                if child.wait() != 0:
                    raise self._death(index)
                continue
            try:
                child.wait(0.0 if outcome.interrupted else CUT_OFF_S)
            except subprocess.TimeoutExpired:
                end_program(child.pid)
                note(self._log(index), f"process {child.pid} had to be killed")

    def _close_sessions(self) -> None:
        for sessions in self.sessions.values():
            for ours in sessions:
                ours.close()

    def _log(self, index: int) -> Path:
        return self._logs / f"{PROGRAM}{index}.log"

    def _death(self, index: int) -> ProcessDied:
        code = self._children[index].wait()
        return ProcessDied(program_title(self._plan, index), how_it_ended(code, self._log(index)), False)

    def _watch(self, index: int, child: subprocess.Popen[bytes]) -> None:
        """Interrupt the run when this program fails in the middle of it (a thread of its own)."""
        code = child.wait()
        note(self._log(index), f"process {child.pid} {how_it_ended(code)}")
        kill_session(child.pid)  # if its keeper was killed, the program is still there
        if code == 0:
            return
        threading.Event().wait(SETTLE_S)  # a planned death may be to blame, and is about to be known
        with self._lock:
            if self._over or self._died is not None or index in self._pardoned:
                return
            self._died = self._death(index)
            signal.pthread_kill(self._ours, signal.SIGINT)
