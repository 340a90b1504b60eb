"""The node's end of an attached program: one sequential session of calls and replies.

What may live here: framing and turn-taking.  What a call does is registered by the layers (``Kernel.calls``).

A session is a stream socket of JSON lines.  Program to node: ``{"call": name, "args": {...}}``.  Node to program:
``{"t_ps": node time, "value": ...}`` or ``{"t_ps": ..., "error": text}``, some with a ``kind``.  From a reply until the
next call the program has the floor and emulated time stands still; waiting is a call.  The session ends when either end
closes it, and the node closes it only by ending.

After the reply to ``rest`` it does not have the floor: time goes on.  What it says next, or that it hangs up, counts
at the earliest instant of which nothing has been done by then, and it has the floor again; ``rise`` is the call that
does nothing more.  Who holds several sessions says first what is to be said in one that rests, and lets another rest
then: what has been said by then counts before time goes on.
"""

import json
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from inspect import signature
from struct import Struct
from typing import Any, Final

from stack.runtime.kernel import TIMER, Holder, Kernel, Program, Timer
from stack.streams import Lines

THINKS_S: Final = 2
"""A program that has had the floor for so long is said to keep it."""
LONGEST_CALL: Final = 1 << 24
"""Bytes of a call.  Who says more without an end has said its last."""
_TIMEVAL: Final = Struct("@ll")
_UCRED: Final = Struct("@iII")


class CallError(Exception):
    """A call that cannot be served; its text goes back to the program, and the node lives on."""

    def __init__(self, text: str, kind: str = "") -> None:
        """``kind``: one word, for programs that tell such errors apart."""
        super().__init__(text)
        self.kind = kind


class HungUp(Exception):
    """The program has gone in the middle of a call."""


def whole(name: str, value: object, least: int, most: int) -> int:
    """An argument of a call as a whole number within bounds; raises CallError."""
    if type(value) is not int or not least <= value <= most:
        raise CallError(f"{name} must be a whole number from {least} to {most}")
    return value


