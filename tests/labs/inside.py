"""Programs that run within their node's process, as test code.

What may live here: how such a program is attached.  What it does is in the tests.
"""

from typing import Any

import trio

from stack.node import Node
from stack.runtime.session import CallError
from stack.sdk import CallFailed


class HungUp(Exception):
    """A program that has hung up makes no more calls."""


class Inside:
    """A session without a socket: the calls of a program that runs within its node's process.  Is a ``Caller``.

    It may hang up in the midst of a call, as programs do beside a ``paced`` testbed: then ``ask`` raises HungUp, at
    once if the call is one that can be given up, else when it has been served.
    """

    def __init__(self, node: Node) -> None:
        self.holders: list[Any] = [make() for make in node.kernel.for_programs]
        self.qubits = next((holder._qubits for holder in self.holders if "qubit" in holder.calls), None)
        self.calls = node.kernel.calls | {name: call for holder in self.holders for name, call in holder.calls.items()}
        self.waits = node.kernel.waits.union(*(holder.waits for holder in self.holders))
        self.name = node.config.name
        self.kernel = node.kernel
        self.t_ps = 0
        self._there = True
        self._call = trio.CancelScope()

    async def ask(self, name: str, **arguments: Any) -> Any:
        with trio.CancelScope() as call:
            if name in self.waits:
                self._call = call
            if self._there:
                try:
                    answer = await self.calls[name](**arguments)
                except CallError as error:
                    raise CallFailed(str(error), error.kind) from None
                if self._there:
                    return answer
        raise HungUp

    def hang_up(self) -> None:
        """From synchronous code of the node; whoever is in ``ask`` closes."""
        self._there = False
        self._call.cancel()

    def close(self) -> None:
        for holder in self.holders:
            holder.ended()
