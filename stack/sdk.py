"""For programs that are attached to a node: calls and replies, in order, one at a time.

What may live here: the program's end of a session (see ``stack.runtime.session`` for the node's end and the bytes).

    from stack.sdk import attach

    with attach() as node:
        answer = node.call("ping", destination=2, count=3)
        node.call("sleep", duration_ps=1_000_000)
        print(node.name, node.t_ps, answer)

From a reply until the next call emulated time stands still, however long the program thinks; waiting is a call
(``sleep``).  The run does not end before the session does, unless its scenario says when.  A program that fails ends
the run, and is named; it is excused if its node was killed by plan, or if the run was over before it was.
"""

import json
import os
import socket
from contextlib import suppress
from types import TracebackType
from typing import Any, Self


class CallFailed(Exception):
    """The node could not serve a call; its own words."""


class SessionEnded(Exception):
    """The node is gone, or the run is over."""


class Session:
    """One program's hold on one node."""

    def __init__(self, sock: socket.socket, name: str) -> None:
        self.name = name
        self.t_ps = 0
        """Node time of the last reply, in picoseconds."""
        self._stream = sock.makefile("rwb")
        self._sock = sock

    def call(self, name: str, **arguments: Any) -> Any:
        """Make a call and wait for its reply.  Raises CallFailed, or SessionEnded."""
        question = json.dumps({"call": name, "args": arguments}).encode() + b"\n"
        if self._stream.closed:
            raise SessionEnded(f"the session with {self.name} was closed here")
        try:
            self._stream.write(question)
            self._stream.flush()
            line = self._stream.readline()
        except OSError as error:
            raise SessionEnded(f"{self.name}: {error}") from None
        if not line:
            raise SessionEnded(f"{self.name} has closed the session")
        reply = json.loads(line)
        self.t_ps = reply["t_ps"]
        if "error" in reply:
            raise CallFailed(reply["error"])
        return reply["value"]

    def close(self) -> None:
        """Give the node back: the run may end without this program from now on."""
        with suppress(OSError):  # a call that the node did not live to hear
            self._stream.close()
        self._sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def attach() -> Session:
    """The session that this program was started with; once.  Raises SessionEnded if it was started by hand."""
    fd = os.environ.pop("BELLWIRE_SESSION", "")
    try:
        sock = socket.socket(fileno=int(fd))
    except (ValueError, OSError):
        raise SessionEnded(
            "there is no session to take: name this program under `programs:` in a scenario, and attach once"
        ) from None
    return Session(sock, os.environ.get("BELLWIRE_NODE", "node"))
