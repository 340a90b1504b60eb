"""A plan under the ``local`` clock: everything in this process.

What may live here: composition of host, plane and nodes; the records of planned deaths.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from socket import socket
from typing import Any, Final

import trio

from stack.config import Path as Way
from stack.node import Node, boot
from stack.record import Recorder, spool_name
from testbed.clock.local import LocalHost
from testbed.lab.inputs import Outside
from testbed.lab.outcome import Outcome
from testbed.lab.plan import Plan


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


def chronicle(plan: Plan, spool_dir: Path, end_ps: int) -> None:
    """Write into the trace what was planned to disturb the run before its end."""
    for node in sorted({d.node for d in plan.disturbances}):
        with Recorder(spool_dir / spool_name(node, 1, "-faults"), node, 1) as recorder:
            for d in plan.disturbances:
                if d.node == node and d.t_ps < end_ps:
                    recorder.event(d.t_ps, "lab", d.event, **d.about)


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


def run_local(
    plan: Plan,
    spool_dir: Path | None,
    sessions: dict[int, list[socket]],
    on_host: Callable[[LocalHost], None] = lambda host: None,
    on_state: Callable[[int, str], None] = lambda node, state: None,
    on_end: Callable[[int, dict[str, Node]], None] = lambda t_ps, nodes: None,
) -> Outcome:
    """Run the plan to its end.

    ``on_host`` is given the host before it runs, for whoever watches its time; ``on_state`` is called with a node's
    number and its new state: up, killed, restarted; ``on_end`` with the time at which the run stops and each node as it
    is then.
    """
    configs = {n.number: replace(n, spools=str(spool_dir or "")) for n in plan.nodes}
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

    def rerouted(node: int, ways: dict[int, Way]) -> None:
        configs[node] = replace(configs[node], disturbed=configs[node].disturbed | ways)

    inputs = Outside(plan.network, None, spool_dir)
    host = LocalHost(plane, plan.agenda(), plan.ending(), plan.any_programs, revive, buried, inputs)
    host.on_rerouted = rerouted

    def start() -> None:
        for config in list(configs.values()):
            nodes[config.name] = boot(host, config, sessions.get(config.number, []))
            on_state(config.number, "up")

    on_host(host)
    with _few_collections():
        trio.run(host.run, start, clock=host.clock)
    on_end(host.true_now, nodes)
    results: dict[str, Any] = {}
    counters: dict[str, dict[str, int]] = {}
    for kernel in host.kernels.values():
        results[kernel.name] = kernel.findings
        counters[kernel.name] = kernel.counters
        kernel.recorder.close()
    inputs.close()
    if spool_dir is not None:
        chronicle(plan, spool_dir, host.true_now)
    names = {n.number: n.name for n in plan.nodes}
    return Outcome(
        end_ps=host.true_now,
        stuck=host.stuck,
        results=results,
        counters=counters,
        frames_lost={names[n]: lost for n, lost in host.frames_lost.items()},
        plane=plan.plane.summarise(plane),
        wall={"steps": host.steps},
    )
