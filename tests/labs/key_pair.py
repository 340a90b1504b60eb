"""Two machines of KEY over their reliable sublayers, with pairs measured on demand: what a link of given errors
delivers.

What may live here: that world.  Everything random comes from the seed.
"""

import random
from collections.abc import Callable
from typing import Any

from labs.machine_pair import NO_FAULTS, Faults, Net, OverReliable

from protocols.key.node import Keys
from protocols.key.service import CloseCircuit, OpenCircuit, Terms, WantPairs
from protocols.reliable import Reliable
from protocols.wire.codec import EgpBasis, ProtocolId

WEST, EAST = 1, 2
DELAY_PS = 1_000_000
FULL = (1 << 32) - 1
QUICK = Terms(block_pairs=1_200, key_bits=64, secrecy=6, correctness=20)
"""Of a block that makes keys after a moment."""


class KeyPair:
    """``errors``: probability that the two outcomes differ, in Z and in X; ``late_ps``: between the two ends'
    outcomes."""

    def __init__(
        self,
        errors: tuple[float, float] = (0.0, 0.0),
        faults: Faults = NO_FAULTS,
        seed: int = 1,
        late_ps: int = 0,
    ) -> None:
        self.errors = errors
        self.net: Net
        self.keys = {node: Keys(node, f"{seed}") for node in (WEST, EAST)}
        self.flip: Callable[[EgpBasis, int], int] = lambda basis, bit: bit
        """What becomes of an outcome of EAST."""
        self._random = random.Random(seed)
        self._late_ps = late_ps
        self._x_chance = 0
        self._pair_id = 0
        machines = {node: OverReliable(Reliable(1, 2 * DELAY_PS), {ProtocolId.KEY: m}) for node, m in self.keys.items()}
        self.net = Net(machines, DELAY_PS, faults, seed, self._on_event)

    def open(self, terms: Terms = QUICK, opener: int = WEST) -> Any:
        return self.keys[opener].open(WEST + EAST - opener, terms, self.net.now)

    def of(self, node: int, kind: type) -> list[Any]:
        return self.net.of(node, kind)

    def lose(self, peer: int) -> None:
        """Who is left hears that ``peer`` is gone."""
        self.net.cut.add(peer)
        self.keys[WEST + EAST - peer].peer_lost(peer, self.net.now)

    def _on_event(self, node: int, event: Any, now: int) -> None:
        match event:
            case OpenCircuit(x_chance=chance):
                self._x_chance = chance
            case WantPairs(session=session, number=number):
                for index in range(number):
                    self._measure(session, now + 1_000 * (index + 1))
            case CloseCircuit():
                pass

    def _measure(self, session: Any, when: int) -> None:
        draw = self._random.random
        self._pair_id += self._random.randrange(1, 3)
        bases = [EgpBasis.X if draw() * FULL < self._x_chance else EgpBasis.Z for _ in range(2)]
        bits = [int(draw() < 0.5) for _ in range(2)]
        if bases[0] is bases[1]:
            bits[1] = bits[0] ^ int(draw() < self.errors[bases[0] is EgpBasis.X])
        bits[1] = self.flip(bases[1], bits[1])
        for node, basis, bit, late in zip((WEST, EAST), bases, bits, (0, self._late_ps), strict=True):
            self.net.at(when + late, self._deliver(node, session, self._pair_id, basis, bit))

    def _deliver(self, node: int, session: Any, pair_id: int, basis: EgpBasis, bit: int) -> Callable[[], None]:
        def measured() -> None:
            if node not in self.net.cut:
                self.keys[node].measured(session, pair_id, basis, bit, self.net.now)

        return measured
