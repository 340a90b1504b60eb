"""Jobs that go to a controller: compiled, placed and run by it in the whole stack, whatever dies meanwhile."""

import copy
import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from inside import HungUp, Inside
from slice_lab import IDEAL, PERFECT, SCENARIOS, Slice, leaks, run_slice

from stack.application import journal as journals
from stack.node import Node
from testbed.cli import main
from testbed.errors import BadInput
from testbed.lab.watch import Watch
from testbed.report.whole import build_report
from testbed.scenario import load_scenario

LINK = {"length_m": 2, "model": "barrett-kok", "grade": "sampled", "slot_s": 1e-6, "round_gap_s": 1e-7, **PERFECT}
GHZ = {"circuit": "ghz-4.qasm", "shots": 12, "controller": "ctl"}

TELEPORT = """OPENQASM 3.0;
include "stdgates.inc";
qubit[3] q;
bit[3] c;
x q[0];
h q[1];
cx q[1], q[2];
cx q[0], q[1];
h q[0];
c[0] = measure q[0];
c[1] = measure q[1];
if (c[1]) x q[2];
if (c[0]) z q[2];
c[2] = measure q[2];
"""
"""State |1>, which comes out in bit 2."""


def network(qpus: int, jobs: list[dict[str, Any]], **top: Any) -> dict[str, Any]:
    """QPUs q1, q2, ... of two data qubits, every two linked, and a controller beside the first station."""
    names = [f"q{n}" for n in range(1, qpus + 1)]
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    return {
        "seed": 3,
        "devices": {"small": IDEAL},
        "nodes": {name: {"kind": "qpu", "device": "small"} for name in names}
        | {"mid": {"kind": "station"}, "ctl": {"kind": "controller"}},
        "links": {f"{a}-{b}": {"a": a, "b": b, "station": "mid", **LINK} for a, b in pairs}
        | {"office": {"kind": "classical", "a": "ctl", "b": "mid", "length_m": 2}},
        "jobs": jobs,
        **top,
    }


def records(run: Slice) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = run.outcome.results["ctl"]["jobs"]
    return found


def at_rest(run: Slice) -> None:
    """Every QPU that lives has its qubits back, and holds no lease."""
    for name, lives in run.lives.items():
        node = lives[-1]
        if name.startswith("q") and node.kernel.alive:
            assert leaks(node) == []
            assert node.leases._driver.machine._lease is None
            assert not any(node.gates._driver.machine._early.values())


def test_a_job_is_compiled_placed_and_counted_by_the_controller(tmp_path: Path) -> None:
    run = run_slice(network(3, [GHZ | {"name": "one"}, GHZ | {"name": "two", "at_s": 1e-6}]), tmp_path)
    one, two = records(run)
    for record in (one, two):
        assert record["state"] == "DONE"
        assert set(record["counts"]) == {"0000", "1111"}
        assert sum(record["counts"].values()) == 12
        assert record["pairs"] == 12, "two CNOTs share a pair"
        assert [len(placing["nodes"]) for placing in record["placings"]] == [2]
    let_go_ps = one["ended_ps"] - 100_000  # by the first of its QPUs
    assert two["placings"][0]["began_ps"] >= let_go_ps, "three QPUs cannot hold both at once"
    at_rest(run)


def test_results_that_decide_something_elsewhere_travel(tmp_path: Path) -> None:
    text = network(2, [{"circuit": "circuit.qasm", "shots": 20, "controller": "ctl"}])
    run = run_slice(text, tmp_path, qasm=TELEPORT)
    (record,) = records(run)
    assert len(record["nodes"]) == 2
    assert {key[0] for key in record["counts"]} == {"1"}
    at_rest(run)


@pytest.mark.parametrize("at_s", [2e-6, 4e-5, 8e-5])
def test_a_running_job_is_cancelled_and_its_qpus_serve_others(at_s: float, tmp_path: Path) -> None:
    jobs = [
        GHZ | {"name": "endless", "shots": 100_000, "cancel_at_s": at_s},
        GHZ | {"name": "next", "shots": 4, "at_s": 1e-6},
    ]
    run = run_slice(network(2, jobs), tmp_path)
    endless, after = records(run)
    assert endless["state"] == "CANCELLED"
    assert endless["shots_done"] < 100
    assert sum(endless["counts"].values()) == endless["shots_done"], "what was measured is told"
    assert (after["state"], sum(after["counts"].values())) == ("DONE", 4)
    assert build_report(run.scenario, run.jobs, run.outcome).unfinished == [], "it was planned"
    at_rest(run)


