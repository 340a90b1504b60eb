"""The help of every command fits its terminal; what a terminal cannot show is shown as well as it can."""

import os
import subprocess
import sys

import pytest

from testbed.cli.commands import parser
from testbed.cli.helping import laid_out
from testbed.cli.terminal import ProgressLine


def every_help():
    whole = parser()
    (commands,) = (action for action in whole._actions if action.dest == "command")
    return {"bellwire": whole, **commands.choices}


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_no_line_of_any_help_is_wider_than_the_terminal(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    for name, one in every_help().items():
        text = one.format_help()
        examples = [line for line in text.splitlines() if line.startswith("  bellwire ") and columns < 80]
        wide = [line for line in text.splitlines() if len(line) > columns and line not in examples]
        assert not wide, f"{name} at {columns}"
        assert "%(" not in text


def test_prose_is_wrapped_and_examples_keep_their_lines():
    text = "one two three\nfour five\n\n  do this    and say why it is done\n  an example that has no remark\n\nsix\n"
    assert list(laid_out(text, 24)) == [
        "one two three four five", "",
        "  do this", "        and say why it", "        is done", "  an example that has no remark", "",
        "six",
    ]  # fmt: skip
    assert list(laid_out("  do    and say why it is done, now", 34)) == [
        "  do    and say why it is done,", "        now"
    ]  # fmt: skip


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_knows_few_letters_is_told_all_the_same(encoding):
    code = "from testbed.cli import terminal\nterminal.reopen_standard_streams()\nterminal.say(['a → b 5 µs'], 2)"
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, timeout=120, check=True)
    assert told.stdout.decode(encoding) == {"ascii": "a ? b 5 ?s\n", "latin-1": "a ? b 5 µs\n"}[encoding]


def test_progress_stays_in_its_line_and_a_dumb_terminal_gets_lines(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    facts = {"t_ps": 10**12, "jobs": "ghz: 100 of 1000 shots, another: 20 of 30"}
    with ProgressLine(iter(range(100)).__next__) as progress:
        progress.show(facts)
        line = capsys.readouterr().err.rsplit("\x1b[K", 1)[1]
        assert line.startswith("virtual time 1.000000 s, ghz: 100")
        assert len(line) < 40
    capsys.readouterr()
    monkeypatch.setenv("TERM", "dumb")
    with ProgressLine(iter(range(0, 1000, 20)).__next__) as progress:
        progress.show(facts)
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert said.startswith("bellwire run: virtual time 1.000000 s")
