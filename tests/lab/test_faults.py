"""Every fault there is, planned in a scenario and given by command, and what must survive it.

Elsewhere: what each does to a frame (test_replay), what a person sees of them (test_standing, test_mqtt_commands),
deaths in every placement (test_engine), ways around a cut (test_routing).
"""

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from chain_lab import chain, request
from engine_lab import local, virtual
from slice_lab import Slice, leaks, run_slice, write_and_load

from testbed import Testbed
from testbed.broker import EmbeddedBroker
from testbed.fault_kinds import AMOUNTS, KINDS
from testbed.lab.inputs import Outside
from testbed.lab.prepare import Options
from testbed.lab.run import run
from testbed.lab.troubles import Troubles
from testbed.plan.compose import compose
from testbed.report.requests import true_fidelities
from testbed.trace import read_events, read_trace

US = 1_000_000
SLOT_PS, ARM_PS, ATTEMPT_PS = 4 * US, US // 2, US
SOON, LONG = 100, 10**6
"""Microseconds: when a fault begins, and how long it lasts if it is to outlast all else."""


def fault(key: str, value: object, at_us: int = SOON, for_us: int = LONG, **more: object) -> dict[str, Any]:
    """An entry of `faults`."""
    return {"at_s": at_us * 1e-6, key: value, "for_s": for_us * 1e-6, **more}


def pairs_of(ran: Slice, index: int = 0, node: str = "n0") -> list[list[int]]:
    """Number, qubit, Bell index, goodness and time of each, as the node has counted them."""
    pairs: list[list[int]] = ran.result(node, f"pairs-{index}")["pairs"]
    return pairs


def all_is_well(ran: Slice, wanted: int) -> None:
    """Every pair has come, none was counted twice, all are what both ends take them for, and no qubit is lost."""
    pairs = pairs_of(ran)
    assert len(pairs) == wanted
    assert len({number for number, *_ in pairs}) == wanted, "a pair was counted twice"
    assert true_fidelities(ran.scenario, 0, ran.outcome) == pytest.approx([1.0] * wanted)
    for name in ("n0", "n1"):
        assert leaks(ran.node(name)) == []


# ------------------------------------------------------------------------------------- frames


@pytest.mark.parametrize(
    ("key", "value", "note"),
    [
        ("loss", 0.3, "lost"),
        ("duplicate", 0.5, "duplicate"),
        ("corrupt", 0.3, "corrupted"),
        ("reorder", 0.5, "delayed"),
        ("delay_s", 20e-6, ""),
        ("jitter_s", 20e-6, ""),
    ],
)
def test_whatever_becomes_of_frames_every_pair_comes_once_and_is_what_both_ends_say(
    key: str, value: float, note: str, tmp_path: Path
) -> None:
    """Loss, duplication, corruption, reordering, delay and jitter: they cost time, and nothing else; and the pairs come
    long before it is over."""
    work = {"requests": [request(1, 20)], "faults": [fault(key, value, at=["l0"])]}
    ran = run_slice(chain(1, work), tmp_path, record=True)
    all_is_well(ran, 20)
    assert pairs_of(ran)[-1][-1] < 20 * 2_000 * US
    if note:
        notes = [f.note for f in read_trace(tmp_path / "trace.pcapng") if note in f.note]
        assert len(notes) > 10, "the fault was not felt"
    else:
        assert pairs_of(ran)[-1][-1] > 20 * 20 * US, "the fault was not felt"


