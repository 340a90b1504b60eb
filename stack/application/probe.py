"""The probe: makes pairs with another node on demand, and says what came of each; every node answers for the other end.

What may live here: the two sides of that service, written as a user of the network layer would.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from protocols.pairs import Pair
from stack.network.interface import NetworkLayer
from stack.physical.interface import PhysicalLayer
from stack.runtime.kernel import Kernel, Waiter
from stack.runtime.session import CallError, whole

PURPOSE = 0x3FFF
"""The purpose id of pairs that are made to be looked at."""
_MOST = 100_000
_REMEMBERED = 4_096
_LONGEST_PS = 10**17
"""More than the day for which a `ping` may wait."""
_AHEAD = 4


class Probe:
    """Implements ``NetworkUser``.  Calls: ``pairs`` at one end, ``pairs_seen`` at the other."""

    def __init__(self, kernel: Kernel, physical: PhysicalLayer, network: NetworkLayer) -> None:
        self._kernel = kernel
        self._physical = physical
        self._network = network
        self._ours: _Asked | None = None
        self._seen: deque[tuple[int, int, int]] = deque(maxlen=_REMEMBERED)
        """Of pairs that others asked for: (head, pair id, qubit)."""
        network.listen(PURPOSE, self)
        kernel.for_programs.append(lambda: _Caller(self))
        kernel.calls["pairs_seen"] = self._call_seen

    async def call_pairs(
        self, caller: "_Caller", peer: int, number: int, minimum_fidelity: float = 0.0, max_time_ps: int = 0
    ) -> dict[str, Any]:
        """Pairs with ``peer``: [(pair id, qubit, bell index, goodness), ...], when the first was asked for and the last
        came, how many were lost after delivery, and why no more came, if so.  ``max_time_ps``: 0 for no limit."""
        if peer == self._kernel.number:
            raise CallError("a node makes no pairs with itself")
        whole("peer", peer, 1, 65535)
        whole("number", number, 1, _MOST)
        whole("max_time_ps", max_time_ps, 0, _LONGEST_PS)
        if isinstance(minimum_fidelity, bool) or not isinstance(minimum_fidelity, int | float):
            raise CallError("minimum_fidelity must be a number")
        if not 0 <= minimum_fidelity <= 1:
            raise CallError("minimum_fidelity must lie between 0 and 1")
        if self._ours is not None:
            raise CallError("this node makes pairs for somebody else already; wait for it")
        asked = self._ours = _Asked(self._kernel, number, caller)
        asked.request = self._network.request(peer, PURPOSE, self, float(minimum_fidelity), max_time_ps=max_time_ps)
        self._network.want(asked.request, asked.next(_AHEAD))
        await asked.ended.wait()
        return asked.result

    def given_up(self, caller: "_Caller") -> None:
        """This program has gone: what it asked for is wanted no more.  The next may ask when the request has ended."""
        asked = self._ours
        if asked is not None and asked.caller is caller:
            asked.next(asked.number)
            self._network.finish(asked.request)

    async def _call_seen(self, head: int) -> list[tuple[int, int]]:
        """(pair id, qubit) of the pairs that ``head`` asked for and this end has let go, oldest first; they are then
        forgotten."""
        mine = [(pair_id, qubit) for node, pair_id, qubit in self._seen if node == head]
        others = [one for one in self._seen if one[0] != head]
        self._seen.clear()
        self._seen.extend(others)
        return mine

    # -- from the network layer -----------------------------------------------------------------------------------

    def pair(self, peer: int, purpose: int, pair: Pair) -> None:
        self._physical.memory.release(pair.qubit)
        if pair.head != self._kernel.number:
            self._seen.append((pair.head, pair.pair_id, pair.qubit))
            return
        asked = self._ours
        if asked is None:
            return
        asked.result["pairs"].append((pair.pair_id, pair.qubit, pair.bell_index, pair.goodness))
        asked.result["last_ps"] = self._kernel.now
        if more := asked.next(1):
            self._network.want(asked.request, more)
        elif len(asked.result["pairs"]) == asked.number:
            self._network.finish(asked.request)

    def pair_lost(self, peer: int, purpose: int, pair: Pair) -> None:
        if self._ours is not None and pair.head == self._kernel.number:
            self._ours.result["lost"] += 1  # its qubit has been released already

    def no_pairs(self, peer: int, purpose: int, cause: str) -> None:
        asked, self._ours = self._ours, None
        if asked is not None:
            if cause != "FINISHED":
                asked.result["failed"] = cause
            asked.ended.set(None)

    def peer_finished(self, peer: int, purpose: int) -> None:
        pass


class _Caller:
    """Implements ``Holder``: a program that may ask for pairs, and go away before they have come."""

    waits = frozenset({"pairs"})

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self.calls: dict[str, Callable[..., Awaitable[Any]]] = {"pairs": self._pairs}

    async def _pairs(
        self, peer: int, number: int, minimum_fidelity: float = 0.0, max_time_ps: int = 0
    ) -> dict[str, Any]:
        return await self._probe.call_pairs(self, peer, number, minimum_fidelity, max_time_ps)

    def ended(self) -> None:
        self._probe.given_up(self)


class _Asked:
    """A request of this node."""

    def __init__(self, kernel: Kernel, number: int, caller: _Caller) -> None:
        self.number = number
        self.caller = caller
        self.request = 0
        self.ended: Waiter[None] = Waiter(kernel)
        self.result: dict[str, Any] = {"pairs": [], "lost": 0, "began_ps": kernel.now, "last_ps": 0}
        self._left = number

    def next(self, most: int) -> int:
        """How many more to ask for now, at most ``most``."""
        count = min(self._left, most)
        self._left -= count
        return count
