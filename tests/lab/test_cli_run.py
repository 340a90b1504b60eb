"""The contract of `bellwire run`, as a stranger meets it: files, exit codes, equal bytes, and nothing left running."""

import json
import os
import resource
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from command_lab import (
    BELLWIRE,
    PATIENCE_S,
    SCENARIOS,
    THREE,
    WITHIN_S,
    bellwire,
    command,
    endless_quantum,
    endless_toy,
    lives,
    run_facts,
    running,
    said,
    three,
    together,
    toy,
    write,
)

from testbed.trace import read_trace

# ---------------------------------------------------------------- what a run leaves


@pytest.mark.parametrize(("name", "grade"), [("two-qpus", "photonic"), ("two-qpus-teleport", "sampled")])
def test_virtual_local_and_packed_runs_are_equal_to_the_byte(name, grade, tmp_path):
    # Photonic: at two pairs a shot some trains end without success, whose last slot has then been decided.
    text = yaml.safe_load((SCENARIOS / f"{name}.yaml").read_text())
    (tmp_path / "ghz-4.qasm").write_text((SCENARIOS / "ghz-4.qasm").read_text())
    if "job" in text:
        text["job"]["shots"] = 6
    else:
        text["teleport"]["rounds"] = 3
    for link in text["links"].values():
        link["grade"] = grade
    scenario = write(tmp_path, text)
    ways = {"virtual": [], "local": ["--clock", "local"], "packed": ["--processes", "2"]}
    for done in together(*([scenario, *options, "--out", tmp_path / way] for way, options in ways.items())):
        assert done.returncode == 0, done.stderr
    assert three(tmp_path / "virtual") == three(tmp_path / "local") == three(tmp_path / "packed")
    drawn = {"report.html", "telegate.svg"} if "job" in text else {"report.html"}
    for way in ways:
        assert {p.name for p in (tmp_path / way).iterdir()} == {*THREE, "run.json", "logs", *drawn}
        for page in drawn:
            assert (tmp_path / way / page).read_bytes() == (tmp_path / "virtual" / page).read_bytes()
        assert {p.name for p in (tmp_path / way / "logs").iterdir()} >= {"west.log", "mid.log", "east.log"}
    report = json.loads((tmp_path / "local" / "report.json").read_text())
    assert set(report["figures"][0]) == {"name", "subject", "value", "unit", "n", "stderr"}
    for word in (str(tmp_path), os.uname().nodename, "virtual", "local", "packed"):
        for content in three(tmp_path / "virtual"):
            assert word.encode() not in content.replace(b"virtual_time", b"")
    # What the command says: where things are and how to open them.
    assert str(tmp_path / "packed") in done.stdout
    assert f"tshark -X lua_script:bellwire.lua -r {tmp_path / 'packed' / 'trace.pcapng'}" in done.stdout


def test_the_seed_decides_and_a_replay_repeats(tmp_path):
    outs = {seed: tmp_path / seed for seed in ("5", "6")}
    text = yaml.safe_load((SCENARIOS / "two-qpus-teleport.yaml").read_text())
    text["teleport"]["rounds"] = 1
    scenario = [write(tmp_path, text), "--clock", "local"]
    for done in together(
        *([*scenario, "--seed", seed, "--out", out, "--json", f"{out}.json"] for seed, out in outs.items())
    ):
        assert done.returncode == 0, done.stderr
    for out in outs.values():
        assert Path(f"{out}.json").read_bytes() == (out / "report.json").read_bytes()
    assert three(outs["5"])[0] != three(outs["6"])[0]
    assert bellwire("--replay", outs["5"], "--clock", "local", "--out", tmp_path / "again").returncode == 0
    assert three(tmp_path / "again") == three(outs["5"])


