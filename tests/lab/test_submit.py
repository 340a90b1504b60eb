"""Jobs for a testbed that stays: submitted, watched, cancelled, whoever dies meanwhile."""

import json
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import trio
import yaml
from qiskit import QuantumCircuit
from slice_lab import SCENARIOS
from test_controller import network

from testbed import AsyncTestbed, BadInput, JobStatus, Testbed, TestbedError
from testbed.cli import main

GHZ = SCENARIOS / "ghz-4.qasm"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("jobs")


@pytest.fixture(scope="module")
def bed(folder: Path) -> Iterator[Testbed]:
    """Three QPUs of two qubits and a controller, in virtual time."""
    text = network(3, [])
    text.pop("jobs")
    (folder / "three.yaml").write_text(yaml.safe_dump(text))
    with Testbed(folder / "three.yaml", name="three", clock="virtual", out=folder / "out", folder=folder) as up:
        yield up


def command(folder: Path, capsys: Any, *words: object) -> tuple[int, str, str]:
    code = main([*map(str, words), "--dir", str(folder)])
    said = capsys.readouterr()
    return code, said.out, said.err


def ghz() -> QuantumCircuit:
    circuit = QuantumCircuit(4, name="from-qiskit")
    circuit.h(0)
    for target in (1, 2, 3):
        circuit.cx(0, target)
    circuit.measure_all()
    return circuit


def test_a_file_is_run_and_its_progress_told(bed):
    seen: list[JobStatus] = []
    job = bed.submit(GHZ, 24)
    assert (job.name, job.shots, job.qubits) == ("ghz-4", 24, 4)
    done = bed.wait(job.job, progress=seen.append)
    assert (done.state, sum(done.counts.values()), set(done.counts)) == ("DONE", 24, {"0000", "1111"})
    assert done.pairs == 24
    told = [one.shots_done for one in seen]
    assert told == sorted(told)
    assert seen[-1].over


def test_a_qiskit_circuit_is_run(bed):
    done = bed.wait(bed.submit(ghz(), 10).job)
    assert (done.name, set(done.counts)) == ("from-qiskit", {"0000", "1111"})


def test_what_cannot_be_run_is_said_where_it_stands(bed, tmp_path):
    (tmp_path / "bad.qasm").write_text("OPENQASM 3.0;\nqubit q;\nbit c;\nwhile (true) { }\nc = measure q;\n")
    with pytest.raises(BadInput, match=r"bad.qasm: line 4: .*`while` is not supported"):
        bed.submit(tmp_path / "bad.qasm", 1)
    circuit = QuantumCircuit(1, 1)
    circuit.delay(100, 0)
    circuit.measure(0, 0)
    with pytest.raises(BadInput, match="instruction 0: `delay` is not supported"):
        bed.submit(circuit, 1)
    with pytest.raises(BadInput, match="its end: the circuit measures nothing"):
        bed.submit(QuantumCircuit(1), 1)
    with pytest.raises(BadInput, match="0 shots"):
        bed.submit(GHZ, 0)
    with pytest.raises(BadInput, match="fidelity: 2 is none; give a number from 0 to 1"):
        bed.submit(GHZ, 1, minimum_fidelity=2)
    with pytest.raises(BadInput, match="ahead: -1 pairs"):
        bed.submit(GHZ, 1, ahead=-1)
    with pytest.raises(BadInput, match="it is no circuit"):
        bed.submit(b"", 1)


def test_what_does_not_fit_is_refused_with_the_reason(bed):
    large = QuantumCircuit(7, 7)
    large.measure(range(7), range(7))
    with pytest.raises(BadInput, match="refused: the circuit has 7 qubits, all QPUs together 6 data qubits"):
        bed.submit(large, 1)


def test_a_job_outlives_its_client_and_a_qpu(bed):
    """Every call has a session of its own: after `submit` nobody is there.  Then a QPU dies."""
    job = bed.submit(GHZ, 60, name="orphan").job
    lost = bed.job(job).nodes[0]
    bed.kill(lost)
    done = bed.wait(job)
    assert (done.state, sum(done.counts.values())) == ("DONE", 60)
    assert lost not in done.nodes
    bed.restart(lost)


