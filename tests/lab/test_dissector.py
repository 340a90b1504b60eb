"""The Wireshark dissector: tshark reads every field of every message as scapy does, and names what is wrong.

tshark runs with a home of its own, so that scripts in the user's plugin folder do not count. Root gets a
warning on stderr and nothing else: `-X lua_script:` is honoured (tshark 4.0).
"""

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from wire_samples import as_scapy, readings, sample
from wireshark_lab import Packet, Reader

from protocols import wire
from protocols.declare import FAMILIES, LAYERS, gen_lua, rel
from protocols.declare.fields import Enumerated, NamedBits, Records, layout, public
from protocols.declare.gen_lua import snake
from protocols.declare.header import PORT, Header
from protocols.declare.remarks import REMARKS, Weight
from testbed import dissector
from testbed.circuits import compile_jobs
from testbed.lab.local import run_local
from testbed.plan.compose import compose
from testbed.scenario import load_scenario, with_options
from testbed.trace import NodeIdentity, merge, read_trace

SCENARIOS = Path(__file__).parents[2] / "testbed" / "scenarios"
SEED = 20
ROUNDS = 15
FAMILY = {family.number: family for family in FAMILIES}
UDP_KINDS = [kind for kind in sorted(LAYERS) if FAMILY[kind[0]].on_udp]
DATA = (FAMILY[1].number, rel.Data.code)


def prefix(kind: tuple[int, int]) -> str:
    return f"bellwire.{FAMILY[kind[0]].name.lower()}.{snake(LAYERS[kind].__name__)}"


def field_names(kind: tuple[int, int]) -> list[str]:
    names = []
    for field, _, _ in layout(LAYERS[kind]):
        name = f"{prefix(kind)}.{public(field.name)}"
        if isinstance(field, Records):  # the record itself has no value
            names += [f"{name}.{public(inner.name)}" for inner, _, _ in layout(field.record)]
        else:
            names.append(name)
    return names


HEADER_NAMES = [f"bellwire.{field.name}" for field in Header.fields_desc]
COLUMNS = ["_ws.col.Protocol", "_ws.col.Info", "_ws.expert", "_ws.expert.message", "_ws.malformed"]


@pytest.fixture
def reader(require_tool: Callable[[str], str], tmp_path: Path) -> Reader:
    return Reader(require_tool("tshark"), tmp_path)


# ------------------------------------------------------------ making frames


def frame_of(kind: tuple[int, int], body: bytes, draw: random.Random) -> bytes:
    """A frame with random header fields around a body; the dissector does not look at the tag."""
    header = Header(
        protocol=kind[0],
        message=kind[1],
        flags=draw.getrandbits(8),
        length=32 + len(body),
        source=draw.getrandbits(16),
        destination=draw.getrandbits(16),
        incarnation=draw.getrandbits(16),
        sequence=draw.getrandbits(32),
        tag=draw.randbytes(16),
    )
    return bytes(header) + body


def wrapped(kind: tuple[int, int], body: bytes, draw: random.Random, **fields: int) -> bytes:
    """The body of a REL Data that carries a message."""
    values = sample(rel.Data, draw.randint) | {"protocol": kind[0], "message": kind[1], "more": 0} | fields
    return bytes(as_scapy(rel.Data, values | {"payload": body}))


def shown(value: Any) -> str:
    """How tshark prints a field's value."""
    return value.hex() if isinstance(value, bytes) else str(int(value))


def expected(kind: tuple[int, int], body: bytes) -> dict[str, str]:
    """What tshark must print for the fields of one message, by scapy's reading."""
    found: dict[str, list[str]] = {name: [] for name in field_names(kind)}
    for name, value in readings(LAYERS[kind](body)).items():
        if not isinstance(value, list):
            found[f"{prefix(kind)}.{name}"].append(shown(value))
            continue
        for record in value:
            for inner, of_record in readings(record).items():
                found[f"{prefix(kind)}.{name}.{inner}"].append(shown(of_record))
    return {name: ",".join(values) for name, values in found.items()}


