"""Routing at scale: a grid of a hundred nodes finds itself, then asks itself whether it is still there.

What may live here: benches of link-state routing, without pairs.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml

from testbed.bench.measure import Measured, timed_local
from testbed.plan.compose import compose
from testbed.scenario import Scenario, load_scenario

SIDE = 10
HELLO_S = 0.1
DURATION_S = 28.0
CONVERGED_S = 0.09
"""Before the first hellos of neighbours that know each other."""


def routing_figures() -> Iterator[Measured]:
    """A hundred repeaters in a square grid of 10 km links, each neighbour asked every 100 ms: 100,000 frames."""
    how = "10 x 10 repeaters, 180 links of 10 km, traces on, local; "
    short = timed_local(compose(grid(CONVERGED_S), "local", []))
    yield Measured("routing, 100 nodes converge", short.run_s, "s", how + "after 1.2 ms of virtual time; 29,000 frames")
    long = timed_local(compose(grid(DURATION_S), "local", []))
    yield Measured("routing, 100 nodes, 129,000 frames", long.run_s, "s", how + f"{DURATION_S:g} s of virtual time", 60)


def grid(duration_s: float) -> Scenario:
    """The scenario."""
    device = {"data_qubits": 0, "communication_qubits": 4, "parallel": True}
    nodes: dict[str, object] = {f"n{i}": {"kind": "repeater", "device": dict(device)} for i in range(SIDE * SIDE)}
    links = {}
    for i in range(SIDE * SIDE):
        for other in ([i + 1] if (i + 1) % SIDE else []) + ([i + SIDE] if i + SIDE < SIDE * SIDE else []):
            nodes[f"s{i}-{other}"] = {"kind": "station"}
            links[f"l{i}-{other}"] = {
                "a": f"n{i}",
                "b": f"n{other}",
                "station": f"s{i}-{other}",
                "length_m": 10_000,
                "model": "barrett-kok",
                "grade": "sampled",
                "slot_s": 50e-6,
            }
    text = {"nodes": nodes, "links": links, "routing": {"idle_hello_s": HELLO_S}, "duration_s": duration_s}
    with tempfile.TemporaryDirectory(prefix="bellwire-bench-") as folder:
        path = Path(folder) / "grid.yaml"
        path.write_text(yaml.safe_dump(text, sort_keys=False))
        return load_scenario(path)
