"""The tutorial, followed as it is written, in a fresh copy of what is committed."""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorial.md"
_STEP = re.compile(r"(?:into\s+`(?P<file>[^`]+)`:\n\n)?```(?P<kind>python|sh)\n(?P<text>.*?)```", re.DOTALL)


@pytest.fixture
def copy() -> Iterator[Path]:
    """What is committed, in a folder of its own with a short name: sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="bw-") as folder:
        yield Path(folder)


def test_from_nothing_to_a_link_protocol_of_ones_own(copy):
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    packed = subprocess.run(["tar", "c", "--null", "-T", "-"], cwd=ROOT, input=files, capture_output=True, check=True)
    subprocess.run(["tar", "x"], cwd=copy, input=packed.stdout, check=True)
    (copy / ".venv").symlink_to(ROOT / ".venv")
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTEST_ADDOPTS": "-p no:cacheprovider -n 0"}
    said = []
    for step in _STEP.finditer(PAGE.read_text()):
        if step["kind"] == "python":
            assert step["file"], f"where does this go?\n{step['text'][:80]}"
            (copy / step["file"]).write_text(step["text"])
            continue
        done = subprocess.run(
            ["bash", "-e", "-c", step["text"]], cwd=copy, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, f"{step['text']}\n{done.stdout}\n{done.stderr}"
        said.append(done.stdout)
    looked, generated, tested, compared, broken = said
    assert "EGP Train" in looked
    assert "class CmpCompare" in generated
    assert "2 passed" in tested
    assert len(re.findall(r"CMP Compare link=1 pairs=(?:5|10|15|20)\b", compared)) == 4
    assert len(re.findall(r"compared link=1 ours=(?:5|10|15|20)\b", compared)) == 4
    assert "20 of 20 pairs" in broken
    assert "queues of links" in broken
