"""Pairs over repeaters: what a delivered pair costs as hops and circuits grow.

What may live here: benches of the network layer, on chains without loss, decay or error.
"""

import gc
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from testbed.bench.measure import Measured, timed_local
from testbed.plan.compose import compose
from testbed.plan.plan import Plan
from testbed.scenario import load_scenario

PAIRS = 100
"""Of the shorter run; the longer one has three times as many."""

ROUNDS = 5

FLAT = 0.2
"""Linear, or flat: how far a row may be from the mean of its kind, as a share of it."""


@dataclass(frozen=True, slots=True)
class _Cost:
    """Of one more delivered pair."""

    frames: float
    cpu_ms: float


def network_figures() -> Iterator[Measured]:
    """Frames and processor time for each pair that both ends have, over hops and beside other circuits."""
    chains = (1, 2, 4, 8)
    over = dict(zip(chains, _costs(*((hops, 1) for hops in chains)), strict=True))
    for hops, cost in over.items():
        how = "one circuit; frames of all nodes, stations included"
        yield Measured(f"pair over {hops} hops, frames per hop", cost.frames / hops, "frames/hop", how)
        how = "processor time of `local`, traces on; what the longer of two runs takes more, the best of several"
        yield Measured(f"pair over {hops} hops, local, per hop", cost.cpu_ms / hops, "ms/hop", how)
    yield from _spread("pair over 1 to 8 hops", {hops: (c.frames / hops, c.cpu_ms / hops) for hops, c in over.items()})
    known = list(over.items())
    for (fewer, less), (more, cost) in pairwise(known):
        how = f"what each hop from {fewer} to {more} adds: costs are a line with a start, see docs/circuits.md"
        yield Measured(f"pair, a hop more, to {more}", (cost.frames - less.frames) / (more - fewer), "frames/hop", how)
    crowds = (1, 10, 50)
    beside = dict(zip(crowds, _costs(*((2, circuits) for circuits in crowds)), strict=True))
    for circuits, cost in beside.items():
        how = "two hops each, through one repeater"
        yield Measured(f"pair of {circuits} circuits, frames", cost.frames, "frames/pair", how)
        yield Measured(f"pair of {circuits} circuits, local", cost.cpu_ms, "ms/pair", how)
    yield from _spread("pair of 1 to 50 circuits", {n: (c.frames, c.cpu_ms) for n, c in beside.items()})


def _spread(what: str, costs: dict[int, tuple[float, float]]) -> Iterator[Measured]:
    """How far the row furthest from their mean is from it."""
    for column, name in enumerate(("frames", "processor time")):
        values = [cost[column] for cost in costs.values()]
        mean = sum(values) / len(values)
        how = f"of {', '.join(map(str, costs))}, the one furthest from their mean"
        yield Measured(f"{what}, {name}", max(abs(value / mean - 1) for value in values), "off", how, FLAT)


def _costs(*cases: tuple[int, int]) -> list[_Cost]:
    """For each (hops, circuits), what a pair costs once the network is up: a longer run less a shorter one.

    Processor time, not wall time: on an idle machine they are one, and on a busy one only the first is the stack's.
    All cases run in turns, and of each run the best turn counts: a machine slow for a while is slow for all of them.
    """
    each = [max(4, PAIRS // circuits) for _, circuits in cases]
    plans = [_plan(*case, pairs) for case, few in zip(cases, each, strict=True) for pairs in (few, 3 * few)]
    spent = [float("inf")] * len(plans)
    frames = [0] * len(plans)
    for _ in range(ROUNDS):
        for i, plan in enumerate(plans):
            gc.collect()
            began = time.process_time()
            outcome = timed_local(plan).outcome
            spent[i] = min(spent[i], time.process_time() - began)
            frames[i] = sum(result.get("frames_sent", 0) for result in outcome.results.values())
    costs = []
    for i, ((_, circuits), few) in enumerate(zip(cases, each, strict=True)):
        short, long, more = 2 * i, 2 * i + 1, 2 * few * circuits
        costs.append(_Cost((frames[long] - frames[short]) / more, (spent[long] - spent[short]) / more * 1e3))
    return costs


def _plan(hops: int, circuits: int, pairs: int) -> Plan:
    device = {"data_qubits": 0, "communication_qubits": 4, "parallel": True}
    nodes: dict[str, Any] = {f"r{i}": {"kind": "repeater", "device": dict(device)} for i in range(1, hops)}
    ends = [(f"a{i}", f"b{i}") for i in range(circuits)] if hops == 2 and circuits > 1 else [("a0", "b0")]
    links: dict[str, Any] = {}
    stations = 0
    for a, b in ends:
        nodes |= {name: {"kind": "qpu", "device": dict(device)} for name in (a, b)}
        chain = [a, *(f"r{i}" for i in range(1, hops)), b]
        for here, there in pairwise(chain):
            stations += 1
            nodes[f"s{stations}"] = {"kind": "station"}
            links[f"l{stations}"] = {
                "a": here,
                "b": there,
                "station": f"s{stations}",
                "length_m": 20,
                "model": "barrett-kok",
                "grade": "sampled",
                "slot_s": 10e-6,
                "round_gap_s": 1e-6,
            }
    if circuits > 1:
        for name in nodes:
            if name.startswith("r"):
                nodes[name]["device"]["communication_qubits"] = 2 * len(links)
    text = {
        "nodes": nodes,
        "links": links,
        "requests": [{"from": a, "to": b, "pairs": pairs, "ahead": 2} for a, b in ends],
    }
    with tempfile.TemporaryDirectory(prefix="bellwire-bench-") as folder:
        path = Path(folder) / "chain.yaml"
        path.write_text(yaml.safe_dump(text), encoding="utf-8")
        return compose(load_scenario(path), "local", [])