def test_pairs_are_made_ahead_as_far_as_there_is_room(tmp_path: Path) -> None:
    """However many are wanted, as many wait as there are qubits for, and the job is over sooner."""
    took = {}
    for ahead in (0, 1, 50):
        text = network(2, [GHZ | {"ahead": ahead, "shots": 40}])
        text["links"]["q1-q2"]["length_m"] = 2000
        run = run_slice(text, tmp_path / f"{ahead}")
        (record,) = records(run)
        assert (record["state"], record["pairs"], set(record["counts"])) == ("DONE", 40, {"0000", "1111"})
        took[ahead] = record["ended_ps"]
        at_rest(run)
    assert took[50] <= took[1] < took[0]


def test_a_job_with_pairs_ahead_lets_go_of_them_when_it_is_cancelled(tmp_path: Path) -> None:
    for at_s in (2e-7, 1e-6, 3e-5):
        jobs = [GHZ | {"name": "endless", "shots": 100_000, "cancel_at_s": at_s, "ahead": 2}, GHZ | {"at_s": 1e-7}]
        run = run_slice(network(2, jobs), tmp_path / f"{at_s}")
        assert [record["state"] for record in records(run)] == ["CANCELLED", "DONE"]
        at_rest(run)


def test_a_dead_qpu_is_replaced_and_what_was_measured_counts(tmp_path: Path) -> None:
    text = network(3, [GHZ | {"shots": 60}], faults=[{"at_s": 8e-5, "kill": "q2"}])
    run = run_slice(text, tmp_path, record=True)
    (record,) = records(run)
    assert record["state"] == "DONE"
    assert [placing["nodes"] for placing in record["placings"]] == [["q1", "q2"], ["q1", "q3"]]
    before, after = (placing["shots"] for placing in record["placings"])
    assert before > 0
    assert before + after == 60 == sum(record["counts"].values())
    assert record["pairs"] >= 60, "one a shot; those of the QPU that is dead are not forgotten"
    ((began, lost), (again, _)) = ((p["began_ps"], p["ended_ps"]) for p in record["placings"])
    assert record["waited_ps"] == began + again - lost, "both waits, and no time on QPUs"
    assert set(record["counts"]) == {"0000", "1111"}
    at_rest(run)


def test_without_another_qpu_its_loss_is_what_the_report_says(tmp_path: Path) -> None:
    text = network(2, [GHZ | {"shots": 60}], faults=[{"at_s": 8e-5, "kill": "q2"}])
    run = run_slice(text, tmp_path)
    report = build_report(run.scenario, run.jobs, run.outcome)
    (said,) = report.unfinished
    assert "the circuit has 4 qubits, all QPUs together 2 data qubits (q2 cannot be reached), after" in said
    assert 0 < sum(report.sections["counts"]["ghz-4"].values()) < 60


def test_a_qpu_that_is_back_takes_the_job_again(tmp_path: Path) -> None:
    faults = [{"at_s": 8e-5, "kill": "q2"}, {"at_s": 9e-5, "restart": "q2"}]
    run = run_slice(network(2, [GHZ | {"shots": 60}], faults=faults), tmp_path)
    (record,) = records(run)
    assert (record["state"], sum(record["counts"].values())) == ("DONE", 60)
    at_rest(run)


def test_without_its_controller_a_qpu_lets_go(tmp_path: Path) -> None:
    jobs = [GHZ | {"shots": 100_000}]
    text = network(2, jobs, faults=[{"at_s": 0.01, "kill": "ctl"}], linger_s=0.5)
    text["links"]["q1-q2"]["slot_s"] = 1e-3  # few shots until its silence is noticed
    run = run_slice(text, tmp_path)
    report = build_report(run.scenario, run.jobs, run.outcome)
    assert report.unfinished == ["ctl: ghz-4: lost with its controller; journals/ctl.jsonl has what is known of it"]
    assert report.sections["jobs"] == [{"name": "ghz-4", "state": "LOST"}]
    at_rest(run)


def test_a_short_partition_of_its_controller_leaves_no_job_running(tmp_path: Path) -> None:
    """The QPUs lose it, and let go; it hears of that although no keep-alive was due."""
    faults = [{"at_s": 8e-5, "partition": ["ctl"], "for_s": 0.04}]
    run = run_slice(network(2, [GHZ | {"shots": 60}], faults=faults), tmp_path)
    (done,) = records(run)
    assert (done["state"], len(done["placings"])) == ("DONE", 2)
    at_rest(run)


