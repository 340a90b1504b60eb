"""What a capture of loopback sees of a run in wall time is what the run's own trace says that it sent."""

import json
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from command_lab import bellwire
from scapy.layers.inet import UDP
from scapy.utils import PcapNgReader, PcapReader
from slice_lab import SCENARIOS

from protocols.declare import dissect
from protocols.wire import PORT
from testbed.trace import read_trace


def captured(folder: Path) -> subprocess.Popen[bytes]:
    """A capture of loopback that is under way; a loud skip where that cannot be."""
    program = shutil.which("dumpcap")
    if program is None:
        pytest.skip("dumpcap is not here: no live capture is compared")
    command = [program, "-q", "-i", "lo", "-f", f"udp port {PORT}", "-w", folder / "live.pcapng"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    assert process.stderr is not None
    for line in process.stderr:
        if b"Capturing on" in line:
            time.sleep(0.5)  # it says so a moment before it does
            return process
    process.wait()
    pytest.skip("nothing may be captured here (no right to lo): no live capture is compared")


def test_a_live_capture_equals_the_trace(tmp_path):
    capture = captured(tmp_path)
    try:
        scenario = SCENARIOS / "two-qpus.yaml"
        out = tmp_path / "out"
        run = bellwire(scenario, "--clock", "paced", "--dilation", "20", "--shots", "1", "--out", out)
    finally:
        time.sleep(0.5)
        capture.terminate()
        capture.communicate()
    assert run.returncode == 0, run.stderr
    facts = json.loads((out / "run.json").read_text())
    addresses = {address.partition(":")[0] for address in facts["addresses"].values()}
    seen: Counter[bytes] = Counter()
    live = tmp_path / "live.pcapng"
    reader = PcapNgReader if live.read_bytes()[:4] == b"\x0a\x0d\x0d\x0a" else PcapReader
    with reader(str(live)) as packets:
        for packet in packets:
            if UDP in packet and packet["IP"].src in addresses:
                seen[bytes(packet[UDP].payload)] += 1
    sent = Counter(f.frame for f in read_trace(out / "trace.pcapng") if f.direction == "sent")
    assert seen == sent
    assert {"Data", "Gen", "Reply"} <= {dissect(frame).lastlayer().name for frame in seen}
