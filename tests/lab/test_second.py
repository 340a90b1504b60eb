"""The second implementation (tests/second): it passes the kit on sockets, and talks to our own node."""

import re
import subprocess
import sys
from pathlib import Path

import trio

from testbed.conformance.kit import try_command
from testbed.conformance.results import PASS
from testbed.conformance.scripts import load

SECOND = Path(__file__).parents[1] / "second"
COMMAND = [sys.executable, str(SECOND / "node.py")]

# Of each protocol and each role, those that wait least; of ECHO all.
CHEAP = (
    "frame.a_frame_is_accepted_once",
    "reliable.delivered_once_and_in_order",
    "mhp.equal_gens_are_looked_at",
    "egp.successes_are_delivered_and_counted",
    "egp.an_expire_takes_pairs_back",
)


def test_it_passes_the_kit(tmp_path):
    scripts = [script for name, script in load().items() if name in CHEAP or name.startswith("echo.")]
    results = trio.run(try_command, scripts, COMMAND, tmp_path / "log")
    assert [(r.script, r.why) for r in results if r.verdict != PASS] == []


def test_it_is_independent():
    ours = re.compile(r"^\s*(?:import|from) (?:protocols|stack|testbed)\b", re.MULTILINE)
    assert [path.name for path in SECOND.glob("*.py") if ours.search(path.read_text())] == ["talk.py"]


def test_it_talks_to_our_node():
    """It leads, and ours follows; some frames are lost.  talk.py does the same for a thousand pairs of each kind."""
    said = subprocess.run(
        [sys.executable, SECOND / "talk.py", "--pairs", "6", "--loss", "0.02", "--only", "the second leads"],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    assert said.stdout.count("equal at both ends") == 2