def info_of(kind: tuple[int, int], body: bytes) -> str:
    """The Info column: the message's name and its key fields, code points by name."""
    read = readings(LAYERS[kind](body))
    words = [LAYERS[kind].__name__]
    for field, _, _ in layout(LAYERS[kind]):
        if field.key:
            value = read[public(field.name)]
            named = isinstance(field, Enumerated | NamedBits)
            words.append(f"{public(field.name)}={field.points(value).name if named else value}")
    return " ".join(words)


def remark_of(kind: tuple[int, int], body: bytes) -> str:
    """The expert information that the declarations want for this message."""
    remark = REMARKS.get(LAYERS[kind])
    if remark is None or (remark.field and readings(LAYERS[kind](body))[remark.field] not in remark.values):
        return ""
    weight = {Weight.NOTE: "Note", Weight.WARN: "Warning"}[remark.weight]
    return f"Expert Info ({weight}/Response): {remark.text}"


def broke(row: dict[str, str]) -> bool:
    """Whether Wireshark had to catch an error of the dissector: a Lua error, or a read beyond the frame."""
    return "Lua" in row["_ws.expert.message"] or "Exception" in row["_ws.expert.message"]


def check(
    row: dict[str, str], kind: tuple[int, int], body: bytes, carried: tuple[tuple[int, int], bytes] | None
) -> None:
    """Every field in the row is scapy's, every field of other messages is absent, nothing is malformed."""
    want = {name: "" for one in UDP_KINDS for name in field_names(one)} | expected(kind, body)
    if carried:
        want |= expected(*carried)
    got = {name: row[name] for name in want}
    assert got == want
    top = carried or (kind, body)
    assert row["_ws.col.Protocol"] == FAMILY[top[0][0]].name
    assert row["_ws.col.Info"].startswith(info_of(*top))
    # Random frames of one source may seem to come from several lives of it.
    said = re.sub(r"Expert Info \(Note/Sequence\): node \d+ in its life number \d+,?", "", row["_ws.expert"])
    wanted = [remark_of(*one) for one in (carried, (kind, body)) if one]
    assert said.strip(",") == ",".join(filter(None, wanted))
    assert row["_ws.malformed"] == ""


# ------------------------------------------------------------ tests


def test_tshark_reads_every_field_as_scapy_does(reader: Reader) -> None:
    draw = random.Random(SEED)
    cases: list[tuple[tuple[int, int], bytes, tuple[tuple[int, int], bytes] | None, bytes]] = []
    for kind in UDP_KINDS:
        for _ in range(ROUNDS):
            values = sample(LAYERS[kind], draw.randint)
            if kind == DATA:
                values["more"] = 1  # a part: with random content, a whole one would carry garbage
            body = bytes(as_scapy(LAYERS[kind], values))
            cases.append((kind, body, None, frame_of(kind, body, draw)))
            if kind[0] != DATA[0]:
                outer = wrapped(kind, body, draw)
                cases.append((DATA, outer, (kind, body), frame_of(DATA, outer, draw)))
    # Every other frame goes to a port of no meaning: there the heuristic must claim it.
    packets = [Packet(case[3], 40000 if number % 2 else PORT) for number, case in enumerate(cases)]
    names = [*COLUMNS, *HEADER_NAMES, *(name for kind in UDP_KINDS for name in field_names(kind))]
    rows = reader.read(packets, names)
    assert len(rows) == len(cases) >= ROUNDS * len(UDP_KINDS)
    for row, (kind, body, carried, frame) in zip(rows, cases, strict=True):
        header = readings(Header(frame))
        assert {name: row[f"bellwire.{name}"] for name in header} == {
            name: shown(value) for name, value in header.items()
        }
        check(row, kind, body, carried)


