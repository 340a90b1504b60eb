"""Merged traces: the order of their records, the bytes of their files, and who can read them after what."""

import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP

from stack.record import Recorder
from testbed.trace import MergeResult, NodeIdentity, TracedFrame, merge, read_events, read_trace
from testbed.trace.pcapng import PcapngWriter

NODES = [NodeIdentity(1, "ada", "qpu"), NodeIdentity(300, "mid", "station"), NodeIdentity(2, "béla", "qpu")]
REPOSITORY = Path(__file__).resolve().parents[2]


def blocks(data: bytes) -> Iterator[tuple[int, int]]:
    """Where the blocks of a pcapng file begin, and how long they are."""
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at + 4 : at + 8])
        yield at, length
        at += length


@pytest.fixture
def small_run(tmp_path: Path) -> Path:
    """Two nodes and a station, one restart, every mark; merged in place."""
    with Recorder(tmp_path / "1.spool", 1, 0) as ada, Recorder(tmp_path / "2.spool", 2, 0) as bela:
        ada.frame(1_000_001, False, 1, 300, b"gen", "lost")
        ada.frame(1_000_999, False, 1, 2, b"ping" * 200)
        ada.event(1_000_999, "link", "asked", create_id=17, peer="béla", kept=True)
        bela.frame(3_600_000_000_000_001, True, 1, 2, b"ping" * 200, "duplicate")
        bela.event(3_600_000_000_000_001, "link", "refused", reason="line\nand \u2028 \ud800 end")
    with (
        Recorder(tmp_path / "1b.spool", 1, 1) as again,
        Recorder(tmp_path / "300.spool", 300, 0) as mid,
    ):
        mid.frame(1_000_999, True, 1, 300, b"", "corrupted, delayed")
        again.event(1_000_999, "node", "up")
    merge(tmp_path, tmp_path, NODES)
    return tmp_path


def test_trace_comes_back_as_recorded(small_run: Path) -> None:
    assert list(read_trace(small_run / "trace.pcapng")) == [
        TracedFrame(1_000_001, "ada", "sent", "lost", b"gen"),
        TracedFrame(1_000_999, "ada", "sent", "", b"ping" * 200),
        TracedFrame(1_000_999, "mid", "received", "corrupted, delayed", b""),
        TracedFrame(3_600_000_000_000_001, "béla", "received", "duplicate", b"ping" * 200),
    ]


def test_events_come_back_as_recorded_with_their_keys_in_order(small_run: Path) -> None:
    events = list(read_events(small_run / "events.jsonl"))

    assert [(event["t_ps"], event["node"], event["event"]) for event in events] == [
        (1_000_999, "ada", "asked"),
        (1_000_999, "ada", "up"),
        (3_600_000_000_000_001, "béla", "refused"),
    ]
    assert list(events[0].items()) == [
        ("t_ps", 1_000_999), ("node", "ada"), ("layer", "link"), ("event", "asked"),
        ("create_id", 17), ("peer", "béla"), ("kept", True),
    ]  # fmt: skip
    assert events[2]["reason"] == "line\nand \u2028 \ud800 end"
    assert (
        (small_run / "events.jsonl")
        .read_bytes()
        .startswith(
            '{"t_ps":1000999,"node":"ada","layer":"link","event":"asked","create_id":17,"peer":"béla","kept":true}\n'.encode()
        )
    )


def test_headers_are_sound(tmp_path: Path) -> None:
    packets: list[bytes] = []
    writer = PcapngWriter(packets.append)
    interface = writer.interface("ada", "qpu")
    for source, destination, size, number in (
        (1, 2, 0, 0),
        (65535, 65535, 1172, 65535),
        (258, 9, 77, 70_000),
    ):
        packets.clear()
        writer.packet(interface, 0, False, source, destination, b"\xff" * size, number)
        packet = IP(packets[0][28 : 28 + 28 + size])
        assert (packet.src, packet.dst) == (
            f"10.77.{source >> 8}.{source & 255}",
            f"10.77.{destination >> 8}.{destination & 255}",
        )
        assert (packet.id, packet.len, packet.proto, str(packet.flags)) == (
            number & 0xFFFF,
            size + 28,
            17,
            "DF",
        )
        words = [int.from_bytes(bytes(packet)[n : n + 2]) for n in range(0, 20, 2)]
        assert sum(words) % 0xFFFF == 0  # RFC 791: the one's complement sum over the header is all ones
        assert (packet[UDP].sport, packet[UDP].dport, packet[UDP].len, packet[UDP].chksum) == (
            57721,
            57721,
            size + 8,
            0,
        )
        assert bytes(packet[UDP].payload) == b"\xff" * size


