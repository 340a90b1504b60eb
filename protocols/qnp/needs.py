"""What a head still needs, what the next pair is for, and what repeaters are told of it.

What may live here: the count of chains at one end of a circuit.  What becomes of each is in end.py and complete.py.
"""

from protocols.qnp.bank import Bank
from protocols.qnp.circuit import raw_pairs
from protocols.qnp.distill import Distiller
from protocols.qnp.records import Record
from protocols.qnp.requests import Request, Serving
from protocols.qnp.service import CircuitId
from protocols.qnp.shared import Shared
from protocols.qnp.states import Phase
from protocols.wire.codec import PairUse, QnpInstall, QnpWant


class Needing(Serving):
    """An end of a circuit, as far as the number of its pairs goes."""

    def __init__(self, install: QnpInstall, up: CircuitId | None, down: CircuitId | None, shared: Shared) -> None:
        super().__init__(install, up, down, shared)
        self._complete = 0  # chains that both ends have had, less those that broke later
        self._told = 0  # the last Want
        self._bank: Bank[Record] = Bank()
        self._each = raw_pairs(install.end_rounds, bool(install.pumping))
        self._ends: Distiller | None = None

    def _wanted(self, now: int) -> None:
        """The requests of a head want something else than before."""
        if not self.is_head:
            return
        self._bank.asked([r.delivery for r in self.requests.values() if r.phase is Phase.OPEN])
        self._outgrown(now)
        self._serve_from_bank(now)
        self._ask()

    def _ask(self) -> None:
        """Every node is to make what is neither here nor on the way (QNP-7)."""
        assert self.demand is not None
        needed = sum(
            (request.wanted - request.delivered) * self._each
            for request in self.requests.values()
            if request.phase is Phase.OPEN
        )
        needed += max(0, self._bank.size - len(self._bank.pairs)) * self._each
        if self._ends is not None:
            needed = max(0, needed - self._ends.raw)
        self.demand.wanted = wanted = self._complete + needed
        if self.phase is not Phase.OPEN:
            return
        if wanted != self._told and len(self.install.hops) > 1:
            self._told = wanted
            self._send(self.id, QnpWant(self.id.label, wanted % (1 << 32)))
        self.demand.ask()

    def _lacking(self) -> Request | None:
        """The request that the next pair is for."""
        return next((request for request in self.requests.values() if request.lacks(self._each) > 0), None)

    def _lacks(self) -> bool:
        """Is there a use for another half?"""
        return self._lacking() is not None or self._bank.lacks(self._each) > 0

    def _number(self, record: Record) -> None:
        """The head names the pair, and says what it is for."""
        record.pair_id = next(self._shared.pair_ids)
        request = self._lacking()
        record.use = PairUse.DELIVER
        record.request = 0 if request is None else request.number
        if request is None and self._bank.lacks(self._each) > 0:
            record.use = PairUse.BANK
        elif request is not None and self._ends is None:
            record.use = self._chosen(request, record.pair_id)
        self._underway(record, 1)

    def _chosen(self, request: Request, pair_id: int) -> PairUse:
        """Is this pair of a request handed up, or tested?"""
        key = f"test/{self._shared.facts.seed}/{self._shared.node}/{request.number}/{pair_id}"
        return request.tests.use(key, request.delivery.test_share)

    def _underway(self, record: Record, change: int) -> None:
        if not self.is_head:
            return
        if record.use is PairUse.BANK:
            self._bank.underway += change
            if change < 0:
                record.use = PairUse.DELIVER
        elif (request := self.requests.get(record.request)) is not None:
            request.underway += change
            if change < 0:
                record.request = 0

    def _outgrown(self, now: int) -> None:
        """Give up what the bank has too much of."""
        raise NotImplementedError

    def _serve_from_bank(self, now: int) -> None:
        """Requests that lack pairs get them from the bank."""
        raise NotImplementedError
