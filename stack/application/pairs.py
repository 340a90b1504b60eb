"""The pairs app: asks for pairs with another node, notes what came of each, and lets them go.

What may live here: the two sides of that program, written as a user of the network layer would.
"""

from collections import deque
from typing import Any

from protocols.pairs import Pair
from protocols.qnp.service import Delivery
from protocols.wire import EgpBases, PairKind
from stack.network.interface import Measured, NetworkLayer, Tested
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
        """A ``pairs-N`` app.  Its result: [(pair id, qubit, bell index, goodness, when), ...] in ``pairs``, [(pair id,
        basis, outcome, goodness), ...] in ``measured``; how long each early half waited for its pair in ``early_ps``,
        how many were lost; at the head also when the first was asked for and the last came, how long each was waited
        for, the last word of test rounds, and why and where it ended, if not as it should."""
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
    """Implements ``CircuitUser``."""

    def __init__(
        self, kernel: Kernel, physical: PhysicalLayer, network: NetworkLayer, arguments: dict[str, Any]
    ) -> None:
        self._kernel = kernel
        self._physical = physical
        self._network = network
        self._arguments = arguments
        self._purpose = FIRST_PURPOSE + arguments["number"]
        self._left = arguments["pairs"]
        self._came = 0
        self._request = 0
        self._early: dict[int, int] = {}  # by qubit: when it came
        self._wanted: deque[int] = deque()  # when each that has not come was wanted
        self.ended: Waiter[None] = Waiter(kernel)
        self.result: dict[str, Any] = {
            "pairs": [],
            "measured": [],
            "early_ps": [],
            "waited_ps": [],
            "lost": 0,
            "began_ps": 0,
            "last_ps": 0,
        }

    def ask(self) -> None:
        what = self._arguments
        self.result["began_ps"] = self._kernel.now
        kind, bases, peer_bases, *rest = what["delivery"]
        self._request = self._network.request(
            what["peer"],
            self._purpose,
            self,
            what["minimum_fidelity"],
            priority=what["priority"],
            pairs_per_s=what["pairs_per_s"],
            max_time_ps=what["max_time_ps"],
            delivery=Delivery(PairKind(kind), EgpBases(bases), EgpBases(peer_bases), *rest),
        )
        if what["every_ps"]:
            self._kernel.after(what["every_ps"], self._again)
        else:
            self._want(min(self._left, what["ahead"]))

    def _want(self, number: int) -> None:
        self._left -= number
        self._wanted.extend([self._kernel.now] * number)
        self._network.want(self._request, number)

    def _again(self) -> None:
        if self._left and "failed" not in self.result:
            self._kernel.after(self._arguments["every_ps"], self._again)
            self._want(1)

    def serve(self) -> None:
        self._network.listen_to_all(self._purpose, self, self._arguments["peer"])

    # -- from the network layer -----------------------------------------------------------------------------------

    def pair(self, peer: int, purpose: int, pair: Pair) -> None:
        now = self._kernel.now
        self.result["pairs"].append([pair.pair_id, pair.qubit, pair.bell_index, pair.goodness, now])
        if pair.qubit in self._early:
            self.result["early_ps"].append(now - self._early.pop(pair.qubit))
        self._physical.memory.release(pair.qubit)
        self._one_more()

    def pair_early(self, peer: int, purpose: int, qubit: int) -> None:
        self._early[qubit] = self._kernel.now

    def pair_measured(self, peer: int, purpose: int, measured: Measured) -> None:
        row = [measured.pair_id, int(measured.basis), measured.outcome, measured.goodness]
        self.result["measured"].append(row)
        self._one_more()

    def _one_more(self) -> None:
        if not self._arguments["asks"]:
            return
        self._came += 1
        self.result["last_ps"] = self._kernel.now
        self.result["waited_ps"].append(self._kernel.now - self._wanted.popleft())
        if self._left and not self._arguments["every_ps"]:
            self._want(1)
        elif self._came == self._arguments["pairs"]:
            self._network.finish(self._request)

    def pair_lost(self, peer: int, purpose: int, pair: Pair) -> None:
        self.result["lost"] += 1
        if self._early.pop(pair.qubit, None) is not None:  # else it has been released already
            self._physical.memory.release(pair.qubit)

    def tested(self, peer: int, purpose: int, tested: Tested) -> None:
        self.result["tested"] = list(tested)

    def ended_at(self, peer: int, purpose: int, node: int, error: str) -> None:
        self.result["where"] = node
        if error:
            self.result["error"] = error

    def no_pairs(self, peer: int, purpose: int, cause: str) -> None:
        if cause != "FINISHED":
            self.result["failed"] = cause
        self.ended.set(None)

    def peer_finished(self, peer: int, purpose: int) -> None:
        pass