def test_tshark_reads_the_trace_of_a_real_run_as_scapy_does(reader: Reader, tmp_path: Path) -> None:
    """The demo's scenario, fewer shots: every frame decoded, none malformed, every field equal to scapy's reading."""
    scenario = with_options(load_scenario(SCENARIOS / "two-qpus.yaml"), shots=10)
    spools = tmp_path / "spools"
    spools.mkdir()
    plan = compose(scenario, "local", compile_jobs(scenario))
    run_local(plan, spools, {})
    merge(spools, tmp_path, [NodeIdentity(n.number, n.name, n.kind) for n in plan.nodes])
    traced = list(read_trace(tmp_path / "trace.pcapng"))
    frames = [one.frame for one in traced]
    names = [*COLUMNS, *HEADER_NAMES, *(name for kind in UDP_KINDS for name in field_names(kind))]
    rows = reader.read_capture(tmp_path / "trace.pcapng", names)
    assert len(rows) == len(frames) > 300
    seen = set()
    for row, frame, one in zip(rows, frames, traced, strict=True):
        header = Header(frame)
        way, _, row["_ws.col.Info"] = row["_ws.col.Info"].partition(" ")
        assert way == {"received": "rcvd", "sent": "sent"}[one.direction]
        # Wireshark shows a packet's comment as expert information; there must be no other.
        row["_ws.expert"] = re.sub(r"^Expert Info \(Comment/Comment\): t=\d+ ps,?", "", row["_ws.expert"])
        assert {n: row[f"bellwire.{n}"] for n in readings(header)} == {n: shown(v) for n, v in readings(header).items()}
        kind, body = (header.protocol, header.message), frame[32:]
        carried = None
        if kind == DATA:
            data = readings(rel.Data(body))
            carried = ((data["protocol"], data["message"]), data["payload"])
        check(row, kind, body, carried)
        seen.add((carried or (kind,))[0])
    assert {protocol for protocol, _ in seen} >= {2, 3, 4, 6}, "MHP, EGP, QNP and RGP were all to be seen"


def test_split_messages_are_named_and_not_misread(reader: Reader) -> None:
    draw = random.Random(SEED)
    stream = {"stream_epoch": 7}
    first = wrapped((3, 1), bytes(1100), draw, sequence=10, more=1, **stream)
    second = wrapped((3, 1), bytes(1100), draw, sequence=11, more=1, **stream)
    last = wrapped((3, 1), bytes(12), draw, sequence=12, **stream)
    whole = wrapped((3, 2), wire.EgpAddAck(0, 0).pack(), draw, sequence=13, **stream)
    header = frame_of(DATA, b"", draw)
    frames = [
        header[:4] + (32 + len(body)).to_bytes(2, "big") + header[6:] + body
        for body in (first, second, last, last, whole)
    ]
    rows = reader.read([Packet(frame) for frame in frames], COLUMNS)
    assert [row["_ws.col.Protocol"] for row in rows] == ["REL", "REL", "REL", "REL", "EGP"]
    assert all("part of EGP Add" in row["_ws.col.Info"] for row in rows[:4])
    assert rows[4]["_ws.col.Info"].startswith("AddAck link=0 create_id=0")
    assert "(REL Data sequence=13" in rows[4]["_ws.col.Info"]
    assert not any(row["_ws.expert"] for row in rows)


def test_malformed_frames_get_expert_info(reader: Reader) -> None:
    draw = random.Random(SEED)
    body = bytes(as_scapy(LAYERS[2, 1], {"kind": 0, "link": 5}))
    gen = frame_of((2, 1), body, draw)
    ping = frame_of((0, 1), bytes(6) + (1001).to_bytes(2, "big"), draw)
    carrier = wrapped((2, 1), body[:-1], draw)
    cases = {
        "1 bytes of the header's 32": gen[:1],
        "31 bytes of the header's 32": gen[:31],
        "version 2": b"\x02" + gen[1:],
        "length says 61, the frame has 62": gen + b"\0",
        "length says 61, the frame has 60": gen[:-1],
        "length says 65535": gen[:4] + b"\xff\xff" + gen[6:],
        "28 bytes of 29": frame_of((2, 1), body[:-1], draw),
        "0 bytes of 29": frame_of((2, 1), b"", draw),
        "30 bytes, not 29": frame_of((2, 1), body + b"\0", draw),
        "protocol 2 has no message 99": frame_of((2, 99), body, draw),
        "protocol 99 has no message 1": frame_of((99, 1), body, draw),
        "protocol 128 has no message 1": frame_of((128, 1), body, draw),
        "unknown code point": frame_of((2, 1), b"\x09" + body[1:], draw),
        "at most 1000, not 1001": ping,
        "8 bytes of 1009": ping,
        "28 bytes of 29 ": frame_of(DATA, carrier, draw),
    }
    rows = reader.read([Packet(frame) for frame in cases.values()], COLUMNS)
    for row, (words, frame) in zip(rows, cases.items(), strict=True):
        assert words.strip() in row["_ws.expert.message"], frame.hex()
        assert not broke(row)
    assert [row["_ws.col.Protocol"] for row in rows[:4]] == ["Bellwire", "Bellwire", "Bellwire", "MHP"]