def test_each_side_of_a_partition_works_on_and_what_must_cross_it_waits(tmp_path: Path) -> None:
    """Pairs within each half come while no frame passes between the halves; those between them when it is healed."""
    parted_us = 1_500
    work = {
        "requests": [
            {"from": "n0", "to": "n1", "pairs": 5, "at_s": 2e-4},
            {"from": "n2", "to": "n3", "pairs": 5, "at_s": 2e-4},
            {"from": "n1", "to": "n2", "pairs": 5, "at_s": 2e-4},
        ],
        "faults": [fault("partition", ["n0", "s0", "n1"], for_us=parted_us)],
    }
    ran = run_slice(chain(3, work), tmp_path, record=True)
    healed_ps = (SOON + parted_us) * US
    assert [len(pairs_of(ran, n, f"n{at}")) for n, at in ((0, 0), (1, 2), (2, 1))] == [5, 5, 5]
    assert max(pairs_of(ran, 0)[-1][-1], pairs_of(ran, 1, "n2")[-1][-1]) < healed_ps
    assert pairs_of(ran, 2, "n1")[0][-1] > healed_ps
    assert [e["t_ps"] for e in ran.events("parted") + ran.events("healed")] == [SOON * US, healed_ps]


# ------------------------------------------------------------------------------------- light


EVERY, DARK = 500, 120


@pytest.mark.parametrize("grade", ["sampled", "photonic"])
@pytest.mark.parametrize(("kind", "subject"), [("cut", "l0"), ("blind", "s0")])
def test_nothing_is_heralded_in_the_dark_and_all_pairs_come_after_it(
    grade: str, kind: str, subject: str, tmp_path: Path
) -> None:
    """20 times, each while a train runs: about one attempt in 20 would herald.  No pair is false, and none is lost."""
    faults = [fault(kind, subject, EVERY * n, DARK) for n in range(1, 21)]
    dim = {"grade": grade, "efficiency_a": 0.3, "efficiency_b": 0.3}
    work = {"requests": [request(1, 40, ahead=1)], "faults": faults}
    ran = run_slice(chain(1, work, link=dim), tmp_path, record=True)
    all_is_well(ran, 40)
    slots = [pair["slot"] * SLOT_PS for pair in ran.outcome.plane["pairs"]]
    lead_ps = ARM_PS if kind == "cut" else 0
    dark = [
        at
        for at in slots
        for start in (EVERY * n * US for n in range(1, 21))
        if start - ATTEMPT_PS < at < start + DARK * US + lead_ps
    ]
    assert dark == []
    assert max(slots) > 4 * EVERY * US, "it was over before it was dark often enough"
    word = {"cut": "cut", "blind": "blinded"}[kind]
    assert len(ran.events(word)) == sum(n * EVERY * US < ran.outcome.end_ps for n in range(1, 21))


@pytest.mark.parametrize(("kind", "subject"), [("cut", "l0"), ("blind", "s0")])
def test_a_request_that_is_left_in_the_dark_ends_with_a_reason(kind: str, subject: str, tmp_path: Path) -> None:
    """Who said for how long he would wait is told in time; nothing hangs."""
    work = {"requests": [request(1, 40, max_time_s=2e-3)], "faults": [fault(kind, subject)]}
    ran = run_slice(chain(1, work, link={"efficiency_a": 0.3, "efficiency_b": 0.3}), tmp_path)
    told = ran.result("n0", "pairs-0")
    assert (told["failed"], len(told["pairs"]) < 40) == ("TIMEOUT", True)
    assert ran.finished
    assert not ran.outcome.stuck


# ------------------------------------------------------------------------------------- clocks


def test_time_transfer_holds_a_clock_that_drifts(tmp_path: Path) -> None:
    """100 ppm for 20 ms are 2 µs, eighty gates: with clocks kept by neighbours every pair comes, as good as before."""
    work = {
        "requests": [request(1, 40, every_s=5e-4, ahead=None)],
        "faults": [fault("drift_ppm", 100, 60_000, 20_000, at=["n1"])],
        "time_sync": {"interval_s": 1e-4},
    }
    del work["requests"][0]["ahead"]
    ran = run_slice(chain(1, work), tmp_path)
    all_is_well(ran, 40)


