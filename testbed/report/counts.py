"""What came out of a circuit, against what it would give without noise.

What may live here: figures and lines about the counts of one job, however it was run.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

from testbed.circuits import CompiledJob
from testbed.rundir import Figure


@dataclass(frozen=True, slots=True)
class Came:
    """What came of a job."""

    counts: Mapping[str, int]
    spoilt: int
    pairs: int
    elapsed_ps: int
    nodes: list[str]


def count_figures(job: CompiledJob, came: Came) -> list[Figure]:
    """Shots, pairs and time, and how near the counts are to the ideal ones."""
    counts = came.counts
    shots = sum(counts.values())
    figures = [
        Figure("shots", job.name, shots, "1", 1),
        Figure("shots_spoilt", job.name, came.spoilt, "1", 1),
        Figure("pairs_used", job.name, came.pairs, "1", shots),
    ]
    if not shots:
        return figures
    figures.append(Figure("virtual_time_per_shot", job.name, came.elapsed_ps * 1e-12 / shots, "s", shots))
    overlap = sum(sqrt(counts[k] / shots * p) for k, p in job.ideal.items() if k in counts)
    figures.append(Figure("classical_fidelity", job.name, overlap**2, "1", shots))
    inside = sum(n for k, n in counts.items() if job.ideal.get(k, 0.0) > 1e-12)
    share = inside / shots
    stderr = sqrt(share * (1 - share) / shots)
    figures.append(Figure("share_of_ideal_support", job.name, share, "1", shots, stderr))
    if len(job.ideal) == 1:
        (answer,) = job.ideal
        share = counts.get(answer, 0) / shots
        figures.append(Figure("right_answer", job.name, share, "1", shots, sqrt(share * (1 - share) / shots)))
    return figures


def count_lines(job: CompiledJob, came: Came) -> list[str]:
    """A histogram in text."""
    counts = Counter(came.counts)
    shots = counts.total()
    if not shots:
        return []
    lines = [f"{job.name}: {shots} shots on {', '.join(came.nodes)}"]
    width = max(len(k) for k in counts)
    lines.append(f"  {'outcome':{max(width, 7)}}  measured   ideal")
    shown = sorted(set(counts) | {k for k, p in job.ideal.items() if p > 1e-9}, key=lambda k: (-counts[k], k))
    for key in shown[:16]:
        share = counts[key] / shots
        row = f"  {key:{max(width, 7)}}  {share:8.3f}  {job.ideal.get(key, 0.0):6.3f}  {'#' * round(40 * share)}"
        lines.append(row.rstrip())
    if len(shown) > 16:
        lines.append(f"  ... and {len(shown) - 16} more, in report.json")
    each_ms = came.elapsed_ps * 1e-9 / shots
    lines.append(f"  pairs used {came.pairs} ({came.pairs / shots:g} a shot), virtual time {each_ms:.4g} ms a shot")
    return lines
