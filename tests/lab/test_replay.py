"""What comes from outside is stamped and written down; from that a run is done again, to the byte, or up to a time."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from command_lab import three, toy
from engine_lab import local, virtual
from slice_lab import SCENARIOS

from testbed import BadInput, Testbed
from testbed.cli import main
from testbed.lab.inputs import Outside, read_inputs
from testbed.lab.prepare import Options
from testbed.lab.replay import look, replayed
from testbed.lab.run import run
from testbed.plan.compose import compose
from testbed.plan.plan import Plan
from testbed.scenario import load_scenario
from testbed.trace import read_trace

QPUS = SCENARIOS / "two-qpus.yaml"


def quiet(facts: dict) -> None:
    pass


def test_a_testbed_that_was_asked_broken_and_mended_is_replayed_to_the_byte(tmp_path):
    """Requests, programs that attach late, deaths, freezes, faults that heal by themselves and by command."""
    out = tmp_path / "out"
    with Testbed(QPUS, clock="virtual", out=out, folder=tmp_path) as bed:
        assert bed.ping("west", "east", 2, patience_s=5).pairs == 2
        bed.fault("loss", 0.2, "west-east")
        bed.fault("cut", None, "west-east", for_s=0.1)
        assert bed.ping("west", "east", 1, patience_s=20).pairs == 1, "time passes until the cut is over"
        bed.freeze("mid")
        assert bed.ping("west", "east", 1, patience_s=0.1).why == "TIMEOUT"
        bed.thaw("mid")
        with bed.attach("west") as node:
            before = node.call("sleep", duration_ps=10) and node.t_ps
            assert node.call("sleep", duration_ps=7_000_000)
            assert node.t_ps - before == 7_000_000, "from a reply until the next call time stands still"
        assert bed.restart("east") == 2
        bed.heal()
        bed.fault("blind", None, "mid", for_s=0.001)
        bed.fault("disk", for_s=0.0001)
        assert pings_in_the_end(bed)
        bed.fault("drift", 20e-9, "east")
        bed.ping("east", "west", 1, patience_s=0.1)  # time may jump first, for any pause of ours: they may miss by then
        bed.fault("loss", 1)
        waiting = bed.attach("west")  # its call is not answered before the end
        waiting._sock.sendall(b'{"call": "ping", "args": {"destination": 3, "count": 1}}\n')
        assert bed.ping("east", "west", 1, patience_s=0.1).pairs == 0
    waiting.close()
    done = [json.loads(line)["do"] for line in (out / "inputs.jsonl").read_text().splitlines()]
    assert {"attach", "call", "detach", "fault", "heal", "freeze", "thaw", "kill", "restart", "end"} == set(done)
    for clock, processes in (("virtual", 2), ("local", None)):
        again = tmp_path / clock
        assert main(["run", "--replay", str(out), "--clock", clock, "--out", str(again), *packed(processes)]) == 0
        assert three(again) == three(out)


def pings_in_the_end(bed: Testbed) -> bool:
    """A link that has found its station dead rests for as long again as that was silent (EGP-27), and how long it was,
    nobody knows: an idle network's time jumps as far as it can before the next command comes."""
    for n in range(20):
        if bed.ping("east", "west", 1, patience_s=5).pairs:
            return True
        with bed.attach("west") as node:
            node.call("sleep", duration_ps=10**12 << n)
    return False


def packed(processes: int | None) -> list[str]:
    return [] if processes is None else ["--processes", str(processes)]


def disturbed(folder: Path, *inputs: dict) -> Plan:
    """Pings from west to mid, a microsecond or so apart, and what comes from outside meanwhile."""
    folder.mkdir(exist_ok=True)
    pings = {"from": "west", "to": "mid", "count": 60, "think_s": 1e-5, "timeout_s": 1e-4}
    scenario = load_scenario(toy(folder, 60, toy=pings))
    outside = Outside(scenario, None, None)
    planned = tuple(outside.planned(one["t_ps"], one) for one in inputs)
    return replace(compose(scenario, "local", []), inputs=planned)


HALF = 600_000_000
"""So late that half of the pings have been answered."""


