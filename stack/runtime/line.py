"""The line between the lab and a node that runs elsewhere: a TCP stream of parts (``stack.streams``).

What may live here: its bytes, and what both ends do with it.  Each part is of one of these kinds:

    HELLO    node to lab, first of all: JSON {node, token, udp: [address, port], journal: N}, N being the life whose
             journal lies on the node's machine, 0 if none does; or, on a stream of its own, {node, token, session: N}:
             from then on that stream is the one of a program that attaches
    CLOCK    lab to node, about once a second: nanoseconds of its clock; it comes back with those of the node's,
             "ASKED ANSWERED".  Who hears nothing for ``QUIET_S`` takes the other end for gone
    ORDERS   lab to node: what a node is told at birth, as JSON; under ``sessions``, by node, numbers of programs that
             attach before it begins: it opens a stream for each, see HELLO
    PACKET   both ways: a packet of the device bus (``stack.runtime.bus``)
    KILL     lab to node: its process is to be killed; with a body if its run is over, so that no other life follows
    SESSION  lab to node: a program attaches; the node opens a stream for it, see HELLO
    FILE     node to lab: more of what it has written down: NAME, a zero byte, what is to be appended
    ENDED    node to lab, last of all: the exit code of its process, in digits (-N: ended by signal N)
"""

from contextlib import suppress
from typing import Final

import trio

from stack.streams import MOST, Parts, part

HELLO, CLOCK, ORDERS, PACKET, FILE, ENDED, KILL, SESSION = range(1, 9)

OVER: Final = b"over"
QUIET_S: Final = 10.0
NEWS_EVERY_S: Final = 0.05
"""How often a node says what it has written down meanwhile: so much is lost with it if it vanishes, and what was on its
way."""
_CHUNK: Final = 1 << 16


class LineClosed(Exception):
    """The other end has gone, or speaks another language."""


class LineSilent(LineClosed):
    """Nothing has been heard of the other end for ``QUIET_S``."""


class Line:
    """One end.  Read by one task at a time; whoever has something to say says it."""

    def __init__(self, stream: trio.SocketStream, most: int = MOST) -> None:
        """``most``: how many bytes of a part are taken from whoever is not known yet."""
        self.stream = stream
        self._parts = Parts(most)
        self._one = trio.Lock()

    def trust(self) -> None:
        """The other end is known."""
        self._parts.most = MOST

    async def say(self, kind: int, body: bytes) -> None:
        """Nothing comes of it if the other end has gone: whoever reads hears of that."""
        async with self._one:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await self.stream.send_all(part(kind, body))

    async def read(self) -> tuple[int, bytes]:
        """The next part.  Raises LineClosed, or LineSilent."""
        with trio.move_on_after(QUIET_S):
            try:
                while (read := self._parts.next()) is None:
                    more = await self.stream.receive_some(_CHUNK)
                    if not more:
                        raise LineClosed
                    self._parts.feed(more)
            except (ValueError, trio.BrokenResourceError, trio.ClosedResourceError):
                raise LineClosed from None
            return read
        raise LineSilent


async def join(a: trio.SocketStream, b: trio.SocketStream) -> None:
    """Make two streams one, until either end of it is closed."""
    async with a, b, trio.open_nursery() as nursery:
        nursery.start_soon(_pour, a, b, nursery.cancel_scope)
        nursery.start_soon(_pour, b, a, nursery.cancel_scope)


async def _pour(source: trio.SocketStream, sink: trio.SocketStream, both: trio.CancelScope) -> None:
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        async for more in source:
            await sink.send_all(more)
    both.cancel()


__all__ = [
    "CLOCK",
    "ENDED",
    "FILE",
    "HELLO",
    "KILL",
    "NEWS_EVERY_S",
    "ORDERS",
    "OVER",
    "PACKET",
    "QUIET_S",
    "SESSION",
    "Line",
    "LineClosed",
    "LineSilent",
    "join",
]
