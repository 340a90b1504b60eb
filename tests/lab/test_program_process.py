"""The keeper of an attached program: whatever the program does, nothing that it has started outlives it."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from command_lab import PATIENCE_S, lives

from testbed.lab.attached import program_environment
from testbed.lab.spawning import environment, python

# A child in a session of its own, and a grandchild whose parent has ended; then what the case is about.
STARTS_OTHERS = """
import os, signal, subprocess, sys, time
sleeper = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
child = subprocess.Popen(sleeper, start_new_session=True)
starter = f"import subprocess; print(subprocess.Popen({sleeper!r}, start_new_session=True).pid, flush=True)"
orphan = subprocess.Popen([sys.executable, "-S", "-c", starter], stdout=subprocess.PIPE, text=True)
print(os.getpid(), child.pid, orphan.stdout.readline().strip(), flush=True)
orphan.wait()
"""


class Kept:
    """A program under its keeper; the test holds the node's end of the session, and the lifeline."""

    def __init__(self, path: Path) -> None:
        self.session, theirs = socket.socketpair()
        read, self.lifeline = os.pipe()
        self.keeper = subprocess.Popen(
            python("-m", "testbed.lab.program_process", str(path)),
            pass_fds=[theirs.fileno(), read],
            env=environment(program_environment(theirs.fileno(), "west", read)),
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        theirs.close()
        os.close(read)
        assert self.keeper.stdout is not None
        self.started = [int(pid) for pid in self.keeper.stdout.readline().split()]

    def ended(self) -> int:
        """The keeper's exit status; by then nothing else is left."""
        code = self.keeper.wait(PATIENCE_S)
        assert [pid for pid in self.started if lives(pid)] == []
        return code


@contextmanager
def kept(folder: Path, then: str) -> Iterator[Kept]:
    (folder / "program.py").write_text(STARTS_OTHERS + then)
    case = Kept(folder / "program.py")
    try:
        assert len(case.started) == 3
        yield case
    finally:
        case.session.close()
        with suppress(OSError):
            os.close(case.lifeline)
        for pid in [*case.started, case.keeper.pid]:
            if lives(pid):
                os.kill(pid, signal.SIGKILL)
        case.keeper.communicate()


@pytest.mark.parametrize(
    ("then", "code"),
    [
        ("", 0),
        ("sys.exit(7)", 7),
        ("os._exit(8)", 8),
        ("os.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    ],
)
def test_the_keeper_ends_as_its_program_did_when_all_else_is_gone(then, code, tmp_path):
    with kept(tmp_path, then) as case:
        assert case.ended() == code


@pytest.mark.parametrize("then", ["time.sleep(600)", "os.kill(0, signal.SIGSTOP)"])
def test_the_end_of_the_launcher_ends_program_and_all_it_has_started(then, tmp_path):
    with kept(tmp_path, then) as case:
        os.close(case.lifeline)
        assert case.ended() == -signal.SIGKILL


def test_a_program_that_ends_with_its_session_leaves_nothing_either(tmp_path):
    """As it is when the launcher is killed under a program that is in a call: session and lifeline close at once."""
    with kept(tmp_path, "from stack.sdk import attach\nattach().call('sleep', duration_ps=1)") as case:
        assert case.session.recv(1000)  # it is in the call
        case.session.close()
        assert case.ended() == 1


def test_the_launcher_may_say_so(tmp_path):
    with kept(tmp_path, "time.sleep(600)") as case:
        case.keeper.send_signal(signal.SIGTERM)
        assert case.ended() == -signal.SIGTERM


def test_the_node_sees_that_the_program_has_closed_its_session(tmp_path):
    with kept(tmp_path, "from stack.sdk import attach\nattach().close()\ntime.sleep(600)") as case:
        case.session.settimeout(PATIENCE_S)
        assert case.session.recv(1) == b""
        assert case.keeper.poll() is None
