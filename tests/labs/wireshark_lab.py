"""tshark with the dissector, on captures made here or by a run.

tshark runs with a home of its own, so that scripts in the user's plugin folder do not count. Root gets a
warning on stderr and nothing else: `-X lua_script:` is honoured (tshark 4.0).
"""

import os
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from protocols.declare.header import PORT
from testbed import dissector


class Packet(NamedTuple):
    payload: bytes
    port: int = PORT


def internet_checksum(header: bytes) -> int:
    total = sum(struct.unpack(f"!{len(header) // 2}H", header))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def write_pcap(path: Path, packets: Sequence[Packet]) -> None:
    """A classic capture of raw IPv4 packets, node 1 (10.77.0.1) to node 2."""
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101))
        for number, (payload, port) in enumerate(packets):
            udp = struct.pack("!HHHH", port, port, 8 + len(payload), 0) + payload
            addresses = bytes([10, 77, 0, 1, 10, 77, 0, 2])
            head = (
                struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), number & 0xFFFF, 0x4000, 64, 17, 0)
                + addresses
            )
            head = head[:10] + struct.pack("!H", internet_checksum(head)) + head[12:]
            file.write(struct.pack("<IIII", number, 0, len(head + udp), len(head + udp)) + head + udp)


class Reader:
    """tshark with the dissector, in a folder of its own."""

    def __init__(self, tshark: str, folder: Path) -> None:
        self.tshark, self.folder = tshark, folder

    def read(
        self, packets: Sequence[Packet], names: Sequence[str], lua: str | None = None, only: str | None = None
    ) -> list[dict[str, str]]:
        """One dictionary per packet; several occurrences of a field are joined by commas."""
        capture = self.folder / "capture.pcap"
        write_pcap(capture, packets)
        return self.read_capture(capture, names, lua, only)

    def read_capture(
        self,
        capture: Path,
        names: Sequence[str],
        lua: str | None = None,
        only: str | None = None,
        twice: bool = False,
    ) -> list[dict[str, str]]:
        """The same for a capture that is there already; ``twice``: in two passes, as Wireshark reads."""
        script = self.folder / "bellwire.lua"
        script.write_text(lua or dissector.lua(), encoding="utf-8")
        command = [self.tshark, "-n", "-X", f"lua_script:{script}", "-r", str(capture), "-T", "fields"]
        command += ["-2"] if twice else []
        command += ["-Y", only] if only else []
        command += ["-E", "separator=/t", "-E", "occurrence=a", "-E", "aggregator=,"]
        for name in names:
            command += ["-e", name]
        environment = {**os.environ, "HOME": str(self.folder), "LC_ALL": "C.UTF-8"}
        environment.pop("XDG_CONFIG_HOME", None)
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=60
        )
        assert "Lua" not in done.stderr, done.stderr
        return [dict(zip(names, line.split("\t"), strict=True)) for line in done.stdout.split("\n")[:-1]]
