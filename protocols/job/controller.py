"""The controller's end: jobs wait in a queue, QPUs are leased to them, their outcomes are counted.  JOB-n: job.toml.

The queue goes by age, but a job for which QPUs are free goes ahead of an older one that has to wait for more, which may
happen to each a bounded number of times.  A QPU is leased whole, to one job at a time, until it says Released or is
lost.  A lease is over when that is so of all its QPUs.  If it ends before its time, the shots of which all of them have
told count, and the job goes back to its place in the queue with those that are left.

What must outlive this life of the controller is in the book (book.py), which changes by records only; they are events,
each before the messages that follow from it.  Which QPUs hold which qubits is the planner's business (service.py); the
table of states is in states.py.
"""

from bisect import insort
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from protocols.ignored import Ignored
from protocols.job.book import Accepted, Book, Counted, Freed, Job, Over, Placed, Record, Unplaced, Unwanted
from protocols.job.qpu import PIECE, row_bytes
from protocols.job.service import (
    Compile,
    JobChanged,
    JobProgress,
    Order,
    Part,
    Planner,
    QpuChanged,
    Unwatch,
    Watch,
)
from protocols.job.states import JOB_TABLE, JobDo, JobInput, JobState
from protocols.machine import Output, Send
from protocols.timers import UNTIL_REST, Pauses, Timers
from protocols.wire import (
    JobCensus,
    JobHere,
    JobLoad,
    JobLoaded,
    JobOutcome,
    JobReleased,
    JobRun,
    JobStop,
    JobWhy,
)

MAX_PLACINGS: Final = 5
"""How often a job is placed before it is said to have failed."""

MAX_PASSED: Final = 8
"""How many younger jobs may be placed before one that waits."""

MAX_QUEUED: Final = 1000
MAX_KEPT: Final = 1000
"""Jobs that are over and can still be asked for."""

APART_PS: Final = 10 * 10**12
"""How long two nodes that had no pairs with each other are not tried together."""

RECALL_PS: Final = 10**12
"""How often QPUs that are gone are asked for while jobs wait, and how soon one that was lost with a lease."""

PATIENCE_PS: Final = 2 * 10**12
"""How long a job waits for QPUs that cannot be reached and without which it fits nowhere: they are asked meanwhile.
And how long for those that are BUSY, before that counts as having been placed in vain."""


class Unfit(Exception):
    """The job is refused; the reason, for people."""


class Qpu(NamedTuple):
    """What a controller is told of a QPU at birth."""

    name: str
    data_qubits: int


@dataclass(slots=True)
class _Qpu:
    name: str
    data_qubits: int
    room: int = 0
    """Data qubits that a lease can have, as it has said last."""
    up: bool | None = None
    """None: not known yet."""
    lease: int = 0
    """Which it holds, ours or one that we do not know."""
    in_doubt: bool = False
    """It was lost with a lease: it may live, hold that still, and know of no loss."""
    again_ps: int | None = RECALL_PS
    """Then: how long after the next loss it is asked."""


@dataclass(slots=True)
class _Part:
    node: int
    clbits: tuple[int, ...]
    loaded: bool = False
    released: bool = False
    rows: list[int] = field(default_factory=list)
    pairs: int = 0
    elapsed_ps: int = 0

    def has_used(self, pairs: int, elapsed_ps: int) -> None:
        """It says so; of a lease that it does not know any more a QPU says nothing."""
        self.pairs, self.elapsed_ps = max(self.pairs, pairs), max(self.elapsed_ps, elapsed_ps)


@dataclass(slots=True)
class _Lease:
    number: int
    job: Job
    parts: dict[int, _Part]
    merged: int = 0
    """Shots that have been counted."""
    pairs: int = 0
    running_ps: int = 0
    """What it has used, as far as it is in the book."""
    excused: bool = False
    """It ends because others hold what it needs: nothing is wrong with the job."""

    @property
    def open(self) -> Iterator[_Part]:
        """Parts of which more may be heard."""
        return (part for part in self.parts.values() if not part.released)

    def used(self) -> tuple[int, int]:
        """Pairs and time of which its QPUs have told, and the book has not heard yet: now it does."""
        pairs, running_ps = self.pairs, self.running_ps
        self.pairs = sum(part.pairs for part in self.parts.values())
        self.running_ps = max(part.elapsed_ps for part in self.parts.values())
        return self.pairs - pairs, self.running_ps - running_ps


