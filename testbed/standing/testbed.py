"""Testbeds that stay, for programs and notebooks: bring one up, talk to it, break it, end it.

What may live here: the caller's end of a standing testbed (its own end is ``testbed.standing.service``).
"""

import json
import os
import re
import select
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio.to_thread

from stack.sdk import Session, SessionEnded
from stack.sdk.floor import waits_for
from testbed.errors import BadInput
from testbed.lab.spawning import environment, python
from testbed.program import program
from testbed.standing.jobs import ControllerCalls, JobStatus, Progress
from testbed.standing.places import Place, place, the_one

ENDING_S = 10.0
"""How long a testbed that breaks down may take to save its trace."""

DOWN_S = 60.0
"""How long a testbed may take to write its files and end."""


class TestbedError(Exception):
    """The testbed came to its end, or never came up; its own words."""

    __test__ = False  # it is no test of pytest's

    def __init__(self, trouble: str, code: int = 3) -> None:
        super().__init__(trouble)
        self.code = code


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """One node: ``state`` is booting, up, frozen, killed (as asked), or down (by itself: then ``why`` says how); of one
    ``elsewhere`` also awaited: then ``ticket`` is the file of which whoever starts it needs a copy.
    ``unrecorded_s``: of one ``elsewhere``, the wall seconds before it vanished of which the trace may say nothing.
    ``journal_lost``: why a controller ``elsewhere`` does not know the jobs of its earlier lives, if so.
    ``drifted``: a fault has bent its clock, which nobody keeps: it is off by what it has gained, also afterwards.
    """

    name: str
    number: int
    kind: str
    state: str
    incarnation: int
    pid: int | None
    address: str
    why: str = ""
    drifted: bool = False
    elsewhere: bool = False
    ticket: Path | None = None
    unrecorded_s: float = 0.0
    journal_lost: str = ""


@dataclass(frozen=True, slots=True)
class LinkStatus:
    """One quantum link of the topology."""

    name: str
    a: str
    b: str
    station: str
    length_m: float


@dataclass(frozen=True, slots=True)
class FaultStatus:
    """Something that is wrong with the network since virtual time ``since_s``; ``value``: a probability, or of a delay
    and of jitter seconds, of drift a fraction; ``at``: links or nodes, none: everywhere."""

    kind: str
    at: tuple[str, ...]
    value: float
    since_s: float


@dataclass(frozen=True, slots=True)
class FloorStatus:
    """Virtual time stands still, since ``for_s`` wall seconds: a program of this node keeps the floor."""

    node: str
    process: int
    program: str
    for_s: float


@dataclass(frozen=True, slots=True)
class Status:
    """A testbed as it is now; ``t_s`` is its virtual time, ``up_s`` wall time since it came up; ``telemetry``: why
    nothing is told to its MQTT broker, if so."""

    name: str
    scenario: str
    out: Path
    clock: str
    dilation: float
    t_s: float
    up_s: float
    nodes: dict[str, NodeStatus] = field(default_factory=dict)
    links: tuple[LinkStatus, ...] = ()
    faults: tuple[FaultStatus, ...] = ()
    floor: tuple[FloorStatus, ...] = ()
    telemetry: str = ""


@dataclass(frozen=True, slots=True)
class Ping:
    """What came of making pairs: rate in pairs per virtual second, fidelity as the ends believe and as the oracle saw
    when the pairs were let go; None where there was nothing to measure.  ``why``: why not all came, if so.
    ``unseen``: why the oracle was not asked, if so: the far end did not say which halves it had.
    """

    a: str
    b: str
    asked: int
    pairs: int
    lost: int
    why: str
    pairs_per_s: float | None
    span_s: float
    wall_s: float
    fidelity_estimate: float | None
    fidelity_oracle: float | None
    unseen: str = ""


