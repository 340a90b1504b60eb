"""The pairs app: asks for pairs with another node, notes what came of each, and lets them go.

What may live here: the two sides of that program, written as a user of the network layer would.
"""

from typing import Any

from protocols.pairs import Pair
from stack.network.interface import NetworkLayer
from stack.physical.interface import PhysicalLayer
from stack.runtime.kernel import Kernel, Waiter

FIRST_PURPOSE = 0x4000
"""Purpose ids from here on belong to this app, one for each request of a scenario."""


class PairsApp:
    """One side of one request."""

    def __init__(self, kernel: Kernel, physical: PhysicalLayer, network: NetworkLayer) -> None:
        self._kernel = kernel
        self._physical = physical
        self._network = network

    async def app(self, arguments: dict[str, Any]) -> None:
        """A ``pairs-N`` app.  Its result: [(pair id, qubit, bell index, goodness), ...] in ``pairs``; at the head
        also when the first was asked for and the last came, and why no more came, if so."""
        side = _Side(self._kernel, self._physical, self._network, arguments)
        self._kernel.results[f"pairs-{arguments['number']}"] = side.result
        if arguments["asks"]:
            await self._kernel.sleep(arguments["at_ps"])
            side.ask()
        else:
            side.serve()
        if arguments["asks"]:
            await side.ended.wait()


class _Side:
    """Implements ``NetworkUser``."""

    def __init__(
        self, kernel: Kernel, physical: PhysicalLayer, network: NetworkLayer, arguments: dict[str, Any]
    ) -> None:
        self._kernel = kernel
        self._physical = physical
        self._network = network
        self._arguments = arguments
        self._purpose = FIRST_PURPOSE + arguments["number"]
        self._left = arguments["pairs"]
        self._request = 0
        self.ended: Waiter[None] = Waiter(kernel)
        self.result: dict[str, Any] = {"pairs": [], "lost": 0, "began_ps": 0, "last_ps": 0}

    def ask(self) -> None:
        what = self._arguments
        self.result["began_ps"] = self._kernel.now
        self._request = self._network.request(
            what["peer"],
            self._purpose,
            self,
            what["minimum_fidelity"],
            priority=what["priority"],
            pairs_per_s=what["pairs_per_s"],
            max_time_ps=what["max_time_ps"],
        )
        first = min(self._left, what["ahead"])
        self._left -= first
        self._network.want(self._request, first)

    def serve(self) -> None:
        self._network.listen(self._purpose, self, self._arguments["peer"])

    # -- from the network layer -----------------------------------------------------------------------------------

    def pair(self, peer: int, purpose: int, pair: Pair) -> None:
        result = self.result
        result["pairs"].append([pair.pair_id, pair.qubit, pair.bell_index, pair.goodness])
        result["last_ps"] = self._kernel.now
        self._physical.memory.release(pair.qubit)
        if not self._arguments["asks"]:
            return
        if self._left:
            self._left -= 1
            self._network.want(self._request, 1)
        elif len(result["pairs"]) == self._arguments["pairs"]:
            self._network.finish(self._request)

    def pair_lost(self, peer: int, purpose: int, pair: Pair) -> None:
        self.result["lost"] += 1  # its qubit has been released already

    def no_pairs(self, peer: int, purpose: int, cause: str) -> None:
        if cause != "FINISHED":
            self.result["failed"] = cause
        self.ended.set(None)

    def peer_finished(self, peer: int, purpose: int) -> None:
        pass