def test_without_time_transfer_photons_miss_each_other_until_the_clock_is_right_again(tmp_path: Path) -> None:
    """Rates fall to nothing, and what comes is never false: 40 ns beside a gate of 25 no pair is made, a request ends
    with its reason; a drift the other way brings them back."""
    work = {
        "requests": [request(1, 400, max_time_s=4e-3), request(1, 10, at_s=8e-3)],
        "faults": [fault("drift_ppm", 40, 1_000, 1_000, at=["n1"]), fault("drift_ppm", -40, 6_000, 1_000, at=["n1"])],
    }
    ran = run_slice(chain(1, work), tmp_path, record=True)
    first, second = pairs_of(ran), pairs_of(ran, 1)
    assert ran.result("n0", "pairs-0")["failed"] == "TIMEOUT"
    assert 0 < len(first) < 400
    assert all(at < 2_200 * US for *_, at in first), "a pair of photons that cannot have met"
    assert len(second) == 10
    fidelities = true_fidelities(ran.scenario, 0, ran.outcome) + true_fidelities(ran.scenario, 1, ran.outcome)
    assert fidelities == pytest.approx([1.0] * (len(first) + 10), abs=1e-6)


# ------------------------------------------------------------------------------------- nodes


@pytest.mark.parametrize("deed", [[fault("freeze", "n3", SOON, 2_000)], [{"at_s": 1e-4, "kill": "n3"}]])
def test_who_has_nothing_to_do_with_a_dead_or_frozen_node_is_not_held_up(
    deed: list[dict[str, Any]], tmp_path: Path
) -> None:
    """Pairs elsewhere come at the very times at which they come otherwise; what was asked of it waits, or fails."""
    work = {"requests": [request(1, 20), {"from": "n2", "to": "n3", "pairs": 20, "max_time_s": 1e-2}]}
    whole = run_slice(chain(3, work), tmp_path / "whole")
    broken = run_slice(chain(3, work | {"faults": deed}), tmp_path / "broken")
    assert pairs_of(broken) == pairs_of(whole)
    theirs = broken.result("n2", "pairs-1")
    if "kill" in deed[0]:
        assert theirs["failed"] in ("TIMEOUT", "PEER_LOST")
    else:
        assert len(theirs["pairs"]) == 20
        assert theirs["pairs"][-1][-1] > pairs_of(whole, 1, "n2")[-1][-1]
    assert broken.finished


def test_a_node_that_is_being_born_hears_of_faults_once_it_knows_the_time(tmp_path: Path) -> None:
    """Under ``paced`` a birth takes a while, in which faults begin and end: it comes up, and works on."""
    text = chain(1, {})
    path = tmp_path / "born.yaml"
    path.write_text(yaml.safe_dump(text))
    with Testbed(path, dilation=100, out=tmp_path / "out", folder=tmp_path) as bed:
        for n, kind in enumerate(("loss", "duplicate", "reorder", "corrupt"), 1):
            bed.fault(kind, 0.1, for_s=n * 0.0006)  # 60 ms of wall time each
        bed.restart("n1")
        assert bed.ping("n0", "n1", pairs=1, patience_s=30).pairs == 1
        assert bed.status().nodes["n1"].state == "up"


@pytest.mark.parametrize("later", [0, 1])
def test_a_fault_that_passes_covers_a_lasting_one_and_one_that_lasts_replaces_it(later: int, tmp_path: Path) -> None:
    """Also if both begin at once, as by two commands between which virtual time stands still."""
    scenario, _ = write_and_load(chain(1, {}), tmp_path)
    troubles = Troubles(scenario)
    way = scenario.nodes[0].number, scenario.nodes[1].number

    def loss() -> float:
        ways = troubles.plight_of(way[0]).ways
        return ways[way[1]].faults.loss if way[1] in ways else 0.0

    troubles.fault(1, {"kind": "loss", "value": 0.3, "at": []})
    troubles.fault(1 + later, {"kind": "loss", "value": 0.2, "at": [], "for_ps": 5})
    assert loss() == 0.2
    troubles.heal(6 + later, {"kind": "loss", "at": [], "ends_ps": 6 + later})
    assert loss() == 0.3
    troubles.fault(8, {"kind": "loss", "value": 0.1, "at": []})
    troubles.heal(9, {"kind": "loss", "at": []})
    assert loss() == 0.0


