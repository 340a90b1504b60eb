"""The recipes of docs/howto.md, each run as it is written."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from command_lab import PATIENCE_S

from testbed import Testbed
from testbed.standing.places import standing

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
START, *RECIPES = re.split(r"^## ", (ROOT / "docs" / "howto.md").read_text(), flags=re.MULTILINE)
_STEP = re.compile(
    r"(?:(?P<how>Into|Append to|into)\s+`(?P<file>[^`]+)`:\n\n)?```(?P<kind>\w+)\n(?P<text>.*?)```", re.DOTALL
)
SAID = {
    "Take a trace apart with scapy": r"\('Gen', [0-9]+\)",
    "Find out why a pair was lost": r"Discard .* fate=CUTOFF +\[1:2 1/3\]\n(?s:.*)memories",
    "Compare the traces of two runs": r"\n[<>] ",
    "Look into the nodes of a run at a time": r"west: up",
    "Kill nodes and see what survives": r"20 of 20 pairs(?s:.*)up, life 2\n.*3 of 3 pairs",
    "Write a fault plan of commands": r"lab: fault (?s:.*)lab: frozen",
    "Have two testbeds at once": r"(?s:5 of 5 pairs.*){2}new is down(?s:.*)old is down",
    "Drive a testbed over MQTT": r"'pairs': 2(?s:.*)there is no 'nobody'",
    "Test a program of your own in CI": r"1 passed",
    "Watch the wire live in Wireshark": r"QNP [0-9]+ Install ",
    "Put two QPUs into two network namespaces": r"is up: west, mid\neast is awaited; (?s:.*)3 of 3 pairs(?s:.*)down",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where every recipe begins: with what the page says has been done."""
    folder = tmp_path_factory.mktemp("howto")
    assert "20 of 20 pairs" in follow(START, folder)
    return folder


# Network namespaces of its own, forgotten with the process: one that a killed run left behind is not in the way.
_FORGET = 'mkdir -p /run/netns && mount -t tmpfs none /run/netns && "$@"'
_APART = ["unshare", "--mount", "--net", "sh", "-c", _FORGET, "-"]


def follow(recipe: str, folder: Path, apart: Sequence[str] = ()) -> str:
    """Do what it says, each step under the command `apart`; what was printed."""
    environment = os.environ | {
        "PATH": f"{BIN}:{os.environ['PATH']}:/usr/sbin",
        "XDG_RUNTIME_DIR": str(folder),
        "PYTEST_ADDOPTS": "-p no:cacheprovider -n 0",
    }
    environment.pop("PYTEST_DISABLE_PLUGIN_AUTOLOAD", None)
    said = []
    for step in _STEP.finditer(recipe):
        text = step["text"]
        if step["file"]:
            with (folder / step["file"]).open("a" if step["how"] == "Append to" else "w") as file:
                file.write(text)
            continue
        if step["kind"] == "text":
            continue
        assert step["kind"] in ("sh", "python"), f"where does this go?\n{text}"
        command = ["bash", "-e", "-o", "pipefail", "-c", text] if step["kind"] == "sh" else [sys.executable, "-c", text]
        code, told, trouble = followed([*apart, *command], folder, environment)
        assert code == 0, f"{text}\n{told}\n{trouble}"
        said.append(told)
    return "".join(said)


def followed(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[int, str, str]:
    """A step to its end, with all that it has begun in the background: what it waits for may never come."""
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as step:
        try:
            told, trouble = step.communicate(timeout=2 * PATIENCE_S)
        except subprocess.TimeoutExpired:
            os.killpg(step.pid, signal.SIGKILL)
            told, trouble = step.communicate()
    return step.returncode, told, trouble


def refused(need: str) -> str:
    """Why what a recipe needs is not to be had here; nothing if it is."""
    trial = {
        "capture": ["dumpcap", "-q", "-i", "lo", "-a", "duration:0.1", "-w", "/dev/null"],
        "namespaces": [*_APART, "ip", "netns", "add", "trial"],
    }[need]
    path = f"{os.environ['PATH']}:/usr/sbin"
    for program in ("unshare", "ip") if need == "namespaces" else trial[:1]:
        if shutil.which(program, path=path) is None:
            return f"there is no {program} here"
    done = subprocess.run(trial, capture_output=True, text=True, env=os.environ | {"PATH": path})
    return f"it is not allowed here: {done.stderr.strip()}" if done.returncode else ""


@pytest.mark.parametrize("recipe", RECIPES, ids=[recipe.partition("\n")[0] for recipe in RECIPES])
def test_a_recipe_does_what_it_says(recipe, folder):
    title = recipe.partition("\n")[0]
    needs = re.findall(r"<!-- needs: (\w+) -->", recipe)
    for need in needs:
        if why := refused(need):
            pytest.skip(f"{title}: {why}: this recipe is not followed")
    kept = (folder / "my-network.yaml").read_text()
    try:
        said = follow(recipe, folder, _APART if "namespaces" in needs else ())
    except BaseException:
        for bed in standing(folder / "bellwire"):  # or the next recipe finds two
            Testbed.find(bed.name, bed.path.parent).down(force=True)
        raise
    finally:
        (folder / "my-network.yaml").write_text(kept)
    assert re.search(SAID[title], said), said
    assert not list(folder.glob("bellwire/*/lock")), "a testbed was left up"


def test_every_recipe_is_held_to_what_it_says():
    assert [recipe.partition("\n")[0] for recipe in RECIPES] == list(SAID)