class Session(Program):
    """One attached program."""

    def __init__(self, kernel: Kernel, index: int, sock: socket.socket, label: str = "") -> None:
        """``label``: of one that was not there when the node booted: what it asks is written down under that name."""
        self.kernel = kernel
        self.label = label
        self.from_outside = bool(label)
        self.index = index
        self.sock = sock
        self.gone = False
        self.serving = False
        self.resting = 0
        self._lies_down = False
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL.pack(THINKS_S, 0))
        self._lines = Lines()
        self._holders: list[Holder] = []
        self._own: dict[str, Callable[..., Awaitable[Any]]] = {"rest": self._rest, "rise": self._rise}

    def open(self) -> None:
        self.kernel.results.setdefault("sessions", []).append(self.index)  # those still open at the end
        self.kernel.program_opened()
        self.kernel.host.owe(self)

    def ready(self) -> bool:
        return self in self.kernel.sessions

    def fed(self) -> bool:
        try:
            more = self.sock.recv(65536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return self._lines.ready
        except ConnectionError:
            return True
        self._lines.feed(more)
        return not more or self._lines.ready or len(self._lines) > LONGEST_CALL

    def begun(self) -> bool:
        return self.fed() or len(self._lines) > 0

    def hear(self) -> None:
        line = b"" if self.gone else self._line()
        if self.from_outside:
            what = self.deed("call", line=line.decode(errors="replace")) if line else self.deed("detach")
            self.kernel.host.input(self.kernel, what)
        if not line:
            self.kernel.sessions.remove(self)
            self.sock.close()
            self.kernel.results["sessions"].remove(self.index)
            self.kernel.event("session", "detached", session=self.index)
            for holder in self._holders:
                holder.ended()
            self.kernel.program_closed()
            return
        self.serving = True
        self.kernel.spawn(self._serve, line, name=f"session-{self.index}")

    def deed(self, do: str, **more: str) -> dict[str, Any]:
        return {"do": do, **more, "node": self.kernel.name, "session": self.label}

    def _line(self) -> bytes:
        while (line := self._lines.next()) is None:
            if len(self._lines) > LONGEST_CALL:
                return b""
            more = self._more()
            if not more:
                return b""
            self._lines.feed(more)
        return line

    def _more(self) -> bytes:
        """What comes next, nothing at the end.  Nothing else happens meanwhile, and if that lasts the host is told."""
        thinks = False
        try:
            while True:
                try:
                    return self.sock.recv(65536)
                except BlockingIOError:
                    if not thinks:
                        thinks = True
                        self.kernel.host.thinks(self.kernel, True, self._program())
        except ConnectionError:
            return b""
        finally:
            if thinks:
                self.kernel.host.thinks(self.kernel, False, 0)

    def _program(self) -> int:
        """The process at the other end; 0: one that was there before the node."""
        if not self.from_outside:
            return 0
        pid, _, _ = _UCRED.unpack(self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        return int(pid)

    async def _serve(self, line: bytes) -> None:
        kernel = self.kernel
        reply: dict[str, Any]
        try:
            name, handler, arguments = self._understood(line)
            kernel.event("session", "call", session=self.index, call=name)
            call = handler(**arguments)
            waits = name in kernel.waits or any(name in holder.waits for holder in self._holders)
            value = await (kernel.host.attend(self, call) if waits else call)
            reply = {"t_ps": kernel.now, "value": value}
        except HungUp:
            reply = {}
        except CallError as error:
            reply = {"t_ps": kernel.now, "error": str(error)} | ({"kind": error.kind} if error.kind else {})
        if reply:
            with suppress(OSError):  # the program is gone; the next read says so
                await kernel.host.reply(self, json.dumps(reply).encode() + b"\n")
        self.serving = False
        if self._lies_down:
            self._lies_down = False
            kernel.host.rest(self)
        else:
            kernel.host.owe(self)

    async def _rest(self) -> bool:
        """Have the floor no more, until the next call; whether that says anything: wall time waits for nobody.

        When a program is heard that rests depends on the machine, so it is an input to the run; one of the scenario
        is none."""
        if not self.label:
            raise CallError("a program of a scenario cannot rest: when it is heard next would depend on the machine")
        self._lies_down = True
        return not self.kernel.host.follows_the_wall

    async def _rise(self) -> None:
        """Have the floor again, as after any call."""

    def _understood(self, line: bytes) -> tuple[str, Callable[..., Awaitable[Any]], dict[str, Any]]:
        """The call's name, its handler and arguments that fit it.  Raises CallError.

        Whatever a handler raises afterwards, other than CallError, is an error of ours and ends the node.
        """
        try:
            call = json.loads(line)
            name, arguments = call["call"], call.get("args", {})
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise CallError('a call is one line of JSON, {"call": NAME, "args": {...}}') from None
        if not self._holders:
            self._holders = [make() for make in self.kernel.for_programs]
        calls = self.kernel.calls | self._own
        for holder in self._holders:
            calls = calls | holder.calls
        if not isinstance(name, str) or name not in calls:
            raise CallError(f"no call {name!r:.80} here; there are {', '.join(sorted(calls))}")
        try:
            signature(calls[name]).bind(**arguments)
        except TypeError as error:
            raise CallError(f"{name}: {error}") from None
        return name, calls[name], arguments


class _Nobody:
    """Where the answers to a replayed program go."""

    def setsockopt(self, *_: object) -> None:
        pass

    def sendall(self, data: bytes) -> None:
        pass

    def close(self) -> None:
        pass


class ReplayedSession(Session):
    """A program that is there no more: it asks what it asked when it was, at the same times or as soon after as it has
    been answered."""

    def __init__(self, kernel: Kernel, index: int, calls: list[tuple[int, str]], label: str) -> None:
        """``calls``: (true time, line), an empty line being its end; a program without one stays till it hangs up, or
        till the run's end."""
        super().__init__(kernel, index, _Nobody(), label)  # type: ignore[arg-type]
        self.from_outside = False  # all is written down already
        self._calls = deque(calls)

    def ready(self) -> bool:
        """Heard later, if it asked later."""
        if self.gone or not self._calls:
            return self.gone and super().ready()
        t_ps = self._calls[0][0]
        host = self.kernel.host
        if t_ps <= self.kernel.true_now:
            return True
        host.push(t_ps, self.kernel, TIMER, t_ps, 0, 0, Timer(t_ps, lambda: host.owe(self)))
        return False

    def _line(self) -> bytes:
        return self._calls.popleft()[1].encode()
