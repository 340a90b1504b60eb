"""A QPU that is leased: programs that a controller has sent are checked, run, stopped, their outcomes told.

What may live here: the driver of ``protocols.job.qpu``, and what becomes of a lease in between.
"""

import json
from typing import Any

from protocols.ignored import Ignored
from protocols.job.qpu import QpuLeases
from protocols.job.service import Ending, Halt, Offered, Start, Unwatch, Watch
from protocols.rgp.service import RefuseReason
from protocols.wire import JobGivenUp, JobResult, JobWhy, ProtocolId
from stack.application.compiler.checking import MAX_CLBITS, check_steps
from stack.application.data_qubits import AllHeld, DataQubits
from stack.application.gates import GateFailed, RemoteGates
from stack.application.jobs import MOST_JOBS, Failure, JobPart, JobRunner
from stack.application.results import ResultMissing, SharedResults
from stack.config import NodeConfig
from stack.runtime.driver import Driver
from stack.runtime.kernel import Kernel
from stack.runtime.messenger import Messenger

_REPORTS = 20
"""How often a QPU tells of its shots, about, while it does them,"""

_REPORT_PS = 200_000_000_000
"""and how long it keeps them to itself at most, if one does not take longer."""

_MOST_AHEAD = 0xFFFF


class Leases:
    """One QPU's part in the jobs of its controller."""

    def __init__(
        self,
        kernel: Kernel,
        config: NodeConfig,
        data: DataQubits,
        jobs: JobRunner,
        gates: RemoteGates,
        results: SharedResults,
        messenger: Messenger,
    ) -> None:
        self._kernel = kernel
        assert config.device is not None
        self._data_qubits = config.device.data_qubits
        self._controller = config.paths[config.controller].name
        self._data = data
        data.on_room = self._room
        self._jobs = jobs
        self._gates = gates
        self._results = results
        self._messenger = messenger
        machine = QpuLeases(config.controller, self._data_qubits, config.pauses)
        self._driver = Driver(kernel, machine, messenger.send, self._on_event)
        self._driver.at_rest = machine.at_rest
        self._part: JobPart | None = None
        self._ahead = 0
        self._qubits: set[int] = set()
        """Data qubits that the lease holds."""
        self._clbits: list[int] = []
        self._running = False
        self._loaded_ps = 0
        messenger.register(ProtocolId.JOB, self._receive)
        messenger.on_broken(self._peer_lost)

    def start(self) -> None:
        """The node is up."""
        self._driver.machine.come_up()
        self._driver.flush()

    def _room(self, room: int) -> None:
        """Programs have taken data qubits, or given them back."""
        self._driver.machine.room(room)
        self._driver.flush()

    def _receive(self, message: Any, source: int) -> None:
        if isinstance(message, JobResult | JobGivenUp):
            self._results.receive(message, source)
        else:
            self._driver.receive(message, source)

    def _peer_lost(self, peer: int) -> None:
        self._driver.machine.peer_lost(peer, self._kernel.now)
        self._driver.flush()

    def _on_event(self, event: Any) -> None:
        match event:
            case Offered(lease, job, program):
                self._offered(lease, job, program)
            case Start(lease, shots):
                self._running = True
                self._kernel.spawn(self._run, lease, shots, name=f"lease-{lease}")
            case Halt(lease):
                if self._running and self._part is not None:
                    self._part.cancel()
                else:
                    self._ended(lease, Ending(JobWhy.STOPPED))
            case Watch(node):
                self._messenger.watch(node)
            case Unwatch(node):
                self._messenger.unwatch(node)
            case Ignored(message=message):
                self._kernel.count(f"ignored {message}")
            case _:
                raise AssertionError(f"{event} is no event of QpuLeases")

    def _offered(self, lease: int, job: int, program: bytes) -> None:
        try:
            steps, self._clbits, fidelity, self._ahead, qubits = self._read(program)
        except (ValueError, TypeError, KeyError, IndexError, RecursionError):
            self._kernel.event("job", "program refused", lease=lease, job=job)
            self._ended(lease, Ending(JobWhy.MALFORMED))
            return
        try:
            self._data.claim(qubits, f"job {job} of {self._controller}")
        except AllHeld as held:
            self._kernel.event("job", "program refused", lease=lease, job=job, reason=str(held))
            self._ended(lease, Ending(JobWhy.IN_USE))
            return
        self._qubits = qubits
        self._kernel.event("job", "loaded", lease=lease, job=job, bytes=len(program))
        self._gates.minimum_fidelity = fidelity
        self._loaded_ps = self._kernel.now
        self._part = self._jobs.part(lease % MOST_JOBS, steps)
        self._part.patient = False
        self._driver.machine.accept(lease)

    def _read(self, program: bytes) -> tuple[list[Any], list[int], float, int, set[int]]:
        """Steps, classical bits that end here, fidelity of pairs, how many are to be ready, data qubits."""
        told = json.loads(program)
        steps, clbits, fidelity = told["steps"], told["clbits"], told["minimum_fidelity"]
        qubits = check_steps(steps, self._data_qubits, self._messenger.reaches)
        if not all(type(clbit) is int and 0 <= clbit < MAX_CLBITS for clbit in clbits) or len(clbits) > MAX_CLBITS:
            raise ValueError("classical bits that are none")
        if type(fidelity) not in (int, float) or not 0 <= fidelity <= 1:
            raise ValueError("no fidelity")
        ahead = told.get("ahead", 0)
        if type(ahead) is not int or not 0 <= ahead <= _MOST_AHEAD:
            raise ValueError("no number of pairs")
        return steps, list(clbits), float(fidelity), ahead, qubits

    async def _run(self, lease: int, shots: int) -> None:
        part = self._part
        assert part is not None
        clbits = self._clbits
        rows: list[int] = []
        batch = max(1, shots // _REPORTS)
        told_ps = self._kernel.now

        def tell() -> None:
            nonlocal told_ps
            told_ps = self._kernel.now
            self._driver.machine.outcome(lease, len(clbits), rows, part.pairs, part.elapsed_ps)
            rows.clear()
            self._driver.flush()

        def on_shot(found: dict[int, int] | None) -> None:
            if part.failed:
                return  # another lease will do it again
            row = 1 << len(clbits)
            if found is not None:
                row = sum(found.get(clbit, 0) << place for place, clbit in enumerate(clbits))
            rows.append(row)
            if len(rows) >= batch or self._kernel.now - told_ps >= _REPORT_PS:
                tell()

        await part.run(shots, on_shot, self._ahead, fill=False)  # what is wanted ahead must not outlive a Stop
        tell()
        self._running = False
        self._results.end_all()
        why, node = _why(part.failure) if part.failed else (JobWhy.DONE, 0)
        if why is JobWhy.PEER_LOST and self._messenger.restarted(node, since=self._loaded_ps):
            why = JobWhy.GIVEN_UP  # it is there: what is begun with it now will work
        if part.cancelled:
            why, node = JobWhy.STOPPED, 0
        self._kernel.event("job", "released", lease=lease, why=why.name, pairs=part.pairs)
        self._ended(lease, Ending(why, node, part.pairs, part.elapsed_ps))

    def _ended(self, lease: int, ending: Ending) -> None:
        self._part = None
        qubits, self._qubits = self._qubits, set()
        self._data.give_back(qubits)
        self._driver.machine.ended(lease, ending)
        self._driver.flush()


def _why(failure: Failure | None) -> tuple[JobWhy, int]:
    match failure:
        case ResultMissing():
            return (JobWhy.PEER_LOST if failure.lost else JobWhy.GIVEN_UP), failure.peer
        case GateFailed(reason=RefuseReason.NO_PAIRS):
            return JobWhy.NO_PAIRS, failure.peer
        case GateFailed(reason=RefuseReason.PEER_LOST):
            return JobWhy.PEER_LOST, failure.peer
        case GateFailed():
            return JobWhy.GIVEN_UP, failure.peer
        case _:
            return JobWhy.STOPPED, 0
