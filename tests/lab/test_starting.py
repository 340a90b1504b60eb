"""What newcomers get: starters that run, completion in the shell.  The fixture for tests of their own: test_howto."""

import os
import subprocess
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from command_lab import BELLWIRE
from engine_lab import local

from testbed.cli import main
from testbed.cli.completion import places, troubled
from testbed.plan.compose import compose
from testbed.scenario import load_scenario
from testbed.standing.testbed import FaultStatus, LinkStatus, NodeStatus, Status, Testbed
from testbed.starters import STARTERS


@pytest.mark.parametrize("kind", list(STARTERS))
def test_a_starter_runs_as_it_is(kind, tmp_path, capsys):
    path = tmp_path / "my.yaml"
    assert main(["new", str(path), "--kind", kind]) == 0
    assert str(path) in capsys.readouterr().out
    run = local(compose(load_scenario(path), "local", []), tmp_path / "run")
    assert len([event for event in run.events("pair") if event["node"] == "west"]) == 20


def test_what_a_starter_has_commented_out_is_right_as_well(tmp_path):
    path = tmp_path / "my.yaml"
    main(["new", str(path)])
    lines = path.read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("# faults:"))
    lines[start : start + 3] = [line.removeprefix("# ") for line in lines[start : start + 3]]
    path.write_text("\n".join(lines))
    assert yaml.safe_load(path.read_text())["faults"]
    assert [fault.kind for fault in load_scenario(path).faults] == ["kill", "restart"]


def test_new_overwrites_nothing(tmp_path, capsys):
    (tmp_path / "my.yaml").write_text("mine")
    for name in ("my.yaml", "my.txt", "none/my.yaml"):
        assert main(["new", str(tmp_path / name)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 3
    assert (tmp_path / "my.yaml").read_text() == "mine"


@pytest.mark.parametrize(("typed", "found"), [("bellwire pi", ["ping"]), ("bellwire run --see", ["--seed"])])
def test_the_shell_completes(typed, found, tmp_path):
    """As bash asks: by environment."""
    asked = {"_ARGCOMPLETE": "1", "COMP_LINE": typed, "COMP_POINT": str(len(typed))}
    environment = os.environ | asked | {"_ARGCOMPLETE_STDOUT_FILENAME": "said"}
    subprocess.run([BELLWIRE], env=environment, cwd=tmp_path, check=False, capture_output=True)
    said = (tmp_path / "said").read_text().split("\013")
    assert [word.strip() for word in said] == found


def test_the_shell_completes_where_a_fault_can_be(monkeypatch):
    """What is offered behind each kind, of a testbed that is up."""
    link = LinkStatus("west-east", "west", "east", "mid", 2.0)
    kinds = {"west": "qpu", "mid": "station", "east": "qpu"}
    there = {name: NodeStatus(name, 1, kind, "up", 1, None, "") for name, kind in kinds.items()}
    loss = FaultStatus("loss", ("west-east",), 0.1, 0.0)
    status = Status("lab", "", Path(), "paced", 1, 0, 0, there, (link,), (loss,))
    monkeypatch.setattr(Testbed, "find", lambda *_: SimpleNamespace(status=lambda: status))

    def offered(completer, kind, *rest):
        return list(completer(Namespace(testbed=None, dir=None, kind=kind, rest=list(rest))))

    assert offered(places, "cut") == ["west-east"]
    assert offered(places, "blind") == ["mid"]
    assert offered(places, "partition", "west") == ["mid", "east"]
    assert offered(places, "disk") == []
    assert "0.1" in offered(places, "loss")
    assert offered(places, "loss", "0.1") == ["west-east", "west", "mid", "east"]
    assert offered(troubled, "loss") == ["west-east"]
    assert offered(troubled, "cut") == []
