"""What a run says over MQTT: every state of every node, how far it is, what came out; and that no broker is felt."""

import json
import os
import signal
import socket
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from command_lab import WITHIN_S, bellwire, command, endless_toy, run_facts, running, three, toy
from mqtt_lab import subscriber

from testbed.broker import PUBLISHER, EmbeddedBroker
from testbed.lab.prepare import Options
from testbed.lab.run import run
from testbed.lab.watch import Watch

FAULTS = [
    {"kill": "mid", "at_s": 0.004},
    {"restart": "mid", "at_s": 0.006},
    {"kill": "east", "at_s": 0.005},
]
PINGS = {"from": "west", "to": "mid", "count": 1000, "timeout_s": 1e-4, "attempts": 1}
Said = dict[str, list[dict[str, Any]]]


def address(broker: EmbeddedBroker) -> str:
    """As one who may publish there."""
    return f"mqtt://{PUBLISHER}:{broker.passwords[PUBLISHER]}@127.0.0.1:{broker.port}"


def eventful(folder: Path) -> Path:
    return toy(folder, 1, toy=PINGS, faults=FAULTS)


@pytest.mark.parametrize(
    ("clock", "processes"), [("virtual", None), ("virtual", 2), ("local", None)], ids=["virtual", "packed", "local"]
)
def test_every_state_of_every_node_is_told(clock, processes, tmp_path, monkeypatch):
    said: Said = defaultdict(list)
    monkeypatch.setattr(Watch, "_publish", lambda self, topic, payload: said[topic].append(payload))
    options = Options(eventful(tmp_path), clock=clock, processes=processes, out=tmp_path / "out")
    assert run(options, lambda facts: None).code == 0
    lives = {
        name: [(told["state"], told["incarnation"]) for told in said[f"node/{name}/state"]]
        for name in ("west", "mid", "east")
    }
    assert lives == {
        "west": [("booting", 1), ("up", 1), ("ended", 1)],
        "mid": [("booting", 1), ("up", 1), ("killed", 1), ("restarted", 2), ("ended", 2)],
        "east": [("booting", 1), ("up", 1), ("killed", 1)],
    }
    assert {(told["number"], told["kind"]) for told in said["node/mid/state"]} == {(2, "controller")}
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert said["result"] == [{"exit_code": 0, "trouble": "", "figures": report["figures"]}]


def test_a_subscriber_follows_a_run_to_its_end(tmp_path):
    with EmbeddedBroker() as broker, subscriber(broker.port) as listening:
        out = tmp_path / "run+1"  # a plus is a wildcard to MQTT
        done = bellwire(toy(tmp_path, 8_000), "--mqtt", address(broker), "--out", out)
        assert done.returncode == 0, done.stderr
        root = "bellwire/run-1/"
        seen = listening.until((f"{root}state", {"state": "ended"}))
    assert f"mqtt://{PUBLISHER}@127.0.0.1:{broker.port}" in done.stdout
    assert run_facts(out)["telemetry"]["topics"] == f"{root}#"
    last = dict(seen)
    assert last[f"{root}node/west/state"] == {"state": "ended", "kind": "controller", "number": 1, "incarnation": 1}
    assert last[f"{root}result"]["figures"] == json.loads((out / "report.json").read_text())["figures"]
    times = [told["t_ps"] for topic, told in seen if topic == f"{root}progress"]
    assert len(times) >= 2
    assert times == sorted(times)


def test_a_run_that_breaks_off_says_so(tmp_path):
    with EmbeddedBroker() as broker, subscriber(broker.port) as listening:
        with running(endless_toy(tmp_path), "--mqtt", address(broker)) as broken:
            os.kill(broken.pids["mid"], signal.SIGKILL)
            assert broken.ended()[0] == 3
        last = dict(listening.until(("bellwire/out/state", {"state": "ended"})))
    assert last["bellwire/out/node/east/state"]["state"] == "down"
    assert last["bellwire/out/result"]["exit_code"] == 3
    assert "mid" in last["bellwire/out/result"]["trouble"]


def test_telemetry_and_its_brokers_fate_change_no_byte(tmp_path):
    scenario = toy(tmp_path, 8_000)
    plain = bellwire(scenario, "--clock", "local", "--out", tmp_path / "plain")
    assert plain.returncode == 0, plain.stderr
    nobody = subprocess.Popen(
        command(scenario, "--mqtt", "mqtt://127.0.0.1:9", "--out", tmp_path / "nobody"), stdout=subprocess.DEVNULL
    )
    with nobody, running(scenario, "--mqtt", "embedded") as run:
        os.kill(run.pids["broker"], signal.SIGKILL)
        stdout, stderr = run.process.communicate()
        assert run.process.returncode == 0, stderr
        assert "telemetry at mqtt://127.0.0.1:" in stdout
        assert run.left(0) == []
    assert nobody.returncode == 0
    assert three(tmp_path / "nobody") == three(run.out) == three(tmp_path / "plain")


@pytest.mark.parametrize(
    ("sent", "clock"), [(signal.SIGKILL, "virtual"), (signal.SIGKILL, "local"), (signal.SIGINT, "virtual")]
)
def test_the_embedded_broker_ends_with_the_launcher(clock, sent, tmp_path):
    with running(endless_toy(tmp_path), "--mqtt", "embedded", "--clock", clock) as run:
        assert "broker" in run.pids
        run.process.send_signal(sent)
        run.process.wait(WITHIN_S)
        assert run.left(WITHIN_S) == []
        run.check_trace()


def test_a_broker_that_never_answers_does_not_hold_up_the_end(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"mqtt://127.0.0.1:{silent.getsockname()[1]}"
        with running(endless_toy(tmp_path), "--mqtt", address) as run:
            run.process.send_signal(signal.SIGINT)
            assert run.ended()[0] == 130
