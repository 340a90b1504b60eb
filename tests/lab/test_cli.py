"""The command line without a run: options that do not go together, and what long work says meanwhile."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command_lab import BELLWIRE

from testbed.cli import main
from testbed.cli.terminal import ProgressLine, Terminable

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
        (["validate", "--list", "--cases", "rows.yaml"], "--cases"),
        (["validate", "link", "--seed", "-1"], "--seed"),
        (["validate"], "AREA"),
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


@pytest.mark.parametrize(("option", "code"), [("--version", 0), ("-t", 2), ("--dir", 2)])
def test_before_a_command_stands_no_option_of_it(option: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([option, "two", "status"])
    assert end.value.code == code
    said = capsys.readouterr()
    if code:
        follows = f"what is said of a command follows it: bellwire COMMAND {option}"
        assert said.err.startswith(f"command line: {option}: {follows}")
    else:
        assert re.fullmatch(r"bellwire \d+\.\d+\.\d+\n", said.out)


def test_the_areas_of_validate_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--list"]) == 0
    assert capsys.readouterr().out == "areas: link, network, gates, oxford, circuits, logical, keys\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["replay", "out", "--until", "-1ms"], "--until: -1ms is negative; write a time of 0 or more"),
        (["trace", "out", "--from", "-2.5 us"], "--from: -2.5 us is negative; write a time of 0 or more"),
        (["fault", "jitter", "5s"], "jitter: 5s is too long; give a time above 0, up to 1s"),
        (["fault", "delay", "0ms"], "delay: 0ms is no time; give a time above 0, up to 1s"),
        (["fault", "drift", "-2000ppm"], "drift: -2000ppm is no drift of a clock; give one up to 1000ppm"),
    ],
)
def test_an_amount_out_of_bounds_is_refused_as_it_was_typed(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith(f"command line: {said}")


@pytest.mark.parametrize("arguments", [["validate", "link", "--list"], ["conformance", "--list"], ["run", "--help"]])
def test_a_reader_that_has_had_enough_is_no_error(arguments: list[str]) -> None:
    """As of `| head -1` under pipefail."""
    read, gone = os.pipe()
    os.close(read)
    done = subprocess.run([BELLWIRE, *arguments], stdout=gone, stderr=subprocess.PIPE)
    os.close(gone)
    assert (done.returncode, done.stderr) == (0, b"")


def test_work_comes_to_its_verdict_though_its_reader_has_had_enough(tmp_path: Path) -> None:
    read, gone = os.pipe()
    os.close(read)
    arguments = [BELLWIRE, "conformance", "--self", "--virtual", "--only", "MHP-1", "--json", tmp_path / "verdicts"]
    done = subprocess.run(arguments, stdout=gone, stderr=subprocess.PIPE)
    os.close(gone)
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads((tmp_path / "verdicts").read_text())


def test_ctrl_c_while_commands_are_still_imported_is_quiet() -> None:
    script = """
import signal, sys, testbed.cli

class Early:
    def find_spec(self, name, *_):
        if name == "testbed.cli.commands":
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Early())
sys.exit(testbed.cli.main(["dissector"]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "bellwire: interrupted\n")


def test_a_hangup_said_twice_ends_work_once() -> None:
    """By the shell and by the kernel: a second interrupt would cut short what the first has begun."""
    heard = []
    before = signal.signal(signal.SIGINT, lambda *_: heard.append("interrupt"))
    ignored = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # by nohup, if the tests are run with it
    try:
        with Terminable() as terminable:
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGHUP)
            assert heard == ["interrupt"]
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGINT, before)
        signal.signal(signal.SIGHUP, ignored)
    assert heard == ["interrupt"] * 2
    assert terminable.asked == signal.SIGTERM


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
from testbed.plan.compose import compose
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
