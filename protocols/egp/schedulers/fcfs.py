"""First come, first served: the common order of the queue, whatever the priorities."""

from collections.abc import Iterable

from protocols.egp.states import Request


class Fcfs:
    """Implements `Scheduler`."""

    def admit(self, request: Request, cycle: int) -> int:
        return 0

    def order(self, requests: Iterable[Request]) -> list[Request]:
        return list(requests)

    def before(self, request: Request, others: Iterable[Request]) -> Iterable[Request]:
        return others

    def served(self, request: Request) -> None:
        pass

    def preempts(self, waiting: Request, running: Request) -> bool:
        return False


SCHEDULER = Fcfs
