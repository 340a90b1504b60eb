"""The node's end of an attached program: one sequential session of calls and replies.

What may live here: framing and turn-taking.  What a call does is registered by the layers (``Kernel.calls``).

A session is a stream socket of JSON lines.  Program to node: ``{"call": name, "args": {...}}``.  Node to program:
``{"t_ps": node time, "value": ...}`` or ``{"t_ps": ..., "error": text}``.  From a reply until the next call the
program has the floor and emulated time stands still; waiting is a call.
"""

import json
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stack.runtime.kernel import Kernel


class CallError(Exception):
    """A call that cannot be served; its text goes back to the program, and the node lives on."""


class Session:
    """One attached program."""

    def __init__(self, kernel: "Kernel", index: int, sock: socket.socket) -> None:
        self.kernel = kernel
        self.index = index
        self.sock = sock
        self._pending = b""

    def open(self) -> None:
        self.kernel.program_opened()
        self.kernel.host.owe(self)

    def hear(self) -> None:
        """Read the program's next call (blocking) and start serving it; end of file closes the session."""
        line = self._line()
        if not line:
            self.sock.close()
            self.kernel.event("session", "detached", session=self.index)
            self.kernel.program_closed()
            return
        self.kernel.spawn(self._serve, line, name=f"session-{self.index}")

    def _line(self) -> bytes:
        while b"\n" not in self._pending:
            try:
                more = self.sock.recv(65536)
            except ConnectionError:
                more = b""
            if not more:
                return b""
            self._pending += more
        line, _, self._pending = self._pending.partition(b"\n")
        return line + b"\n"

    async def _serve(self, line: bytes) -> None:
        kernel = self.kernel
        reply: dict[str, Any]
        try:
            call = json.loads(line)
            name = call["call"]
            handler = kernel.calls.get(name)
            if handler is None:
                raise CallError(f"no call {name!r} here; there are {', '.join(sorted(kernel.calls))}")
            kernel.event("session", "call", session=self.index, call=name)
            value = await handler(**call.get("args", {}))
            reply = {"t_ps": kernel.now, "value": value}
        except (CallError, json.JSONDecodeError, KeyError, TypeError) as error:
            reply = {"t_ps": kernel.now, "error": str(error) or repr(error)}
        with suppress(OSError):  # the program is gone; the next read says so
            self.sock.sendall(json.dumps(reply).encode() + b"\n")
        kernel.host.owe(self)
