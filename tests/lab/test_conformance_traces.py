"""Verdicts from traces: wrong nodes are caught by what they say, and captures of every kind are read."""

import json
from itertools import count

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.utils import wrpcap

from protocols.reliable import first_sequence
from protocols.wire import (
    CircuitHop,
    EchoPing,
    EchoPong,
    EgpTest,
    EgpTrain,
    JobLoad,
    JobLoaded,
    JobReleased,
    JobRun,
    JobWhy,
    KeyClose,
    KeyOpen,
    KeyWhy,
    LsrHello,
    MhpError,
    MhpGen,
    MhpKind,
    MhpOutcome,
    MhpReply,
    PairUse,
    Purification,
    QnpDiscard,
    QnpInstall,
    QnpTrack,
    QtpAccept,
    QtpCorrection,
    QtpDelivered,
    QtpOpen,
    QtpService,
    QtpStatus,
    QtpTeleport,
    RelAck,
    RelData,
    RgpCat,
    RgpKind,
    RgpReady,
    SrpReserve,
    seal,
)
from testbed.conformance.catalogue import load as load_catalogue
from testbed.conformance.command import Wanted, conformance
from testbed.conformance.kit import simulate
from testbed.conformance.mutants import load as load_mutants
from testbed.conformance.scripts import load as load_scripts
from testbed.conformance.stage import BARE
from testbed.conformance.traces import load, looked
from testbed.conformance.traces.capture import Captured
from testbed.conformance.traces.tape import Tape
from testbed.conformance.traces.trace import Trace
from testbed.errors import BadInput
from testbed.trace.pcapng import PcapngWriter

RULES = load()
SCRIPTS = load_scripts()
KEY = bytes(32)
MS = 10**9
END_PS = 60_000 * MS


def made(*said, lost=()):
    """A trace of (ms, source, destination, message), each heard 1 ms later; what goes over REL is put into segments."""
    captured, sequences, segments = [], count(1), {}
    for turn, (ms, source, destination, message) in enumerate(said):
        if message.PROTOCOL not in BARE:
            n = segments[source, destination] = segments.get((source, destination), -1) + 1
            epoch = 1 << 16
            name = (message.PROTOCOL, message.MESSAGE)
            message = RelData(epoch, (first_sequence(epoch) + n) % (1 << 32), 0, *name, 0, message.pack())
        row = (message.PROTOCOL, message.MESSAGE, source, destination, 1, next(sequences), message.pack(), KEY)
        frame = seal(*row)
        captured.append((ms * MS, False, frame))
        if turn not in lost:
            captured.append(((ms + 1) * MS, True, frame))
    captured.sort(key=lambda row: row[0])
    rows = [Captured(n, t_ps, received, "", frame) for n, (t_ps, received, frame) in enumerate(captured, 1)]
    return Trace(rows, lambda a, b: KEY, END_PS)


def data(n, epoch=1 << 16):
    return RelData(epoch, (first_sequence(epoch) + n) % (1 << 32), 0, 255, 1, 0, b"")


def train(source, count=5, queue_id=1):
    return EgpTrain(1, 1, 1, queue_id, 10, 1, count, 0, 0, EgpTest.NONE, 1, 0)


def herald(slot=10, queue_ids=(1, 1), sequence=0):
    return MhpReply(MhpOutcome.PSI_PLUS, MhpError.NONE, 1, sequence, *queue_ids, slot, 1, 0)


def install(position=0):
    hops = CircuitHop(1, 2, 0, 0, 0), CircuitHop(2, 3, 255, 0, 0)
    return QnpInstall(2, 1, 1, 0, 0, 0, 0, Purification.NONE, 0, 0, position, hops)


def track(pair_id, link, sequence=0):
    return QnpTrack(2, pair_id, link, sequence, 2, 2, PairUse.DELIVER, 0, 0, 0, 0, 1)


def again(n):
    """When a segment is sent for the n-th time in vain, in first timeouts."""
    return 2**n - 1 if n < 4 else 16 * n - 49


GEN = MhpGen(MhpKind.PRODUCE, 1, 1, 10, 1, 5, 0, 1)
OPEN = QtpOpen(2, 1, QtpService.TELEPORT, 9)
LOAD = JobLoad(1, 1, 0, 1, b"")
CAT, READY = RgpCat(1, 1, RgpKind.CNOT, 7, 0, 0), RgpReady(1, 1, RgpKind.CNOT, 0)

