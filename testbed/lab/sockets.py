"""Loopback addresses and sockets for a run's nodes: bound here, handed down, so that there is no port race.

What may live here: finding a free part of 127.0.0.0/8 and how much a receive buffer surely holds.
"""

import errno
import os
import socket

from protocols.wire import PORT
from testbed.errors import BadInput

RECEIVE_BUFFER = 4 << 20
DATAGRAM_COST = 2560
"""Bytes of receive buffer that the kernel charges for a full frame (its own bookkeeping included), rounded up."""


def bind_nodes(numbers: list[int], stock_buffers: bool = False) -> dict[int, socket.socket]:
    """One UDP socket per node, each on an address of its own: 127.X.Y.n, X.Y free for the whole run.

    ``stock_buffers`` leaves the kernel's default receive buffer (for tests).
    """
    start = os.getpid()
    for attempt in range(2000):
        prefix = (start * 7 + attempt) % (254 * 255)
        second, third = 1 + prefix // 255, prefix % 255
        sockets: dict[int, socket.socket] = {}
        try:
            for number in numbers:
                sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                sockets[number] = sock
                if not stock_buffers:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
                sock.bind((f"127.{second}.{(third + number // 254) % 256}.{1 + number % 254}", PORT))
            return sockets
        except OSError as error:
            for sock in sockets.values():
                sock.close()
            if error.errno == errno.EADDRNOTAVAIL:
                raise BadInput(
                    "this machine", "loopback", "127.0.0.0/8 is not all usable", "Bellwire needs Linux"
                ) from None
            if error.errno != errno.EADDRINUSE:
                raise
    raise BadInput("this machine", "loopback", "no free addresses in 127.0.0.0/8", "end other testbeds (bellwire down)")


def capacity(sock: socket.socket) -> int:
    """Datagrams of any size that the socket surely holds."""
    return max(8, sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // DATAGRAM_COST)