class Controller:
    """One controller and its QPUs."""

    def __init__(self, qpus: Mapping[int, Qpu], planner: Planner, pauses: Pauses = UNTIL_REST) -> None:
        self._book = Book()
        self._qpus = {node: _Qpu(*qpu) for node, qpu in sorted(qpus.items())}
        self._planner = planner
        self._pauses = pauses
        self._outputs: list[Output] = []
        self._asked: set[int] = set()  # QPUs of which it is not known yet whether they are there
        self._queue: list[Job] = []
        self._leases: dict[int, _Lease] = {}  # by job
        self._parts: dict[int, Part] = {}  # of the job that has just been compiled
        self._apart: set[tuple[int, int]] = set()
        self._unfit: dict[int, int] = {}  # job: since when it fits into no QPUs that are there
        self._busy: dict[int, int] = {}  # job that has not been loaded yet: when a QPU was BUSY for the first time
        self._timers: Timers[tuple[int, int]] = Timers()
        """Of two that are apart; of a QPU that rests, and itself; of _RECALL, and a QPU or _ALL."""

    # The service upward.

    @property
    def jobs(self) -> dict[int, Job]:
        """All that are known, oldest first."""
        return self._book.jobs

    def remember(self, records: Iterable[Record], now: int) -> None:
        """Take up what earlier lives have written down (JOB-19); before ``come_up``.

        Their leases are over: a QPU that still holds one says so when it is asked, and is not free until it has let go.
        """
        for record in records:
            self._book.take(record)
        for job in self.jobs.values():
            if job.ended_ps is not None:
                continue
            if job.leased:
                self._keep(Unplaced(job.number, now, 0, 0, "the controller has started anew", broken=False))
            self._queue.append(job)
            self._outputs.append(JobChanged(job.number, job.state, job.reason))
            if job.shots_done:
                self._outputs.append(JobProgress(job.number, job.shots_done, job.order.shots))
        for job in list(self._queue):
            if job.unwanted:
                self._move(job, JobInput.CANCEL, now, "cancelled")
            elif job.complete:
                self._move(job, JobInput.COMPLETE, now, "")
        self._book.forget(MAX_KEPT)

    def records(self) -> Iterator[Record]:
        """Few, to be given to `remember` in place of all until now.  Not before all of these have been polled: what is
        told after this is told for the first time."""
        assert not self._outputs
        return self._book.records()

    def come_up(self, now: int) -> None:
        """Find out which QPUs are there."""
        for node, qpu in self._qpus.items():
            self._ask(node, qpu)

    def submit(self, order: Order, now: int) -> int:
        """Put a job into the queue; its number.  Raises Unfit (JOB-13)."""
        if len(self._queue) >= MAX_QUEUED:
            raise Unfit(f"{MAX_QUEUED} jobs wait already")
        reason = self._planner.unfit(order, {node: qpu.data_qubits for node, qpu in self._qpus.items()}, ())
        if reason:
            raise Unfit(reason)
        if self._planner.unfit(order, self._rooms(), ()):
            for node, qpu in self._qpus.items():
                if qpu.up is False:  # it may be there again: nobody has asked since
                    self._ask(node, qpu)
        number = self._book.last_job + 1
        self._keep(Accepted(number, order, now))
        self._queue.append(self.jobs[number])
        self._outputs.append(JobChanged(number, JobState.QUEUED, ""))
        self._book.forget(MAX_KEPT)
        self._schedule(now)
        return number

    def cancel(self, number: int, now: int, reason: str = "cancelled") -> bool:
        """End a job (JOB-17); False if it is over, or was never there."""
        job = self.jobs.get(number)
        if job is None or job.state.final:
            return False
        self._keep(Unwanted(number))
        self._move(job, JobInput.CANCEL, now, reason)
        self._schedule(now)
        return True

    def compiled(self, number: int, parts: Mapping[int, Part], now: int) -> None:
        """Where a job is to run, and how; it may have been cancelled, and QPUs lost, meanwhile."""
        job = self.jobs.get(number)
        if job is None or job.state is not JobState.COMPILING:
            return
        free = self._free()
        self._parts = dict(parts)
        self._move(job, JobInput.COMPILED if all(node in free for node in parts) else JobInput.UNPLACED, now, "")
        self._schedule(now)

    def up(self, node: int) -> bool | None:
        """Whether a QPU is there; None: not known yet."""
        return self._qpus[node].up

    def hindrance(self, job: Job) -> str:
        """What a job that waits needs beside its turn, for people; nothing, if that is all."""
        if job.state is not JobState.QUEUED:
            return ""
        reason = self._planner.unfit(job.order, self._rooms(), ())
        if reason:
            return reason + self._down()
        there = {node: qpu for node, qpu in self._qpus.items() if qpu.up is not False}
        rooms = {node: qpu.room if qpu.up else qpu.data_qubits for node, qpu in there.items()}
        if self._planner.unfit(job.order, rooms, ()):
            held = [qpu.name for qpu in self._qpus.values() if qpu.up and qpu.room < qpu.data_qubits]
            return f"programs hold data qubits of {', '.join(held)}" if held else ""
        if self._planner.unfit(job.order, rooms, self._apart):
            pairs = [f"{self._qpus[a].name} and {self._qpus[b].name}" for a, b in sorted(self._apart)]
            return f"pairs could not be had between {'; '.join(pairs)}"
        return ""

    # The machine.

    def receive(self, message: NamedTuple, source: int, now: int) -> None:
        qpu = self._qpus.get(source)
        if qpu is None:
            self._ignore(source, message, "it is from no QPU of this controller")
            return
        match message:
            case JobHere():
                self._here(source, qpu, message)
            case JobLoaded() | JobOutcome() | JobReleased():
                lease = next((known for known in self._leases.values() if known.number == message.lease), None)
                part = None if lease is None else lease.parts.get(source)
                if lease is not None and part is not None and not part.released:
                    self._hear(lease, part, message, now)
                elif isinstance(message, JobReleased) and qpu.lease == message.lease:
                    qpu.lease = 0  # one of an earlier life of this controller
                else:
                    self._ignore(source, message, "no such lease")
                    if qpu.up is False:  # it is there, and in the midst of one that is over
                        self._ask(source, qpu)
            case _:
                self._ignore(source, message, "it is none for a controller")
        if isinstance(message, JobHere | JobReleased):
            self._schedule(now)

    def peer_lost(self, peer: int, now: int) -> None:
        """The node is gone, or has started anew (JOB-15)."""
        qpu = self._qpus.get(peer)
        if qpu is None:
            return
        if qpu.up:
            self._outputs.append(QpuChanged(peer, False))
        if peer in self._asked:
            self._answered(peer)
            qpu.up = False
        elif qpu.up is not False:
            self._ask(peer, qpu)  # messages were lost: it may be there all the same
        qpu.in_doubt |= qpu.lease != 0
        if qpu.up is False and qpu.in_doubt and qpu.again_ps is not None:  # JOB-23
            self._timers.set((_RECALL, peer), now + qpu.again_ps)
            qpu.again_ps = self._pauses.after(qpu.again_ps)
        qpu.lease = 0
        self._timers.cancel((peer, peer))
        for lease in list(self._leases.values()):
            part = lease.parts.get(peer)
            if part is not None and not part.released:
                self._part_over(lease, part, now, f"{qpu.name} was lost")
        self._schedule(now)

    def poll(self, now: int) -> list[Output]:
        due = list(self._timers.take_due(now))
        for a, b in due:
            if a == _RECALL:
                self._recall(b)
            else:
                self._apart.discard((a, b))
        if due:
            self._schedule(now)
        outputs, self._outputs = self._outputs, []
        return outputs

    def next_timeout(self) -> int | None:
        return self._timers.next()

    def at_rest(self) -> bool:
        """Whether nothing is due but to ask once more who has not been heard, though no job waits for it."""
        return all(a == _RECALL and b != _ALL for a, b in self._timers)

    # QPUs.

    def _here(self, node: int, qpu: _Qpu, here: JobHere) -> None:
        self._answered(node)
        if not qpu.up:
            self._outputs.append(QpuChanged(node, True))
        qpu.up, qpu.room = True, here.data_qubits
        qpu.in_doubt, qpu.again_ps = False, RECALL_PS
        self._timers.cancel((_RECALL, node))
        # JOB-20: of an earlier life, or of before a loss of which the QPU knows nothing.
        if here.lease and here.lease != qpu.lease and not self._leased(node):
            qpu.lease = here.lease
            self._send(node, JobStop(here.lease))

    def _ask(self, node: int, qpu: _Qpu) -> None:
        """Find out whether it is there; until then nothing is given up for want of it."""
        qpu.up = None
        self._asked.add(node)
        self._outputs.append(Watch(node))
        self._send(node, JobCensus())

    def _answered(self, node: int) -> None:
        """It is known by now whether it is there."""
        if node in self._asked:
            self._asked.remove(node)
            self._outputs.append(Unwatch(node))

    def _leased(self, node: int) -> bool:
        return any(not lease.parts[node].released for lease in self._leases.values() if node in lease.parts)

    def _rooms(self) -> dict[int, int]:
        """Data qubits of the QPUs that are there, as far as is known."""
        return {node: qpu.data_qubits for node, qpu in self._qpus.items() if qpu.up is not False}

    def _down(self) -> str:
        down = [qpu.name for qpu in self._qpus.values() if qpu.up is False]
        return f" ({', '.join(down)} cannot be reached)" if down else ""

    def _free(self) -> dict[int, int]:
        free = [node for node, qpu in self._qpus.items() if qpu.up and not qpu.lease]
        return {node: self._qpus[node].room for node in free if (node, node) not in self._timers}  # none that rests

    def _recall(self, only: int) -> None:
        """Ask for those that are gone, all or one."""
        for node, qpu in self._qpus.items():
            if qpu.up is False and only in (node, _ALL):
                self._send(node, JobCensus())

    def _keep_apart(self, a: int, b: int, now: int) -> None:
        pair = (min(a, b), max(a, b))
        self._apart.add(pair)
        self._timers.set(pair, now + APART_PS)

    # The queue.

    def _schedule(self, now: int) -> None:
        """Place what can be placed, oldest first (JOB-12, JOB-18), one after the other."""
        if any(job.state is JobState.COMPILING for job in self.jobs.values()):
            return  # which QPUs it will leave is not known yet
        for job in list(self._queue):
            if job.state is not JobState.QUEUED:  # an earlier one's turn has changed it
                continue
            reason = self._planner.unfit(job.order, self._rooms(), ())
            if reason:
                since = self._unfit.setdefault(job.number, now)
                if self._down() and now - since < PATIENCE_PS:  # JOB-13
                    continue
                because = f", after {job.reason}" if job.reason else ""
                self._move(job, JobInput.UNFIT, now, reason + self._down() + because)
                continue
            self._unfit.pop(job.number, None)
            if job.broken >= MAX_PLACINGS:
                self._move(job, JobInput.UNFIT, now, f"it was placed {MAX_PLACINGS} times; the last time {job.reason}")
            elif not self._planner.unfit(job.order, self._free(), self._apart):
                self._move(job, JobInput.PLACE, now, "")
                break
            elif job.passed >= MAX_PASSED:
                break
        if self._queue and any(qpu.up is False for qpu in self._qpus.values()):
            if (_RECALL, _ALL) not in self._timers:
                self._timers.set((_RECALL, _ALL), now + RECALL_PS)
        else:
            self._timers.cancel((_RECALL, _ALL))

    # Leases.

    def _hear(self, lease: _Lease, part: _Part, message: JobLoaded | JobOutcome | JobReleased, now: int) -> None:
        match message:
            case JobLoaded():
                part.loaded = True
                if lease.job.state is JobState.LOADING and all(p.loaded for p in lease.parts.values()):
                    self._move(lease.job, JobInput.LOADED, now, "")
            case JobOutcome():
                self._take_rows(lease, part, message)
            case JobReleased(_, why, node, pairs, elapsed_ps):
                part.has_used(pairs, elapsed_ps)
                if why in (JobWhy.NO_PAIRS, JobWhy.PEER_LOST) and node in self._qpus:
                    self._keep_apart(part.node, node, now)
                self._qpus[part.node].lease = 0
                if why is JobWhy.IN_USE:  # JOB-22
                    lease.excused = True
                elif why is JobWhy.BUSY:  # JOB-20: with one that is not known here; Here will say which
                    lease.excused |= self._excused(lease.job, part.node, now)
                    self._ask(part.node, self._qpus[part.node])
                order = lease.job.order
                whole = why is JobWhy.DONE and len(part.rows) == order.shots - self._before(lease)
                self._part_over(lease, part, now, "" if whole else self._said(part, why, node, order.minimum_fidelity))

    def _excused(self, job: Job, node: int, now: int) -> bool:
        """A QPU that was free, as far as was known, is BUSY: the job waits for it, without a placing counting against
        it, but not for ever (JOB-20).  It rests for a quarter of the time that this has gone on: tries become rare."""
        waited_ps = now - self._busy.setdefault(job.number, now)
        if waited_ps:
            self._timers.set((node, node), now + min(waited_ps, PATIENCE_PS) // 4)
        return waited_ps < PATIENCE_PS

    def _before(self, lease: _Lease) -> int:
        """Shots of the job that were done before this lease."""
        return lease.job.shots_done - lease.merged

    def _take_rows(self, lease: _Lease, part: _Part, told: JobOutcome) -> None:
        """Shots count when all QPUs have told of them (JOB-16)."""
        width = row_bytes(len(part.clbits))
        rows = [int.from_bytes(told.rows[at : at + width], "big") for at in range(0, len(told.rows), width)]
        asked = lease.job.order.shots - self._before(lease)
        wrong = len(told.rows) != width * told.shots or told.first_shot != len(part.rows)
        if wrong or len(part.rows) + len(rows) > asked or any(row >> len(part.clbits) > 1 for row in rows):
            self._ignore(part.node, told, "these are not the next shots")
            return
        part.rows += rows
        part.has_used(told.pairs, told.elapsed_ps)
        job, counts, spoilt = lease.job, Counter[str](), 0
        told_by_all = min(len(p.rows) for p in lease.parts.values())
        for shot in range(lease.merged, told_by_all):
            key = self._outcome(lease, shot)
            if key is None:
                spoilt += 1
            else:
                counts[key] += 1
        if told_by_all > lease.merged:
            lease.merged = told_by_all
            self._keep(Counted(job.number, tuple(sorted(counts.items())), spoilt, *lease.used()))
            self._outputs.append(JobProgress(job.number, job.shots_done, job.order.shots))

    def _outcome(self, lease: _Lease, shot: int) -> str | None:
        """The bit string of a shot; None if a QPU calls it spoilt."""
        value, order = 0, lease.job.order
        for part in lease.parts.values():
            row = part.rows[shot]
            if row >> len(part.clbits):
                return None
            for place, clbit in enumerate(part.clbits):
                value |= (row >> place & 1) << clbit
        return f"{value:0{order.clbits}b}" if order.clbits else ""

    def _said(self, part: _Part, why: JobWhy, node: int, minimum_fidelity: float) -> str:
        here = self._qpus[part.node].name
        there = self._qpus[node].name if node in self._qpus else f"node {node}"
        match why:
            case JobWhy.PEER_LOST:
                return f"{here} lost {there}"
            case JobWhy.NO_PAIRS:
                wanted = f" of fidelity {minimum_fidelity:g}" if minimum_fidelity else ""
                return f"{here} and {there} had no pairs{wanted}"
            case JobWhy.GIVEN_UP:
                return f"{there} gave it up"
            case JobWhy.MALFORMED:
                return f"{here} could not run its program"
            case JobWhy.IN_USE:
                return f"programs at {here} hold data qubits"
            case JobWhy.BUSY:
                return f"{here} was leased already"
            case _:
                return f"{here} let it go"

    def _part_over(self, lease: _Lease, part: _Part, now: int, trouble: str) -> None:
        """No more is heard of this part."""
        job = lease.job
        part.released = True
        self._keep(Freed(job.number, part.node, now))
        self._outputs.append(Unwatch(part.node))
        if trouble and job.state is not JobState.CANCELLING:
            first = job.state is not JobState.RETREATING  # what others say later only follows from it
            self._move(job, JobInput.BROKEN, now, trouble if first else job.reason)
        if any(True for _ in lease.open):
            return
        del self._leases[job.number]
        complete = job.complete and job.state is not JobState.CANCELLING
        reason = "" if complete else job.reason
        broken = job.state is JobState.RETREATING and not lease.excused
        self._keep(Unplaced(job.number, now, *lease.used(), reason, broken))
        self._move(job, JobInput.COMPLETE if complete else JobInput.RELEASED, now, reason)

    def _move(self, job: Job, stimulus: JobInput, now: int, reason: str) -> None:
        before = job.state
        job.state, actions = JOB_TABLE[before, stimulus]
        job.reason = reason
        if before is JobState.QUEUED:
            self._queue.remove(job)
            self._unfit.pop(job.number, None)
        if stimulus is JobInput.LOADED or job.state.final:
            self._busy.pop(job.number, None)
        for action in actions:
            self._perform(job, action, now)
        if job.state is not before:
            nodes = job.placings[-1].nodes if job.placings and not job.state.final else ()
            self._outputs.append(JobChanged(job.number, job.state, reason, nodes))

    def _perform(self, job: Job, action: JobDo, now: int) -> None:
        match action:
            case JobDo.COMPILE:
                self._outputs.append(Compile(job.number, job.order, self._free(), frozenset(self._apart)))
            case JobDo.LOAD:
                self._load(job, now)
            case JobDo.RUN:  # JOB-14
                lease = self._leases[job.number]
                for node in lease.parts:
                    self._send(node, JobRun(lease.number, job.order.shots - job.shots_done))
            case JobDo.STOP:
                lease = self._leases[job.number]
                for part in lease.open:
                    self._send(part.node, JobStop(lease.number))
            case JobDo.REQUEUE:
                insort(self._queue, job, key=lambda waiting: waiting.number)  # by age: numbers are given in order
            case JobDo.END:
                self._keep(Over(job.number, job.state, job.reason, now))

    def _load(self, job: Job, now: int) -> None:
        parts, self._parts = self._parts, {}
        number = self._book.last_lease + 1
        self._leases[job.number] = _Lease(number, job, {node: _Part(node, part.clbits) for node, part in parts.items()})
        self._keep(Placed(job.number, number, tuple(parts), now))
        for node, part in parts.items():
            self._qpus[node].lease = number
            self._outputs.append(Watch(node))
            for load in _pieces(number, job.number, part):
                self._send(node, load)

    def _keep(self, record: Record) -> None:
        """It has happened, and is to outlive this life."""
        self._book.take(record)
        self._outputs.append(record)

    def _send(self, destination: int, message: NamedTuple) -> None:
        self._outputs.append(Send(destination, message, reliable=True))

    def _ignore(self, source: int, message: NamedTuple, reason: str) -> None:
        self._outputs.append(Ignored(source, type(message).__name__, reason))


_RECALL: Final = -1
_ALL: Final = 0
"""No numbers of nodes."""


def _pieces(lease: int, job: int, part: Part) -> Iterable[JobLoad]:
    program = part.program
    parts = max(1, -(-len(program) // PIECE))
    return (JobLoad(lease, job, n, parts, program[n * PIECE : (n + 1) * PIECE]) for n in range(parts))


__all__ = ["Controller", "Qpu", "Unfit"]