@pytest.mark.parametrize(
    ("kind", "value", "seen"),
    [
        ("loss", 0.3, lambda frames: sum(f.note == "lost" for f in frames)),
        ("duplicate", 0.3, lambda frames: sum("duplicate" in f.note for f in frames)),
        ("corrupt", 0.3, lambda frames: sum("corrupted" in f.note for f in frames)),
        ("reorder", 0.3, lambda frames: sum("delayed" in f.note for f in frames)),
        ("cut", None, lambda frames: sum(f.note == "cut off" for f in frames)),
    ],
)
def test_a_fault_does_from_its_time_on_what_it_is_called(kind, value, seen, tmp_path):
    fault = {"t_ps": HALF, "do": "fault", "kind": kind, "value": value, "at": ["west-mid"], "for_ps": HALF // 2}
    alone = local(disturbed(tmp_path / "a", fault), tmp_path / "a" / "local")
    frames = [f for f in read_trace(alone.folder / "trace.pcapng") if f.direction == "sent"]
    assert seen([f for f in frames if f.t_ps < HALF]) == 0
    assert seen([f for f in frames if HALF <= f.t_ps < HALF * 3 // 2]) >= 3
    assert seen([f for f in frames if f.t_ps >= HALF * 3 // 2]) == 0, "it has healed"
    begins, ends = ("cut", "mended") if kind == "cut" else ("fault", "heal")
    assert [(e["kind"], e["t_ps"]) for e in (*alone.events(begins), *alone.events(ends))] == [
        (kind, HALF), (kind, HALF * 3 // 2)
    ]  # fmt: skip
    if kind == "loss":
        many = virtual(disturbed(tmp_path / "a", fault), tmp_path / "a" / "virtual")
        assert many.bytes == alone.bytes


def test_a_delay_comes_on_top_and_goes_again(tmp_path):
    fault = {"t_ps": HALF, "do": "fault", "kind": "delay", "value": 3_000_000, "at": ["mid", "west"], "for_ps": 10**9}
    ran = local(disturbed(tmp_path / "a", fault), tmp_path / "a" / "out")
    sent, took = {}, {}
    for frame in read_trace(ran.folder / "trace.pcapng"):
        if frame.direction == "sent":
            sent[frame.frame] = frame.t_ps
        else:
            took[sent[frame.frame]] = frame.t_ps - sent[frame.frame]
    assert {d for t, d in took.items() if t < HALF} == {10_000_000}
    assert {d for t, d in took.items() if HALF <= t < HALF + 10**9} == {13_000_000}
    assert {d for t, d in took.items() if t >= HALF + 10**9} == {10_000_000}, "it has healed"


def test_a_node_that_is_restarted_finds_the_network_as_it_is(tmp_path):
    inputs = [
        {"t_ps": HALF, "do": "fault", "kind": "partition", "at": ["west"], "for_ps": None},
        {"t_ps": HALF, "do": "kill", "node": "mid"},
        {"t_ps": HALF, "do": "kill", "node": "mid"},
        {"t_ps": HALF + 1000, "do": "restart", "node": "mid"},
        {"t_ps": 2 * HALF, "do": "end"},
    ]
    alone = local(disturbed(tmp_path / "a", *inputs), tmp_path / "a" / "local")
    assert [e["incarnation"] for e in alone.events("started") if e["node"] == "mid"] == [1, 2]
    assert alone.outcome.end_ps == 2 * HALF
    heard = [f for f in read_trace(alone.folder / "trace.pcapng") if f.direction == "received" and f.t_ps > HALF]
    parties = [(int.from_bytes(f.frame[6:8]), f.node) for f in heard]  # source, and who heard it
    assert parties == [(2, "east"), (3, "mid")], "mid says that it lives again, which does not get to west"
    many = virtual(disturbed(tmp_path / "a", *inputs), tmp_path / "a" / "virtual")
    assert many.bytes == alone.bytes


def test_a_look_into_the_nodes_at_a_time(tmp_path, capsys):
    out = tmp_path / "out"
    assert run(Options(QPUS, clock="local", shots=1, out=out), quiet).code == 0
    trains = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines() if '"train"' in line]
    first = next(event for event in trains if event["node"] == "west")
    seen = look(out, first["t_ps"] + 1, quiet)
    (queue,) = seen.nodes["west"]["queues"]
    assert queue["train"]["first_slot"] == first["first_slot"]
    assert queue["requests"][0]["pairs_left"] == 1
    assert seen.nodes["west"]["circuits"][0]["role"] == "head"
    assert "out" in [row["state"] for row in seen.nodes["west"]["memories"]]
    before = look(out, 1000, quiet).nodes["west"]
    assert (before["queues"][0]["train"], before["circuits"]) == ({}, []), "a circuit takes longer"
    end = look(out, None, quiet).nodes["west"]
    assert (end["queues"][0]["requests"], end["programs"]) == ([], [])
    assert main(["replay", str(out), "--until", "1us", "--node", "mid"]) == 0
    said = capsys.readouterr().out
    assert "two-qpus.yaml at 0.001 ms" in said
    assert "mid: up" in said
    assert "west" not in said.splitlines()[2]


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"do": "dance", "t_ps": 1}',
        '{"do": "end"}',
        '{"do": "end", "t_ps": -1}',
        '{"do": "end", "t_ps": "1"}',
        '{"do": "call", "session": "9", "t_ps": 1, "line": "x"}',
    ],
)
def test_inputs_that_are_none(line, tmp_path):
    path = tmp_path / "inputs.jsonl"
    path.write_text('{"do":"end","t_ps":5}\n' + line + "\n")
    with pytest.raises(BadInput, match=r"inputs.jsonl: line 2: it is no input"):
        read_inputs(path)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"do": "fault", "t_ps": 1, "kind": "loss", "value": 2}', "line 1, loss: 2 is no probability"),
        ('{"do": "fault", "t_ps": 1, "kind": "blind", "at": ["east"]}', "line 1, blind: east is a qpu, not a station"),
        ('{"do": "fault", "t_ps": 1, "kind": "drift", "value": 1, "at": [3]}', "line 1, drift: where it is to be"),
        ('{"do": "fault", "t_ps": 1, "kind": "cut", "at": 3}', "line 1, cut: where it is to be"),
        ('{"do": "kill", "t_ps": 1, "node": "north"}', "line 1, kill: there is no 'north'; name one of west, mid"),
        ('{"do": "heal", "t_ps": 1, "at": "mid"}', "line 1, heal: where it is to be"),
        ('{"do": "restart", "t_ps": 1}', "line 1, restart: there is no None"),
    ],
)
def test_a_plan_of_commands_that_this_network_cannot_have(line, said, tmp_path):
    facts = {"scenario": str(QPUS), "seed": 1, "overrides": {"circuit": None, "shots": None}, "standing": True}
    (tmp_path / "run.json").write_text(json.dumps(facts))
    (tmp_path / "inputs.jsonl").write_text(line + "\n")
    with pytest.raises(BadInput, match=f"inputs.jsonl: {said}"):
        replayed(Options(None, clock="local"), tmp_path)