def test_an_earlier_run_is_replaced_only_by_force(tmp_path):
    scenario = [toy(tmp_path, 10), "--clock", "local"]
    assert bellwire(*scenario, "--out", tmp_path / "out").returncode == 0
    before = (tmp_path / "out" / "run.json").read_bytes()
    refused = bellwire(*scenario, "--out", tmp_path / "out")
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    assert "--force" in refused.stderr
    assert refused.stdout == ""
    assert (tmp_path / "out" / "run.json").read_bytes() == before
    assert bellwire(*scenario, "--out", tmp_path / "out", "--force").returncode == 0
    assert (tmp_path / "out" / "run.json").read_bytes() != before


def test_nodes_that_share_a_process_have_a_log_each(tmp_path):
    assert bellwire(toy(tmp_path, 10), "--processes", "1", "--out", tmp_path / "out").returncode == 0
    for name in ("west", "mid", "east"):
        assert "ended" in (tmp_path / "out" / "logs" / f"{name}.log").read_text()


def test_a_paced_run_leaves_its_keys_to_its_owner(tmp_path):
    """Random, one per pair of nodes, known to both: what a program of one's own needs to take the place of a node."""
    out = tmp_path / "out"
    assert bellwire(toy(tmp_path, 3), "--clock", "paced", "--out", out).returncode == 0
    assert (out / "keys.json").stat().st_mode & 0o777 == 0o600
    keys = json.loads((out / "keys.json").read_text())
    assert keys["west"]["mid"] == keys["mid"]["west"] != keys["mid"]["east"] == keys["east"]["mid"]
    assert len(bytes.fromhex(keys["west"]["mid"])) == 32
    assert keys["west"]["mid"] not in (out / "run.json").read_text()


# ---------------------------------------------------------------- bad input, as the command answers it


@pytest.mark.parametrize(
    ("change", "options", "word"),
    [
        ({"seed": 1.5}, [], "seed"),
        ({"nodes": {"plane": {"kind": "controller"}}, "links": {}, "toy": None}, [], "plane"),
        ({}, ["--json", "nowhere/report.json"], "nowhere"),
        ({}, ["--mqtt", "mqtts://localhost"], "--mqtt"),
        ({"mqtt": "mqtts://localhost"}, [], "mqtt"),
    ],
)
def test_bad_input_gets_one_line_and_leaves_nothing(change, options, word, tmp_path):
    text = {**yaml.safe_load(toy(tmp_path, 10).read_text()), **change}
    scenario = write(tmp_path, {key: value for key, value in text.items() if value is not None})
    done = bellwire(scenario, "--out", tmp_path / "out", *options)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert word in done.stderr
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------- sudden ends


def test_the_children_of_a_run_are_found_in_run_json(tmp_path):
    with running(endless_toy(tmp_path)) as run:
        assert set(run.pids) == {"launcher", "plane", "west", "mid", "east", "program-0"}
        assert all(map(lives, run.pids.values()))
        assert run.pids["launcher"] == run.process.pid
        addresses = run.facts["addresses"]
        assert set(addresses) == {"west", "mid", "east"}
        assert all(a.startswith("127.") and a.endswith(":57721") for a in addresses.values())
        assert len(set(addresses.values())) == 3


QUANTUM = endless_quantum
TOY = endless_toy


@pytest.mark.parametrize(
    ("make", "child", "options"),
    [
        (QUANTUM, "plane", []),
        (TOY, "west", []),
        (TOY, "mid", []),
        (TOY, "program-0", []),
        (TOY, "program-0", ["--clock", "local"]),
        (TOY, "mid", ["--clock", "paced"]),
        (TOY, "plane", ["--clock", "paced"]),
        (TOY, "west..mid", ["--processes", "2"]),
    ],
)
def test_a_killed_child_ends_the_run_and_is_named(make, child, options, tmp_path):
    with running(make(tmp_path), *options) as run:
        os.kill(run.pids[child], signal.SIGKILL)
        code, stderr = run.ended()
        assert code == 3
        assert len(said(stderr)) == 1, stderr
        assert child in stderr
        assert "SIGKILL" in stderr
        assert run.left(1) == []
        run.check_trace()
        facts = run_facts(run.out)
        assert (facts["exit_code"], child in facts["trouble"]) == (3, True)
        assert "SIGKILL" in (run.out / "logs" / f"{child}.log").read_text()


