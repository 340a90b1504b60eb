"""Our own node as an implementation under test: ``python -m testbed.conformance.iut``, spoken to as any other.

What may live here: the bridge from the kit's published interface (docs/conformance.md) to a node of ours on the wall
clock.  The node and its host are those of every testbed.
"""

import json
import os
import socket
import sys
import threading
from typing import Any

import trio

from stack.node import Node, boot
from stack.runtime import bus as host_bus
from stack.runtime.paced import PacedHost
from testbed.conformance import bus
from testbed.conformance.adaptor import Adaptor, node_config
from testbed.conformance.sockets import UNSUPPORTED

ROLES = frozenset({"echo", "end", "station", "switch", "clock", "router", "repeater", "qpu", "controller"})


class _Host(PacedHost):
    receiver_emulates = False
    """The kit adds the delays."""


def main() -> int:
    orders = _Orders()
    configure = orders.first()["configure"]
    if configure["role"] not in ROLES:
        return UNSUPPORTED
    if configure["time"] is not None and configure["time"]["server"] is not None:
        return UNSUPPORTED  # on the wall clock it does not steer its own
    config = node_config(configure)
    wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    wire.bind(("127.0.0.1", 0))
    devices = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    devices.connect(tuple(configure["devices"]))
    addresses = {int(n): (peer["address"][0], peer["address"][1]) for n, peer in configure["peers"].items()}
    _write({"ready": {"address": list(wire.getsockname())}})
    start = orders.first()["start"]
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    host = _Host(theirs, {config.number: wire}, addresses)
    ours.send(host_bus.pack_start(start["monotonic_ns"], 1.0))
    threading.Thread(target=_commands, args=(ours, devices), daemon=True).start()
    threading.Thread(target=_answers, args=(ours, devices, host, config.number), daemon=True).start()

    def begin() -> None:
        node = boot(host, config, [])
        adaptor = Adaptor(node, _write)
        trio.lowlevel.spawn_system_task(orders.carry_out, host, node, adaptor)

    trio.run(host.run, begin)
    return 0


def _write(facts: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def _commands(ours: socket.socket, devices: socket.socket) -> None:
    """What the host reports to its plane, on the kit's device bus."""
    earlier: list[host_bus.Command] = []
    while packet := ours.recv(host_bus.PACKET_MAX):
        report = host_bus.unpack_report(packet, earlier)
        if report is None:
            continue
        for command in report.commands:
            devices.send(bus.pack(command.sequence, command.message, command.body))
        earlier = []


def _answers(ours: socket.socket, devices: socket.socket, host: PacedHost, node: int) -> None:
    while True:
        sequence, message, body = bus.unpack(devices.recv(bus.MOST_BYTES))
        answer = host_bus.Answer(node, host.wall_ps(), sequence, message, body)
        for packet in host_bus.pack_grant(host_bus.Grant(0, 0, [], [answer], [])):
            ours.send(packet)


class _Orders:
    """The upper tester's lines on standard input."""

    def __init__(self) -> None:
        self._rest = b""

    def first(self) -> dict[str, Any]:
        """The next line, waited for; the process ends with its input."""
        while b"\n" not in self._rest:
            some = os.read(sys.stdin.fileno(), 65_536)
            if not some:
                sys.exit(0)
            self._rest += some
        line, _, self._rest = self._rest.partition(b"\n")
        return dict(json.loads(line))

    async def carry_out(self, host: PacedHost, node: Node, adaptor: Adaptor) -> None:
        """Every line from now on, as an input of the node."""
        stream = trio.lowlevel.FdStream(os.dup(sys.stdin.fileno()))
        while True:
            *lines, self._rest = self._rest.split(b"\n")
            for line in lines:
                self._carry_out(host, node, adaptor, json.loads(line))
            some = await stream.receive_some()
            if not some:
                os._exit(0)
            self._rest += some

    @staticmethod
    def _carry_out(host: PacedHost, node: Node, adaptor: Adaptor, order: dict[str, Any]) -> None:
        host.wake(node.kernel, lambda: adaptor.order(order))


if __name__ == "__main__":
    sys.exit(main())