HANDMADE = {
    "LSR-3": [made((0, 1, 2, LsrHello(1, 1, 1, 1, 0)))],
    "REL-2": [made((0, 1, 2, data(0, 0x10001)), (9, 1, 2, data(0, 0x10000))), made((0, 1, 2, data(0, 0x20000)))],
    "REL-7": [made((0, 1, 2, data(0)), (0, 2, 1, RelAck(1 << 16, data(1).sequence)), (50, 1, 2, data(0)))],
    "REL-10": [made(*((10 * again(n), 1, 2, data(0)) for n in range(260)), lost=range(260))],
    "MHP-6": [made((0, 1, 3, GEN), (9, 3, 1, herald())), made((0, 1, 3, GEN), (0, 2, 3, GEN), (9, 3, 1, herald(99)))],
    "MHP-7": [made((0, 3, 1, herald(queue_ids=(1, 2))), (0, 3, 2, herald(queue_ids=(1, 2))))],
    "EGP-2": [made((0, 2, 1, train(2)))],
    "EGP-17": [made((0, 1, 2, train(1, 0, 0)))],
    "SRP-1": [made((0, 1, 9, SrpReserve(1, 9, 3, 0, 0)), (5, 1, 9, SrpReserve(1, 8, 3, 0, 0)))],
    "QNP-5": [
        made(
            (0, 1, 2, install()), (2, 2, 3, install(1)), (5, 1, 2, track(7, 1)), (9, 2, 3, track(7, 2)),
            (20, 1, 2, QnpDiscard(2, 0, 1, 0, 0)),
        )
    ],
    "QNP-12": [made((0, 1, 2, install()))],
    "QNP-13": [made((0, 1, 2, install()), (2, 2, 3, install(1)), (5, 1, 2, track(7, 1)), (9, 2, 3, track(8, 2)))],
    "QTP-5": [
        made(
            (0, 1, 2, OPEN), (2, 2, 1, QtpAccept(2, 9)),
            *((5, 1, 2, QtpTeleport(2, index, 7 + index, QtpCorrection.I)) for index in (0, 1)),
            *((9, 2, 1, QtpDelivered(2, index, QtpStatus.OK, 9)) for index in (1, 0)),
        )
    ],
    "QTP-6": [made((0, 1, 2, OPEN), (5, 2, 1, QtpDelivered(2, 0, QtpStatus.OK, 9)))],
    "JOB-12": [made((0, 5, 1, LOAD), (9, 5, 1, LOAD._replace(lease=2)))],
    "JOB-14": [
        made((0, 5, 1, LOAD), (0, 5, 2, LOAD), (5, 1, 5, JobLoaded(1)), (9, 5, 1, JobRun(1, 3))),
    ],
    "JOB-15": [made((0, 5, 1, LOAD), (0, 5, 2, LOAD), (9, 1, 5, JobReleased(1, JobWhy.NO_PAIRS, 2, 0, 0)))],
    "KEY-8": [made((0, 1, 2, KeyOpen(1, 5, 12, 1 << 31, 8, 1, 4, 7)), (9, 1, 2, KeyClose(1, 5, KeyWhy.CLOSED, 1)))],
    "RGP-1": [made((0, 2, 1, READY), (5, 1, 2, CAT), (9, 1, 2, CAT._replace(gate=2)))],
    "RGP-10": [made((5, 1, 2, CAT), (9, 2, 1, READY))],
}  # fmt: skip
"""Traces of what no wrong node of the kit's would say, or not before its script has found it out."""


@pytest.mark.parametrize("requirement", HANDMADE)
def test_a_wrong_trace_is_caught(requirement):
    rules = [rule for rule in RULES.values() if requirement in rule.decides]
    for trace in HANDMADE[requirement]:
        assert any(looked(rule, trace)[1] for rule in rules)


