"""Telemetry: what subscribers see, and that no broker's fate is ever felt by the one who publishes."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mqtt_lab import PATIENCE_S, Message, subscriber, wait_until

import testbed.telemetry
from testbed.broker import EmbeddedBroker
from testbed.errors import BadInput
from testbed.telemetry import BrokerAddress, Telemetry, parse_broker

REPOSITORY = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def socket_answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def mosquitto(program: str, folder: Path, port: int, *settings: str) -> Iterator[subprocess.Popen[bytes]]:
    configuration = folder / "mosquitto.conf"
    configuration.write_text("\n".join([f"listener {port} 127.0.0.1", "user root", *settings]) + "\n")
    with subprocess.Popen([program, "-c", configuration], stderr=subprocess.DEVNULL) as broker:
        try:
            wait_until(lambda: broker.poll() is not None or socket_answers(port))
            assert broker.poll() is None
            yield broker
        finally:
            broker.kill()


def test_states_and_events_reach_a_subscriber_of_the_embedded_broker() -> None:
    with Telemetry("run-1") as telemetry:
        telemetry.publish("node/ada/state", {"state": "starting"})
        telemetry.publish("node/ada/state", {"state": "up", "name": "béla \ud800"})
        assert telemetry.wait_connected(PATIENCE_S)
        with subscriber(telemetry.address.port) as late:
            retained: Message = ("bellwire/run-1/node/ada/state", {"state": "up", "name": "béla \ud800"})
            late.until(retained)
            for n in range(200):
                telemetry.publish("events", {"n": n}, retain=False)
            telemetry.close(PATIENCE_S)  # what was published before is delivered first
            seen = late.until(("bellwire/run-1/state", {"state": "ended"}))

    assert [message["n"] for topic, message in seen if topic == "bellwire/run-1/events"] == [*range(200)]
    assert telemetry.dropped == 0
    assert telemetry.connections == 1
    assert not telemetry.connected


def test_a_broker_that_dies_and_returns_is_told_the_state_again() -> None:
    with Telemetry("r") as telemetry:
        assert telemetry.wait_connected(PATIENCE_S)
        telemetry.publish("node/ada/state", {"state": "up"})
        telemetry.publish("node/mid/state", {"state": "up"})
        assert telemetry.broker is not None
        assert telemetry.broker.process is not None
        telemetry.broker.process.kill()
        wait_until(lambda: not telemetry.connected)
        telemetry.publish("node/mid/state", {"state": "down"})
        telemetry.publish("events", {"n": 1}, retain=False)

        telemetry.broker.start()  # at the port it had
        with subscriber(telemetry.address.port) as late:
            assert telemetry.wait_connected(PATIENCE_S)
            telemetry.publish("events", {"n": 2}, retain=False)
            seen = late.until(("bellwire/r/events", {"n": 2}))

    states = dict(message for message in seen if message[0].endswith("/state"))
    assert states == {
        "bellwire/r/state": {"state": "running"},
        "bellwire/r/node/ada/state": {"state": "up"},
        "bellwire/r/node/mid/state": {"state": "down"},
    }
    assert telemetry.connections == 2


def test_mosquitto_too_and_its_death_and_return(tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    program, port = require_tool("mosquitto"), free_port()
    with Telemetry("r", f"mqtt://127.0.0.1:{port}") as telemetry:  # nobody is there yet
        telemetry.publish("node/ada/state", {"state": "up"})
        for _ in range(2):
            with mosquitto(program, tmp_path, port, "allow_anonymous true") as broker:
                assert telemetry.wait_connected(PATIENCE_S)
                with subscriber(port) as listening:
                    telemetry.publish("events", {"n": 1}, retain=False)
                    seen = listening.until(("bellwire/r/events", {"n": 1}))
                    assert ("bellwire/r/node/ada/state", {"state": "up"}) in seen
                broker.kill()
                wait_until(lambda: not telemetry.connected)
    assert telemetry.connections == 2
    assert telemetry.broker is None


def test_the_last_will_says_that_a_run_was_lost(tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    program, port = require_tool("mosquitto"), free_port()
    publisher = """
import sys, time
from testbed.telemetry import Telemetry
with Telemetry("r", sys.argv[1]) as telemetry:
    telemetry.wait_connected(20)
    print("connected", flush=True)
    time.sleep(60)