# A program that would go on for hours without a call, and has started something that would too, in a session
# of its own.
BUSY = """
import subprocess, sys, time
from stack.sdk import attach
node = attach()
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print(child.pid, flush=True)
node.call("sleep", duration_ps=20_000_000_000)
print("thinks", flush=True)
time.sleep(600)
"""


def _add_grandchild(run) -> None:
    """Busy's child; what Busy wrote, the launcher's lines standing in brackets."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        log = (run.out / "logs" / "program-0.log").read_text()
        spoken = [line for line in log.splitlines() if not line.startswith("[")]
        if spoken:
            run.pids["grandchild"] = int(spoken[0])
            return
        time.sleep(0.05)
    raise AssertionError("it said nothing")


@pytest.mark.parametrize("clock", ["virtual", "local", "paced"])
def test_a_killed_launcher_leaves_nothing_but_the_trace(clock, tmp_path):
    with running(toy(tmp_path, 10**6, BUSY), "--clock", clock) as run:
        _add_grandchild(run)
        os.kill(run.process.pid, signal.SIGKILL)
        run.process.wait()
        assert run.left(WITHIN_S) == []
        run.check_trace()


def test_the_trace_of_a_killed_launcher_opens_in_tshark(tmp_path, require_tool):
    tshark = require_tool("tshark")
    lua = tmp_path / "bellwire.lua"
    lua.write_text(subprocess.run([BELLWIRE, "dissector"], capture_output=True, text=True, check=True).stdout)
    with running(endless_quantum(tmp_path)) as run:
        os.kill(run.process.pid, signal.SIGKILL)
        run.process.wait()
        assert run.left(WITHIN_S) == []
        count = run.check_trace()
        trace = run.out / "trace.pcapng"
    fields = ["-T", "fields", "-e", "_ws.col.Protocol"]
    done = subprocess.run(
        [tshark, "-X", f"lua_script:{lua}", "-r", trace, *fields], capture_output=True, text=True, check=True
    )
    protocols = done.stdout.split()
    assert len(protocols) == count
    assert {"MHP", "EGP"} <= set(protocols)


def _wait_until_it_thinks(run) -> None:
    end = time.monotonic() + PATIENCE_S
    while "\nthinks\n" not in (run.out / "logs" / "program-0.log").read_text():
        assert time.monotonic() < end, "it never had the floor"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("clock", "has_the_floor", "sent", "code"),
    [
        ("virtual", False, signal.SIGTERM, 143),
        ("virtual", True, signal.SIGINT, 130),
        ("local", False, signal.SIGHUP, 129),
        ("local", True, signal.SIGTERM, 143),
    ],
)
def test_an_interrupted_run_cleans_up_and_tells_what_there_is(clock, has_the_floor, sent, code, tmp_path):
    def begins() -> None:
        """As a script's background job, with SIGINT ignored, it is to be stopped all the same; not with nohup."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)

    waiting = BUSY.replace("20_000_000_000", "20_000_000_000_000")  # it never comes to have the floor
    with running(toy(tmp_path, 10**6, BUSY if has_the_floor else waiting), "--clock", clock, preexec_fn=begins) as run:
        _add_grandchild(run)
        if has_the_floor:
            _wait_until_it_thinks(run)
        run.process.send_signal(sent)
        ended, stderr = run.ended()
        assert ended == code
        assert len(said(stderr)) == 1, stderr
        assert run.left(1) == []
        run.check_trace()
    report = json.loads((run.out / "report.json").read_text())
    assert report["ended_early"] is True
    assert report["figures"][0]["value"] > 0, "virtual time"


