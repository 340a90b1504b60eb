"""Test rounds of one end of a link: which pairs are test rounds, and the joining of both nodes' results.

What may live here: choosing rounds, and pending rounds.  What the results say is in estimation.py.
"""

from typing import Final

from protocols.egp.estimation import Estimator
from protocols.egp.facts import LinkFacts
from protocols.egp.states import Request, Round, Shared, Train
from protocols.mhp.trains import SEQUENCE_MODULUS
from protocols.wire.codec import BellIndex, EgpKind, EgpTest, EgpTested

PENDING: Final = 64
"""Rounds that wait for a result at a time: those of a peer that does not answer are forgotten."""

_BASES: Final = (EgpTest.ZZ, EgpTest.XX, EgpTest.YY)
_WHOLE: Final = 1 << 64


class TestRounds:
    """Both nodes measure the pair of a test round, each tells the other its result (EGP-23)."""

    __test__ = False  # nothing for pytest

    def __init__(self, facts: LinkFacts, shared: Shared, estimator: Estimator) -> None:
        self._facts = facts
        self._shared = shared
        self._estimator = estimator
        self._pending: dict[int, Round] = {}

    def choose(self, request: Request, first_slot: int, expected: int | None) -> EgpTest:
        """At the master: is the next pair's train a test round?  Never among pairs that belong together."""
        if not self._share(request) or not self._is_test(first_slot if expected is None else expected):
            return EgpTest.NONE
        return _BASES[self._shared.draw("test basis", self._facts.number, first_slot) % 3]

    def until_next(self, request: Request, expected: int | None, most: int) -> int:
        """Pairs of a train that is none before the next test round: `most`, or as many as chance has it."""
        if not self._share(request):
            return most
        if expected is None:
            return 1  # whether a pair is a test follows from its sequence
        following = ((expected + n) % SEQUENCE_MODULUS for n in range(1, most))
        return next((n for n, sequence in enumerate(following, 1) if self._is_test(sequence)), most)

    def _share(self, request: Request) -> float:
        return 0.0 if request.together and request.begun else self._facts.test_share

    def _is_test(self, sequence: int) -> bool:
        return self._shared.draw("test", self._facts.number, sequence) < self._facts.test_share * _WHOLE

    def succeeded(self, train: Train, sequence: int, bell: BellIndex) -> None:
        """The pair of a test round is there."""
        measured = train.request.kind == EgpKind.MEASURE
        known = self._pending.pop(sequence, None)
        there = known.there if known is not None and not known.test else None
        self._remember(sequence, Round(measured, train.alpha, train.test, bell, there=there))

    def measured(self, sequence: int, outcome: int) -> None:
        """This node's result; one of a round that was given up meanwhile is of no use."""
        known = self._pending.get(sequence)
        if known is not None and known.test:
            known.here = outcome
            self._shared.send(self._facts.peer, EgpTested(self._facts.number, sequence, outcome))
            self._join(sequence, known)

    def on_tested(self, message: EgpTested) -> None:
        """The peer's result; it may come before this node's."""
        known = self._pending.get(message.mhp_sequence)
        if known is None:
            self._remember(message.mhp_sequence, Round(False, 0, there=message.outcome))
        else:
            known.there = message.outcome
            self._join(message.mhp_sequence, known)

    def forget(self) -> None:
        """The peer knows nothing of these any more."""
        self._pending.clear()

    def _remember(self, sequence: int, known: Round) -> None:
        self._pending[sequence] = known
        if len(self._pending) > PENDING:
            del self._pending[next(iter(self._pending))]

    def _join(self, sequence: int, known: Round) -> None:
        if known.test and known.here is not None and known.there is not None:
            del self._pending[sequence]
            row = (known.measured, known.alpha, known.test, known.bell)
            self._estimator.record(*row, known.here, known.there)
