"""What came of load on a link, class by class.

What may live here: figures, and the table a person reads.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from typing import Any, Final

from protocols.wire.codec import EgpBasis
from testbed.report.outcome import Outcome
from testbed.report.statistics import averaged, jain, mean_of, quantile
from testbed.rundir import Figure
from testbed.scenario import Link, LinkLoad, LoadClass, Scenario

_FULL: Final = (1 << 32) - 1
_S: Final = 1e-12


@dataclass(slots=True)
class ClassResult:
    """What one class of requests got.  Times in seconds; fidelities of pairs, not of requests."""

    name: str
    asked: int
    completed: int
    pairs: int
    pairs_per_s: float
    """While requests arrived."""
    latencies_s: list[float]
    """From CREATE to the last OK, of the requests that were completed, sorted."""
    scaled_s: list[float]
    """The same, per pair."""
    estimated: list[float]
    true: list[float]
    """Of the same pairs, by the oracle; empty if none was found."""
    covered: int
    """Pairs whose true fidelity lies within the estimate's error bar."""
    jain: float
    """Fairness between the two ends, by pairs; 1 is perfect."""
    errors: dict[str, int]
    qber: dict[str, tuple[float, int]]
    """Of measured pairs: error rate in each basis that both ends chose, and how many there were."""


def results(scenario: Scenario, load: LinkLoad, index: int, outcome: Outcome) -> Iterator[ClassResult]:
    """Class by class, in the order of the scenario, as far as the ends have lived to tell."""
    link = scenario.link(load.link)
    truth = {p["slot"]: p["fidelity_at_herald"] for p in outcome.plane.get("pairs", []) if p["link"] == link.number}
    ends = {end: outcome.results[end].get(f"load-{index}") for end in (link.a, link.b)}
    for known in load.classes:
        yield _class(known, link, load, {e: r["classes"][known.name] for e, r in ends.items() if r}, truth)


def _class(
    known: LoadClass, link: Link, load: LinkLoad, ends: dict[str, dict[str, Any]], truth: dict[int, float]
) -> ClassResult:
    done = [row for end in ends.values() for row in end["done"]]
    complete = [row for row in done if row[2] == row[3]]
    told = next(([row for row in end["told"] if row] for end in ends.values()), [])
    estimated, true, covered = [], [], 0
    for when, goodness, error, *_ in told:
        estimated.append(goodness / _FULL)
        fidelity = truth.get(when // link.slot_ps)
        if fidelity is not None:
            true.append(fidelity)
            covered += abs(fidelity - goodness / _FULL) <= error / _FULL
    shares = [sum(row[2] for row in end["done"]) for end in ends.values()][: len(load.ends)]
    errors: dict[str, int] = {}
    for end in ends.values():
        for code, count in end["errors"].items():
            if count:
                errors[code] = errors.get(code, 0) + count
    in_time = sum(1 for when, *_ in told if when <= load.for_ps)
    return ClassResult(
        name=known.name,
        asked=sum(len(end["asked"]) for end in ends.values()),
        completed=len(complete),
        pairs=len(told),
        pairs_per_s=in_time / (load.for_ps * _S),
        latencies_s=sorted((ended - asked) * _S for asked, ended, _, _ in complete),
        scaled_s=sorted((ended - asked) * _S / pairs for asked, ended, pairs, _ in complete),
        estimated=estimated,
        true=true,
        covered=covered,
        jain=jain(shares),
        errors=errors,
        qber=_qber(list(ends.values())),
    )


def _qber(ends: list[dict[str, Any]]) -> dict[str, tuple[float, int]]:
    """How often the two ends' results differ from what a perfect pair's would be, the Bell index taken into account."""
    if len(ends) != 2:
        return {}
    other = {row[0]: row for row in ends[1]["told"] if row}
    tally: dict[str, list[int]] = {}
    for row in ends[0]["told"]:
        if not row or row[5] < 0 or (there := other.get(row[0])) is None or there[5] != row[5]:
            continue
        x, z = row[3] >> 1, row[3] & 1
        basis = EgpBasis(row[5])
        if basis not in (EgpBasis.Z, EgpBasis.X, EgpBasis.Y):
            continue
        differ = {EgpBasis.Z: x, EgpBasis.X: z, EgpBasis.Y: 1 - (x ^ z)}[basis]
        counts = tally.setdefault(basis.name, [0, 0])
        counts[0] += (row[4] ^ there[4]) != differ
        counts[1] += 1
    return {name: (wrong / n, n) for name, (wrong, n) in sorted(tally.items())}


def figures(link: str, found: ClassResult) -> Iterator[Figure]:
    """What report.json has of one class."""
    subject = f"{link}/{found.name}"
    yield Figure("requests_asked", subject, found.asked, "1", 1)
    yield Figure("requests_completed", subject, found.completed, "1", 1)
    yield Figure("pairs_delivered", subject, found.pairs, "1", 1)
    yield Figure("throughput", subject, found.pairs_per_s, "1/s", found.pairs)
    for name, values in (("latency", found.latencies_s), ("scaled_latency", found.scaled_s)):
        if not values:
            continue
        yield averaged(f"{name}_mean", subject, values, "s")
        for label, share in (("p50", 0.5), ("p95", 0.95)):
            value = quantile(values, share)
            assert value is not None
            yield Figure(f"{name}_{label}", subject, value, "s", len(values))
    if found.estimated:
        told = sum(found.estimated) / len(found.estimated)
        yield Figure("fidelity_estimated", subject, told, "1", len(found.estimated))
    if found.true:
        yield averaged("fidelity_at_herald", subject, found.true, "1")
        yield Figure("estimate_covers", subject, found.covered / len(found.true), "1", len(found.true))
    yield Figure("jain_fairness", subject, found.jain, "1", 1)
    for code, count in sorted(found.errors.items()):
        yield Figure(f"errors_{code.lower()}", subject, count, "1", 1)
    for basis, (rate, n) in found.qber.items():
        yield Figure(f"qber_{basis.lower()}", subject, rate, "1", n, sqrt(rate * (1 - rate) / n))


def table(load: LinkLoad, scheduler: str, found: list[ClassResult]) -> Iterator[str]:
    """A few lines for a person."""
    yield f"link {load.link}: load {load.load:g} for {load.for_ps * _S:g} s, scheduler {scheduler}"
    yield "  class   asked  done  pairs/s  latency: mean    p50    p95  per pair  F told    true  covered  Jain  errors"
    for r in found:
        mean, scaled, told, true = (mean_of(v) for v in (r.latencies_s, r.scaled_s, r.estimated, r.true))
        covered = r.covered / len(r.true) if r.true else None
        times = [_shown(t, ".4g") for t in (mean, quantile(r.latencies_s, 0.5), quantile(r.latencies_s, 0.95), scaled)]
        errors = " ".join(f"{code} {n}" for code, n in sorted(r.errors.items())) or "-"
        yield (
            f"  {r.name:7} {r.asked:5} {r.completed:5} {r.pairs_per_s:8.3f}  {times[0]:>13} {times[1]:>6} {times[2]:>6}"
            f"  {times[3]:>8}  {_shown(told, '.4f'):>6}  {_shown(true, '.4f'):>6}  {_shown(covered, '.3f'):>7}"
            f"  {r.jain:.2f}  {errors}"
        )


def _shown(value: float | None, how: str) -> str:
    return "-" if value is None else format(value, how)