def test_a_run_can_be_looked_into_while_it_goes_on(tmp_path):
    with running(endless_toy(tmp_path)) as run:
        done = subprocess.run([BELLWIRE, "trace", run.out, "--limit", "3"], capture_output=True, text=True, check=True)
        assert run.process.poll() is None
        assert f"{run.check_trace()} frames" in done.stderr
        run.process.send_signal(signal.SIGINT)
        assert run.ended()[0] == 130
    over = subprocess.run([BELLWIRE, "trace", run.out, "--limit", "3"], capture_output=True, text=True, check=True)
    assert len(over.stdout.splitlines()) == 4, "it has been written, and is shown"
    again = bellwire("--replay", run.out, "--clock", "local", "--out", tmp_path / "again")
    assert again.returncode == 1, "a million pings are not done yet"
    for name in ("trace.pcapng", "events.jsonl", "report.json"):
        assert (tmp_path / "again" / name).read_bytes() == (run.out / name).read_bytes()
    assert (tmp_path / "again" / "inputs.jsonl").read_text().count("end") == 1, "it can be done again in its turn"


def test_a_folder_in_which_a_run_writes_is_nobody_elses(tmp_path):
    with running(endless_toy(tmp_path)) as run:
        other = bellwire(toy(tmp_path, 3), "--clock", "local", "--out", run.out, "--force")
        assert (other.returncode, other.stdout) == (2, "")
        assert said(other.stderr) == [
            f"{run.out}: output folder: a run that has not ended writes there; name another one, or end that run first"
        ]
        run.process.send_signal(signal.SIGINT)
        assert run.ended()[0] == 130
        assert run.check_trace() > 0
    assert bellwire(toy(tmp_path, 3), "--clock", "local", "--out", run.out, "--force").returncode == 0


@pytest.mark.parametrize("clock", ["virtual", "local"])
def test_a_full_disk_ends_the_run_in_one_line(clock, tmp_path):
    """A limit on the size of files stands for the disk.  Nodes run on without their spools; the trace finds no room."""
    limit = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 19, 3 << 19))}
    done = bellwire(toy(tmp_path, 12_000), "--clock", clock, "--out", tmp_path / "out", **limit)
    assert done.returncode == 3
    assert len(said(done.stderr)) == 1, done.stderr
    assert "File too large" in done.stderr
    assert len(list(read_trace(tmp_path / "out" / "trace.pcapng"))) > 200
    assert run_facts(tmp_path / "out")["exit_code"] == 3


# ---------------------------------------------------------------- where the words go


@pytest.mark.parametrize(("way", "lines"), [("closed", 1), ("full", 1), ("a reader that has gone", 0)])
def test_an_output_that_takes_nothing_costs_one_line_and_nothing_else(way, lines, tmp_path):
    read, gone = os.pipe()
    os.close(read)
    # Where output is closed, what the launcher opens for its children might take its number.
    clock = "virtual" if way == "closed" else "local"
    run = command(toy(tmp_path, 10), "--out", tmp_path / "out", "--clock", clock)
    if way == "closed":
        run = ["sh", "-c", 'exec "$@" >&-', "sh", *run]
    with open("/dev/full", "w") as full:
        stdout = full if way == "full" else gone
        done = subprocess.run(run, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=PATIENCE_S)
    os.close(gone)
    assert done.returncode == 0
    assert len(said(done.stderr)) == lines, done.stderr
    assert all((tmp_path / "out" / name).stat().st_size for name in THREE)


@pytest.mark.parametrize("clock", ["virtual", "local"])
def test_a_long_run_shows_on_a_terminal_how_far_it_is(clock, tmp_path):
    ours, theirs = os.openpty()
    arguments = command(toy(tmp_path, 10**6), "--out", tmp_path / "out", "--clock", clock)
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        end = time.monotonic() + PATIENCE_S
        while shown.count(b"\r\x1b[Kvirtual time") < 2 and time.monotonic() < end:
            if select.select([ours], [], [], 1)[0]:
                shown += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
    os.close(ours)
    assert shown.count(b"\r\x1b[Kvirtual time") >= 2, shown
    assert process.returncode == 130
