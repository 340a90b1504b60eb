"""The golden vectors in protocols/vectors: checked in, and read alike by the codec, by scapy and by tshark."""

import json
import os
import subprocess

import pytest
from test_dissector import COLUMNS, UDP_KINDS, expected, field_names
from wire_samples import readings

from protocols.declare import LAYERS
from protocols.wire import HEADER_BYTES, MESSAGES, decode, parse, verify
from testbed.conformance.vectors import FOLDER, KEY, Vector, as_json, as_pcap, said, vectors
from testbed.dissector import lua

VECTORS = vectors()


def test_they_are_those_that_are_checked_in():
    """A difference means that the wire has changed: then write them anew, `python -m testbed.conformance.vectors`."""
    assert (FOLDER / "messages.json").read_text() == as_json(VECTORS)
    assert (FOLDER / "frames.pcap").read_bytes() == as_pcap(VECTORS)


def test_every_message_is_there():
    assert {(v.protocol, v.message) for v in VECTORS} == set(MESSAGES) == set(LAYERS)


@pytest.mark.parametrize("row", json.loads((FOLDER / "messages.json").read_text())["vectors"], ids=lambda r: "")
def test_codec_and_scapy_read_what_is_written(row):
    body = bytes.fromhex(row["body"])
    kind = row["protocol"], row["message"]
    message = MESSAGES[kind].unpack(body)
    assert said(message) == row["fields"]
    assert message.pack() == body
    layer = LAYERS[kind](body)
    assert bytes(layer) == body
    for name, value in row["fields"].items():
        read = readings(layer)[name]
        if isinstance(value, list):
            assert [
                {k: int(v) for k, v in readings(one).items() if k in said}
                for one, said in zip(read, value, strict=True)
            ] == value
        else:
            assert (read.hex() if isinstance(value, str) else int(read)) == value
    if row["frame"]:
        frame = bytes.fromhex(row["frame"])
        assert verify(frame, KEY)
        assert decode(parse(frame), frame[HEADER_BYTES:]) == message


def test_tshark_reads_what_is_written(require_tool, tmp_path):
    script = tmp_path / "bellwire.lua"
    script.write_text(lua())
    carried: list[Vector] = [v for v in VECTORS if v.frame]
    names = [*COLUMNS, *(name for kind in UDP_KINDS for name in field_names(kind))]
    fields = [part for name in names for part in ("-e", name)]
    command = [require_tool("tshark"), "-X", f"lua_script:{script}", "-r", FOLDER / "frames.pcap", "-T", "fields"]
    command += ["-E", "separator=|", "-E", "aggregator=,", *fields]
    home = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=home)
    rows = [dict(zip(names, line.split("|"), strict=True)) for line in done.stdout.splitlines()]
    assert len(rows) == len(carried)
    for row, vector in zip(rows, carried, strict=True):
        kind = (vector.protocol, vector.message)
        assert {name: row[name] for name in field_names(kind)} == expected(kind, vector.body)
        assert row["_ws.malformed"] == ""
