"""Nodes are forked from one process that has imported their code, and are processes like any other for all that."""

import os
import sys
from collections import Counter
from pathlib import Path

import pytest
import trio

import testbed.lab.children
from stack.runtime.times import NS
from testbed.lab.children import ProcessDied
from testbed.lab.toy import toy_plan
from testbed.lab.virtual import Launch


class Enough(Exception):
    """The test has seen what it wanted to see."""


def launch(folder: Path) -> Launch:
    """A run that goes on for as long as it is let."""
    plan = toy_plan(3, 10 * NS, {1: {"echo": {"destination": 2, "count": 10**6}}})
    for name in ("logs", ".spool"):
        (folder / name).mkdir()
    return Launch(plan, "virtual", folder, folder / ".spool", plan.groups(None), lambda _: None)


def open_sockets(pid: int) -> set[str]:
    return {link for fd in Path(f"/proc/{pid}/fd").iterdir() if (link := os.readlink(fd)).startswith("socket:")}


def test_every_node_is_a_child_of_the_launcher_with_a_session_and_sockets_of_its_own(tmp_path):
    """A socket that a neighbour holds open as well would not be heard to close when its node dies."""
    started = launch(tmp_path)
    seen: dict[str, set[str]] = {}

    def on_up(pids: dict[str, int]) -> None:
        for name in started.names.values():
            pid = pids[name]
            parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
            assert int(parent) == os.getpid()
            assert os.getsid(pid) == pid
            seen[name] = open_sockets(pid)
        raise Enough

    started.on_up = on_up
    with pytest.raises(ExceptionGroup) as ended:
        trio.run(started.run)
    assert ended.value.subgroup(Enough)
    assert len(seen) == 3
    assert all(len(sockets) >= 2 for sockets in seen.values())  # the network's and the bus
    assert set(Counter(socket for sockets in seen.values() for socket in sockets).values()) == {1}
    assert not (tmp_path / "logs" / "template.log").exists()


@pytest.mark.parametrize(
    ("fault", "words"),
    [("os.kill(os.getpid(), 9)", "killed by SIGKILL"), ("raise OSError('no more processes')", "no more processes")],
)
def test_a_start_that_fails_ends_the_run_and_says_why(fault, words, tmp_path, monkeypatch):
    monkeypatch.setattr(testbed.lab.children, "python", lambda *_: [sys.executable, "-c", f"import os\n{fault}"])
    with pytest.raises(ExceptionGroup) as caught:
        trio.run(launch(tmp_path).run)
    died = caught.value.subgroup(ProcessDied)
    assert died is not None
    assert any("template" in str(e) and words in str(e) for e in died.exceptions), died.exceptions
