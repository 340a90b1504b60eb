"""What a switch did: its grants, how long links waited for them, how busy its analysers were, and how fair it was.

What may live here: figures of one switch, from what its node counted and from the pairs that its links heralded.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from testbed.report.statistics import jain, mean_of, quantile
from testbed.rundir import Figure
from testbed.scenario import Node, Scenario

QUANTILES: Final = (0.5, 0.9, 0.99)
_S: Final = 1e-12


def switch_figures(
    scenario: Scenario, node: Node, results: dict[str, Any], pairs: list[dict[str, Any]]
) -> tuple[list[Figure], list[str]]:
    """Figures and lines about the switch `node`; none if it has granted nothing.

    results: of every node, by name.  pairs: as the plane's summary has them.  Times run from the first reservation to
    the end of the last grant; the rate of a link to its last pair: who is served late has a low one.  Jain's index
    (sum x)^2 / (n sum x^2) is over those links of the switch that were asked for something.
    """
    tally = results.get(node.name, {}).get("switch")
    if node.switch is None or tally is None or not any(one["grants"] for one in tally["links"].values()):
        return [], []
    seen = _seen(scenario, node, node.switch.analysers, tally, pairs)
    frames = sum(result.get("frames_sent", 0) for result in results.values())
    return list(_figures(seen, frames)), list(_lines(seen, frames))


class _Link(NamedTuple):
    """One link of the switch."""

    name: str
    asked: bool
    grants: int
    used: int
    held_s: float
    lit_s: float
    waited_s: list[float]
    pairs: int
    rate_hz: float


class _Seen(NamedTuple):
    """What is known of a switch."""

    name: str
    analysers: int
    span_s: float
    links: list[_Link]

    @property
    def asked(self) -> list[_Link]:
        return [link for link in self.links if link.asked]

    @property
    def grants(self) -> int:
        return sum(link.grants for link in self.links)

    @property
    def waited_s(self) -> list[float]:
        return sorted(wait for link in self.links for wait in link.waited_s)

    @property
    def pairs(self) -> int:
        return sum(link.pairs for link in self.links)

    def share(self, seconds: Iterable[float]) -> float:
        """Of the time of all analysers."""
        return sum(seconds) / (self.analysers * self.span_s)

    @property
    def held(self) -> float:
        return self.share(link.held_s for link in self.links)

    @property
    def lit(self) -> float:
        return self.share(link.lit_s for link in self.links)

    @property
    def fair_rates(self) -> float:
        return jain([link.rate_hz for link in self.asked])

    @property
    def fair_time(self) -> float:
        return jain([link.held_s for link in self.asked])


def _seen(
    scenario: Scenario, node: Node, analysers: int, tally: dict[str, Any], pairs: list[dict[str, Any]]
) -> _Seen:
    links = []
    for link in scenario.links:
        if link.station != node.name:
            continue
        had = tally["links"].get(str(link.number), _NOTHING)
        # A switch that has restarted has counted nothing of its life before.
        mine = [pair["slot"] * link.slot_ps for pair in pairs if pair["link"] == link.number]
        at_ps = [slot_ps for slot_ps in mine if slot_ps >= tally["since_ps"]]
        links.append(
            _Link(
                name=link.name,
                asked=str(link.number) in tally["links"],
                grants=had["grants"],
                used=had["used"],
                held_s=had["held_ps"] * _S,
                lit_s=had["lit_ps"] * _S,
                waited_s=[ps * _S for ps in had["waited_ps"]],
                pairs=len(at_ps),
                rate_hz=len(at_ps) / ((max(at_ps) - tally["since_ps"]) * _S) if at_ps else 0.0,
            )
        )
    return _Seen(node.name, analysers, (tally["until_ps"] - tally["since_ps"]) * _S, links)


def _figures(seen: _Seen, frames: int) -> Iterator[Figure]:
    name, grants, waited_s = seen.name, seen.grants, seen.waited_s
    yield Figure("grants", name, grants, "1", 1)
    yield Figure("grants_in_vain", name, grants - sum(link.used for link in seen.links), "1", 1)
    yield Figure("wait_mean", name, mean_of(waited_s) or 0.0, "s", grants)
    for q in QUANTILES:
        yield Figure(f"wait_q{round(100 * q)}", name, quantile(waited_s, q) or 0.0, "s", grants)
    yield Figure("analysers_granted", name, seen.held, "1", grants)
    yield Figure("analysers_lit", name, seen.lit, "1", grants)
    yield Figure("pairs_per_second", name, seen.pairs / seen.span_s, "1/s", seen.pairs)
    yield Figure("fairness_of_rates", name, seen.fair_rates, "1", len(seen.asked))
    yield Figure("fairness_of_time", name, seen.fair_time, "1", len(seen.asked))
    if seen.pairs:
        yield Figure("frames_per_pair", name, frames / seen.pairs, "1", seen.pairs)
    for link in seen.links:
        yield Figure("grants", link.name, link.grants, "1", 1)
        if link.waited_s:
            yield Figure("wait_mean", link.name, mean_of(link.waited_s) or 0.0, "s", len(link.waited_s))
        yield Figure("pairs_per_second", link.name, link.rate_hz, "1/s", link.pairs)


def _lines(seen: _Seen, frames: int) -> Iterator[str]:
    waited_s, rates = seen.waited_s, [link.rate_hz for link in seen.asked]
    quantiles = ", ".join(f"{(quantile(waited_s, q) or 0.0) * 1e3:.4g}" for q in QUANTILES)
    analysers = f"{seen.analysers} analyser{'s' if seen.analysers > 1 else ''}"
    busy = f"{len(rates)} of {len(seen.links)} links asked"
    yield f"switch {seen.name}: {analysers}, {busy}, {seen.grants} grants in {seen.span_s * 1e3:.4g} ms"
    wait_ms = (mean_of(waited_s) or 0.0) * 1e3
    yield f"  waited for a grant, ms                        {wait_ms:.4g} (of 50, 90, 99 %: {quantiles})"
    yield f"  analysers granted, and lit                    {seen.held:.3f}, {seen.lit:.3f} of the time"
    pace = f"{seen.pairs / seen.span_s:.6g}, of a link {min(rates):.4g} to {max(rates):.4g}"
    yield f"  pairs per second                              {pace}"
    yield f"  Jain's fairness of rates, and of time         {seen.fair_rates:.4f}, {seen.fair_time:.4f}"
    if seen.pairs:
        yield f"  frames of all nodes per pair                  {frames / seen.pairs:.1f}"


_NOTHING: dict[str, Any] = {"grants": 0, "used": 0, "held_ps": 0, "lit_ps": 0, "waited_ps": []}
