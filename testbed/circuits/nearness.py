"""What a pair between two QPUs costs the circuit that uses it: how wrong it is, and how long others wait for it.

A pair's cost is the error that it brings,

    1 - F, the fidelity that the link's nodes reckon with
    t/T2 of the qubits that wait at both ends meanwhile, t being the mean time to a pair; T2 at most 10 s, so that of
    perfect pairs the faster is still the nearer
    the gates and the readouts of a telegate at both ends

over links and swaps added up, in units of the cheapest between two QPUs here.

What may live here: from a scenario to that figure.
"""

from functools import cache
from heapq import heappop, heappush
from math import inf

from stack.application.compiler.ways import Distance
from testbed.hardware import link_told, swap_w
from testbed.scenario import Device, Link, Scenario

_LONG_S = 10.0
_PS = 1e-12


def nearness(scenario: Scenario) -> Distance:
    """By numbers of nodes; infinite where neither a link nor a chain over repeaters leads from one to the other."""

    @cache
    def found() -> dict[int, dict[int, float]]:  # when it is first asked for: links take a while to be reckoned
        return costs(scenario)

    @cache
    def distance(a: int, b: int) -> float:
        return 0.0 if a == b else found().get(a, {}).get(b, inf)

    return distance


def costs(scenario: Scenario) -> dict[int, dict[int, float]]:
    """From each QPU to every other that it can have pairs with, by their numbers."""
    roads: dict[str, list[tuple[str, float]]] = {node.name: [] for node in scenario.nodes}
    for link in scenario.links:
        cost = _link_cost(scenario, link)
        roads[link.a].append((link.b, cost))
        roads[link.b].append((link.a, cost))
    passing = {node.name: _swap_cost(node.device) for node in scenario.nodes if node.kind == "repeater" and node.device}
    numbers = {node.name: node.number for node in scenario.nodes if node.kind == "qpu"}
    found = {}
    for name, number in numbers.items():
        reached = _reached(name, roads, passing)
        found[number] = {numbers[other]: cost for other, cost in reached.items() if other in numbers}
    unit = min((cost for near in found.values() for cost in near.values()), default=1.0)
    return {number: {other: round(cost / unit, 6) for other, cost in near.items()} for number, near in found.items()}


def _reached(start: str, roads: dict[str, list[tuple[str, float]]], passing: dict[str, float]) -> dict[str, float]:
    """Dijkstra: on from repeaters only."""
    reached: dict[str, float] = {}
    waiting = [(0.0, start)]
    while waiting:
        cost, here = heappop(waiting)
        if here in reached:
            continue
        reached[here] = cost
        if here == start or here in passing:
            for there, step in roads[here]:
                if there not in reached:
                    heappush(waiting, (cost + step + passing.get(here, 0.0), there))
    del reached[start]
    return reached


def _link_cost(scenario: Scenario, link: Link) -> float:
    told = link_told(scenario, link)
    ends = [device for name in (link.a, link.b) if (device := scenario.node(name).device) is not None]
    wait_s = 1000 / max(1, told.pairs_per_ks)
    return 1 - told.estimate + sum(wait_s / (2 * _t2_s(d)) + _telegate_error(d) for d in ends)


def _t2_s(device: Device) -> float:
    t2_ps = device.t2_ps or 2 * device.t1_ps
    return min(_LONG_S, t2_ps * _PS) if t2_ps else _LONG_S


def _telegate_error(device: Device) -> float:
    return 1 - device.gate_2q_fidelity + (device.readout_error_0 + device.readout_error_1) / 2


def _swap_cost(device: Device) -> float:
    return 3 * (1 - swap_w(device)) / 4
