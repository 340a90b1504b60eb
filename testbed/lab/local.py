"""A plan under the ``local`` clock: everything in this process.

What may live here: composition of host, plane and nodes; the records of planned deaths.
"""

import gc
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from socket import socket
from types import FrameType
from typing import Any, Final

import trio

from stack.config import Plight
from stack.node import Node, boot
from stack.record import Recorder, spool_name
from testbed.clock.local import LocalHost
from testbed.lab.children import FLOOR_S, GRACE_S
from testbed.lab.inputs import Outside
from testbed.plan.plan import Plan
from testbed.report.outcome import Outcome
from testbed.rundir import RunFolder


class Graveyard:
    """Writes planned deaths into the trace: one spool per death, which sorts after all that the node did."""

    def __init__(self, spool_dir: Path | None) -> None:
        self._dir = spool_dir
        self._incarnation: dict[int, int] = {}

    def buried(self, node: int, t_ps: int, frames_lost: int | None) -> None:
        incarnation = self._incarnation.get(node, 1)
        self._incarnation[node] = incarnation + 1
        if self._dir is not None:
            with Recorder(self._dir / spool_name(node, incarnation, "-death"), node, incarnation) as recorder:
                lost = {} if frames_lost is None else {"frames_lost": frames_lost}
                recorder.event(t_ps, "lab", "killed", incarnation=incarnation, **lost)


_THRESHOLDS: Final = (50_000, 20, 100)


@contextmanager
def _few_collections() -> Iterator[None]:
    """Hundreds of nodes in one process are a large heap that lives for the whole run: with Python's own thresholds a
    quarter of the time goes into walking through it in search of cycles, of which the stack makes hardly any."""
    usual = gc.get_threshold()
    gc.set_threshold(*_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def _heed(host: LocalHost, end_programs: Callable[[], None]) -> None:
    """An interrupt ends the run in order, so that it can be told of, without its programs if they do not let it; a
    second one, or if that takes too long, at once, in trio's way.  Called inside trio, in the main thread."""
    at_once: Any = signal.getsignal(signal.SIGINT)

    def heed(number: int, frame: FrameType | None) -> None:
        if host.interrupted:
            at_once(signal.SIGINT, frame)
            return
        host.end_soon()
        signal.signal(signal.SIGALRM, without_programs)
        signal.setitimer(signal.ITIMER_REAL, FLOOR_S)

    def without_programs(number: int, frame: FrameType | None) -> None:
        end_programs()
        signal.signal(signal.SIGALRM, heed)
        signal.setitimer(signal.ITIMER_REAL, GRACE_S)

    signal.signal(signal.SIGINT, heed)


def run_local(
    plan: Plan,
    spool_dir: Path | None,
    sessions: dict[int, list[socket]],
    on_host: Callable[[LocalHost], None] = lambda host: None,
    on_state: Callable[[int, str], None] = lambda node, state: None,
    on_end: Callable[[int, dict[str, Node]], None] = lambda t_ps, nodes: None,
    on_troubles: Callable[[list[dict[str, Any]]], None] = lambda active: None,
    end_programs: Callable[[], None] | None = None,
) -> Outcome:
    """Run the plan to its end.  ``spool_dir`` lies in the run's folder; None: nothing is written.

    ``on_host`` is given the host before it runs, for whoever watches its time; ``on_state`` is called with a node's
    number and its new state: up, killed, restarted; ``on_troubles`` with all that is wrong with the network when
    that has changed; ``on_end`` with the time at which the run stops and each node as it is then.
    ``end_programs``: with it the first SIGINT brings the run to its end in order, see ``_heed``.
    """
    journals = "" if spool_dir is None else str(RunFolder(spool_dir.parent).journals)
    configs = {n.number: replace(n, spools=str(spool_dir or ""), journals=journals) for n in plan.nodes}
    plane = plan.plane.build()
    graveyard = Graveyard(spool_dir)
    nodes: dict[str, Node] = {}

    def revive(node: int, t_ps: int) -> None:
        configs[node] = configs[node].reborn(t_ps)
        nodes[configs[node].name] = boot(host, configs[node], [])
        on_state(node, "restarted")

    def buried(node: int, t_ps: int, frames_lost: int) -> None:
        graveyard.buried(node, t_ps, frames_lost)
        on_state(node, "killed")

    def suffering(node: int, plight: Plight) -> None:
        configs[node] = configs[node].suffering(plight)

    inputs = Outside(plan.network, None, spool_dir, on_troubles, on_state)
    host = LocalHost(plane, plan.agenda(), plan.ending(), plan.any_programs, revive, buried, inputs)
    host.on_plight = suffering

    def start() -> None:
        for config in list(configs.values()):
            nodes[config.name] = boot(host, config, sessions.get(config.number, []))
            on_state(config.number, "up")
        if end_programs is not None:
            _heed(host, end_programs)

    on_host(host)
    before = signal.getsignal(signal.SIGINT)
    try:
        with _few_collections():
            trio.run(host.run, start, clock=host.clock)
    finally:
        if end_programs is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGINT, before)
    on_end(host.true_now, nodes)
    results: dict[str, Any] = {}
    counters: dict[str, dict[str, int]] = {}
    for kernel in host.kernels.values():
        results[kernel.name] = kernel.findings
        counters[kernel.name] = kernel.counters
        kernel.recorder.end()
    inputs.close()
    names = {n.number: n.name for n in plan.nodes}
    return Outcome(
        end_ps=host.true_now,
        stuck=host.stuck,
        results=results,
        counters=counters,
        frames_lost={names[n]: lost for n, lost in host.frames_lost.items()},
        plane=plan.plane.summarise(plane),
        wall={"steps": host.steps},
        interrupted=host.interrupted,
    )
