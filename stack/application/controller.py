"""A controller node: takes jobs, from its scenario and from attached programs, and says what becomes of them.

What may live here: the driver of ``protocols.job.controller``, what it keeps for its next life, and the calls of
attached programs.  The circuits of jobs come parsed (``compiler.circuit``); where they run is the planner's business.
"""

import os
from functools import partial
from typing import Any

import trio

from protocols.ignored import Ignored
from protocols.job.book import Accepted, Counted, Freed, Job, Numbered, Over, Placed, Record, Unplaced, Unwanted
from protocols.job.controller import Controller, Qpu, Unfit
from protocols.job.service import Compile, JobChanged, JobProgress, Order, Part, QpuChanged, Unwatch, Watch
from protocols.job.states import JobState
from protocols.wire import ProtocolId
from stack.application.compiler.checking import MAX_CLBITS
from stack.application.compiler.circuit import Circuit
from stack.application.journal import Journal
from stack.application.planner import CutPlanner
from stack.config import Control, NodeConfig
from stack.runtime.driver import Driver
from stack.runtime.kernel import Kernel, Waiter
from stack.runtime.messenger import Messenger
from stack.runtime.session import CallError, whole

MAX_SHOTS = 1_000_000
MAX_AHEAD = 0xFFFF
_MAX_NAME = 100
_LIFE_BITS = 16
"""Jobs and leases of a life that does not know those of earlier ones begin at its number, shifted by so much: whoever
asks for an old one finds none, and no other."""


