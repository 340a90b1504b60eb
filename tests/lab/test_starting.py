"""What newcomers get: starters that run, completion in the shell, a fixture for tests of their own."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml
from command_lab import BELLWIRE
from engine_lab import local

from testbed.cli import main
from testbed.lab.compose import compose
from testbed.scenario import load_scenario
from testbed.scenario.starters import STARTERS

pytest_plugins = ["pytester"]


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


def test_users_import_a_fixture(pytester: pytest.Pytester, monkeypatch):
    """In a test of a user's own, with nothing but Bellwire installed, networks come up and are down at its end."""
    scenario = Path(__file__).parents[2] / "testbed" / "scenarios" / "echo.yaml"
    pytester.makepyfile(f"""
        from testbed.lab.places import standing

        BEDS = []

        def test_up(testbed):
            BEDS.append(testbed("{scenario}"))
            assert BEDS[0].status().nodes["alice"].state == "up"

        def test_down():
            assert standing(BEDS[0]._place.path.parent) == []
            assert (BEDS[0].out / "trace.pcapng").exists()
    """)
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", raising=False)
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=2)