def test_another_scenario_than_that_of_the_run_is_not_taken_for_it(tmp_path, capsys):
    scenario, out, again = toy(tmp_path, 3), tmp_path / "out", tmp_path / "again"
    assert main(["run", str(scenario), "--clock", "local", "--out", str(out)]) == 0
    moved = tmp_path / "elsewhere" / scenario.name
    moved.parent.mkdir()
    moved.write_bytes(scenario.read_bytes())
    scenario.write_text(scenario.read_text().replace("count: 3", "count: 4"))
    replay = ["run", "--replay", str(out), "--clock", "local", "--out"]
    assert main([*replay, str(again)]) == 2
    assert f"{scenario}: whole file: it is not as it was when that run was made" in capsys.readouterr().err
    scenario.unlink()
    assert main([*replay, str(again)]) == 2
    assert "No such file" in capsys.readouterr().err
    assert main(["run", str(moved), *replay[1:], str(again)]) == 0
    assert f"what came from outside to {out}, with {moved} as it is now" in capsys.readouterr().out
    assert three(again) == three(out)
    assert main([*replay, str(out), "--force"]) == 2
    assert "the run that is to be done again is there" in capsys.readouterr().err
    assert (out / "report.json").exists()


def test_wall_time_never_comes_again(tmp_path):
    (tmp_path / "run.json").write_text(
        json.dumps({"scenario": str(QPUS), "seed": 1, "overrides": {"circuit": None, "shots": None}, "standing": True})
    )
    with pytest.raises(BadInput, match="replay it in virtual or local"):
        replayed(Options(QPUS, clock="paced"), tmp_path)
    assert replayed(Options(QPUS), tmp_path).inputs == ({"t_ps": 1, "do": "end"},), "it was cut short at once"
