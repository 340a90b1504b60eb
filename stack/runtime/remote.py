"""A node that nobody has started but a person, on a machine or in a network of its own: it is told where the lab is.

What may live here: the node's end of its line to the lab, and the bytes on it.  Over that line go what the node is told
at birth, its device bus, and at the end what it has written down.  Frames go over UDP, as ever.

A part of the line is a length (u32, of what follows), a kind and a body.
"""

import json
import os
import socket
import tempfile
import threading
import time
from pathlib import Path
from struct import Struct
from typing import Any, Final

from protocols.wire import PORT
from stack.runtime import bus
from stack.runtime.process import serve

HEAD: Final = Struct("!IB")
HELLO, CLOCK, ORDERS, PACKET, FILE, ENDED = range(1, 7)
MOST: Final = 1 << 26
"""Bytes of a part: files are sent in several if need be."""
_PIECE: Final = 1 << 20
_RECEIVE_BUFFER: Final = 4 << 20


def part(kind: int, body: bytes) -> bytes:
    """One part of the line."""
    return HEAD.pack(len(body), kind) + body


class LabGone(Exception):
    """The line to the lab has closed, or could not be opened; in words."""


class Line:
    """The node's end, read by one thread at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._stream = sock.makefile("rb")
        self._lock = threading.Lock()

    def send(self, kind: int, body: bytes) -> None:
        with self._lock:
            self._sock.sendall(part(kind, body))

    def read(self) -> tuple[int, bytes]:
        """Raises LabGone."""
        try:
            head = self._stream.read(HEAD.size)
            if len(head) == HEAD.size:
                length, kind = HEAD.unpack(head)
                body = self._stream.read(min(length, MOST))
                if len(body) == length:
                    return kind, body
        except OSError:
            pass
        raise LabGone("the lab has closed the line")


def run_node(node: str, lab: tuple[str, int], token: str, address: str) -> int:
    """Be ``node`` of the lab's run until it ends, with frames at ``address``; the exit code.

    Raises LabGone, or OSError if the address is not ours or taken.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        udp.bind((address, PORT))
        try:
            sock = socket.create_connection(lab, timeout=10.0)
        except OSError as error:
            raise LabGone(f"{lab[0]}:{lab[1]}: {error.strerror or error}") from None
        with sock:
            return _served(node, token, udp, sock)


def _served(node: str, token: str, udp: socket.socket, sock: socket.socket) -> int:
    """From the first word to the last."""
    sock.settimeout(None)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line = Line(sock)
    line.send(HELLO, json.dumps({"node": node, "token": token, "udp": udp.getsockname()}).encode())
    while True:
        kind, body = line.read()
        if kind == CLOCK:
            line.send(CLOCK, str(time.monotonic_ns()).encode())
        elif kind == ORDERS:
            break
    with tempfile.TemporaryDirectory(prefix="bellwire-") as folder:
        code = serve(_orders(json.loads(body), line, udp, folder))
        for path in sorted(Path(folder).iterdir()):
            _send_file(line, path)
    line.send(ENDED, str(code).encode())
    return code


def _orders(told: dict[str, Any], line: Line, udp: socket.socket, folder: str) -> dict[str, Any]:
    """What the lab has told, with descriptors and places of this machine."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    lifeline, alive = os.pipe()
    threading.Thread(target=_from_lab, args=(line, ours, alive), name="from lab", daemon=True).start()
    threading.Thread(target=_to_lab, args=(line, ours), name="to lab", daemon=True).start()
    (config,) = told["nodes"]
    more = {"bus": theirs.detach(), "lifeline": lifeline, "results": folder, "inputs": os.path.join(folder, "inputs")}
    return {
        **told,
        **more,
        "nodes": [config | {"spools": folder}],
        "sockets": {config["number"]: udp.detach()},
        "sessions": {},
        "doors": {},
    }


def _from_lab(line: Line, ours: socket.socket, alive: int) -> None:
    try:
        while True:
            kind, body = line.read()
            if kind == PACKET:
                ours.send(body)
    except (LabGone, OSError):
        os.close(alive)  # ends this process, if it has not ended yet


def _to_lab(line: Line, ours: socket.socket) -> None:
    try:
        while packet := ours.recv(2 * bus.PACKET_MAX):
            line.send(PACKET, packet)
    except OSError:
        pass


def _send_file(line: Line, path: Path) -> None:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            line.send(FILE, path.name.encode() + b"\0" + piece)


__all__ = ["CLOCK", "ENDED", "FILE", "HEAD", "HELLO", "MOST", "ORDERS", "PACKET", "LabGone", "part", "run_node"]
