"""Which request of a link is served next.  A scheduler is one file here: its SCHEDULER makes one per link.

A scenario names the file (`scheduler: higher-wfq` is higher_wfq.py).  To add one, put a file with a class of these
methods, and its SCHEDULER, beside the others; `fcfs.py` is the smallest.
"""

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Protocol

from protocols.egp.states import Request


class Scheduler(Protocol):
    """Of one link, at one of its nodes.  Both nodes have one, but only the master proposes trains.

    What it may look at: `queue_sequence` (the common order), `priority`, `remaining`, `estimated_cycles` (per pair),
    `virtual_finish`, `atomic`.  It gives the same order at both nodes if it keeps to these.
    """

    def admit(self, request: Request, cycle: int) -> int:
        """At the master: the request gets its place at this slot; its virtual finish, which both nodes will know."""

    def order(self, requests: Iterable[Request]) -> list[Request]:
        """In which order they are to be served now."""

    def before(self, request: Request, others: Iterable[Request]) -> Iterable[Request]:
        """Which of the others a new request surely has to wait for."""

    def served(self, request: Request) -> None:
        """A pair of it has been made; `remaining` is what is left."""

    def preempts(self, waiting: Request, running: Request) -> bool:
        """Is a train of `running` to be cut short for `waiting`?  Attempts have no memory, so nothing but the
        agreement on another train is lost."""


def make_scheduler(name: str) -> Scheduler:
    """The scheduler of that name; raises ValueError if there is none."""
    module = name.replace("-", "_")
    if not module.isidentifier():
        raise ValueError(f"{name!r} is no name of a scheduler")
    try:
        found: Callable[[], Scheduler] = import_module(f"{__name__}.{module}").SCHEDULER
    except (ModuleNotFoundError, AttributeError):
        raise ValueError(f"there is no scheduler {name!r}") from None
    return found()
