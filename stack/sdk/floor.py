"""Which of this process's sessions have the floor, and which are let rest.

What may live here: that rule, for both kinds of session.  In virtual time a session has the floor from a reply until
its next call, and time stands still.  A thread has it once, however many sessions of one testbed it has: before it
waits for the answer in one, it lets the others rest.  So time stands still while it thinks, and passes while it waits.

A session belongs to the thread that used it last: no thread lets those of another rest, for it may be about to call.
Tasks of one thread wait beside each other: there the others are let rest when one waits and, for some turns of the
event loop, none has begun a call or ended one.

What is said in a session before another is let rest counts before time goes on (``stack.runtime.session``).  So nothing
is waited for but the answer itself; those to ``rest`` and ``rise`` come before the next, and are taken then.
"""

import json
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from itertools import count
from pathlib import Path
from typing import Any, Final
from weakref import WeakValueDictionary

from stack import standing

TURNS: Final = 20
"""Of an event loop.  From an answer to the next call, where a task does not wait for anything else, it takes about
three."""


class At(Enum):
    """Where a session is."""

    FLOOR = 1
    CALL = 2
    REST = 3
    END = 4


class Hold:
    """One session's part."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._testbed = standing.behind(sock)
        """None: no floor of its is of any account."""
        self._owner = threading.get_ident()
        self._at = At.FLOOR
        self._before = 0
        """How much has been said here whose replies come before that to the next call."""
        self._number = next(_numbers)
        if self._testbed is not None:
            with _lock:
                _all[self._number] = self

    def calls(self) -> None:
        """A call is about to be said."""
        with _lock:
            self._owner = threading.get_ident()
            self._at = At.CALL

    def answered(self) -> None:
        """It has been."""
        with _lock:
            self._at = At.FLOOR

    def takes_a_reply(self) -> bool:
        """Whether a reply that has come is to what has been said here, and none that a caller waits for."""
        with _lock:
            taken = self._before > 0
            self._before -= taken
        return taken

    def others_rest(self) -> None:
        """This thread is about to wait, and with it all of its sessions."""
        with _lock:
            for other in self._beside():
                if other._at is At.FLOOR:
                    other._say("rest", At.REST)

    def ends(self) -> None:
        """The session ends, here or at its node.  If it leaves the thread without a floor, another gets it."""
        with _lock:
            _all.pop(self._number, None)
            was, self._at = self._at, At.END
            if was in (At.REST, At.END) or self._owner != threading.get_ident():
                return
            others = self._beside()
            if others and all(other._at is At.REST for other in others):
                others[-1]._say("rise", At.FLOOR)

    def _beside(self) -> list["Hold"]:
        """The others of the same thread and testbed, in the order in which they came."""
        return [one for one in _own(self._owner) if one is not self and one._testbed == self._testbed]

    def _say(self, what: str, then: At) -> None:
        """The socket has room for that: all that was said before has been heard, but for the like."""
        with suppress(OSError):  # its node is gone: the next call says so
            self._sock.send(json.dumps({"call": what}).encode() + b"\n", socket.MSG_DONTWAIT)
            self._before += 1
            self._at = then

    def waits(self) -> None:
        """A task has begun to wait for an answer, or has got one."""
        if self._testbed is not None and len(_all) > 1:
            _turns.begin()


@contextmanager
def waits_for(testbed: Path, *, in_loop: bool = False) -> Iterator[None]:
    """This thread waits for a testbed to do something, and not in a session: those that it has there rest meanwhile.
    ``in_loop``: a task of its event loop does."""
    with _lock:
        thinking = [one for one in _own(threading.get_ident()) if one._at is At.FLOOR and one._testbed == testbed]
        for one in thinking:
            one._say("rest", At.REST)
    try:
        yield
    finally:
        with _lock:
            if thinking and thinking[-1]._at is At.REST:
                thinking[-1]._say("rise", At.FLOOR)
        if thinking and in_loop:
            thinking[-1].waits()


_lock = threading.RLock()
"""Guards all holds: a thread lets those of no other rest, but may use one that another lets rest at that moment."""
_all: WeakValueDictionary[int, Hold] = WeakValueDictionary()
_numbers = count()


def _own(thread: int) -> list[Hold]:
    return [one for one in list(_all.values()) if one._owner == thread]


def _forked() -> None:
    """The sessions of its parent are none of a process that was forked off."""
    global _lock
    _lock = threading.RLock()
    _all.clear()


os.register_at_fork(after_in_child=_forked)


class _Turns(threading.local):
    """Counts the turns of this thread's event loop since something has happened in one of its sessions."""

    left = 0
    loop: object = None
    """Where they are counted now."""

    def begin(self) -> None:
        self.left = TURNS
        loop, soon = _event_loop()
        if self.loop is not loop:
            self.loop = loop
            soon(self._turn)

    def _turn(self) -> None:
        _, soon = _event_loop()
        with _lock:
            own = _own(threading.get_ident())
            waiting = [one for one in own if one._at is At.CALL]
            thinking = any(one._at is At.FLOOR for one in own)
        self.left -= 1
        if waiting and thinking and self.left > 0:
            soon(self._turn)
            return
        self.loop = None
        for one in waiting:
            one.others_rest()


def _event_loop() -> tuple[object, Callable[[Callable[[], None]], Any]]:
    """What this thread's event loop is, and how to have it call something in its next turn."""
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_run():
        token = trio.lowlevel.current_trio_token()
        return token, token.run_sync_soon
    import asyncio  # which nobody needs here who blocks

    loop = asyncio.get_running_loop()
    return loop, loop.call_soon


_turns = _Turns()