def test_a_controller_that_starts_anew_goes_on_with_its_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JOB-19: one job is over when it dies, one runs, one waits; one comes, and one is unwanted, while it is dead.  Its
    journal is shortened whenever that is possible, at last when the next life begins."""
    monkeypatch.setattr(journals, "LONG", 0)
    jobs = [
        GHZ | {"name": "over", "shots": 4},
        GHZ | {"name": "running", "shots": 60},
        GHZ | {"name": "waiting", "shots": 8, "at_s": 1e-6},
        GHZ | {"name": "unwanted", "at_s": 2e-6, "cancel_at_s": 8.5e-5},
        GHZ | {"name": "late", "at_s": 8.5e-5},
    ]
    faults = [{"at_s": 8e-5, "kill": "ctl"}, {"at_s": 9e-5, "restart": "ctl"}]
    run = run_slice(network(2, jobs, faults=faults), tmp_path, record=True)
    over, running, waiting, unwanted, late = records(run)
    assert [record["state"] for record in records(run)] == ["DONE", "DONE", "DONE", "CANCELLED", "DONE"]
    assert over["ended_ps"] < 80_000_000 < late["submitted_ps"] == 90_000_000
    assert [sum(record["counts"].values()) for record in (over, running, waiting, late)] == [4, 60, 8, 12]
    assert [placing["shots"] > 0 for placing in running["placings"]] == [True, True]
    assert running["pairs"] >= 60, "with those of shots that the last life has counted"
    assert (unwanted["job"], unwanted["shots_done"]) == (4, 0)
    assert build_report(run.scenario, run.jobs, run.outcome).unfinished == []
    assert (tmp_path / "journals" / "ctl.jsonl").read_text().splitlines()[1].startswith('{"is":"retold","number":1,')
    finals = [e["job"] for e in run.all_events() if e["layer"] == "job" and e["event"] in ("done", "cancelled")]
    assert sorted(finals) == [1, 2, 3, 4, 5], "each ends once"
    at_rest(run)


def test_a_job_that_cannot_be_written_down_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be lost with this life of the controller."""

    def full(file: int, data: bytes, at: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    run = run_slice(network(2, [GHZ]), tmp_path, record=True)
    (record,) = records(run)
    assert record["reason"] == "the controller cannot write it down: No space left on device"
    at_rest(run)


def test_while_the_disk_is_full_jobs_go_on_and_none_is_taken(tmp_path: Path) -> None:
    """What was not written is written when there is room; a life that dies before has not learnt it."""
    jobs = [GHZ | {"name": f"job-{n}", "shots": 30, "at_s": at_s} for n, at_s in enumerate((0, 3e-5, 8e-5))]
    faults = [{"at_s": 2e-5, "disk": "full", "for_s": 4e-5}, {"at_s": 1e-4, "kill": "ctl"}]
    run = run_slice(network(2, jobs, faults=[*faults, {"at_s": 1.1e-4, "restart": "ctl"}]), tmp_path, record=True)
    first, second, third = records(run)
    assert [record["state"] for record in (first, second, third)] == ["DONE", "DONE", "DONE"]
    assert second["submitted_ps"] == 110_000_000, "refused while the disk was full; the next life is asked again"
    said = [event["event"] for event in run.all_events() if "journal" in event["event"]]
    assert said == ["journal written"], "that it was not could not be said"
    at_rest(run)


def test_what_fits_nowhere_is_refused_with_the_reason(tmp_path: Path) -> None:
    text = network(2, [GHZ, GHZ | {"name": "again"}])
    text["devices"]["small"] = IDEAL | {"data_qubits": 1}
    run = run_slice(text, tmp_path)
    assert {record["reason"] for record in records(run)} == {
        "the circuit has 4 qubits, all QPUs together 2 data qubits"
    }
    report = build_report(run.scenario, run.jobs, run.outcome)
    assert len(report.unfinished) == 2
    named = [(record["name"], record["state"]) for record in report.sections["jobs"]]
    assert named == [("ghz-4", "REFUSED"), ("again", "REFUSED")]


def test_virtual_gives_the_bytes_of_local_and_telemetry_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With deaths of a QPU and of the controller in the middle of a job, and a cancelled one."""
    said: dict[str, dict[str, Any]] = {}
    monkeypatch.setattr(Watch, "_publish", lambda self, topic, payload: said.update({topic: payload}))
    jobs = [
        GHZ | {"name": "one", "shots": 60},
        GHZ | {"name": "two", "shots": 1000, "at_s": 1e-5, "cancel_at_s": 5e-4},
    ]
    faults = [{"at_s": 4e-5, "kill": "q2"}, {"at_s": 7.8e-4, "kill": "ctl"}, {"at_s": 7.9e-4, "restart": "ctl"}]
    text = network(3, jobs, faults=faults)
    shutil.copy(SCENARIOS / "ghz-4.qasm", tmp_path)
    path = tmp_path / "jobs.yaml"
    path.write_text(yaml.safe_dump(text))
    for clock in ("local", "virtual"):
        said.clear()
        assert main(["run", str(path), "--clock", clock, "--out", str(tmp_path / clock)]) == 0
        one = {"controller": "ctl", "state": "done", "shots_done": 60, "name": "one", "shots": 60, "reason": ""}
        assert said["job/1"] == one | {"qpus": "q1,q3"}
        assert said["job/2"]["state"] == "cancelled"
    for name in ("trace.pcapng", "events.jsonl", "report.json", "report.html", "journals/ctl.jsonl"):
        assert (tmp_path / "local" / name).read_bytes() == (tmp_path / "virtual" / name).read_bytes()
    page = (tmp_path / "local" / "report.html").read_text()
    records = json.loads((tmp_path / "local" / "report.json").read_text())["jobs"]
    leases = sum(len(placing["nodes"]) for record in records for placing in record["placings"])
    assert page.count("<rect") - page.count('height="14"') == leases, "a bar for each lease, beside those of outcomes"
    assert "q1, q2, then q1, q3, then q1, q3" in page
    assert page.count("ctl was dead") == 1


PROGRAM = """
from stack.sdk import attach
from testbed.standing.jobs import ControllerCalls

with attach() as node:
    controller = ControllerCalls(node, "this run")
    first = controller.submit("{folder}/ghz-4.qasm", 6, None, 0.0)
    second = controller.submit("{folder}/ghz-4.qasm", 1000, "endless", 0.0)
    done = controller.wait(first.job, lambda status: None)
    assert (done.state, sum(done.counts.values())) == ("DONE", 6), done
    controller.cancel(second.job)
    assert controller.wait(second.job, lambda status: None).state == "CANCELLED"
"""


def test_a_program_at_the_controller_submits_jobs(tmp_path: Path) -> None:
    text = network(2, [], programs=[{"node": "ctl", "run": "program.py"}])
    del text["jobs"]
    shutil.copy(SCENARIOS / "ghz-4.qasm", tmp_path)
    (tmp_path / "program.py").write_text(PROGRAM.format(folder=tmp_path))
    (tmp_path / "jobs.yaml").write_text(yaml.safe_dump(text))
    assert main(["run", str(tmp_path / "jobs.yaml"), "--clock", "local", "--out", str(tmp_path / "out")]) == 0


def test_who_goes_away_while_it_waits_for_news_of_a_job_is_missed_at_once(tmp_path: Path) -> None:
    gone: list[int] = []

    async def watches(node: Node) -> None:
        program, kernel = Inside(node), node.kernel
        await kernel.sleep(0)  # the scenario's job is known by then
        kernel.after(1_000_000, lambda: kernel.wake(program.hang_up))

        async def follows() -> None:
            seen = 0
            while True:
                seen = (await program.ask("job_news", job=1, seen=seen))["version"]

        with pytest.raises(HungUp):
            await follows()
        gone.append(kernel.now)
        program.close()

    run = run_slice(network(2, [GHZ]), tmp_path, programs={("ctl", 1): watches})
    assert run.finished
    assert gone == [1_000_000]
    at_rest(run)


HOLDS = """
from stack.sdk import NoRoom, connect

with connect() as qpu:
    a = qpu.qubit().x()
    qpu.sleep(1e-4)
    assert list(qpu.measure(a)) == [1], "a job has had it meanwhile"
    qpu.sleep(1.5e-5)
    try:
        qpu.qubit()
    except NoRoom as refused:
        print("refused:", refused)
"""


def test_jobs_and_programs_at_their_qpus_leave_each_other_alone(tmp_path: Path) -> None:
    """JOB-21, JOB-22: a program holds one of two qubits of q1.  One job finds that out, and goes elsewhere; one that
    needs q1 waits until the program has given it back, and the program gets none as long as that job runs."""
    large = GHZ | {"name": "large", "circuit": "wide.qasm", "shots": 30, "at_s": 3e-5}
    text = network(3, [GHZ, large], programs=[{"node": "q1", "run": "program.py"}])
    shutil.copy(SCENARIOS / "ghz-4.qasm", tmp_path)
    (tmp_path / "wide.qasm").write_text(
        'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[6];\ncreg c[6];\nh q[0];\n'
        + "".join(f"cx q[0], q[{n}];\n" for n in range(1, 6))
        + "measure q -> c;\n"
    )
    (tmp_path / "program.py").write_text(HOLDS)
    (tmp_path / "jobs.yaml").write_text(yaml.safe_dump(text))
    assert main(["run", str(tmp_path / "jobs.yaml"), "--clock", "local", "--out", str(tmp_path / "out")]) == 0
    first, wide = json.loads((tmp_path / "out" / "report.json").read_text())["jobs"]
    assert [placing["nodes"] for placing in first["placings"]] == [["q1", "q2"], ["q2", "q3"]]
    assert first["placings"][0]["shots"] == 0
    assert [placing["nodes"] for placing in wide["placings"]] == [["q1", "q2", "q3"]]
    assert 100_000_000 < wide["placings"][0]["began_ps"] < 101_000_000, "as soon as it has been given back"
    log = (tmp_path / "out" / "logs" / "program-0.log").read_text()
    assert "refused: all 2 data qubits of this node are in use: 2 by job 2 of ctl" in log


def test_two_controllers_have_qpus_of_their_own(tmp_path: Path) -> None:
    """Side by side, with leases of equal numbers."""
    text = network(4, [GHZ | {"controller": "other", "shots": 30}], programs=[{"node": "ctl", "run": "program.py"}])
    text["nodes"] |= {"other": {"kind": "controller"}}
    for qpu in ("q1", "q3"):
        text["nodes"][qpu]["controller"] = "other"
    text["links"]["office-2"] = {"kind": "classical", "a": "other", "b": "mid", "length_m": 2}
    shutil.copy(SCENARIOS / "ghz-4.qasm", tmp_path)
    (tmp_path / "program.py").write_text(PROGRAM.format(folder=tmp_path))
    (tmp_path / "jobs.yaml").write_text(yaml.safe_dump(text))
    assert main(["run", str(tmp_path / "jobs.yaml"), "--clock", "local", "--out", str(tmp_path / "out")]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["jobs"][0]["nodes"] == ["q1", "q3"]
    assert sum(report["counts"]["ghz-4"].values()) == 30
    assert set(report["counts"]["ghz-4"]) == {"0000", "1111"}
    for journal, leased in (("ctl", "[5,7]"), ("other", "[4,6]")):
        kept = (tmp_path / "out" / "journals" / f"{journal}.jsonl").read_text().splitlines()
        assert {line.partition('"nodes":')[2][:5] for line in kept if '"placed"' in line} == {leased}


def test_a_controller_without_qpus_takes_no_jobs(tmp_path: Path) -> None:
    shutil.copy(SCENARIOS / "ghz-4.qasm", tmp_path)
    text = network(2, [GHZ])
    del text["links"]["office"]
    (tmp_path / "jobs.yaml").write_text(yaml.safe_dump(text))
    with pytest.raises(BadInput, match="ctl has no QPUs"):
        load_scenario(tmp_path / "jobs.yaml")


@pytest.mark.parametrize(
    ("jobs", "said"),
    [
        ([GHZ | {"controller": "q1"}], "q1 is a qpu, not a controller"),
        ([GHZ | {"mapping": {"q1": [0, 1], "q2": [2, 3]}}], "'mapping' has no meaning here: ctl places the job"),
        ([{"circuit": "ghz-4.qasm", "shots": 1, "at_s": 1}], "it goes to no controller"),
        ([GHZ | {"at_s": 2, "cancel_at_s": 1}], "it is not submitted by then"),
        ([GHZ, {"name": "x", "circuit": "ghz-4.qasm", "shots": 1}], "x goes to no controller, ghz-4 to ctl"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(jobs: list[dict[str, Any]], said: str, tmp_path: Path) -> None:
    shutil.copy(SCENARIOS / "ghz-4.qasm", tmp_path)
    path = tmp_path / "jobs.yaml"
    path.write_text(yaml.safe_dump(network(2, copy.deepcopy(jobs))))
    with pytest.raises(BadInput, match=said):
        load_scenario(path)