def test_an_error_of_the_dissector_would_be_seen(reader: Reader) -> None:
    broken = dissector.lua().replace("local length = buf(", "local length = nothing(")
    outside = dissector.lua().replace("local length = buf(", "local length = buf(9000 + ")
    frame = frame_of((2, 1), bytes(29), random.Random(SEED))
    for lua in (broken, outside):
        (row,) = reader.read([Packet(frame)], COLUMNS, lua=lua)
        assert broke(row)


def test_random_bytes_never_break_the_dissector(reader: Reader) -> None:
    draw = random.Random(SEED)
    packets = []
    for kind in UDP_KINDS * 12:
        body = draw.randbytes(draw.choice([0, 1, 5, 17, 18, 30, 60, 200]))
        frame = frame_of(kind, body, draw)
        if kind == DATA and len(body) > 17:  # a carrier of garbage, of REL in REL too
            frame = (
                frame[:44]
                + bytes(draw.choice(UDP_KINDS))
                + b"\0"
                + (len(body) - 17).to_bytes(2, "big")
                + frame[49:]
            )
        packets.append(Packet(frame[: draw.choice([len(frame), draw.randrange(1, len(frame) + 1)])]))
    rows = reader.read(packets, COLUMNS)
    assert len(rows) == len(packets)
    for row in rows:
        assert not broke(row)
        assert row["_ws.col.Protocol"] in {"Bellwire", *(family.name for family in FAMILIES)}


def test_what_is_not_bellwire_is_left_alone(reader: Reader) -> None:
    draw = random.Random(SEED)
    body = bytes(as_scapy(LAYERS[2, 1], {}))
    gen = frame_of((2, 1), body, draw)
    strangers = [gen + b"\0", gen[:-1], b"\x02" + gen[1:], gen[:1] + b"\x63" + gen[2:], draw.randbytes(80)]
    rows = reader.read([Packet(payload, 40000) for payload in strangers], COLUMNS)
    assert [row["_ws.col.Protocol"] for row in rows] == ["UDP"] * len(strangers)


def test_filters_by_protocol_message_and_name(reader: Reader) -> None:
    draw = random.Random(SEED)
    add_ack = frame_of((3, 2), bytes(as_scapy(LAYERS[3, 2], {"link": 4})), draw)
    track = frame_of((4, 1), bytes(as_scapy(LAYERS[4, 1], {"bell_index": 3})), draw)
    packets = [Packet(add_ack), Packet(track)]
    for only, number in {
        "bellwire": ["1", "2"],
        "bellwire.egp": ["1"],
        "bellwire.egp.add_ack": ["1"],
        "bellwire.egp.add_ack.link == 4": ["1"],
        'bellwire.qnp.track.bell_index == "PSI_MINUS"': ["2"],
        'bellwire.protocol == "QNP"': ["2"],
    }.items():
        assert [row["frame.number"] for row in reader.read(packets, ["frame.number"], only=only)] == number


def test_lists_of_records(reader: Reader) -> None:
    """No message over UDP has a list yet; device programs do, so the generator is shown them here."""
    draw = random.Random(SEED)
    program = (128, 1)
    bodies = []
    for count in (0, 1, 2, 60):
        values = sample(LAYERS[program], draw.randint)
        ops = [sample(LAYERS[program].fields_desc[1].record, draw.randint) for _ in range(count)]
        bodies.append(bytes(as_scapy(LAYERS[program], values | {"ops": ops})))
    cut = bodies[2][:-1]
    packets = [Packet(frame_of(program, body, draw)) for body in (*bodies, cut)]
    rows = reader.read(packets, [*COLUMNS, *field_names(program)], lua=gen_lua.lua(FAMILIES))
    for row, body in zip(rows, bodies, strict=False):
        want = expected(program, body)
        assert {name: row[name] for name in want} == want
        assert row["_ws.expert"] == ""
        assert row["_ws.col.Protocol"] == "DEVICE"
    assert "38 bytes of 39" in rows[-1]["_ws.expert.message"]