class Testbed:
    """A testbed that is up.  As a context it ends with it.

    Every method raises BadInput for what cannot be asked of it, and TestbedError when it is there no more.
    """

    __test__ = False  # it is no test of pytest's

    def __init__(
        self,
        scenario: str | Path,
        *,
        name: str | None = None,
        clock: str = "paced",
        seed: int | None = None,
        dilation: float | None = None,
        mqtt: str | None = None,
        out: str | Path | None = None,
        force: bool = False,
        remote: Sequence[str] = (),
        bind: str | None = None,
        folder: Path | None = None,
    ) -> None:
        """Bring a scenario's network up, without its work, and wait until every node is.

        ``remote``: nodes that are started elsewhere, at any time (`bellwire node`); they reach it at ``bind``, an
        address of this machine.  They are not waited for: ``status`` says where their tickets are.

        ``clock``: paced, or virtual: then time passes only while something is to be done, as fast as it can.

        ``out``: where it leaves its files at the end (default: a new folder in out/).  ``folder``: where its sockets
        are (default: this user's run-time folder).  Raises BadInput, or TestbedError if a node died at once.
        """
        path = Path(scenario)
        stem = re.sub(r"[^A-Za-z0-9_.-]", "-", path.stem)[:40].lstrip(".") or "testbed"
        self._place = place(name if name is not None else stem, folder)
        self._place.check(lambda: _nodes(path))
        orders = {
            "scenario": os.path.realpath(path),
            "clock": clock,
            "seed": seed,
            "dilation": dilation,
            "mqtt": mqtt,
            "out": None if out is None else os.path.realpath(out),
            "force": force,
            "remote": list(remote),
            "bind": bind,
            "place": os.path.realpath(self._place.path),
        }
        self.out = Path(_start(orders)["out"])

    @classmethod
    def find(cls, name: str | None = None, folder: Path | None = None) -> Self:
        """The testbed of that name that is up, or the only one.  Raises BadInput."""
        found = cls.__new__(cls)
        found._place = the_one(name, folder)
        found.out = Path(found._place.about.get("out", ""))
        return found

    @property
    def name(self) -> str:
        return self._place.name

    @property
    def folder(self) -> Path:
        """Where its sockets are."""
        return self._place.path.resolve()

    def status(self) -> Status:
        """What is up, and since when."""
        facts = self._ask("status")
        facts["nodes"] = {node["name"]: _node(node) for node in facts["nodes"]}
        facts["links"] = tuple(LinkStatus(**link) for link in facts["links"])
        facts["faults"] = tuple(_fault(fault) for fault in facts["faults"])
        facts["floor"] = tuple(FloorStatus(**one) for one in facts["floor"])
        facts["out"] = Path(facts["out"])
        return Status(**facts)

    def ping(
        self, a: str, b: str, pairs: int = 10, *, minimum_fidelity: float = 0.0, patience_s: float = 10.0
    ) -> Ping:
        """Make pairs between two nodes; ``patience_s`` is wall time."""
        facts = self._ask("ping", a=a, b=b, pairs=pairs, minimum_fidelity=minimum_fidelity, patience_s=patience_s)
        return Ping(**facts)

    def kill(self, node: str) -> None:
        """End a node's process, as a power cut would: its memories are lost, its neighbours are not told."""
        self._ask("kill", node=node)

    def restart(self, node: str) -> int:
        """Begin a node's next life (one that lives is killed first); its number.  One elsewhere is awaited then."""
        return int(self._ask("restart", node=node)["incarnation"])

    def freeze(self, node: str) -> None:
        """Stop a node: time passes without it, and what is sent to it waits."""
        self._ask("freeze", node=node)

    def thaw(self, node: str) -> None:
        """Let a frozen node go on."""
        self._ask("thaw", node=node)

    def fault(self, kind: str, value: float | None = None, *at: str, for_s: float | None = None) -> FaultStatus:
        """Disturb the network from now on, or for ``for_s`` virtual seconds.

        ``kind``: loss, duplicate, corrupt, reorder (``value``: a probability per frame), delay, jitter (seconds),
        drift (of nodes' clocks, as a fraction: 50e-6), cut (of links), blind (stations), partition (of nodes from all
        others), disk (full), broker (the embedded one is gone).  ``at``: names of links or nodes; two nodes are the
        channel between them, none is everywhere.
        """
        scale = {"delay": 1e12, "jitter": 1e12, "drift": 1e9}.get(kind)
        if scale is not None and isinstance(value, int | float):
            value = round(value * scale)
        for_ps = None if for_s is None else round(for_s * 1e12)
        return _fault(self._ask("fault", kind=kind, value=value, at=at, for_ps=for_ps))

    def heal(self, kind: str | None = None, *at: str) -> int:
        """Undo faults: of a kind, at a place, or all; how many.  None, if such a fault is over already."""
        return int(self._ask("heal", kind=kind, at=at)["healed"])

    def attach(self, node: str) -> Session:
        """A program's session with a node, see ``stack.sdk``."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(self._ask("attach", node=node)["path"])
        except BaseException:
            sock.close()
            raise
        return Session(sock, node)

    def submit(
        self,
        circuit: Any,
        shots: int,
        *,
        name: str | None = None,
        minimum_fidelity: float = 0.0,
        ahead: int = 0,
        controller: str | None = None,
    ) -> JobStatus:
        """Give a circuit to the testbed's controller (or the one that is named); it goes on whatever becomes of the
        caller.  ``circuit``: the path of an OpenQASM file, or a Qiskit QuantumCircuit; ``ahead``: pairs that wait for
        their gates, on each way over which it does any, as far as its QPUs have room."""
        with self._controller(controller, "if it has accepted the job it keeps it") as calls:
            return calls.submit(circuit, shots, name, minimum_fidelity, ahead)

    def jobs(self, *, controller: str | None = None) -> list[JobStatus]:
        """All that the controller knows, oldest first, without counts."""
        with self._controller(controller) as calls:
            return calls.jobs()

    def job(self, number: int, *, controller: str | None = None) -> JobStatus:
        """One, with its counts."""
        with self._controller(controller) as calls:
            return calls.job(number)

    def wait(
        self, number: int, *, progress: Progress = lambda status: None, controller: str | None = None
    ) -> JobStatus:
        """Wait until a job is over; ``progress`` is called with its status whenever that has changed."""
        with self._controller(controller) as calls:
            return calls.wait(number, progress)

    def cancel(self, number: int, *, controller: str | None = None) -> JobStatus:
        """End a job; its QPUs may take a moment to let go."""
        with self._controller(controller) as calls:
            return calls.cancel(number)

    @contextmanager
    def _controller(self, name: str | None, kept: str = "it keeps its jobs") -> Iterator[ControllerCalls]:
        """``kept``: what is known of its jobs if it dies meanwhile: what it has accepted it has written down."""
        known = [node.name for node in self.status().nodes.values() if node.kind == "controller"]
        if name is None and len(known) != 1:
            remedy = f"name one of {', '.join(known)}" if known else "add a node of kind controller to the scenario"
            raise BadInput(self.name, "controller", f"there are {len(known)} controllers", remedy)
        with self.attach(known[0] if name is None else name) as session:
            try:
                yield ControllerCalls(session, self.name)
            except SessionEnded:
                self.status()  # if all is gone, that is what there is to say
                remedy = f"{program()} restart {session.name}, then {program()} jobs"
                raise TestbedError(f"{session.name} of {self.name} is gone; {kept}: {remedy}") from None

    def down(self, *, force: bool = False) -> Path:
        """End it, see its files written, and every process gone; the folder of its files.  ``force``: at once; then
        only its trace is written.  Raises TestbedError also if not all was as it should be: it is down all the same."""
        try:
            keeper = os.pidfd_open(self._place.about.get("pid", 0))
        except (OSError, TypeError):  # it has gone, or was never whole
            keeper = None
        if keeper is None:
            self._ask("down")  # says what there is to say
            return self.out
        with open(keeper, "rb"):
            if force:
                signal.pidfd_send_signal(keeper, signal.SIGKILL)
            else:
                self._ask("down")
            if not select.select([keeper], [], [], DOWN_S)[0]:
                raise TestbedError(f"{self.name} has not ended within {DOWN_S:g} s; end it with --force")
        trouble = None if force else self._place.fall
        if force or trouble:
            self._place.clear()
        if trouble:
            raise TestbedError(f"{self.name} is down, but not as it should be: {trouble.cause}; {trouble.remedy}")
        return self.out

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._place.held():
            return
        with suppress(TestbedError):
            try:
                self.down()
            except BadInput:  # a session keeps the floor: perhaps that of whom this error has ended
                self.down(force=True)  # it outlives its `with` in no case
                if error is None:
                    raise

    def _why_gone(self) -> str:
        """Its keeper, if it lives, is about to end and to leave word."""
        end = time.monotonic() + ENDING_S
        while self._place.held() and time.monotonic() < end:
            time.sleep(0.05)
        if fall := self._place.fall:
            return f"{self.name}: {fall.problem}; {fall.remedy}"
        return f"{self.name} is not up any more: it was ended; its files are in {self.out}"

    def _ask(self, what: str, **arguments: Any) -> Any:
        """One command, one connection."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            try:
                sock.connect(str(self._place.control))
                sock.sendall(json.dumps({"do": what, **arguments}).encode() + b"\n")
                takes_time = what not in ("status", "attach")
                with waits_for(self.folder) if takes_time else nullcontext(), sock.makefile("rb") as stream:
                    line = stream.readline()
            except OSError:
                line = b""
        if not line:
            raise TestbedError(self._why_gone())
        reply = json.loads(line)
        if "error" in reply:
            error = reply["error"]
            raise BadInput(self.name, error["place"], error["problem"], error["remedy"])
        return reply["ok"]