# ------------------------------------------------------------------------------------- what only watches


def test_a_full_disk_costs_the_trace_what_it_had_to_say_then_and_nothing_else(tmp_path: Path) -> None:
    """The network does the same at the same times.  What was written before is there, what is written after is, too,
    and each spool says how much is missing between."""
    work = {"requests": [request(1, 20)]}
    begin_ps, end_ps = 50 * US, 200 * US
    full = fault("disk", "full", begin_ps // US, (end_ps - begin_ps) // US)
    whole = run_slice(chain(1, work), tmp_path / "whole", record=True)
    broken = run_slice(chain(1, work | {"faults": [full]}), tmp_path / "broken", record=True)
    assert pairs_of(broken) == pairs_of(whole)
    assert pairs_of(whole)[-1][-1] > end_ps, "it was over too soon"
    before, after = all_of(whole), all_of(broken)
    assert [one for one in after if one[0] < begin_ps] == [one for one in before if one[0] < begin_ps]
    assert [one for one in after if begin_ps <= one[0] < end_ps] == []
    assert [one for one in after if one[0] >= end_ps] == [one for one in before if one[0] >= end_ps]
    assert [(e["event"], e["t_ps"]) for e in broken.events("fault") + broken.events("heal")] == [
        ("fault", begin_ps), ("heal", end_ps)
    ]  # fmt: skip
    missing = sum(event["records"] for event in broken.events("not recorded"))
    assert missing == sum(begin_ps <= t_ps < end_ps for t_ps, *_ in before) > 10


def all_of(ran: Slice) -> list[tuple[Any, ...]]:
    """What nodes have written down: frames and events, with their times."""
    assert ran.folder is not None
    frames = [(f.t_ps, f.node, f.direction, f.frame) for f in read_trace(ran.folder / "trace.pcapng")]
    events = [(e["t_ps"], e["node"], e["event"], str(e)) for e in ran.all_events() if e["layer"] != "lab"]
    return sorted([*frames, *events], key=lambda one: (one[0], str(one)))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", disk], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"LOUD: no disk can be mounted here, so none can be full: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_disk_that_is_full_in_earnest_stops_nobody_and_status_says_so(small_disk: Path, tmp_path: Path) -> None:
    """Nodes of their own processes make pairs on; one that is restarted meanwhile comes up; with room again the trace
    goes on, and is whole but for what it says is missing."""
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text(yaml.safe_dump(chain(1, {})))
    with Testbed(scenario, clock="virtual", out=small_disk / "out", folder=tmp_path) as bed:
        assert bed.ping("n0", "n1", 5).pairs == 5
        assert bed.status().faults == ()
        filler = small_disk / "filler"
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(1 << 16)):
                pass
        with bed.attach("n0") as node:  # more frames than the room that spools have taken
            assert node.call("ping", destination=2, count=800, padding=1_000)["answered"] == 800
        assert bed.restart("n1") == 2
        assert bed.ping("n0", "n1", 5).pairs == 5
        assert [one.kind for one in bed.status().faults] == ["disk"]
        filler.unlink()
        assert bed.status().faults == ()
        with bed.attach("n0") as node:
            assert node.call("ping", destination=2, count=400, padding=1_000)["answered"] == 400
        assert bed.ping("n0", "n1", 1).pairs == 1
    gaps = [e for e in read_events(small_disk / "out" / "events.jsonl") if e["event"] == "not recorded"]
    assert {"n0", "n1"} == {gap["node"] for gap in gaps}
    frames = [frame.t_ps for frame in read_trace(small_disk / "out" / "trace.pcapng")]
    assert min(frames) < min(gap["t_ps"] for gap in gaps) < max(frames), "it begins before, and goes on after"


