"""What a controller knows of its jobs that must outlive it.  JOB-n: job.toml.

Whatever lasts about a job changes by *records*, and by nothing else.  A controller makes a record, which changes the
book here and is told to the layer above, which keeps it; its next life gives the same records to a new book, which is
then the same (JOB-19).  The state of a job is no record: it is about the life that leases, and ends with it, but for
the last one.  A book that has become long can be written anew as what its records came to.

What may live here: jobs, records, and what each record does to a job.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from protocols.job.service import Order
from protocols.job.states import JobState


class Accepted(NamedTuple):
    """A job is in the queue."""

    job: int
    order: Order
    submitted_ps: int


class Placed(NamedTuple):
    """QPUs are leased to it."""

    job: int
    lease: int
    nodes: tuple[int, ...]
    began_ps: int


class Counted(NamedTuple):
    """Shots of which all its QPUs have told."""

    job: int
    counts: tuple[tuple[str, int], ...]
    """Bit strings, and how often each came."""
    spoilt: int
    pairs: int = 0
    running_ps: int = 0
    """What the lease has used since such a record was made last."""


class Freed(NamedTuple):
    """One of its QPUs has let go, or is lost."""

    job: int
    node: int
    ended_ps: int


class Unplaced(NamedTuple):
    """None of its QPUs holds the lease any more."""

    job: int
    ended_ps: int
    pairs: int
    running_ps: int
    """What it has used and no other record has told."""
    reason: str
    broken: bool
    """It was placed in vain, at least in part, by what became of it there."""


class Unwanted(NamedTuple):
    """Its owner has said that it is to end."""

    job: int


class Over(NamedTuple):
    """It has come to its end."""

    job: int
    state: JobState
    reason: str
    ended_ps: int


class Placing(NamedTuple):
    """One lease of a job."""

    nodes: tuple[int, ...]
    began_ps: int
    ended_ps: int | None
    """None: it lasts."""
    shots: int
    """That came of it."""
    freed_ps: tuple[int | None, ...]
    """When each of the nodes had let go, or was lost."""


@dataclass(slots=True)
class Job:
    """All that is known of a job.  For the layer above to read."""

    number: int
    order: Order
    submitted_ps: int
    state: JobState = JobState.QUEUED
    reason: str = ""
    """Why it is in this state, if that is not plain."""
    placings: list[Placing] = field(default_factory=list)
    ended_ps: int | None = None
    counts: dict[str, int] = field(default_factory=dict)
    """Bit strings, classical bit 0 rightmost."""
    spoilt: int = 0
    pairs: int = 0
    running_ps: int = 0
    """From first shots to last ones, over all placings."""
    passed: int = 0
    """How many younger jobs have been placed while it waited."""
    broken: int = 0
    """How many of its placings have ended before their time, by what became of it there."""
    unwanted: bool = False

    @property
    def shots_done(self) -> int:
        """Spoilt ones included."""
        return sum(self.counts.values()) + self.spoilt

    def waited_ps(self, now: int) -> int:
        """How long it has been without QPUs, over all its waits, until now or its end."""
        waited, since = 0, self.submitted_ps
        for placing in self.placings:
            waited += placing.began_ps - since
            if placing.ended_ps is None:
                return waited
            since = placing.ended_ps
        return waited + (now if self.ended_ps is None else self.ended_ps) - since

    def copy(self) -> "Job":
        """As it is now."""
        return replace(self, placings=list(self.placings), counts=dict(self.counts))

    @property
    def complete(self) -> bool:
        return self.shots_done == self.order.shots

    @property
    def leased(self) -> bool:
        """Whether it holds QPUs."""
        return bool(self.placings) and self.placings[-1].ended_ps is None


class Numbered(NamedTuple):
    """These were the last numbers, also if what had them is forgotten."""

    last_job: int
    last_lease: int


class Retold(NamedTuple):
    """All that the records of a job came to."""

    known: Job


type Record = Accepted | Placed | Counted | Freed | Unplaced | Unwanted | Over | Numbered | Retold


class Book:
    """The jobs of a controller, oldest first."""

    def __init__(self) -> None:
        self.jobs: dict[int, Job] = {}
        self.last_job = 0
        self.last_lease = 0

    def take(self, record: Record) -> None:
        """What has happened to a job.  A record about one that is not here (any more) changes nothing."""
        match record:
            case Accepted(number, order, submitted_ps):
                self.last_job = max(self.last_job, number)
                self.jobs[number] = Job(number, order, submitted_ps)
                return
            case Numbered():
                self.last_job, self.last_lease = record
                return
            case Retold(known):
                self.jobs[known.number] = known.copy()
                return
        job = self.jobs.get(record.job)
        if job is None:
            return
        match record:
            case Placed(_, lease, nodes, began_ps):
                self.last_lease = max(self.last_lease, lease)
                job.placings.append(Placing(nodes, began_ps, None, 0, (None,) * len(nodes)))
                for older in self.jobs.values():
                    if older.number < job.number and older.ended_ps is None and not older.leased:
                        older.passed += 1
            case Counted(_, counts, spoilt, pairs, running_ps):
                for key, number in counts:
                    job.counts[key] = job.counts.get(key, 0) + number
                job.spoilt += spoilt
                job.pairs += pairs
                job.running_ps += running_ps
                last = job.placings[-1]
                job.placings[-1] = last._replace(shots=last.shots + sum(n for _, n in counts) + spoilt)
            case Freed(_, node, ended_ps):
                last = job.placings[-1]
                freed_ps = (ended_ps if n == node else at for n, at in zip(last.nodes, last.freed_ps, strict=True))
                job.placings[-1] = last._replace(freed_ps=tuple(freed_ps))
            case Unplaced(_, ended_ps, pairs, running_ps, reason, broken):
                last = job.placings[-1]
                freed_ps = (ended_ps if at is None else at for at in last.freed_ps)
                job.placings[-1] = last._replace(ended_ps=ended_ps, freed_ps=tuple(freed_ps))
                job.pairs += pairs
                job.running_ps += running_ps
                job.reason = reason
                job.broken += broken
            case Unwanted():
                job.unwanted = True
            case Over(_, state, reason, ended_ps):
                job.state, job.reason, job.ended_ps = state, reason, ended_ps
                job.order = job.order._replace(circuit=None)  # nobody runs it again

    def records(self) -> Iterator[Record]:
        """Few, which make another book equal to this one."""
        yield Numbered(self.last_job, self.last_lease)
        for job in self.jobs.values():
            known = job.copy()
            if job.ended_ps is None:
                known.state = JobState.QUEUED
            yield Retold(known)

    def forget(self, most: int) -> None:
        """Keep so many of the jobs that are over, the youngest."""
        over = [number for number, job in self.jobs.items() if job.ended_ps is not None]
        for number in over[: max(0, len(over) - most)]:
            del self.jobs[number]