@pytest.mark.parametrize("name", RULES)
def test_wrong_nodes_are_caught_by_what_they_say(name):
    rule = RULES[name]
    for requirement in set(rule.decides) - set(HANDMADE):
        wrong = [mutant for mutant in load_mutants().values() if mutant.breaks == requirement]
        performed = [(m, s) for m in wrong for s in SCRIPTS.values() if requirement in s.decides]
        assert any(_caught(rule, mutant, script) for mutant, script in performed), requirement


def _caught(rule, mutant, script):
    tape = Tape()
    with mutant.spoil():
        simulate(script, tape)
    _, broken = looked(rule, Trace(tape.captured(), script.scene.key, tape.end_ps), [script.scene.node])
    return bool(broken)


def test_rules_decide_what_there_is():
    catalogue = load_catalogue()
    for rule in RULES.values():
        assert rule.decides, rule.name
        assert set(rule.decides) <= set(catalogue), rule.name
        assert rule.text, rule.name


PING, PONG = EchoPing(5, 0, b"abc"), EchoPong(5, 1, b"abc")


def _frames(pong=PONG):
    said = ((1, 2, PING), (2, 1, pong))
    return [seal(m.PROTOCOL, m.MESSAGE, a, b, 1, 1, m.pack(), KEY) for a, b, m in said]


def _verdicts(path, **options):
    said = []
    code = conformance(Wanted(trace=path, only="echo-1", json=path.with_suffix(".json"), **options), said.append)
    document = json.loads(path.with_suffix(".json").read_text())
    return code, {row["id"]: row["verdict"] for row in document["requirements"]}, document


def test_our_own_traces_are_read(tmp_path):
    path = tmp_path / "trace.pcapng"
    with path.open("wb") as file:
        writer = PcapngWriter(file.write)
        ports = [writer.interface(name, "") for name in ("a", "b")]
        for turn, frame in enumerate(_frames()):
            ends = (1, 2) if turn == 0 else (2, 1)
            writer.packet(ports[turn], 1000 * turn, False, *ends, frame, turn)
            writer.packet(ports[1 - turn], 1000 * turn + 500, True, *ends, frame, turn)
    code, verdicts, document = _verdicts(path)
    assert (code, verdicts) == (0, {"ECHO-1": "pass"})
    evidence = [line for row in document["scripts"] for line in row["evidence"]]
    assert "frame 1, 3: node 2 keeps to it" in evidence


def test_a_live_capture_is_read(tmp_path):
    """An Ethernet capture in the old format, on any port, with a frame in it that is none of ours."""
    path = tmp_path / "live.pcap"
    ends = (("127.0.0.5", "127.0.0.6"), ("127.0.0.6", "127.0.0.5"))

    def capture(*frames):
        around = [Ether() / IP(src=a, dst=b) / UDP(sport=4000, dport=4001) for a, b in ends]
        packets = [headers / frame for headers, frame in zip(around, frames, strict=True)]
        wrpcap(str(path), [Ether() / IP() / UDP() / b"something else", *packets])

    capture(*_frames())
    assert _verdicts(path)[:2] == (0, {"ECHO-1": "pass"})
    capture(*_frames(PONG._replace(hops=2)))
    code, verdicts, document = _verdicts(path)
    assert (code, verdicts) == (1, {"ECHO-1": "fail"})
    (why,) = [row["why"] for row in document["requirements"]]
    assert "(frame 2, 3)" in why
    assert _verdicts(path, nodes=(1,))[0] == 0, "the node that is asked after has done no wrong"


def test_tags_are_looked_at_with_a_key(tmp_path):
    path = tmp_path / "live.pcap"
    packets = [Ether() / IP() / UDP(dport=57721) / frame for frame in _frames()]
    wrpcap(str(path), packets)
    said = []
    assert conformance(Wanted(trace=path, only="FRM-2", key="00" * 32), said.append) == 0
    assert conformance(Wanted(trace=path, only="FRM-2", key="11" * 32), said.append) == 1
    assert conformance(Wanted(trace=path, only="FRM-2", seed=5), said.append) == 1


@pytest.mark.parametrize(
    ("content", "what"),
    [(None, "no such file"), (b"nothing", "no capture"), (b"", "no capture")],
)
def test_what_is_no_capture_is_named(tmp_path, content, what):
    path = tmp_path / "x.pcapng"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput, match=what):
        conformance(Wanted(trace=path), lambda line: None)
