"""Pairs, teleports and telegates: wall time, clock windows and frames for each.

What may live here: benches of the whole stack, on the hardware of the shipped scenarios.
"""

from collections.abc import Iterator
from dataclasses import replace
from math import sqrt
from pathlib import Path
from typing import Final

from protocols.wire.codec import EgpBases
from testbed.bench.measure import Measured, Timed, timed_local, timed_virtual
from testbed.circuits import compile_jobs
from testbed.plan.compose import compose
from testbed.plan.plan import Plan
from testbed.scenario import LinkLoad, LoadClass, load_scenario
from testbed.scenario.link_requests import KINDS
from testbed.scenario.model import Requests

SCENARIOS = Path(__file__).parents[1] / "scenarios"


PAIRS: Final = 200


def quantum_figures() -> Iterator[Measured]:
    """Pairs alone, as a link heralds often or seldom; then the two shipped scenarios, under both clocks."""
    for p in (0.1, 1e-5):
        plan = _pairs_plan(p)
        best = min(timed_local(plan).run_s for _ in range(3))
        how = f"{PAIRS} requested one after another over a link that heralds with p = {p:g}, best of 3"
        yield Measured(f"pair, local, sampled, p = {p:g}", best / PAIRS * 1e3, "ms/pair", how, 1.5)
    yield from _both("teleport", _teleport_plan(), 300)
    plan, telegates = _job_plan()
    yield from _both("telegate", plan, telegates)


def link_figures() -> Iterator[Measured]:
    """Pairs of one link: kept, and measured directly."""
    for kind in ("keep", "measure"):
        plan, pairs = _link_plan(kind)
        local = min((timed_local(plan) for _ in range(2)), key=lambda r: r.run_s)
        virtual = min((timed_virtual(plan) for _ in range(2)), key=lambda r: r.run_s)
        what = f"link pair, {kind}"
        how = f"{pairs} pairs in requests of 20, one link of 2 m, p = .02"
        yield Measured(f"{what}, local", local.run_s / pairs * 1e3, "ms/pair", how)
        yield Measured(f"{what}, virtual", virtual.run_s / pairs * 1e3, "ms/pair", "2 QPUs, a station, the plane")
        yield from _counted(what, virtual, pairs)


def _link_plan(kind: str) -> tuple[Plan, int]:
    """A link that is asked for pairs of one kind, and how many it will make."""
    scenario = load_scenario(SCENARIOS / "two-qpus.yaml")
    bases = EgpBases.XYZ if kind == "measure" else EgpBases.NONE
    known = LoadClass(kind, KINDS[kind], 1.0, 20, bases=bases, remote_bases=bases)
    load = LinkLoad("west-east", 0.9, 500_000_000_000, ("a", "b"), (known,))
    plan = compose(replace(scenario, jobs=(), link_loads=(load,)), "virtual", [])
    results = timed_local(plan).outcome.results
    return plan, sum(len(end["load-0"]["classes"][kind]["done"]) * 20 for end in results.values() if "load-0" in end)


def _both(what: str, plan: Plan, count: int) -> Iterator[Measured]:
    local = min((timed_local(plan) for _ in range(2)), key=lambda r: r.run_s)
    virtual = min((timed_virtual(plan) for _ in range(2)), key=lambda r: r.run_s)
    how = f"{count} in sequence, pairs made on demand, local gates and readout included"
    yield Measured(f"{what}, local", local.run_s / count * 1e3, f"ms/{what}", how)
    yield Measured(f"{what}, virtual", virtual.run_s / count * 1e3, f"ms/{what}", "2 QPUs, a station, the plane")
    yield from _counted(what, virtual, count)


def _counted(what: str, timed: Timed, count: int) -> Iterator[Measured]:
    wall = timed.outcome.wall
    yield Measured(f"{what}, clock windows", wall["windows"] / count, f"per {what}", "rounds of the coordinator")
    yield Measured(f"{what}, grants", wall["grants"] / count, f"per {what}", "trips to a node process")
    yield Measured(f"{what}, frames", wall["frames"] / count, f"per {what}", "UDP datagrams")


def _pairs_plan(p: float) -> Plan:
    """Pairs asked for end to end, by whatever link that heralds an attempt with this probability."""
    scenario = load_scenario(SCENARIOS / "two-qpus-teleport.yaml")
    # Barrett-Kok without dark counts: p = (efficiency of an arm)^2 / 2, the metre of fibre aside.
    efficiency = sqrt(2 * p)
    (link,) = scenario.links
    link = replace(link, physics={**link.physics, "efficiency_a": efficiency, "efficiency_b": efficiency})
    requests = (Requests("west", "east", PAIRS),)
    return compose(replace(scenario, links=(link,), teleport=None, requests=requests), "local", [])


def _teleport_plan() -> Plan:
    return compose(load_scenario(SCENARIOS / "two-qpus-teleport.yaml"), "virtual", [])


def _job_plan() -> tuple[Plan, int]:
    scenario = load_scenario(SCENARIOS / "two-qpus.yaml")
    scenario = replace(scenario, jobs=tuple(replace(job, shots=100) for job in scenario.jobs))
    jobs = compile_jobs(scenario)
    return compose(scenario, "virtual", jobs), sum(job.shots * job.gates for job in jobs)