"""
    with mosquitto(program, tmp_path, port, "allow_anonymous true"), subscriber(port) as listening:
        command = [sys.executable, "-c", publisher, f"mqtt://127.0.0.1:{port}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY) as run:
            assert run.stdout is not None
            assert run.stdout.readline() == b"connected\n"
            listening.until(("bellwire/r/state", {"state": "running"}))
            run.kill()
        listening.until(("bellwire/r/state", {"state": "lost"}))


def test_user_and_password(tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    program, port = require_tool("mosquitto"), free_port()
    passwords = tmp_path / "passwords"
    command = [require_tool("mosquitto_passwd"), "-c", "-b", str(passwords), "ada", "p@ss:word"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    settings = ("allow_anonymous false", f"password_file {passwords}")
    with mosquitto(program, tmp_path, port, *settings):
        with Telemetry("r", f"mqtt://ada:p%40ss%3Aword@127.0.0.1:{port}") as telemetry:
            assert telemetry.wait_connected(PATIENCE_S)
            with subscriber(port, "ada", "p@ss:word") as listening:
                listening.until(("bellwire/r/state", {"state": "running"}))
        with Telemetry("r", f"mqtt://ada:wrong@127.0.0.1:{port}") as telemetry:
            wait_until(lambda: telemetry.last_error is not None)
            assert not telemetry.connected
        assert "ot authori" in str(telemetry.last_error)
        assert telemetry.sent == 0


@pytest.mark.parametrize("kind", ["refusing", "silent"])
def test_a_broker_that_is_not_there_costs_only_the_oldest_messages(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(testbed.telemetry, "_FLUSH_S", 0.05)
    monkeypatch.setattr(testbed.telemetry, "_PATIENCE_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        if kind == "refusing":
            silent.close()
        with Telemetry("r", f"mqtt://127.0.0.1:{port}", limit=10) as telemetry:
            for n in range(1000):
                telemetry.publish("events", {"n": n}, retain=False)
            assert not telemetry.connected
    assert telemetry.dropped == 990
    assert telemetry.sent == 0
    telemetry.publish("events", {"n": 1000})  # also after the end it is taken, and does nothing


def test_what_cannot_be_published_is_refused_where_it_is_said() -> None:
    telemetry = Telemetry("r", "mqtt://127.0.0.1:1")
    for topic in ("", "node/+/state", "node/#", "a\0"):
        with pytest.raises(ValueError, match="no topic"):
            telemetry.publish(topic, {})
    with pytest.raises(ValueError, match="JSON"):
        telemetry.publish("state", {"value": float("nan")})
    with pytest.raises(TypeError):
        telemetry.publish("state", {"value": {1}})
    for run in ("", "a/b", "#", "+"):
        with pytest.raises(ValueError, match="level"):
            Telemetry(run, "mqtt://127.0.0.1:1")


@pytest.mark.parametrize("ending", ["exit", "kill"])
def test_the_embedded_broker_ends_with_its_parent(ending: str) -> None:
    parent = """
import sys
from testbed.broker import EmbeddedBroker
broker = EmbeddedBroker()
broker.start()
print(broker.process.pid, flush=True)
sys.stdin.readline()
import os
os._exit(0)
"""
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        broker = os.pidfd_open(int(process.stdout.readline()))
        if ending == "kill":
            process.send_signal(signal.SIGKILL)
        process.stdin.close()
    try:
        assert select.select([broker], [], [], PATIENCE_S)[0], "the broker outlived its parent"
    finally:
        os.close(broker)


def test_the_embedded_broker_binds_loopback_only_and_gives_the_port_back() -> None:
    with EmbeddedBroker() as broker:
        assert broker.process is not None
        pid, port = broker.process.pid, broker.port
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), timeout=1)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_embedded_broker_logs_a_stranger_and_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "broker.log"
    with EmbeddedBroker(log) as broker:
        with socket.create_connection(("127.0.0.1", broker.port), timeout=PATIENCE_S) as stranger:
            stranger.sendall(b"GET / HTTP/1.0\r\n\r\n")
        wait_until(lambda: log.stat().st_size > 0)
        with subscriber(broker.port):
            pass


@pytest.mark.parametrize(
    ("setting", "address"),
    [
        ("embedded", None),
        ("mqtt://localhost", BrokerAddress("localhost", 1883)),
        ("mqtt://[::1]:1884/", BrokerAddress("::1", 1884)),
        ("mqtt://ada@broker.lab:99", BrokerAddress("broker.lab", 99, "ada")),
        ("mqtt://ada:p%40ss@broker.lab", BrokerAddress("broker.lab", 1883, "ada", "p@ss")),
        ("mqtt://ada:@broker.lab", BrokerAddress("broker.lab", 1883, "ada", "")),
    ],
)
def test_broker_settings(setting: str, address: BrokerAddress | None) -> None:
    assert parse_broker(setting) == address


@pytest.mark.parametrize(
    "setting",
    [
        "", "Embedded!", "localhost", "localhost:1883", "mqtt://", "http://broker.lab", "mqtt://broker.lab:0",
        "mqtt://broker.lab:99999", "mqtt://broker.lab:port", "mqtt://broker.lab/topic", "mqtt://:secret@broker.lab",
        "mqtt://broker.lab?x=1", "mqtt://[::1",
    ],
)  # fmt: skip
def test_a_broker_setting_that_is_none_is_bad_input(setting: str) -> None:
    with pytest.raises(
        BadInput, match=r"^lab\.yaml: telemetry: the broker's address is not understood; write "
    ):
        parse_broker(setting, "lab.yaml", "telemetry")


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(parse_broker("mqtt://ada:secret@broker.lab"))
    with pytest.raises(BadInput) as caught:
        parse_broker("mqtt://ada:secret@broker.lab:port")
    assert "secret" not in str(caught.value)
