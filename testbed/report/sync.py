"""What clocks did to pairs: by how much photons came apart, and what that cost, beside the closed form for
errors that are Gaussian.

What may live here: figures of a link whose nodes have clocks of their own, and the plot of fidelity over
synchronisation error.
"""

from dataclasses import replace
from math import exp, pi, sqrt
from pathlib import Path
from typing import Any, Final, NamedTuple

from testbed.hardware import link_config
from testbed.palette import LIGHT
from testbed.rundir import Figure
from testbed.scenario import Link, Scenario

PLOT: Final = "sync-error.svg"
_PS = 1e-12
_STEPS = 200


class SyncPoint(NamedTuple):
    """One link: rms of its photons' relative arrival, and its mean fidelity at emission."""

    link: str
    rms_s: float
    fidelity: float
    stderr: float
    expected: float
    """By the closed form, if errors of that rms are Gaussian; a fixed lateness turns all pairs alike, and costs more or
    less."""
    n: int


def expected_fidelity(scenario: Scenario, link: Link, rms_s: float) -> float:
    """What a Gaussian synchronisation error of that rms leaves of a link's fidelity at emission.

    The pair's coherence shrinks by e^(-phi^2/2), phi = 2 pi f dt with f the frequency of the qubits' frames: a perfect
    pair is left with (1 + e^(-phi^2/2))/2.  Photons of finite length overlap less besides: links/overlap.py.
    """
    import numpy as np

    from testbed.keyed import keyed_generator
    from testbed.plane.links import PSI_PLUS, make_link

    config = link_config(scenario, link, "sampled", 0)
    known = config.model.parameters
    late = replace(known, jitter_ps=sqrt(known.jitter_ps**2 + (rms_s / _PS) ** 2))
    outcome, state = make_link(link.model, late).draw_state(keyed_generator(0, "sync error"), known.alpha)
    populations = float((state[1, 1] + state[2, 2]).real) / 2
    coherence = float(np.real(state[1, 2])) * (1 if outcome == PSI_PLUS else -1)
    return populations + coherence * exp(-((2 * pi * link.qubit_frame_hz * rms_s) ** 2) / 2)


def sync_points(scenario: Scenario, pairs: list[dict[str, Any]]) -> list[SyncPoint]:
    """Of every link that made pairs between clocks of their own; pairs: as the plane's summary has them."""
    points = []
    for link in scenario.links:
        mine = [pair for pair in pairs if pair["link"] == link.number and "arrivals_ps" in pair]
        if not mine:
            continue
        n = len(mine)
        apart = [a - b for a, b in (pair["arrivals_ps"] for pair in mine)]
        rms_s = sqrt(sum(ps * ps for ps in apart) / n) * _PS
        fidelities = [pair["fidelity_at_emission"] for pair in mine]
        mean = sum(fidelities) / n
        stderr = sqrt(sum((f - mean) ** 2 for f in fidelities) / (n * max(1, n - 1)))
        points.append(SyncPoint(link.name, rms_s, mean, stderr, expected_fidelity(scenario, link, rms_s), n))
    return points


def sync_figures(points: list[SyncPoint]) -> tuple[list[Figure], list[str]]:
    """Figures for report.json, and lines for people."""
    figures, lines = [], []
    for point in points:
        # Of Gaussian errors, the rms is known to one part in sqrt(2 n).
        figures.append(Figure("sync_error", point.link, point.rms_s, "s", point.n, point.rms_s / sqrt(2 * point.n)))
        figures.append(Figure("fidelity_of_sync_error", point.link, point.expected, "1", point.n))
        lines.append(
            f"clocks of {point.link}: photons {point.rms_s / _PS:.1f} ps rms apart;"
            f" F {point.fidelity:.4f} at emission, {point.expected:.4f} if that is Gaussian"
        )
    return figures, lines


def draw(scenario: Scenario, points: list[SyncPoint], path: Path) -> str:
    """Fidelity over synchronisation error: the points of a run, and the closed form of every kind of link in it.  The
    drawing, which is written into `path` too."""
    from matplotlib.figure import Figure as Canvas

    from testbed.plotting import save

    canvas = Canvas(figsize=(6.4, 4.0), layout="constrained")
    axes = canvas.subplots()
    links = {link.name: link for link in scenario.links}
    most_ps = 1.1 * max((point.rms_s for point in points), default=1e-10) / _PS
    kinds: dict[tuple[Any, ...], Link] = {}
    for point in points:
        link = links[point.link]
        kinds.setdefault((link.model, link.qubit_frame_hz, *sorted(link.physics.items())), link)
    for link in kinds.values():
        grid = [most_ps * step / _STEPS for step in range(_STEPS + 1)]
        curve = [expected_fidelity(scenario, link, x * _PS) for x in grid]
        label = f"Gaussian errors, {link.model}, frame of {link.qubit_frame_hz / 1e9:g} GHz"
        axes.plot(grid, curve, color=LIGHT["grey"], linewidth=1.2, label=label)
    axes.errorbar(
        [point.rms_s / _PS for point in points],
        [point.fidelity for point in points],
        yerr=[point.stderr for point in points],
        fmt="o", color=LIGHT["blue"], markersize=4, capsize=2, label="links of this run",
    )  # fmt: skip
    axes.set_xlabel("synchronisation error: rms relative arrival of the photons, ps")
    axes.set_ylabel("fidelity of pairs at emission")
    axes.set_xlim(left=0)
    axes.set_title(scenario.name, fontsize=10)
    axes.legend(frameon=False, fontsize=8)
    axes.grid(alpha=0.7)
    return save(canvas, f"{scenario.name}: fidelity over synchronisation error, {len(points)} links", path)
