"""The command line without a run: options that do not go together, and what long work says meanwhile."""

import subprocess
import sys
from pathlib import Path

import pytest

from testbed.cli import main
from testbed.cli.terminal import ProgressLine

SCENARIOS = Path(__file__).parents[2] / "testbed" / "scenarios"
ECHO = str(SCENARIOS / "echo.yaml")
TWO = str(SCENARIOS / "two-qpus.yaml")


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        (["run", ECHO, "--clock", "local", "--processes", "2"], "--processes"),
        (["run", ECHO, "--processes", "0"], "--processes"),
        (["run", ECHO, "--dilation", "2"], "--dilation"),
        (["run", ECHO, "--clock", "local", "--dilation", "2"], "--dilation"),
        (["run", ECHO, "--clock", "paced", "--dilation", "nan"], "--dilation"),
        (["run", ECHO, "--shots", "2"], "--shots"),
        (["run", ECHO, "--circuit", TWO], "--circuit"),
        (["run", ECHO, "--seed", "-1"], "--seed"),
        (["run", TWO, "--shots", "0"], "--shots"),
        (["run"], "SCENARIO"),
        (["validate", "link", "--list", "--json", "rows.json"], "--json"),
        (["validate", "link", "--list", "--cases", "rows.yaml"], "--cases"),
        (["validate", "link", "--seed", "-1"], "--seed"),
    ],
)
def test_options_that_mean_nothing_together_are_refused(
    arguments: list[str],
    place: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)

    assert main(arguments) == 2

    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"command line: {place}: ")
    assert len(said.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [["bench"], ["validate", "link"], ["run", ECHO]])
def test_a_file_that_cannot_be_written_is_found_before_the_work(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--json", str(tmp_path / "nowhere" / "figures.json")]) == 2

    assert "its folder does not exist" in capsys.readouterr().err


def test_long_work_says_now_and_then_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Not on a terminal: whole lines, ten seconds apart, none from work that is soon done."""
    wall = iter([100.0, 109.9, 110.0, 110.3, 119.9, 120.1])
    with ProgressLine(lambda: next(wall)) as progress:
        for quarter in range(5):
            progress.show({"t_ps": quarter * 250_000_000_000})

    assert capsys.readouterr().err == (
        "bellwire run: virtual time 0.250000 s after 10 s\nbellwire run: virtual time 1.000000 s after 20 s\n"
    )


def test_the_launcher_does_not_pay_for_the_simulator() -> None:
    """SeQUeNCe takes a second to import: the plane's process needs it, whoever composes a plan does not."""
    script = f"""
import sys
from testbed.circuits import compile_jobs
from testbed.lab.compose import compose
from testbed.lab.run import run
from testbed.scenario import load_scenario
scenario = load_scenario({TWO!r})
compose(scenario, "virtual", compile_jobs(scenario))
print([name for name in ("sequence", "stim", "qutip") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=SCENARIOS.parents[1]
    )

    assert done.stdout.split() == ["[]"]