def test_blocks_are_whole_words_and_say_their_length_twice(small_run: Path) -> None:
    data = (small_run / "trace.pcapng").read_bytes()

    for at, length in blocks(data):
        assert length % 4 == 0
        assert data[at + length - 4 : at + length] == data[at + 4 : at + 8]
    kinds = [int.from_bytes(data[at : at + 4]) for at, _ in blocks(data)]
    assert kinds == [0x0A0D0D0A, 1, 1, 1, 6, 6, 6, 6]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([(1, 0), (1, 1), (2, 0), (300, 5)]),  # node and incarnation
            st.integers(0, 3),  # picoseconds since the record before: many ties
            st.booleans(),  # a frame or an event
        ),
        max_size=60,
    )
)
def test_the_order_is_time_node_incarnation_counter(
    tmp_path_factory: pytest.TempPathFactory, script: list[tuple[tuple[int, int], int, bool]]
) -> None:
    folder = tmp_path_factory.mktemp("order")
    expected_frames, expected_events = [], []
    recorders: dict[tuple[int, int], tuple[Recorder, Any]] = {}
    now: dict[tuple[int, int], int] = {}
    for who, pause, is_frame in script:
        if who not in recorders:
            # The name of the file says nothing: the later a spool began, the earlier it sorts.
            recorders[who] = Recorder(folder / f"{9 - len(recorders)}.spool", *who), count()
        recorder, counter = recorders[who]
        now[who] = now.get(who, 0) + pause
        key = (now[who], *who, next(counter))
        if is_frame:
            recorder.frame(now[who], False, who[0], 9, repr(key).encode())
            expected_frames.append(key)
        else:
            recorder.event(now[who], "test", "key", key=repr(key))
            expected_events.append(key)
    for recorder, _ in recorders.values():
        recorder.close()

    result = merge(folder, folder, NODES)

    assert result == MergeResult(len(expected_frames), len(expected_events), torn=0, complete=True)
    assert [f.frame.decode() for f in read_trace(folder / "trace.pcapng")] == [
        *map(repr, sorted(expected_frames))
    ]
    assert [e["key"] for e in read_events(folder / "events.jsonl")] == [*map(repr, sorted(expected_events))]


def test_bytes_depend_on_the_records_alone(tmp_path: Path) -> None:
    made = []
    for attempt, order in enumerate(([1, 2, 300], [300, 2, 1])):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        for place, number in enumerate(order):
            recorder = Recorder(folder / f"{place}.spool", number, 0, window=4096 << attempt)
            for n in range(100):
                recorder.frame(n // 7, n % 2 == 0, number, 2, b"x" * n, "lost" * (n % 3 == 0))
                recorder.event(n // 7, "link", "n", n=n)
            if attempt:
                recorder.close()  # and the other is read while it lives
        merge(folder, folder, NODES)
        made.append([(folder / name).read_bytes() for name in ("trace.pcapng", "events.jsonl")])

    assert made[0] == made[1]


def test_torn_spools_are_counted_and_empty_ones_passed_over(tmp_path: Path) -> None:
    for number in (1, 2):
        with Recorder(tmp_path / f"{number}.spool", number, 0) as recorder:
            recorder.frame(0, False, number, 9, b"whole")
            recorder.frame(1, False, number, 9, b"torn")
    with (tmp_path / "2.spool").open("r+b") as file:
        file.truncate(file.seek(0, os.SEEK_END) - 4)
    (tmp_path / "3.spool").write_bytes(b"")
    (tmp_path / "4.spool").write_bytes(bytes(4096))
    (tmp_path / "5.spool").write_bytes(b"something else entirely")

    result = merge(tmp_path, tmp_path, NODES)

    assert result == MergeResult(frames=3, events=0, torn=2, complete=True)


def test_a_spool_of_a_stranger_is_an_error_of_ours(tmp_path: Path) -> None:
    Recorder(tmp_path / "a.spool", 77, 0).close()
    with pytest.raises(ValueError, match="node 77"):
        merge(tmp_path, tmp_path, NODES)


def test_the_deadline_stops_behind_a_whole_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Recorder(tmp_path / "a.spool", 1, 0) as recorder:
        for n in range(1000):
            recorder.frame(n, False, 1, 2, b"x")
            recorder.event(n, "link", "n", n=n)
    clock = count()  # one second from each look to the next
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))

    result = merge(tmp_path, tmp_path, NODES, deadline_s=5)

    assert not result.complete
    assert result.frames == result.events == 4 * 128 / 2
    assert [frame.t_ps for frame in read_trace(tmp_path / "trace.pcapng")] == [*range(result.frames)]
    assert [event["n"] for event in read_events(tmp_path / "events.jsonl")] == [*range(result.events)]


def test_a_deadline_already_past_leaves_files_that_open(small_run: Path) -> None:
    assert merge(small_run, small_run, NODES, deadline_s=0) == MergeResult(0, 0, torn=0, complete=False)
    assert list(read_trace(small_run / "trace.pcapng")) == []
    assert list(read_events(small_run / "events.jsonl")) == []


