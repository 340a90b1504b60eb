"""Routing as a service of the node, beside the network layer: LSR, and a policy that makes ways of what it knows.

What may live here: the driver of ``protocols.lsr``.  How a way is chosen stands in ``stack.network.paths``.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from protocols.ignored import Ignored
from protocols.lsr.node import Lsr
from protocols.lsr.service import Changed, Forgotten, NeighbourDown, NeighbourUp, Settings
from protocols.routes import Offer, Route
from protocols.wire import ProtocolId
from stack.config import NodeConfig, Routing
from stack.network.paths import PathPolicy, policy
from stack.runtime.driver import Driver
from stack.runtime.kernel import Kernel, Timer
from stack.runtime.messenger import Messenger


class LinkStateRoutes:
    """Implements ``protocols.routes.Routes``; ``on_change`` is called when ways may have come or gone.

    News comes in bursts, for a change anywhere is told by several nodes: ``on_change`` waits a little after the first.
    """

    def __init__(
        self,
        kernel: Kernel,
        config: NodeConfig,
        routing: Routing,
        offers: Mapping[int, tuple[int, Offer]],
        messenger: Messenger,
        on_change: Callable[[], None],
    ) -> None:
        """offers: by link of this node, the neighbour at its other end and what the link can deliver."""
        self._kernel = kernel
        self._messenger = messenger
        self._on_change = on_change
        self._own = dict(offers)
        self._policy: PathPolicy = policy(routing.policy)
        self._known: dict[tuple[int, int], Sequence[Route]] = {}
        self._watched: dict[int, int] = {}
        self._burst: Timer | None = None
        self._told = 0  # topology changes of which ``on_change`` knows
        neighbours = {peer: 2 * config.paths[peer].delay_ps for peer, _ in self._own.values()}
        self._settle_ps = routing.hold_ps + 4 * max(neighbours.values(), default=0)
        machine = Lsr(config.number, config.incarnation, neighbours, config.kind == "repeater", _settings(routing))
        self._driver = Driver(kernel, machine, messenger.send, self._on_event, config.allowance_ps)
        messenger.register_bare(ProtocolId.LSR, self._driver.receive)
        messenger.on_broken(self.suspect)

    def start(self) -> None:
        """Look for the neighbours."""
        machine, now = self._driver.machine, self._kernel.now
        for link, (peer, offer) in self._own.items():
            machine.offer(link, peer, offer, now)
        machine.start(now)
        self._driver.flush()

    def paths(self, destination: int, most: int) -> Sequence[Route]:
        """Up to ``most`` ways, the best first by the node's policy."""
        known = self._known.get((destination, most))
        if known is None:
            graph = self._driver.machine.graph()
            known = self._known[destination, most] = self._policy(graph, self._kernel.number, destination, most)
        return known

    def link_lasts(self, link: int) -> bool:
        """Is a link, anywhere, up by what both its ends say, and the same since ``on_change`` was last called?"""
        return self._driver.machine.link_lasts(link, self._told)

    def watch(self, peer: int) -> None:
        """A circuit leads over this neighbour from now on: it is asked whether it is there."""
        self._driver.machine.watch(peer, self._kernel.now)
        self._driver.flush()

    def unwatch(self, peer: int) -> None:
        """The circuit has ended."""
        self._driver.machine.unwatch(peer, self._kernel.now)
        self._driver.flush()

    def suspect(self, peer: int) -> None:
        """Some layer has lost this node: is it there?"""
        if any(peer == neighbour for neighbour, _ in self._own.values()):
            self._driver.machine.suspect(peer, self._kernel.now)
            self._driver.flush()

    def load(self, link: int, promised_per_ks: int) -> None:
        """So many pairs in 1,000 s of a link of this node have been promised to circuits."""
        peer, offer = self._own[link]
        rate = max(1, offer.pairs_per_ks)
        load = min(_FULL, promised_per_ks * _FULL // rate)
        if load != offer.load:
            self._own[link] = peer, offer._replace(load=load)
            self._driver.machine.offer(link, peer, self._own[link][1], self._kernel.now)
            self._driver.flush()

    def fidelity(self, link: int, fidelity: int) -> None:
        """What the link layer believes by now of a link of this node."""
        peer, offer = self._own[link]
        # Small steps are noise of test rounds, and every word goes to all nodes.
        if abs(fidelity - offer.fidelity) >= _STEP:
            self._kernel.event("routing", "link fidelity", link=link, fidelity=fidelity)
            self._own[link] = peer, offer._replace(fidelity=fidelity)
            self._driver.machine.offer(link, peer, self._own[link][1], self._kernel.now)
            self._driver.flush()

    def _on_event(self, event: Any) -> None:
        kernel = self._kernel
        match event:
            case Changed():
                self._known.clear()
                if self._burst is None:
                    self._burst = kernel.after(self._settle_ps, self._settled)
            case NeighbourUp(peer=peer):
                kernel.event("routing", "neighbour up", peer=peer)
            case NeighbourDown(peer=peer):
                kernel.event("routing", "neighbour down", peer=peer)
                self._messenger.give_up(peer)
            case Forgotten(origin=origin):
                kernel.event("routing", "forgotten", origin=origin)
            case Ignored(message=message):
                kernel.count(f"ignored {message}")
            case _:
                raise AssertionError(f"{event} is no event of Lsr")

    def _settled(self) -> None:
        self._burst = None
        self._kernel.event("routing", "changed", nodes=len(self._driver.machine.graph()))
        self._on_change()
        self._told = self._driver.machine.database.topology_changes


_FULL = (1 << 32) - 1
_STEP = _FULL // 100


def _settings(routing: Routing) -> Settings:
    return Settings(
        routing.hello_ps,
        routing.dead_ps,
        routing.idle_hello_ps,
        routing.forget_ps,
        routing.hold_ps,
        routing.most_hold_ps,
    )
