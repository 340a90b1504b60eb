"""Which train the master of a link proposes next: for which request, and how long.

What may live here: what follows from queue, facts and test rounds; nothing is changed here.
"""

from protocols.egp.facts import LinkFacts
from protocols.egp.patience import Patience
from protocols.egp.queue import RequestQueue
from protocols.egp.rounds import TestRounds
from protocols.egp.states import Request, Terms
from protocols.mhp.trains import MOST_PAIRS, SHORT
from protocols.wire.codec import EgpKind


class Proposals:
    """Of one link."""

    def __init__(self, facts: LinkFacts, requests: RequestQueue, rounds: TestRounds, patience: Patience) -> None:
        self._facts = facts
        self._patience = patience
        self._requests = requests
        self._rounds = rounds

    def spacing(self, request: Request) -> int:
        """Slots between two attempts: a half that is kept waits for its herald, however late that comes."""
        facts = self._facts
        extra_ps = 0 if request.kind == EgpKind.MEASURE else self._patience.herald_ps
        return facts.spacing(request.kind) - -extra_ps // facts.slot_ps

    def following(self, first_slot: int) -> tuple[Request, int] | None:
        """The first in the queue that has time for an attempt (EGP-2), and its attempts, for a train from this slot."""
        facts = self._facts
        for request in self._requests.in_line():
            p, spacing = request.setting.success_probability, self.spacing(request)
            pairs = most_pairs(request)
            attempts = facts.attempts(first_slot, request.deadline, p, spacing, pairs) if request.agreed else 0  # EGP-6
            if attempts:
                return request, attempts
        return None  # who has no time for another attempt waits for its TIMEOUT

    def train(self, first_slot: int, slots: int | None, expected: int | None) -> tuple[Request, Terms] | None:
        """A train from this slot on, for as long as its request needs and `slots` (None: any number) allow, if the
        station's next success has the MHP sequence `expected`."""
        facts, rounds = self._facts, self._rounds
        following = self.following(first_slot)
        if following is None:
            return None
        request, attempts = following
        spacing = self.spacing(request)
        if slots is not None:
            attempts = min(attempts, max(1, (slots - 1) // spacing + 1))
        test = rounds.choose(request, first_slot, expected)
        pairs = 1 if test else rounds.until_next(request, expected, most_pairs(request))
        if slots is None:
            attempts = min(attempts, facts.attempts(first_slot, None, request.setting.success_probability, 1, pairs))
        each = attempts <= SHORT and pairs == 1 and not facts.switched and facts.waits(spacing)
        return request, Terms(first_slot, spacing, attempts, request.setting.alpha, test, pairs, each)


def most_pairs(request: Request) -> int:
    """Of one train: whoever keeps a half needs its qubit; whoever measures has it back at once (EGP-28)."""
    return min(request.remaining, MOST_PAIRS) if request.kind == EgpKind.MEASURE else 1