def test_files_cut_anywhere_give_what_is_before_the_cut(small_run: Path) -> None:
    trace, events = small_run / "trace.pcapng", small_run / "events.jsonl"
    frames, lines = list(read_trace(trace)), list(read_events(events))
    whole_trace, whole_events = trace.read_bytes(), events.read_bytes()
    first_packet, _ = list(blocks(whole_trace))[4]

    seen = set()
    for cut in range(first_packet, len(whole_trace), 3):
        trace.write_bytes(whole_trace[:cut])
        some = list(read_trace(trace))
        assert some == frames[: len(some)]
        seen.add(len(some))
    assert seen == {0, 1, 2, 3}
    for cut in range(len(whole_events)):
        events.write_bytes(whole_events[:cut])
        assert list(read_events(events)) == lines[: whole_events[:cut].count(b"\n")]


def test_kill_9_in_mid_merge_leaves_a_prefix(tmp_path: Path) -> None:
    with Recorder(tmp_path / "a.spool", 1, 0) as recorder:
        for n in range(500):
            recorder.frame(n, False, 1, 2, b"x" * 100)
            recorder.event(n, "link", "n", n=n)
    program = """
import os, signal, sys
from pathlib import Path
from testbed.trace import NodeIdentity, merge, merging
merging._BUFFER = 4096
packet = merging.PcapngWriter.packet
def dying(self, interface, t_ps, *rest):
    if t_ps == 300:
        os.kill(os.getpid(), signal.SIGKILL)
    packet(self, interface, t_ps, *rest)
merging.PcapngWriter.packet = dying
merge(Path(sys.argv[1]), Path(sys.argv[1]), [NodeIdentity(1, "ada", "qpu")])
"""
    died = subprocess.run([sys.executable, "-c", program, tmp_path], cwd=REPOSITORY, check=False)

    frames = [frame.t_ps for frame in read_trace(tmp_path / "trace.pcapng")]
    events = [event["n"] for event in read_events(tmp_path / "events.jsonl")]

    assert died.returncode == -signal.SIGKILL
    assert 200 < len(frames) <= 300
    assert 200 < len(events) <= 300
    assert frames == [*range(len(frames))]
    assert events == [*range(len(events))]
    # And whoever comes after merges it all.
    assert merge(tmp_path, tmp_path, NODES) == MergeResult(500, 500, torn=0, complete=True)


def test_memory_does_not_grow_with_the_run(tmp_path: Path) -> None:
    for number in (1, 2):
        with Recorder(tmp_path / f"{number}.spool", number, 0) as recorder:
            for n in range(5000):
                recorder.frame(n, False, number, 9, b"x" * 1000)
    tracemalloc.start()
    try:
        merge(tmp_path, tmp_path, NODES)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert (tmp_path / "trace.pcapng").stat().st_size > 10_000_000
    assert peak < 4_000_000


def test_tshark_reads_it(small_run: Path, require_tool: Callable[[str], str]) -> None:
    fields = [
        "frame.time_epoch", "frame.interface_name", "frame.interface_description", "frame.comment",
        "frame.packet_flags_direction", "ip.src", "ip.dst", "ip.checksum.status", "udp.srcport",
        "udp.dstport", "udp.payload", "_ws.malformed",
    ]  # fmt: skip
    command = [require_tool("tshark"), "-r", str(small_run / "trace.pcapng"), "-T", "json"]
    command += ["-o", "ip.check_checksum:TRUE"]
    for field in fields:
        command += ["-e", field]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)
    rows = [packet["_source"]["layers"] for packet in told]

    assert [row["frame.time_epoch"][0] for row in rows] == [
        "0.000001000", "0.000001000", "0.000001000", "3600.000000000",
    ]  # fmt: skip
    assert [row["frame.comment"][0] for row in rows] == [
        "t=1000001 ps, lost",
        "t=1000999 ps",
        "t=1000999 ps, corrupted, delayed",
        "t=3600000000000001 ps, duplicate",
    ]
    assert [row["frame.interface_name"][0] for row in rows] == ["ada", "ada", "mid", "béla"]
    assert [row["frame.interface_description"][0] for row in rows] == ["qpu", "qpu", "station", "qpu"]
    assert [int(row["frame.packet_flags_direction"][0], 0) for row in rows] == [2, 2, 1, 1]
    assert [row["ip.src"][0] for row in rows] == ["10.77.0.1"] * 4
    assert [row["ip.dst"][0] for row in rows] == ["10.77.1.44", "10.77.0.2", "10.77.1.44", "10.77.0.2"]
    assert {row["ip.checksum.status"][0] for row in rows} == {"1"}  # good
    assert {(row["udp.srcport"][0], row["udp.dstport"][0]) for row in rows} == {("57721", "57721")}
    assert [bytes.fromhex(row.get("udp.payload", [""])[0]) for row in rows] == [
        b"gen", b"ping" * 200, b"", b"ping" * 200,
    ]  # fmt: skip
    assert not any("_ws.malformed" in row for row in rows)


def test_capinfos_learns_nothing_of_the_machine(small_run: Path, require_tool: Callable[[str], str]) -> None:
    command = [require_tool("capinfos"), str(small_run / "trace.pcapng")]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    assert "Capture application: bellwire" in told
    assert "nanoseconds (9)" in told
    assert "Capture hardware" not in told
    assert "Capture oper-sys" not in told
