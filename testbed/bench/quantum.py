"""Pairs, teleports and telegates: wall time, clock windows and frames for each.

What may live here: benches of the whole stack, on the hardware of the shipped scenarios.
"""

from collections.abc import Iterator
from dataclasses import replace
from math import sqrt
from pathlib import Path
from typing import Final

from testbed.bench.measure import Measured, Timed, timed_local, timed_virtual
from testbed.circuits import compile_jobs
from testbed.lab.compose import compose
from testbed.lab.plan import Plan
from testbed.scenario import load_scenario
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
