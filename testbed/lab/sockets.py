"""Loopback addresses and sockets for a run's nodes: bound here, handed down, so that there is no port race.

What may live here: finding a free part of 127.0.0.0/8, how much a receive buffer surely holds, and who may use it.
"""

import ctypes
import errno
import os
import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from ipaddress import IPv4Address
from struct import Struct

from protocols.wire import PORT
from testbed.errors import BadInput
from testbed.program import program

RECEIVE_BUFFER = 4 << 20
DATAGRAM_COST = 2560
"""Bytes of receive buffer that the kernel charges for a full frame (its own bookkeeping included), rounded up."""


_SO_ATTACH_FILTER = 26
_INSTRUCTION = Struct("=HBBI")
_LOAD_WORD, _LOAD_HALF, _IF_EQUAL, _IF_LEAST, _IF_MORE, _RETURN = 0x20, 0x28, 0x15, 0x35, 0x25, 0x06
_NETWORK_HEADER = 0xFFF00000
"""Where a socket's filter finds the IP header; at 0 it finds that of UDP (linux/filter.h)."""
_ALL = 0xFFFFFFFF


def bind_nodes(
    numbers: list[int], stock_buffers: bool = False, among_themselves: bool = False
) -> dict[int, socket.socket]:
    """One UDP socket per node, each on an address of its own: 127.X.Y.n, X.Y free for the whole run.

    ``stock_buffers`` leaves the kernel's default receive buffer (for tests).  ``among_themselves``: the kernel drops
    what anybody else sends there, so that it takes no room in a buffer whose datagrams are counted.
    """
    start = os.getpid()
    for attempt in range(2000):
        prefix = (start * 7 + attempt) % (254 * 255)
        second, third = 1 + prefix // 255, prefix % 255
        addresses = {n: f"127.{second}.{(third + n // 254) % 256}.{1 + n % 254}" for n in numbers}
        sockets: dict[int, socket.socket] = {}
        try:
            for number in numbers:
                sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                sockets[number] = sock
                if not stock_buffers:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
                if among_themselves:
                    with suppress(OSError):  # where filters are not allowed, strangers' datagrams are dropped later
                        _hear_only(sock, addresses.values())
                sock.bind((addresses[number], PORT))
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
    remedy = f"end other testbeds: {program()} down --all"
    raise BadInput("this machine", "loopback", "no free addresses in 127.0.0.0/8", remedy)


def bind_at(numbers: list[int], address: str) -> dict[int, socket.socket]:
    """One UDP socket per node at an address of this machine, each at a free port: nodes elsewhere can reach it.  Raises
    BadInput."""
    sockets: dict[int, socket.socket] = {}
    for number in numbers:
        sock = sockets[number] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        try:
            sock.bind((address, 0))
        except OSError as error:
            for other in sockets.values():
                other.close()
            problem = f"{address}: {error.strerror or error}"
            raise BadInput("command line", "--bind", problem, "name an address of this machine") from None
    return sockets


def capacity(sock: socket.socket) -> int:
    """Datagrams of any size that the socket surely holds."""
    return max(8, sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // DATAGRAM_COST)


def _hear_only(sock: socket.socket, addresses: Iterable[str]) -> None:
    """Have the kernel drop every datagram that does not come from our port of one of these addresses.

    A classic BPF program of the socket, which needs no privilege; what it drops the socket counts (SO_MEMINFO).
    """
    program = [(_LOAD_HALF, 0, 0, 0), (_IF_EQUAL, 1, 0, PORT), (_RETURN, 0, 0, 0)]
    program.append((_LOAD_WORD, 0, 0, _NETWORK_HEADER + 12))  # the source address
    for first, last in _runs(sorted(int(IPv4Address(address)) for address in addresses)):
        program += [(_IF_LEAST, 0, 2, first), (_IF_MORE, 1, 0, last), (_RETURN, 0, 0, _ALL)]
    program.append((_RETURN, 0, 0, 0))
    code = ctypes.create_string_buffer(b"".join(_INSTRUCTION.pack(*step) for step in program))
    sock.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, Struct("@HP").pack(len(program), ctypes.addressof(code))
    )


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """The first and last of each row of successive numbers."""
    starts = [n for i, n in enumerate(numbers) if i == 0 or n != numbers[i - 1] + 1]
    ends = [n for i, n in enumerate(numbers) if i == len(numbers) - 1 or n + 1 != numbers[i + 1]]
    return list(zip(starts, ends, strict=True))
