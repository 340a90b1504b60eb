"""`bellwire bench`: figures of speed and size on this machine, each with how it was measured.

``engine`` times the clocks with the toy protocol, ``state`` one gate on the quantum state beside other simulators,
``photonic`` attempts photon by photon, ``quantum`` pairs, teleports and telegates, ``ahead`` the latter over pairs that
were made before, ``network`` pairs over repeaters, ``routing`` a network of a hundred nodes, ``circuits``
the compiler and a circuit over four QPUs; here they are collected.  ``endurance`` is for itself: it takes minutes.
"""

from collections.abc import Callable
from typing import Any

from testbed.bench.ahead import ahead_figures
from testbed.bench.circuits import circuit_figures
from testbed.bench.endurance import CYCLES, MINUTES, Left, endurance_figures
from testbed.bench.engine import engine_figures
from testbed.bench.measure import Measured
from testbed.bench.network import network_figures
from testbed.bench.photonic import photonic_figures
from testbed.bench.quantum import link_figures, quantum_figures
from testbed.bench.routing import routing_figures
from testbed.bench.state import state_figures


def run_bench(say: Callable[[str], object]) -> list[dict[str, Any]]:
    """Measure everything, say each figure as it comes; all of them as plain data."""
    rows = []
    say(f"{'figure':44} {'value':>10}  {'unit':14} {'limit':>7}  how")
    for figures in (
        engine_figures,
        state_figures,
        photonic_figures,
        quantum_figures,
        ahead_figures,
        link_figures,
        network_figures,
        routing_figures,
        circuit_figures,
    ):
        for row in figures():
            say(str(row))
            rows.append(row.as_dict())
    return rows


def run_long(say: Callable[[str], object], count: int | None, span: float | None) -> list[dict[str, Any]]:
    """What only shows after a while (``endurance``): ``count`` testbeds up and down, one at work for ``span`` minutes.
    Raises Left."""
    figures = endurance_figures(CYCLES if count is None else count, MINUTES if span is None else span, say)
    for row in figures:
        say(str(row))
    return [row.as_dict() for row in figures]


__all__ = ["Left", "Measured", "run_bench", "run_long"]