class AsyncTestbed:
    """The same for asyncio and trio: every method is awaited, and waits in a thread."""

    def __init__(self, testbed: Testbed) -> None:
        self._testbed = testbed
        self.name, self.out = testbed.name, testbed.out

    @classmethod
    async def up(cls, scenario: str | Path, **options: Any) -> Self:
        """As ``Testbed(scenario, ...)``."""
        return cls(await _in_thread(Testbed, scenario, **options))

    @classmethod
    async def find(cls, name: str | None = None, folder: Path | None = None) -> Self:
        return cls(await _in_thread(Testbed.find, name, folder))

    async def status(self) -> Status:
        return await _in_thread(self._testbed.status)

    async def ping(self, a: str, b: str, pairs: int = 10, **options: float) -> Ping:
        return await self._done(self._testbed.ping, a, b, pairs, **options)

    async def kill(self, node: str) -> None:
        await self._done(self._testbed.kill, node)

    async def restart(self, node: str) -> int:
        return await self._done(self._testbed.restart, node)

    async def freeze(self, node: str) -> None:
        await self._done(self._testbed.freeze, node)

    async def thaw(self, node: str) -> None:
        await self._done(self._testbed.thaw, node)

    async def fault(self, kind: str, value: float | None = None, *at: str, for_s: float | None = None) -> FaultStatus:
        return await self._done(self._testbed.fault, kind, value, *at, for_s=for_s)

    async def heal(self, kind: str | None = None, *at: str) -> int:
        return await self._done(self._testbed.heal, kind, *at)

    async def attach(self, node: str) -> Session:
        """Its calls block: give them a thread of their own."""
        return await _in_thread(self._testbed.attach, node)

    async def submit(self, circuit: Any, shots: int, **options: Any) -> JobStatus:
        return await self._done(self._testbed.submit, circuit, shots, **options)

    async def jobs(self, **options: Any) -> list[JobStatus]:
        return await self._done(self._testbed.jobs, **options)

    async def job(self, number: int, **options: Any) -> JobStatus:
        return await self._done(self._testbed.job, number, **options)

    async def wait(self, number: int, **options: Any) -> JobStatus:
        """``progress`` is called in a thread of its own."""
        return await self._done(self._testbed.wait, number, **options)

    async def cancel(self, number: int, **options: Any) -> JobStatus:
        return await self._done(self._testbed.cancel, number, **options)

    async def down(self, *, force: bool = False) -> Path:
        return await self._done(self._testbed.down, force=force)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self._done(self._testbed.__exit__, kind, error, trace)

    async def _done[T](self, do: Callable[..., T], *arguments: Any, **options: Any) -> T:
        with waits_for(self._testbed.folder, in_loop=True):
            return await _in_thread(do, *arguments, **options)