def test_a_running_job_is_cancelled(bed):
    job = bed.submit(GHZ, 1_000_000).job
    bed.cancel(job)
    over = bed.wait(job)
    assert (over.state, over.reason) == ("CANCELLED", "cancelled")
    with pytest.raises(BadInput, match=f"job {job} is cancelled already"):
        bed.cancel(job)
    with pytest.raises(BadInput, match="there is no job 999"):
        bed.cancel(999)


def test_the_commands(bed, folder, capsys):
    code, out, _ = command(folder, capsys, "submit", "three", GHZ, "--shots", 8, "--name", "typed", "--ahead", 1)
    assert code == 0
    assert "typed  done        8/8 shots" in out
    assert "0000" in out
    code, out, _ = command(folder, capsys, "submit", GHZ, "--shots", 1_000_000, "--no-wait", "--json")
    number = json.loads(out)["job"]
    assert command(folder, capsys, "cancel", number)[0] == 0
    bed.wait(number)
    code, out, _ = command(folder, capsys, "jobs")
    assert code == 0
    assert [line for line in out.splitlines() if "typed" in line and "8/8" in line]
    code, out, _ = command(folder, capsys, "jobs", number)
    assert "cancelled" in out
    assert len(json.loads(command(folder, capsys, "jobs", "--json")[1])) == len(bed.jobs())


def test_mistakes_are_exit_code_2(bed, folder, capsys, tmp_path):
    (tmp_path / "bad.qasm").write_text('OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[2];\nfoo q[0];\n')
    code, _, err = command(folder, capsys, "submit", tmp_path / "bad.qasm", "--shots", 1)
    assert (code, err.count("\n")) == (2, 1)
    assert "bad.qasm: line 4" in err
    code, _, err = command(folder, capsys, "submit", "a", "b", GHZ, "--shots", 1)
    assert (code, err.count("\n")) == (2, 1)


def test_a_queue_outlives_its_controller(bed, folder, capsys):
    """Who waited for a job is told what to do, and finds it by its number; new ones have numbers of their own."""
    circuit = ghz()
    running, waiting = bed.submit(circuit, 400, name="running"), bed.submit(circuit, 5, name="waiting")
    bed.kill("ctl")
    with pytest.raises(BadInput, match="ctl"):
        bed.job(running.job)
    bed.restart("ctl")
    assert [bed.wait(job).state for job in (running.job, waiting.job)] == ["DONE", "DONE"]
    assert sum(bed.job(running.job).counts.values()) == 400
    assert bed.submit(circuit, 1).job == waiting.job + 1
    code, out, _ = command(folder, capsys, "jobs", running.job)
    assert (code, "running  done" in out) == (0, True)


def test_who_waits_when_the_controller_dies_is_told_that_jobs_are_kept(bed):
    job = bed.submit(GHZ, 1_000_000).job

    killer = Thread(target=bed.kill, args=("ctl",))

    def progress(status: JobStatus) -> None:
        if killer.ident is None:
            killer.start()

    with pytest.raises(TestbedError, match=r"ctl of three is gone; it keeps its jobs: .*bellwire restart ctl, then"):
        bed.wait(job, progress=progress)
    killer.join()
    bed.restart("ctl")
    bed.cancel(job)
    assert bed.wait(job).state == "CANCELLED"


def test_under_trio_and_asyncio_alike(bed, folder):
    async def through() -> JobStatus:
        found = await AsyncTestbed.find("three", folder)
        job = await found.submit(GHZ, 5)
        assert (await found.jobs())[-1].job == job.job
        return await found.wait(job.job)

    assert sum(trio.run(through).counts.values()) == 5


def test_a_qpu_is_no_controller(bed):
    with pytest.raises(BadInput, match="no call 'submit' here"):
        bed.submit(GHZ, 1, controller="q1")