def test_a_broker_that_is_gone_for_a_time_changes_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planned: whether there is one or not, the three files are the same."""
    fate = []
    stop, start = EmbeddedBroker.stop, EmbeddedBroker.start
    monkeypatch.setattr(EmbeddedBroker, "stop", lambda self, *a: (fate.extend("stop" for _ in a), stop(self, *a))[1])
    monkeypatch.setattr(EmbeddedBroker, "start", lambda self: (fate.append("start"), start(self))[1])
    scenario = tmp_path / "scenario.yaml"
    work = {"requests": [request(1, 20)], "faults": [fault("broker", "gone", SOON, 100)]}
    files = []
    for mqtt in ("none", "embedded"):
        scenario.write_text(yaml.safe_dump(chain(1, work)))
        out = tmp_path / mqtt
        assert run(Options(scenario, clock="local", mqtt=mqtt, out=out), lambda facts: None).code == 0
        files.append([(out / name).read_bytes() for name in ("trace.pcapng", "events.jsonl", "report.json")])
    assert files[0] == files[1]
    assert fate[:3] == ["start", "stop", "start"], "it was never gone"


# ------------------------------------------------------------------------------------- by plan and by command


ALL = {
    "loss": fault("loss", 0.2, 200, 90, at=["l0"]),
    "duplicate": fault("duplicate", 0.2, 300, 90, at=["n0"]),
    "corrupt": fault("corrupt", 0.2, 400, 90, at=["n0", "n1"]),
    "reorder": fault("reorder", 0.2, 500, 90),
    "delay": fault("delay_s", 5e-6, 600, 90, at=["l0"]),
    "jitter": fault("jitter_s", 5e-6, 700, 90, at=["l0"]),
    "drift": fault("drift_ppm", -50, 800, 90, at=["s0"]),
    "cut": fault("cut", "l0", 900, 60),
    "partition": fault("partition", ["n0"], 1_000, 60),
    "blind": fault("blind", "s0", 1_100, 60),
    "disk": fault("disk", "full", 1_200, 60),
    "broker": fault("broker", "gone", 1_300, 60),
}


def test_a_planned_fault_and_a_commanded_one_are_the_same_to_the_byte_in_one_process_or_many(tmp_path: Path) -> None:
    """Each kind in turn, and a node that dies with its clock drifting; what was planned for a scenario, and what
    ``inputs.jsonl`` would have of the same commands."""
    assert set(ALL) == set(KINDS)
    deaths = [{"at_s": 8.5e-4, "kill": "s0"}, {"at_s": 8.6e-4, "restart": "s0"}]
    work = {"requests": [request(1, 60, max_time_s=5e-3)]}
    scenario, _ = write_and_load(chain(1, work | {"faults": [*ALL.values(), *deaths]}), tmp_path / "text")
    planned = compose(scenario, "local", [])
    named = {fault.kind: fault for fault in scenario.faults if fault.kind in KINDS}
    assert set(named) == set(KINDS)
    assert all((fault.value is not None) == (kind in AMOUNTS) for kind, fault in named.items())
    outside = Outside(scenario, None, None)
    told = [outside.planned(f.at_ps, {"do": "fault", **f.about}) for f in scenario.faults if f.kind in KINDS]
    only_deaths = compose(
        replace(scenario, faults=tuple(f for f in scenario.faults if f.kind not in KINDS)), "local", []
    )
    commanded = replace(only_deaths, inputs=tuple(told), network=scenario)
    here = local(planned, tmp_path / "planned")
    assert len(here.events("fault")) == len(here.events("heal")) == 8
    assert local(commanded, tmp_path / "commanded").bytes == here.bytes
    assert virtual(planned, tmp_path / "virtual").bytes == here.bytes
