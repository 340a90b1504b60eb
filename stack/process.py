"""A node process: ``python -m stack.process`` with the orders of one or many as JSON on standard input.

What may live here: what a process does before and after its nodes run.  Sockets are inherited; the end of the
launcher, however sudden, closes the lifeline and ends this process.

Most of the start of a node is the import of its code, which is the same for all.  So the process that the launcher
starts imports it once, forks itself for every host that is ordered, writes their process ids to standard output and
ends; each fork becomes a process like any other, with a session, a log and sockets of its own.  Orders that are no list
are for that process itself: a node on a machine of its own has nobody to share its start with.
"""

import gc
import json
import os
import socket
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

import trio

from stack.config import NodeConfig, Plight
from stack.node import boot
from stack.record import RESULT_SUFFIX
from stack.runtime.host import Host
from stack.runtime.inputs import InputLog
from stack.runtime.paced import PacedHost
from stack.runtime.virtual import CoordinatorGone, CountError, VirtualHost

EXIT_COUNT = 4
EXIT_ORPHAN = 75
"""The bus closed under us: whoever died first is to blame, not this process."""


def watch_lifeline(fd: int) -> None:
    """End this process as soon as the launcher has ended.  (The spool is a mapping: nothing of it is lost.)"""

    def wait() -> None:
        os.read(fd, 1)
        os._exit(EXIT_ORPHAN)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


PLANE = 0
"""Stands for the quantum plane where a node's number stands otherwise; nodes count from 1."""


def result_name(node: int) -> str:
    """The file, in the folder of the spools, in which a node, or the plane, leaves its results."""
    return f"{node:05}{RESULT_SUFFIX}"


def write_results(host: Host, folder: str) -> None:
    """Leave what the nodes found beside their spools; the launcher reads it after the end."""
    for kernel in host.kernels.values():
        result = {
            "results": kernel.findings,
            "counters": kernel.counters,
            "frames_lost": host.frames_lost.get(kernel.number),
            "strangers": host.strangers(kernel.number),
        }
        kernel.recorder.end()
        (Path(folder) / result_name(kernel.number)).write_text(json.dumps(result))


def _host(
    clock: str,
    bus: socket.socket,
    sockets: dict[int, socket.socket],
    addresses: dict[int, tuple[str, int]],
    room: int,
    doors: dict[int, socket.socket],
) -> VirtualHost | PacedHost:
    host = PacedHost(bus, sockets, addresses) if clock == "paced" else VirtualHost(bus, sockets, addresses, room)
    host.doors = doors
    return host


def fork_hosts(hosts: list[dict[str, Any]]) -> dict[str, Any] | None:
    """A process for each; its orders there, and None in this one when all have been forked."""
    gc.collect()
    gc.freeze()  # what has been imported stays shared: no collection of a child's writes to its pages
    pids = []
    for orders in hosts:
        pid = os.fork()
        if pid == 0:
            os.setsid()
            for stream in (sys.stdout, sys.stderr):
                os.dup2(orders["log"], stream.fileno())
            for fd in {fd for host in hosts for fd in (host["log"], *host["own"])} - set(orders["own"]):
                os.close(fd)  # a neighbour's socket is to be heard to close when the neighbour has gone
            return orders
        pids.append(pid)
    sys.stdout.write(" ".join(map(str, pids)))
    return None


def main() -> int:
    told = json.load(sys.stdin)
    orders = fork_hosts(told) if isinstance(told, list) else told
    return 0 if orders is None else serve(orders)


def serve(orders: dict[str, Any]) -> int:
    """Run the nodes of one host to their end; the exit code."""
    watch_lifeline(orders["lifeline"])
    configs = [NodeConfig.from_json(n) for n in orders["nodes"]]
    bus = socket.socket(fileno=orders["bus"])
    sockets = {int(n): socket.socket(fileno=fd) for n, fd in orders["sockets"].items()}
    addresses = {int(n): (a[0], int(a[1])) for n, a in orders["addresses"].items()}
    sessions = {int(n): [socket.socket(fileno=fd) for fd in fds] for n, fds in orders["sessions"].items()}
    doors = {int(n): socket.socket(fileno=fd) for n, fd in orders["doors"].items()}
    host = _host(orders["clock"], bus, sockets, addresses, orders["room"], doors)
    host.input_log = InputLog(orders["inputs"])
    by_number = {c.number: c for c in configs}

    def revive(node: int, t_ps: int) -> None:
        by_number[node] = by_number[node].reborn(t_ps)
        boot(host, by_number[node], [])

    def suffering(node: int, plight: Plight) -> None:
        by_number[node] = by_number[node].suffering(plight)

    host.revive = revive
    host.on_plight = suffering

    def start() -> None:
        for config in configs:
            boot(host, config, sessions.get(config.number, []))

    try:
        trio.run(host.run, start, clock=host.trio_clock)
    except BaseExceptionGroup as group:
        if group.subgroup(CoordinatorGone):
            return EXIT_ORPHAN
        broken = group.subgroup(CountError)
        if broken is None:
            raise
        traceback.print_exception(broken)
        return EXIT_COUNT
    write_results(host, orders["results"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
