"""What a stranger or a bad wire sends: counted under its own name, shown in the trace, and without any effect.

First the node's interface is driven by hand: a kernel on a host that does nothing, machines of no kind.  Then a
stranger sends to the sockets of a real run.
"""

import json
import os
import signal
import socket
import time
from collections import Counter
from typing import Any

import pytest
from command_lab import PATIENCE_S, bellwire, run_facts, running, three, toy
from hypothesis import given
from hypothesis import strategies as st

from protocols.wire import EchoPing, EgpAddAck, MhpReply, ProtocolId, RelAck, derive_key, seal
from protocols.wire.codec import ON_UDP
from stack.config import NodeConfig, Path
from stack.runtime.host import Host
from stack.runtime.kernel import Kernel
from stack.runtime.messenger import Messenger
from stack.runtime.nic import Nic
from testbed.trace import read_trace

ME, PEER, STRANGER = 1, 2, 9
KEY = derive_key(1, ME, PEER)


class Tape:
    """Records what the trace would show."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def frame(self, t_ps: int, received: bool, source: int, destination: int, payload: bytes, note: str = "") -> None:
        self.notes.append(note)

    def event(self, *_: Any, **__: Any) -> None:
        raise AssertionError("a bad frame is no event")

    def close(self) -> None:
        pass


class Bench:
    def __init__(self) -> None:
        self.tape = Tape()
        self.kernel = Kernel(Host(), ME, "me", 1, self.tape)  # type: ignore[arg-type]
        self.config = config = NodeConfig(ME, "me", "qpu", 1, paths={PEER: Path("peer", 1000)}, keys={PEER: KEY.hex()})
        self.nic = Nic(self.kernel, config)
        self.heard: list[tuple[Any, int]] = []
        for protocol in ON_UDP:
            self.nic.handlers[protocol] = lambda message, source: self.heard.append((message, source))

    @property
    def state(self) -> tuple[Any, ...]:
        """All that a frame could change: what was heard, replay windows, numbers given out, what waits to happen."""
        windows = {node: vars_of(self.nic._peer(node).window) for node in self.config.paths}
        host = self.kernel.host
        return len(self.heard), windows, self.nic._sequence, len(host.heap), len(host.wakes), self.kernel.results

    def give(self, frame: bytes) -> None:
        assert self.kernel.on_frame is not None
        self.kernel.on_frame(frame)


def vars_of(thing: Any) -> dict[str, Any]:
    names = getattr(type(thing), "__slots__", None) or vars(thing)
    return {name: repr(getattr(thing, name)) for name in names}


def good(
    sequence: int = 1, incarnation: int = 1, message: Any = None, key: bytes = KEY, source: int = PEER, to: int = ME
) -> bytes:
    message = message or EchoPing(7, 0, b"x")
    return seal(message.PROTOCOL, message.MESSAGE, source, to, incarnation, sequence, message.pack(), key)


def resealed(frame: bytes, **header: int) -> bytes:
    """The frame with header bytes changed by a peer that knows the key."""
    protocol, message = header.get("protocol", frame[1]), header.get("message", frame[2])
    return seal(protocol, message, PEER, ME, 1, 1, frame[32:], KEY)


CASES: dict[str, tuple[bytes, str]] = {
    "bad tag": (good()[:31] + bytes([good()[31] ^ 1]) + good()[32:], "dropped tag"),
    "spoilt body": (good()[:-1] + b"y", "dropped tag"),
    "another key": (good(key=bytes(32)), "dropped tag"),
    "bad version": (b"\x02" + good()[1:], "dropped version"),
    "cut short": (good()[:-1], "dropped length"),
    "one byte more": (good() + b"\0", "dropped length"),
    "no header": (good()[:31], "dropped short"),
    "empty": (b"", "dropped short"),
    "of a stranger": (good(source=STRANGER, key=derive_key(1, ME, STRANGER)), "dropped address"),
    "for somebody else": (good(to=STRANGER), "dropped address"),
    "no such protocol": (resealed(good(), protocol=77), "dropped protocol"),
    "device protocol on the wire": (resealed(good(), protocol=128), "dropped protocol"),
    "no such message": (resealed(good(), message=99), "dropped message"),
    "body of another message": (resealed(good(message=RelAck(1, 2)), protocol=2, message=2), "dropped short"),
}


AUTHENTIC = ("no such protocol", "no such message", "body of another message", "device protocol on the wire")
"""Sealed by a peer: they use up their sequence number, and nothing else."""


@pytest.mark.parametrize("case", CASES)
def test_a_bad_frame_is_counted_shown_and_forgotten(case):
    frame, counter = CASES[case]
    bench = Bench()
    before = bench.state
    bench.give(frame)
    assert bench.kernel.counters == {counter: 1}
    if case not in AUTHENTIC:
        assert bench.state == before
    assert bench.tape.notes == [f"dropped: {counter.removeprefix('dropped ')}"]
    assert bench.heard == []
    bench.give(good(2))
    assert len(bench.heard) == 1, "the next good frame is heard"


def test_replays_and_frames_of_an_earlier_life_are_dropped():
    bench = Bench()
    for frame in (good(5), good(5), good(4), good(4), good(1, incarnation=2), good(6), good(1, incarnation=2)):
        bench.give(frame)
    assert len(bench.heard) == 3
    assert bench.kernel.counters == {"dropped replayed": 3, "dropped old incarnation": 1}


@given(st.data())
def test_no_mutation_of_a_good_frame_is_heard(data):
    frame = bytearray(good(message=MhpReply(1, 0, 1, 3, 4, 5, 6, 1, 0)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(frame) - 1))
        frame[at] ^= data.draw(st.integers(1, 255))
    size = data.draw(st.integers(0, len(frame) + 3))
    mutated = bytes(frame[:size]) + bytes(max(0, size - len(frame)))
    bench = Bench()
    bench.give(good(2))
    before = bench.state
    bench.give(mutated)
    if mutated != good(message=MhpReply(1, 0, 1, 3, 4, 5, 6, 1, 0)):
        assert bench.state == before
        assert sum(bench.kernel.counters.values()) == 1
        assert bench.tape.notes[-1].startswith("dropped: ")
    bench.give(good(3))
    assert bench.heard[-1] == (EchoPing(7, 0, b"x"), PEER)


@given(st.binary(max_size=1300))
def test_noise_is_dropped(noise):
    bench = Bench()
    before = bench.state
    bench.give(noise)
    assert bench.state == before
    assert sum(bench.kernel.counters.values()) == 1


# ---------------------------------------------------------------- on the sockets of a run

PINGS = {"from": "west", "to": "mid", "count": 1500, "think_s": 0.001}


def shower(frames: list[bytes], address: str) -> None:
    """A stranger on this machine sends."""
    host, _, port = address.rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for frame in frames:
            stranger.sendto(frame, (host, int(port)))
            time.sleep(0.001)


def test_what_a_stranger_sends_into_a_paced_run_is_counted_and_shown(tmp_path):
    with running(toy(tmp_path, 1, toy=PINGS), "--clock", "paced") as run:
        heard = next(f.frame for f in read_trace(run.out.parent / "peek" / "trace.pcapng") if f.node == "mid")
        bad = {
            "tag": heard[:-1] + bytes([heard[-1] ^ 1]),
            "version": b"\x09" + heard[1:],
            "length": heard + b"more",
            "short": heard[:20],
            "replayed": heard,
            "address": heard[:6] + b"\xff\xff" + heard[8:],
        }
        shower([*bad.values()] * 3, run.facts["addresses"]["mid"])
        _, stderr = run.process.communicate(timeout=PATIENCE_S)
        assert run.process.returncode == 0, stderr
    report = json.loads((run.out / "report.json").read_text())
    assert report["counters"]["mid"] == {f"dropped {reason}": 3 for reason in sorted(bad)}
    assert {f["name"]: f["value"] for f in report["figures"]}["answered"] == 1500
    notes = Counter(f.note for f in read_trace(run.out / "trace.pcapng") if f.node == "mid" and f.note)
    assert notes == {f"dropped: {reason}": 3 for reason in bad}


def test_what_a_stranger_sends_into_a_virtual_run_changes_no_byte(tmp_path):
    """There the emulator's own datagrams are counted: one that is nobody's must not pass for one of them."""
    scenario = toy(tmp_path, 4000)
    with running(scenario) as run:
        shower([b"", b"?", bytes(1200), good()] * 5, run.facts["addresses"]["mid"])
        _, stderr = run.process.communicate(timeout=PATIENCE_S)
        assert run.process.returncode == 0, stderr
    assert run_facts(run.out)["engine"]["datagrams_of_strangers"] == {"mid": 20}
    alone = bellwire(scenario, "--clock", "local", "--out", tmp_path / "alone")
    assert alone.returncode == 0, alone.stderr
    assert three(run.out) == three(tmp_path / "alone")


def test_a_flood_from_outside_neither_ends_a_virtual_run_nor_changes_a_byte_of_it(tmp_path):
    """A node that is held up is sent more than its receive buffer holds: none of it may take the room of a frame."""
    scenario = toy(tmp_path, 3000)
    with running(scenario) as run, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        host, _, port = run.facts["addresses"]["mid"].rpartition(":")
        stranger.bind(("127.0.0.1", int(port)))  # from the very port of the nodes
        os.kill(run.pids["mid"], signal.SIGSTOP)
        for size in [1200] * 6000 + [1] * 100:  # small ones fill the last gaps
            stranger.sendto(bytes(size), (host, int(port)))
        os.kill(run.pids["mid"], signal.SIGCONT)
        _, stderr = run.process.communicate(timeout=PATIENCE_S)
        assert run.process.returncode == 0, stderr
    assert run_facts(run.out)["engine"]["datagrams_of_strangers"] == {"mid": 6100}
    alone = bellwire(scenario, "--clock", "local", "--out", tmp_path / "alone")
    assert alone.returncode == 0, alone.stderr
    assert three(run.out) == three(tmp_path / "alone")


def test_a_reliable_protocol_hears_nothing_that_comes_bare():
    """An authenticated peer sends an EGP message without its sublayer: dropped and counted, however good it is."""
    bench = Bench()
    bench.nic.handlers.clear()
    messenger = Messenger(bench.kernel, bench.nic, bench.config)
    heard: list[Any] = []
    messenger.register(ProtocolId.EGP, lambda message, source: heard.append(message))
    messenger.register_bare(ProtocolId.MHP, lambda message, source: heard.append(message))
    bench.give(good(1, message=EgpAddAck(1, 2)))
    assert heard == []
    assert bench.kernel.counters == {"dropped no handler": 1}
    bench.give(good(2, message=MhpReply(1, 0, 1, 3, 4, 5, 6, 1, 0)))
    assert len(heard) == 1