class ControllerService:
    """The controller of this testbed's QPUs.

    Calls: ``submit``, ``jobs``, ``job``, ``job_news``, ``cancel_job``, ``qpus``.
    """

    def __init__(self, kernel: Kernel, config: NodeConfig, control: Control, messenger: Messenger) -> None:
        self._kernel = kernel
        self._messenger = messenger
        qpus = {node: Qpu(name, room) for node, (name, room) in control.qpus.items()}
        self._names = {node: qpu.name for node, qpu in qpus.items()}
        self._planner = CutPlanner(control.distances, control.communication)
        machine = Controller(qpus, self._planner, config.pauses)
        path = os.path.join(config.journals, f"{config.name}.jsonl") if config.journals else ""
        self._journal = Journal(path, config.incarnation == 1, lambda: kernel.recorder.full)
        self._life, self._journal_lost = config.incarnation, config.journal_lost
        self._journal_trouble = ""
        self._driver = Driver(kernel, machine, messenger.send, self._on_event)
        self._driver.at_rest = machine.at_rest
        self._versions: dict[int, int] = {}
        """How often a job has changed."""
        self._watchers: list[Waiter[None]] = []
        self._own: dict[int, dict[str, Any]] = {}
        """What is left at the end of jobs of the scenario, by number."""
        self._open = 0
        self._over: Waiter[None] = Waiter(kernel)
        messenger.register(ProtocolId.JOB, self._driver.receive)
        messenger.on_broken(self._peer_lost)
        for name, call in (
            ("submit", self._call_submit),
            ("jobs", self._call_jobs),
            ("job", self._call_job),
            ("job_news", self._call_news),
            ("cancel_job", self._call_cancel),
            ("qpus", self._call_qpus),
        ):
            kernel.calls[name] = call
        kernel.waits.add("job_news")

    def start(self) -> None:
        """The node is up."""
        machine, now = self._driver.machine, self._kernel.now
        if self._journal_lost:
            self._kernel.event("job", "journal lost", reason=self._journal_lost)
            beyond = self._life << _LIFE_BITS
            self._journal.write(Numbered(beyond, beyond))
        machine.remember(self._journal.records(), now)
        if self._journal.damaged:
            self._kernel.event("job", "journal damaged", lines=self._journal.damaged)
        machine.come_up(now)
        self._driver.flush()
        self._journal.shorten(machine.records)

    # -- the scenario's jobs ---------------------------------------------------------------------------------------

    async def app(self, arguments: dict[str, Any]) -> None:
        """The ``controller`` app: submits jobs at their times, and ends when all are over; its result has them all.

        What an earlier life of the controller has taken is not submitted again; what came while there was none is, now.
        """
        orders = arguments["jobs"]
        self._open = len(orders)
        self._kernel.results["jobs"] = [{} for _ in orders]
        taken = {job.order.origin: job for job in self._driver.machine.jobs.values() if job.order.origin}
        for index, entry in enumerate(orders):
            job = taken.get(index + 1)
            if job is None:
                self._kernel.at(entry["at_ps"], partial(self._submit_own, index, entry))
            else:
                self._follow(index, entry, job.number)
        if orders:
            await self._over.wait()

    def _submit_own(self, index: int, entry: dict[str, Any]) -> None:
        kernel = self._kernel
        circuit = Circuit.from_json(entry["circuit"])
        record = kernel.results["jobs"][index]
        try:
            wishes = entry["minimum_fidelity"], entry["ahead"]
            number = self._submit(_order(entry["name"], circuit, entry["shots"], *wishes, index + 1))
        except Unfit as unfit:
            record |= {"state": "REFUSED", "reason": str(unfit), "submitted_ps": kernel.now}
            self._one_over()
            return
        self._follow(index, entry, number)

    def _follow(self, index: int, entry: dict[str, Any], number: int) -> None:
        kernel = self._kernel
        self._own[number] = kernel.results["jobs"][index]
        self._keep(number)
        if entry["cancel_at_ps"] is not None and number in self._own:
            kernel.at(entry["cancel_at_ps"], partial(self._cancel_own, number))

    def _cancel_own(self, number: int) -> None:
        self._cancel(number)

    def _keep(self, number: int) -> None:
        """What the node leaves at its end of a job of the scenario; gone from ``_own`` when it is over."""
        record = self._own.get(number)
        if record is None:
            return
        job = self._driver.machine.jobs[number]
        record.update(self._whole(job))
        if job.state.final:
            del self._own[number]
            self._one_over()

    def _one_over(self) -> None:
        self._open -= 1
        if not self._open:
            self._over.set(None)

    # -- attached programs -----------------------------------------------------------------------------------------

    async def _call_submit(
        self, circuit: Any, shots: Any, called: Any = "job", minimum_fidelity: Any = 0.0, ahead: Any = 0
    ) -> dict[str, Any]:
        """Put a job into the queue.  ``circuit``: as ``Circuit.to_json`` has it."""
        if type(called) is not str or not 0 < len(called) <= _MAX_NAME:
            raise CallError(f"called must be a text of at most {_MAX_NAME} characters")
        whole("shots", shots, 1, MAX_SHOTS)
        whole("ahead", ahead, 0, MAX_AHEAD)
        if type(minimum_fidelity) not in (int, float) or not 0 <= minimum_fidelity <= 1:
            raise CallError("minimum_fidelity must be a number from 0 to 1")
        try:
            read = Circuit.from_json(circuit)
        except (ValueError, TypeError, KeyError) as error:
            raise CallError(f"circuit: {error}") from None
        if read.clbits > MAX_CLBITS:
            raise CallError(f"circuit: more than {MAX_CLBITS} classical bits")
        try:
            number = self._submit(_order(called, read, shots, float(minimum_fidelity), ahead))
        except Unfit as unfit:
            raise CallError(f"refused: {unfit}") from None
        return self._facts(self._driver.machine.jobs[number])

    async def _call_jobs(self) -> list[dict[str, Any]]:
        """All that are known, oldest first, without their counts."""
        return [self._facts(job) for job in self._driver.machine.jobs.values()]

    async def _call_job(self, job: Any) -> dict[str, Any]:
        """One with its counts."""
        return self._whole(self._known(job))

    async def _call_news(self, job: Any, seen: Any = 0) -> dict[str, Any]:
        """One as soon as it is not any more as ``seen`` has it, its `version`."""
        known = self._known(job)
        whole("seen", seen, 0, 1 << 62)
        while self._versions.get(known.number, 0) == seen and not known.state.final:
            waiter: Waiter[None] = Waiter(self._kernel)
            self._watchers.append(waiter)
            try:
                await waiter.wait()
            finally:
                if waiter in self._watchers:  # whoever asked has gone
                    self._watchers.remove(waiter)
        return self._facts(known)

    async def _call_cancel(self, job: Any) -> dict[str, Any]:
        """End a job; it may take until its QPUs have let go."""
        known = self._known(job)
        if not self._cancel(known.number):
            raise CallError(f"job {known.number} is {known.state.name.lower()} already")
        return self._facts(known)

    async def _call_qpus(self) -> list[dict[str, Any]]:
        """The QPUs, and what each does."""
        machine = self._driver.machine
        working = {
            node: job.number
            for job in machine.jobs.values()
            if job.placings and job.placings[-1].ended_ps is None
            for node in job.placings[-1].nodes
        }
        return [
            {"node": node, "name": name, "up": machine.up(node), "job": working.get(node)}
            for node, name in self._names.items()
        ]

    def _known(self, number: Any) -> Job:
        job = self._driver.machine.jobs.get(number) if type(number) is int else None
        if job is None:
            lost = f"; {self._journal_lost}" if self._journal_lost else ""
            raise CallError(f"there is no job {number!r:.40}{lost}")
        return job

    # -- both ------------------------------------------------------------------------------------------------------

    def _submit(self, order: Order) -> int:
        """Raises Unfit, also for what could not be written down: it would be lost with this life."""
        try:
            self._journal.catch_up()
            self._tell_of_journal()
            self._check_journal()
            self._journal.shorten(self._driver.machine.records)
            number = self._driver.machine.submit(order, self._kernel.now)
            self._driver.flush()
            try:
                self._check_journal()
            except Unfit as unfit:
                self._driver.machine.cancel(number, self._kernel.now, str(unfit))
                raise
        except Unfit as unfit:
            self._kernel.event("job", "refused", called=order.name, reason=str(unfit))
            raise
        finally:
            self._driver.flush()
        return number

    def _check_journal(self) -> None:
        if self._journal.trouble:
            raise Unfit(f"the controller cannot write it down: {self._journal.trouble}")

    def _cancel(self, number: int) -> bool:
        found = self._driver.machine.cancel(number, self._kernel.now)
        self._driver.flush()
        return found

    def _facts(self, job: Job) -> dict[str, Any]:
        """A job as JSON."""
        last = job.placings[-1] if job.placings else None
        return {
            "job": job.number,
            "name": job.order.name,
            "state": job.state.name,
            "reason": job.reason or self._driver.machine.hindrance(job),
            "version": self._versions.get(job.number, 0),
            "qubits": job.order.qubits,
            "shots": job.order.shots,
            "shots_done": job.shots_done,
            "shots_spoilt": job.spoilt,
            "nodes": [self._names[node] for node in last.nodes] if last else [],
            "submitted_ps": job.submitted_ps,
            "ended_ps": job.ended_ps,
        }

    def _whole(self, job: Job) -> dict[str, Any]:
        placings = [
            {
                "nodes": [self._names[node] for node in p.nodes],
                "began_ps": p.began_ps,
                "ended_ps": p.ended_ps,
                "freed_ps": list(p.freed_ps),
                "shots": p.shots,
            }
            for p in job.placings
        ]
        return self._facts(job) | {
            "counts": dict(sorted(job.counts.items())),
            "pairs": job.pairs,
            "waited_ps": job.waited_ps(self._kernel.now),
            "running_ps": job.running_ps,
            "placings": placings,
        }

    def _peer_lost(self, peer: int) -> None:
        self._driver.machine.peer_lost(peer, self._kernel.now)
        self._driver.flush()

    def _on_event(self, event: Any) -> None:
        kernel = self._kernel
        match event:
            case JobChanged(job, state, reason, nodes):
                facts: dict[str, Any] = {"reason": reason} if reason else {}
                if state is JobState.QUEUED:
                    order = self._driver.machine.jobs[job].order
                    facts |= {"called": order.name, "shots": order.shots}
                if state is JobState.LOADING:
                    facts["qpus"] = ",".join(self._names[node] for node in nodes)
                kernel.event("job", state.name.lower(), job=job, **facts)
                self._changed(job)
            case Accepted() | Placed() | Counted() | Freed() | Unplaced() | Unwanted() | Over():
                self._write(event)
            case Compile():
                if kernel.host.follows_the_wall:
                    kernel.spawn(self._compile_aside, event, name=f"compile-{event.job}")
                else:
                    self._compiled(event, self._planner.place(event.order, event.rooms, event.apart))
            case JobProgress(job, done, shots):
                kernel.event("job", "progress", job=job, shots_done=done, shots=shots)
                self._changed(job)
            case QpuChanged(node, up):
                kernel.event("job", "qpu is there" if up else "qpu is gone", qpu=self._names[node])
            case Watch(node):
                self._messenger.watch(node)
            case Unwatch(node):
                self._messenger.unwatch(node)
            case Ignored(message=message):
                kernel.count(f"ignored {message}")
            case _:
                raise AssertionError(f"{event} is no event of Controller")

    def _write(self, record: Record) -> None:
        if not self._kernel.alive:
            return
        self._journal.write(record)
        self._tell_of_journal()

    def _tell_of_journal(self) -> None:
        """Say when it cannot be written, and when it can again."""
        trouble, before = self._journal.trouble, self._journal_trouble
        self._journal_trouble = trouble
        if trouble and not before:
            self._kernel.event("job", "journal not written", reason=trouble)
        elif before and not trouble:
            self._kernel.event("job", "journal written")

    async def _compile_aside(self, wanted: Compile) -> None:
        """On a thread: a large circuit takes seconds, in which the node must not fall silent.  What comes of it waits,
        as all that is for a node, while that is frozen."""
        place = partial(self._planner.place, wanted.order, wanted.rooms, wanted.apart)
        parts = await trio.to_thread.run_sync(place)
        self._kernel.after(0, lambda: self._compiled(wanted, parts))

    def _compiled(self, wanted: Compile, parts: dict[int, Part]) -> None:
        self._driver.machine.compiled(wanted.job, parts, self._kernel.now)
        self._driver.flush()

    def _changed(self, number: int) -> None:
        self._versions[number] = self._versions.get(number, 0) + 1
        self._keep(number)
        watchers, self._watchers = self._watchers, []
        for waiter in watchers:
            waiter.set(None)


def _order(name: str, circuit: Circuit, shots: int, minimum_fidelity: float, ahead: int, origin: int = 0) -> Order:
    return Order(name, circuit.qubits, circuit.clbits, shots, circuit, minimum_fidelity, ahead, origin)
