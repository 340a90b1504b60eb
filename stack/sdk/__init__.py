"""For programs outside the node: qubits of a QPU, channels to programs at other nodes, pairs and gates between them.

    from stack.sdk import connect

    with connect("west") as qpu:                    # or: async with connect("west") as qpu, under trio or asyncio
        qubit = qpu.qubit().h()
        channel = qpu.open("east", 20)              # where a program has said qpu.listen(20)
        channel.send(qubit)                         # await channel.send(qubit)

From a reply until the next call virtual time stands still, however long the program thinks; waiting is a call
(``sleep``).  A run does not end before its programs do, unless its scenario says when.  docs/sdk.md has it all.
"""

import socket
from pathlib import Path
from types import TracebackType

from stack.sdk.group import Group, group
from stack.sdk.keys import Key, Keys, KeyStatus, Terms
from stack.sdk.plain import PlainChannel, PlainGroup, PlainKeys, PlainPairs, PlainQpu, run
from stack.sdk.qpu import (
    Channel,
    ChannelClosed,
    ChannelRefused,
    Ebit,
    GateRefused,
    NoRoom,
    Outcome,
    Pairs,
    Qpu,
    QubitLost,
)
from stack.sdk.qubits import Copy, Qubit, QubitGone
from stack.sdk.session import AsyncSession, CallFailed, Session, SessionEnded, attach, dialled, inherited, started_with


def connect(node: str | None = None, *, testbed: str | None = None, folder: Path | None = None) -> "Connection":
    """A hold on the QPU called ``node``: ``with`` it for a PlainQpu, ``async with`` it for a Qpu.

    A program that a scenario has started (``programs:``) is connected to the node that it was started at, and may leave
    the name out.  One that a person starts is connected to a node of a testbed that is up: the one called ``testbed``,
    or the only one.  ``folder``: where testbeds are looked for (default: this user's).

    Raises SessionEnded, on entering, if there is no such node to be had.
    """
    return Connection(node, testbed, folder)


class Connection:
    """What ``connect`` gives: a context of either kind, once."""

    def __init__(self, node: str | None, testbed: str | None, folder: Path | None) -> None:
        self._node, self._testbed, self._folder = node, testbed, folder
        self._open: PlainQpu | Qpu | None = None

    def __enter__(self) -> PlainQpu:
        session = Session(*self._socket())
        try:
            self._open = PlainQpu(run(Qpu(session).greet()))
        except BaseException:
            session.close()
            raise
        return self._open

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    async def __aenter__(self) -> Qpu:
        session = AsyncSession(*self._socket())
        try:
            self._open = await Qpu(session).greet()
        except BaseException:
            session.close()
            raise
        return self._open

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()

    def _socket(self) -> tuple[socket.socket, str]:
        here = started_with()
        if here is not None and self._testbed is None:
            if self._node not in (None, here):
                raise SessionEnded(f"this program was started at {here}, and cannot hold {self._node} as well")
            return inherited()
        if self._node is None:
            raise SessionEnded("no scenario has started this program: say which node it is to hold, connect(NODE)")
        return dialled(self._node, self._testbed, self._folder), self._node


__all__ = [
    "AsyncSession",
    "CallFailed",
    "Channel",
    "ChannelClosed",
    "ChannelRefused",
    "Connection",
    "Copy",
    "Ebit",
    "GateRefused",
    "Group",
    "Key",
    "KeyStatus",
    "Keys",
    "NoRoom",
    "Outcome",
    "Pairs",
    "PlainChannel",
    "PlainGroup",
    "PlainKeys",
    "PlainPairs",
    "PlainQpu",
    "Qpu",
    "Qubit",
    "QubitGone",
    "QubitLost",
    "Session",
    "SessionEnded",
    "Terms",
    "attach",
    "connect",
    "group",
]
