"""A broker that is not there, or lets nobody in: the run goes on, and says so."""

from collections.abc import Callable
from pathlib import Path

import pytest
from slice_lab import SCENARIOS
from test_telemetry import free_port, mosquitto

from testbed import Testbed
from testbed.cli import main

CLASSICAL = SCENARIOS / "echo.yaml"
REFUSED = "telemetry: refused: bad user name or password; the run goes on without it"


def test_a_wrong_password_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], require_tool: Callable[[str], str]
) -> None:
    passwords, port, out = tmp_path / "passwords", free_port(), tmp_path / "out"
    passwords.touch()
    settings = ("allow_anonymous false", f"password_file {passwords}")
    with mosquitto(require_tool("mosquitto"), tmp_path, port, *settings):
        code = main(["run", str(CLASSICAL), "--mqtt", f"mqtt://lab:wrong@127.0.0.1:{port}", "--out", str(out)])
    assert code == 0
    assert REFUSED in capsys.readouterr().err
    log = (out / "logs" / "broker.log").read_text()
    assert "bad user name or password" in log
    assert "wrong" not in log


def test_a_broker_that_is_not_there_is_said_by_up_and_by_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--dir", str(tmp_path / "bed")]
    url = f"mqtt://127.0.0.1:{free_port()}"
    assert main(["up", str(CLASSICAL), "--name", "alone", "--mqtt", url, "--out", str(tmp_path / "o"), *where]) == 0
    with Testbed.find("alone", tmp_path / "bed"):
        assert "up: telemetry: no broker there: Connection refused" in capsys.readouterr().err
        assert main(["status", *where]) == 0
    assert "  telemetry: no broker there: Connection refused" in capsys.readouterr().out
