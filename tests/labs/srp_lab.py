"""Nodes that lead links and a switch between them, their frames carried by hand.

What may live here: the bench of SRP's tests, which checks at every grant what must always hold.
"""

import random
from collections import Counter
from itertools import combinations
from typing import Any

from machine_pair import NO_FAULTS, Faults, Net

from protocols.srp.node import Granted, NodeSrp, Refused, SwitchPort
from protocols.srp.switch import Connect, GrantEnded, SwitchFacts, SwitchLink, SwitchSrp
from protocols.wire.codec import SrpReady

SWITCH = 99
SLOT, DELAY, ATTEMPT = 1_000, 10_000, 1_000
RECONFIGURE, LONGEST, NOTICE = 50_000, 400_000, 60_000
TRAIN = 100_000  # how long the trains of the lab last, at most


class Lab(Net):
    """Every pair of `nodes` has a link; each wants `wants` trains, one after the other.

    A granted train comes to the switch if `comes` says so, and ends at any of its slots.  Links that were never wanted
    are the test's own: it reserves for them, and nothing comes of it.
    """

    def __init__(
        self,
        nodes: int = 4,
        analysers: int = 2,
        faults: Faults = NO_FAULTS,
        seed: int = 1,
        policy: Any = None,
        stay: int = 0,
    ) -> None:
        self.links = dict(enumerate(combinations(range(1, nodes + 1), 2), start=1))
        self.lives = dict.fromkeys(range(nodes + 1), 1)
        self.facts = SwitchFacts(analysers, RECONFIGURE, LONGEST, stay)
        self.policy = policy
        machines: dict[int, Any] = {SWITCH: self.new_switch()}
        machines |= {node: self.new_node(node) for node in range(1, nodes + 1)}
        super().__init__(machines, DELAY, faults, seed, self._happened)
        self.chance = random.Random(seed)
        self.comes = 1.0
        self.wants: Counter[int] = Counter()
        self.done: Counter[int] = Counter()
        self.held: dict[int, int] = {}  # analyser by link, as the switch says
        self.together = 0  # the most grants at one time
        self.ends: list[GrantEnded] = []

    def new_switch(self) -> SwitchSrp:
        links = {number: SwitchLink(ends, SLOT, ATTEMPT) for number, ends in self.links.items()}
        return SwitchSrp(links, self.facts, self.policy)

    def new_node(self, node: int) -> NodeSrp:
        return NodeSrp({n: SwitchPort(SWITCH, 2 * DELAY) for n, ends in self.links.items() if min(ends) == node})

    @property
    def switch(self) -> SwitchSrp:
        machine = self.machines[SWITCH]
        assert isinstance(machine, SwitchSrp)
        return machine

    def want(self, link: int, trains: int = 1) -> None:
        self.wants[link] += trains
        self.reserve(link)

    def reserve(self, link: int, **changes: Any) -> None:
        master: Any = self.machines[min(self.links[link])]
        wanted = {"slots": 50, "notice_ps": NOTICE + self.faults.jitter_ps, "deadline": None}
        master.reserve(link, **(wanted | changes), now=self.now)

    def _happened(self, node: int, event: Any, now: int) -> None:
        match event:
            case Granted():
                self._train(node, event)
            case Refused():
                if self.wants[event.link]:
                    self.at(now + 2 * DELAY, lambda: self.reserve(event.link))
            case Connect(link, analyser):
                assert analyser not in self.held.values(), "an analyser for two links"
                used = {end for other in self.held for end in self.links[other]}
                assert used.isdisjoint(self.links[link]), "a port for two links"
                self.held[link] = analyser
                self.together = max(self.together, len(self.held))
                assert len(self.held) <= self.facts.analysers
            case GrantEnded():
                del self.held[event.link]
                self.ends.append(event)
            case _:
                pass

    def _train(self, node: int, granted: Granted) -> None:
        """The node agrees with its peer, or does not; the Gens reach the station, or do not."""
        link, first, slots = granted
        if link not in self.wants:
            return
        if not self.wants[link]:
            self._machine(node).release(link)
            return
        if first * SLOT < self.now + NOTICE - DELAY:
            assert self.faults.loss or self.faults.jitter_ps, "too late to agree on a train"
            self._machine(node).release(link)
            self.reserve(link)
            return
        if self.chance.random() >= self.comes:  # as if the peer were busy, or a Gen lost
            if self.chance.random() < 0.5:
                self._machine(node).release(link)
            self.at(first * SLOT + 5 * DELAY, lambda: self.reserve(link))
            return
        length = self.chance.randrange(min(slots, TRAIN // SLOT))
        switch = self.switch

        def arrived() -> None:
            if self.machines[SWITCH] is switch and switch.train_comes(link, first, first + slots - 1, self.now):
                self.at((first + length) * SLOT + ATTEMPT, ended)
            else:
                self.at(self.now + DELAY, lambda: self.reserve(link))

        def ended() -> None:
            if self.machines[SWITCH] is not switch:
                self.at(self.now + DELAY, lambda: self.reserve(link))
                return
            switch.train_ends(link, True, self.now)
            self.done[link] += 1
            self.wants[link] -= 1
            if self.wants[link]:
                self.at(self.now + DELAY, lambda: self.reserve(link))

        self.at(first * SLOT - 1_500, arrived)

    def _machine(self, node: int) -> NodeSrp:
        machine = self.machines[node]
        assert isinstance(machine, NodeSrp)
        return machine

    def finish(self) -> None:
        """All ends by itself: nothing is held, nobody waits."""
        self.run(until=self.now + 1_000_000_000_000)
        assert all(machine.next_timeout() is None for machine in self.machines.values())
        assert not self.held
        assert not self.switch._waiting
        assert sorted(self.switch._resting) == list(range(self.facts.analysers)), "an analyser is missing"
        assert not self.switch._ports

    def ready(self, node: int, qubits: int) -> None:
        """What the node's own word would do."""
        self.switch.receive(SrpReady(qubits), node, self.now)

    def restart(self, node: int) -> None:
        """A switch (0) or a node dies, and lives again; a node then wants what it has not got."""
        if node == 0:
            self.held.clear()
            self.replace(SWITCH, self.new_switch())
            return
        self.replace(node, self.new_node(node))
        for link, ends in self.links.items():
            if min(ends) == node and self.wants[link]:
                self.at(self.now + 1, lambda link=link: self.reserve(link))  # type: ignore[misc]
