"""Pairs over repeaters: what a delivered pair costs as hops and circuits grow.

What may live here: benches of the network layer, on chains without loss, decay or error.
"""

import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from testbed.bench.measure import Measured, timed_local
from testbed.lab.compose import compose
from testbed.lab.plan import Plan
from testbed.scenario import load_scenario

PAIRS = 100


def network_figures() -> Iterator[Measured]:
    """Steps of the clock and wall time for each pair that both ends have."""
    first = None
    for hops in (1, 2, 4, 8):
        steps, each_ms = _cost(_plan(hops, 1, PAIRS), PAIRS)
        how = f"{PAIRS} pairs, one circuit; linear in hops, if this over the hops stays"
        first = first or steps
        yield Measured(f"pair over {hops} hops, steps per hop", steps / hops, "steps", how)
        yield Measured(f"pair over {hops} hops, local", each_ms, "ms/pair", how)
    for circuits in (1, 10, 50):
        each = max(4, PAIRS // circuits)
        steps, each_ms = _cost(_plan(2, circuits, each), circuits * each)
        how = f"two hops, {each} pairs on each circuit"
        yield Measured(f"pair beside {circuits} circuits, steps", steps, "steps", how)
        yield Measured(f"pair beside {circuits} circuits, local", each_ms, "ms/pair", how)


def _cost(plan: Plan, pairs: int) -> tuple[float, float]:
    """Steps and milliseconds for one pair, the quicker of two runs."""
    runs = [timed_local(plan) for _ in range(2)]
    return runs[0].outcome.wall["steps"] / pairs, min(run.run_s for run in runs) / pairs * 1e3


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
