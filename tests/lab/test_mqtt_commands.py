"""Commands over MQTT: who may give them, what comes of them, and that a run can be done again from them."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_lab import bellwire, command, three, toy
from mqtt_lab import PATIENCE_S, subscriber, wait_until
from slice_lab import SCENARIOS
from test_telemetry import free_port, mosquitto

from testbed import Testbed

QPUS = SCENARIOS / "two-qpus.yaml"


def operator(out: Path) -> tuple[int, str, str]:
    """Where the embedded broker of a run is, and who may give commands there."""
    facts = json.loads((out / "mqtt.json").read_text())
    return int(facts["broker"].rpartition(":")[2]), facts["user"], facts["password"]


def test_a_testbed_is_commanded_over_mqtt_and_told_of(tmp_path):
    out = tmp_path / "out"
    with Testbed(QPUS, clock="virtual", mqtt="embedded", out=out, folder=tmp_path) as bed:
        assert (out / "mqtt.json").stat().st_mode & 0o077 == 0
        with subscriber(*operator(out)) as listening:
            made = listening.ask("out", {"do": "ping", "a": "west", "b": "east", "pairs": 2, "id": 7})
            assert (made["id"], made["ok"]["pairs"]) == (7, 2)
            listening.wait_for("bellwire/out/link/west-east/counters", lambda counts: counts.get("pairs") == 2)
            listening.wait_for("bellwire/out/node/mid/counters", lambda counts: counts.get("physical heralded") == 2)
            assert listening.wait_for("bellwire/out/events", bool)["events"]
            done = listening.ask("out", {"do": "fault", "kind": "cut", "at": ["west-east"], "id": 8})
            assert (done["id"], done["ok"]["kind"]) == (8, "cut")
            refused = listening.ask("out", {"do": "kill", "node": "north", "id": [1]})
            assert (refused["id"], refused["error"]["place"]) == ([1], "node")
            listening.say("bellwire/out/request/test", ["no command"])  # type: ignore[arg-type]
            said = listening.wait_for("bellwire/out/reply/test", lambda reply: reply["id"] is None)
            assert said["error"]["problem"] == 'it is no JSON object, but ["no command"]'
            assert "send one line" in listening.ask("out", {"do": "dance"})["error"]["remedy"]
            with subscriber(operator(out)[0]) as stranger:  # state is retained: who comes later has it, too
                stranger.say("bellwire/out/request/test", {"do": "kill", "node": "mid"})
                stranger.wait_for("bellwire/out/link/west-east/state", lambda link: link["state"] == "cut")
            assert listening.ask("out", {"do": "heal"})["ok"] == {"healed": 1}
        assert bed.status().nodes["mid"].state == "up", "a stranger may look, and no more"

        bed.fault("broker")
        assert bed.ping("west", "east", 1, patience_s=5).pairs == 1, "nobody waits for a broker"
        assert [fault.kind for fault in bed.status().faults] == ["broker"]
        assert bed.heal("broker") == 1
        with subscriber(*operator(out)) as back:
            back.wait_for("bellwire/out/link/west-east/counters", lambda counts: counts.get("pairs") == 3)


@pytest.mark.parametrize("clock", ["virtual", "paced"])
def test_what_one_client_asks_is_done_in_its_order(clock, tmp_path):
    """Each rests on the one before; only who pings is not waited for."""
    out = tmp_path / "out"
    dilation = 100 if clock == "paced" else None
    with (
        Testbed(QPUS, clock=clock, dilation=dilation, mqtt="embedded", out=out, folder=tmp_path),
        subscriber(*operator(out)) as listening,
    ):
        deeds = ["freeze", "thaw", "kill", "restart", "freeze", "thaw"] * 2
        asked = [{"do": do, "node": "mid", "id": n} for n, do in enumerate(deeds)]
        if clock == "paced":  # in virtual time the answer may come at once
            listening.say("bellwire/out/request/test", {"do": "ping", "a": "west", "b": "east", "pairs": 9, "id": 99})
        for one in asked:
            listening.say("bellwire/out/request/test", one)
        replies: list[dict[str, Any]] = []
        while len(replies) < len(asked):
            reply = listening.wait_for("bellwire/out/reply/test", bool)
            replies += [reply] if reply["id"] != 99 else []
        assert [reply["id"] for reply in replies] == list(range(len(asked)))
        states = {"freeze": "frozen", "thaw": "up", "kill": "killed", "restart": "up"}
        assert [reply.get("ok", reply)["state"] for reply in replies] == [states[do] for do in deeds]


def test_a_run_is_replayed_from_what_it_was_told_over_mqtt(tmp_path):
    pings = {"from": "west", "to": "mid", "count": 10**6, "timeout_s": 1e-4}
    scenario, out = toy(tmp_path, 1, toy=pings), tmp_path / "out"
    arguments = (scenario, "--mqtt", "embedded", "--out", out)
    with subprocess.Popen(command(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: (out / "mqtt.json").exists())
        with subscriber(*operator(out)) as listening:
            answer: dict[str, Any] = {}
            listening.wait_for("bellwire/out/node/east/state", lambda told: told["state"] == "up")
            while "ok" not in answer:  # it may not be up yet
                answer = listening.ask("out", {"do": "freeze", "node": "east"})
            listening.wait_for("bellwire/out/node/east/state", lambda told: told["state"] == "frozen")
            assert listening.ask("out", {"do": "thaw", "node": "east"})["ok"]["state"] == "up"
            assert listening.ask("out", {"do": "kill", "node": "east"})["ok"]["state"] == "killed"
            assert listening.ask("out", {"do": "fault", "kind": "loss", "value": 0.1})["ok"]["since_s"] > 0
            assert listening.ask("out", {"do": "restart", "node": "east"})["ok"]["incarnation"] == 2
            assert listening.ask("out", {"do": "end"})["ok"]["t_s"] > 0
        assert process.wait(PATIENCE_S) == 1, "a million pings are not done yet"
    assert [json.loads(line)["do"] for line in (out / "inputs.jsonl").read_text().splitlines()] == [
        "freeze", "thaw", "kill", "fault", "restart", "end"
    ]  # fmt: skip
    again = bellwire("--replay", out, "--clock", "local", "--out", tmp_path / "again")
    assert again.returncode == 1, again.stderr
    assert three(tmp_path / "again") == three(out)


def test_rights_at_a_broker_of_ones_own(tmp_path, require_tool: Callable[[str], str]):
    """mosquitto's: ada may give commands, bob may look; the run publishes as lab."""
    program, port = require_tool("mosquitto"), free_port()
    passwords, rights = tmp_path / "passwords", tmp_path / "rights"
    for first, name in zip(["-c", "", ""], ["lab", "ada", "bob"], strict=True):
        flags = [flag for flag in (first, "-b") if flag]
        tool = require_tool("mosquitto_passwd")
        subprocess.run([tool, *flags, passwords, name, name], check=True, capture_output=True)
    rights.write_text(
        "user lab\ntopic readwrite bellwire/#\n"
        "user ada\ntopic read bellwire/#\ntopic write bellwire/+/request/ada\n"
        "user bob\ntopic read bellwire/#\n"
    )
    settings = ("allow_anonymous false", f"password_file {passwords}", f"acl_file {rights}")
    with (
        mosquitto(program, tmp_path, port, *settings),
        Testbed(
            QPUS, clock="virtual", mqtt=f"mqtt://lab:lab@127.0.0.1:{port}", out=tmp_path / "out", folder=tmp_path
        ) as bed,
        subscriber(port, "ada", "ada") as ada,
        subscriber(port, "bob", "bob") as bob,
    ):
        bob.say("bellwire/out/request/bob", {"do": "kill", "node": "west"})
        ada.say("bellwire/out/request/bob", {"do": "kill", "node": "east"})
        assert ada.ask("out", {"do": "kill", "node": "mid"}, "ada")["ok"] == {"node": "mid", "state": "killed"}
        assert [node.state for node in bed.status().nodes.values()] == ["up", "killed", "up"]
        with pytest.raises(Exception, match="none of its own"):
            bed.fault("broker")
