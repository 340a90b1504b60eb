"""A program's hold on a node, at the lowest level: calls and replies, in order, one at a time.

What may live here: sessions, blocking and not, and how one is come by.  The bytes stand in ``stack.runtime.session``.
"""

import json
import os
import socket
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

import anyio

from stack import standing
from stack.sdk.floor import Hold
from stack.streams import Lines

_CHUNK: Final = 1 << 16


class CallFailed(Exception):
    """The node could not serve a call; its own words."""

    def __init__(self, text: str, kind: str = "") -> None:
        super().__init__(text)
        self.kind = kind


class SessionEnded(Exception):
    """The node is gone, the run is over, or there was no session to be had."""


class Caller(Protocol):
    """What the rest of the SDK needs of a session.  The blocking one never waits for an event loop."""

    name: str
    t_ps: int

    async def ask(self, name: str, **arguments: Any) -> Any:
        """Make a call and wait for its reply.  Raises CallFailed, or SessionEnded."""

    def close(self) -> None:
        """Give the node back."""


class _End:
    """What both kinds of session have in common: the socket, and what has come over it."""

    def __init__(self, sock: socket.socket, name: str) -> None:
        self.name = name
        self.t_ps = 0
        """Node time of the last reply, in picoseconds."""
        self._sock = sock
        self._hold = Hold(sock)
        self._lines = Lines()

    def close(self) -> None:
        """Give the node back: the run may end without this program from now on."""
        self._hold.ends()
        self._sock.close()

    def _question(self, name: str, arguments: dict[str, Any]) -> bytes:
        if self._sock.fileno() < 0:
            raise SessionEnded(f"the session with {self.name} was closed here")
        return json.dumps({"call": name, "args": arguments}).encode() + b"\n"

    def _feed(self, more: bytes) -> None:
        if not more:
            raise self._over()
        self._lines.feed(more)

    def _answer(self) -> bytes | None:
        """The line that answers the last call, if it has come."""
        while (line := self._lines.next()) is not None and self._hold.takes_a_reply():
            pass
        return line

    def _over(self) -> SessionEnded:
        self._hold.ends()
        return SessionEnded(f"{self.name} is there no more: it is down, or the run is over")

    def _failed(self, error: OSError) -> SessionEnded:
        if isinstance(error, ConnectionError):  # it went before it had read what was said to it
            return self._over()
        self._hold.ends()
        return SessionEnded(f"{self.name}: {error}")

    def _value(self, line: bytes) -> Any:
        reply = json.loads(line)
        self.t_ps = reply["t_ps"]
        if "error" in reply:
            raise CallFailed(reply["error"], reply.get("kind", ""))
        return reply["value"]


class Session(_End):
    """One program's hold on one node, for programs that wait by blocking."""

    def call(self, name: str, **arguments: Any) -> Any:
        """Make a call and wait for its reply.  Raises CallFailed, or SessionEnded."""
        question = self._question(name, arguments)
        self._hold.calls()
        try:
            with suppress(BlockingIOError):  # it begins before others rest; a long one does not end before they do
                question = question[self._sock.send(question, socket.MSG_DONTWAIT) :]
            self._hold.others_rest()
            self._sock.sendall(question)
            while (line := self._answer()) is None:
                self._feed(self._sock.recv(_CHUNK))
        except OSError as error:
            raise self._failed(error) from None
        self._hold.answered()
        return self._value(line)

    async def ask(self, name: str, **arguments: Any) -> Any:
        """``call``, for code that is written for both kinds of session."""
        return self.call(name, **arguments)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncSession(_End):
    """The same under trio or asyncio.  Calls of several tasks wait for each other; one that is cancelled ends it, as
    its reply could be taken for another's."""

    def __init__(self, sock: socket.socket, name: str) -> None:
        super().__init__(sock, name)
        sock.setblocking(False)
        self._turn = anyio.Lock()

    async def ask(self, name: str, **arguments: Any) -> Any:
        async with self._turn:
            question = self._question(name, arguments)
            self._hold.calls()
            self._hold.waits()
            try:
                line = await self._answered(question)
            except OSError as error:
                raise self._failed(error) from None
            except anyio.get_cancelled_exc_class():
                self.close()
                raise
            self._hold.answered()
            self._hold.waits()
            return self._value(line)

    async def _answered(self, question: bytes) -> bytes:
        while question:
            try:
                question = question[self._sock.send(question) :]
            except BlockingIOError:
                await anyio.wait_writable(self._sock)
        while (line := self._answer()) is None:
            await anyio.wait_readable(self._sock)
            self._feed(self._sock.recv(_CHUNK))
        return line


def attach() -> Session:
    """The session that this program was started with; once.  Raises SessionEnded if it was started by hand."""
    return Session(*inherited())


def started_with() -> str | None:
    """The node at which a scenario has started this program, if it has, and its session has not been taken yet."""
    return os.environ.get("BELLWIRE_NODE", "node") if os.environ.get("BELLWIRE_SESSION") else None


def inherited() -> tuple[socket.socket, str]:
    """The socket of the session that this program was started with, and its node's name; once."""
    fd = os.environ.pop("BELLWIRE_SESSION", "")
    try:
        sock = socket.socket(fileno=int(fd))
    except (ValueError, OSError):
        raise SessionEnded(
            "there is no session to take: name this program under `programs:` in a scenario, and attach once"
        ) from None
    return sock, os.environ.get("BELLWIRE_NODE", "node")


def dialled(node: str, testbed: str | None, folder: Path | None) -> socket.socket:
    """A session with a node of a testbed that is up.  Raises SessionEnded, which says what there is instead."""
    found = standing.up(folder or standing.default_folder())
    names = ", ".join(path.name for path in found)
    if not found:
        raise SessionEnded("no testbed is up: start one (bellwire up SCENARIO), or name this program in a scenario")
    if testbed is None and len(found) > 1:
        raise SessionEnded(f"{len(found)} testbeds are up: say which, testbed=NAME, of {names}")
    place = next((path for path in found if testbed is None or path.name == testbed), None)
    if place is None:
        raise SessionEnded(f"no testbed {testbed!r} is up; there is {names}")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(str(standing.door(place, node)))
    except FileNotFoundError:
        sock.close()
        known = ", ".join(sorted(path.name for path in (place / "attach").iterdir()))
        raise SessionEnded(f"{place.name} has no node {node!r:.60}; it has {known}") from None
    except OSError as error:
        sock.close()
        raise SessionEnded(f"node {node} of {place.name} cannot be reached: {error.strerror}") from None
    return sock
