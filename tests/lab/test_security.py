"""docs/security.md, held: who reaches what, what strangers and bad peers can do, what a node can be made to keep."""

import json
import os
import socket
import struct
from contextlib import suppress
from pathlib import Path

import pytest
from command_lab import endless_toy, running
from plane_bench import FAR, A, B, bench

from protocols.device import Program
from protocols.ignored import Ignored
from protocols.job.results import MAX_EARLY, Results
from protocols.mhp.station import STATION_TABLE, StationInput, StationState
from protocols.wire import DeviceBits, DeviceError, DeviceFailed, DeviceStopTrain, DeviceTrain, JobGivenUp, JobResult
from testbed.conformance.fuzz import PROTOCOLS, fuzz
from testbed.conformance.mutants.frame import accepts_copies, checks_no_tag
from testbed.conformance.mutants.means import rows
from testbed.plan.compose import compose
from testbed.scenario import load_scenario

SCENARIOS = Path(__file__).parents[2] / "testbed" / "scenarios"


def listening(pids: list[int]) -> set[str]:
    """The local addresses of every internet socket of these processes."""
    inodes = set()
    for pid in pids:
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                inodes.add(os.readlink(fd).removeprefix("socket:[").removesuffix("]"))
    found = set()
    for table, family in (("tcp", 4), ("udp", 4), ("tcp6", 6), ("udp6", 6)):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes:
                words = bytes.fromhex(fields[1].partition(":")[0])
                address = b"".join(struct.pack("<I", word) for (word,) in struct.iter_unpack(">I", words))
                found.add(socket.inet_ntop(socket.AF_INET if family == 4 else socket.AF_INET6, address))
    return found


def test_nothing_listens_beyond_loopback_and_no_key_is_in_sight(tmp_path):
    scenario = endless_toy(tmp_path)
    with running(scenario, "--clock", "paced", "--mqtt", "embedded") as run:
        addresses = listening([*run.pids.values(), run.process.pid])
        assert len(addresses) >= 3
        assert all(address.startswith("127.") for address in addresses), addresses
        (keys,) = (path for path in run.out.iterdir() if path.name.startswith("keys"))
        assert keys.stat().st_mode & 0o777 == 0o600
        secrets = [text for text in keys.read_text().replace('"', " ").split() if len(text.strip(",")) == 64]
        assert secrets
        for pid in run.pids.values():
            for name in ("cmdline", "environ"):
                shown = Path(f"/proc/{pid}/{name}").read_text()
                assert not any(secret.strip(",") in shown for secret in secrets), name


def test_a_node_is_told_its_own_keys_only():
    plan = compose(load_scenario(SCENARIOS / "data-centre.yaml"), "paced", [])
    told = {config.number: config.keys for config in plan.nodes}
    for number, keys in told.items():
        assert number not in keys
        for peer, key in keys.items():
            assert told[peer][number] == key, "the two nodes of a pair share its key"
    pairs = {key for keys in told.values() for key in keys.values()}
    assert 2 * len(pairs) == sum(map(len, told.values())), "and nobody else does"
    assert "keys" not in json.dumps(plan.nodes[0].to_json()["paths"])


def test_a_node_cannot_touch_the_qubits_of_another():
    """Handles name a qubit of whoever commands: the same number is another qubit at each node."""
    lab = bench()
    mine, theirs = lab.data(A), lab.data(B)
    assert mine == theirs
    lab.ask(B, 0, Program().init(theirs).turn_x(theirs, (1 << 31) - 1))
    lab.ask(A, 10**6, Program().init(mine))
    for qubit in range(4, 70):  # indices that node A does not have
        handle = qubit << 16 | 1
        _, answer = lab.ask(A, 10**7 + qubit * 10**6, Program().init(handle))
        assert answer == DeviceFailed(DeviceError.FOREIGN, 0)
    for t, command in ((10**9, DeviceTrain(1, lab.communication(FAR, 0), 9_000, 1, 1, 0)), (2 * 10**9, None)):
        message = command or DeviceStopTrain(1, lab.communication(FAR, 0))
        assert lab.ask(FAR, t, message)[1] == DeviceFailed(DeviceError.NO_LINK, 0)
    _, answer = lab.ask(B, 3 * 10**9, Program().measure(theirs))
    assert answer == DeviceBits(b"\1")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_hostile_frames_break_nothing(protocol):
    tally = fuzz(protocol, 400, seed=3)
    assert tally.findings == ()
    assert tally.frames >= 400
    assert tally.lines > 100


@pytest.mark.parametrize("wrong", [checks_no_tag, accepts_copies])
def test_the_fuzzer_sees_what_a_stranger_changes(wrong):
    with wrong():
        tally = fuzz("ECHO", 2_000, seed=1)
    assert any("forged" in finding.what for finding in tally.findings)


def test_the_fuzzer_sees_a_move_that_no_table_has():
    with rows(STATION_TABLE, {}):
        del STATION_TABLE[StationState.HALF, StationInput.MISMATCH]
        tally = fuzz("MHP", 400, seed=1)
    assert any("KeyError" in finding.what and "station.py" in finding.what for finding in tally.findings)


def test_the_same_seed_does_the_same():
    assert fuzz("SRP", 300, seed=5)._replace(lines=0) == fuzz("SRP", 300, seed=5)._replace(lines=0)


def test_results_that_nobody_expects_are_kept_up_to_a_bound():
    machine = Results()
    for number in range(MAX_EARLY + 3):
        machine.receive(JobResult(number, 0, 1), 2, 0)
        machine.receive(JobGivenUp(number), 2, 0)
    assert machine.poll(0) == 3 * [
        Ignored(2, "JobResult", "too much came early"),
        Ignored(2, "JobGivenUp", "too much was given up"),
    ]