def _node(facts: dict[str, Any]) -> NodeStatus:
    return NodeStatus(**(facts | {"ticket": facts["ticket"] and Path(facts["ticket"])}))


def _nodes(scenario: Path) -> list[str]:
    from testbed.scenario import load_scenario  # half a second to import, and hardly ever needed here

    return [node.name for node in load_scenario(scenario).nodes]


def _fault(facts: dict[str, Any]) -> FaultStatus:
    return FaultStatus(**(facts | {"at": tuple(facts["at"])}))


async def _in_thread[T](function: Callable[..., T], *arguments: Any, **options: Any) -> T:
    return await anyio.to_thread.run_sync(partial(function, *arguments, **options))


def _start(orders: dict[str, Any]) -> dict[str, Any]:
    """Start a keeper and wait until its testbed is up; what it says of it.

    Whoever is interrupted while it waits takes the keeper down, which takes down all else.
    """
    read, write = os.pipe()
    with open(read, "rb") as word, tempfile.TemporaryFile() as words:
        try:
            subprocess.run(
                python("-m", "testbed.standing.keeper"),
                input=json.dumps(orders | {"ready": write}).encode(),
                stdout=subprocess.DEVNULL,
                stderr=words,
                pass_fds=[write],
                start_new_session=True,
                env=environment({}),
                check=False,  # what it has to say it says to `word`
            )
        finally:
            os.close(write)
        keeper = json.loads(word.readline() or b"{}").get("pid")
        try:
            said = json.loads(word.readline() or b"{}")
        except BaseException:
            with suppress(ProcessLookupError):
                os.kill(keeper, signal.SIGTERM)
            word.readline()
            raise
        if "up" in said:
            return dict(said["up"])
        if "bad" in said:
            raise BadInput(*said["bad"])
        if "trouble" in said:
            raise TestbedError(said["trouble"], said["code"])
        words.seek(0)
        last = words.read().decode(errors="replace").strip().splitlines()[-1:]
        raise TestbedError(f"the keeper died{': ' + last[0] if last else ''}")


__all__ = [
    "AsyncTestbed",
    "JobStatus",
    "LinkStatus",
    "NodeStatus",
    "Ping",
    "Place",
    "Status",
    "Testbed",
    "TestbedError",
]
