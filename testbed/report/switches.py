"""What a switch did: its grants, how long links waited for them, how busy its analysers were, and how fair it was.

What may live here: figures of one switch, from what its node counted and from the pairs that its links heralded.
"""

from math import ceil
from typing import Any

from testbed.rundir import Figure
from testbed.scenario import Node, Scenario

QUANTILES = (0.5, 0.9, 0.99)


def switch_figures(
    scenario: Scenario, node: Node, results: dict[str, Any], pairs: list[dict[str, Any]]
) -> tuple[list[Figure], list[str]]:
    """Figures and lines about the switch `node`; none if nobody has reserved.

    results: of every node, by name.  pairs: as the plane's summary has them.  Times run from the first reservation to
    the end of the last grant; the rate of a link to its last pair: who is served late has a low one.  Jain's index
    (sum x)^2 / (n sum x^2) is over all links of the switch.
    """
    tally = results.get(node.name, {}).get("switch")
    if node.switch is None or tally is None or tally["since_ps"] is None or not tally["links"]:
        return [], []
    links = [link for link in scenario.links if link.station == node.name]
    span_s = (tally["until_ps"] - tally["since_ps"]) * 1e-12
    had = {link.number: tally["links"].get(str(link.number), _NOTHING) for link in links}
    slots = {
        link.number: [
            pair["slot"]
            for pair in pairs
            # A switch that has restarted has counted nothing of its life before.
            if pair["link"] == link.number and pair["slot"] * link.slot_ps >= tally["since_ps"]
        ]
        for link in links
    }
    rates = {link.number: _rate(slots[link.number], link.slot_ps, tally["since_ps"]) for link in links}
    grants = sum(one["grants"] for one in had.values())
    used = sum(one["used"] for one in had.values())
    waited_s = sorted(ps * 1e-12 for one in had.values() for ps in one["waited_ps"])
    total = sum(map(len, slots.values()))
    capacity_s = node.switch.analysers * span_s
    held = sum(one["held_ps"] for one in had.values()) * 1e-12 / capacity_s
    lit = sum(one["lit_ps"] for one in had.values()) * 1e-12 / capacity_s
    frames = sum(result.get("frames_sent", 0) for result in results.values())
    wait = sum(waited_s) / len(waited_s)
    fair_rates = jain(list(rates.values()))
    fair_time = jain([one["held_ps"] for one in had.values()])

    name = node.name
    figures = [
        Figure("grants", name, grants, "1", 1),
        Figure("grants_in_vain", name, grants - used, "1", 1),
        Figure("wait_mean", name, wait, "s", grants),
        *(Figure(f"wait_q{round(100 * q)}", name, _quantile(waited_s, q), "s", grants) for q in QUANTILES),
        Figure("analysers_granted", name, held, "1", grants),
        Figure("analysers_lit", name, lit, "1", grants),
        Figure("pairs_per_second", name, total / span_s, "1/s", total),
        Figure("fairness_of_rates", name, fair_rates, "1", len(links)),
        Figure("fairness_of_time", name, fair_time, "1", len(links)),
    ]
    if total:
        figures.append(Figure("frames_per_pair", name, frames / total, "1", total))
    for link in links:
        one, n = had[link.number], len(slots[link.number])
        figures.append(Figure("grants", link.name, one["grants"], "1", 1))
        if one["waited_ps"]:
            mean = sum(one["waited_ps"]) * 1e-12 / len(one["waited_ps"])
            figures.append(Figure("wait_mean", link.name, mean, "s", len(one["waited_ps"])))
        figures.append(Figure("pairs_per_second", link.name, rates[link.number], "1/s", n))
    quantiles = ", ".join(f"{_quantile(waited_s, q) * 1e3:.4g}" for q in QUANTILES)
    least, most = min(rates.values()), max(rates.values())
    analysers = f"{node.switch.analysers} analyser{'s' if node.switch.analysers > 1 else ''}"
    lines = [
        f"switch {name}: {analysers}, {len(links)} links, {grants} grants in {span_s * 1e3:.4g} ms",
        f"  waited for a grant, ms                        {wait * 1e3:.4g} (of 50, 90, 99 %: {quantiles})",
        f"  analysers granted, and lit                    {held:.3f}, {lit:.3f} of the time",
        f"  pairs per second                              {total / span_s:.6g}, of a link {least:.4g} to {most:.4g}",
        f"  Jain's fairness of rates, and of time         {fair_rates:.4f}, {fair_time:.4f}",
    ]
    if total:
        lines.append(f"  frames of all nodes per pair                  {frames / total:.1f}")
    return figures, lines


def jain(shares: list[float]) -> float:
    """Jain's index of fairness: 1 if all have the same, 1/n if one has it all (Jain, Chiu, Hawe, 1984)."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 1.0


def _rate(slots: list[int], slot_ps: int, since_ps: int) -> float:
    """Pairs per second, until the last of them."""
    return len(slots) / ((max(slots) * slot_ps - since_ps) * 1e-12) if slots else 0.0


def _quantile(ordered: list[float], q: float) -> float:
    """The least that q of all do not exceed."""
    return ordered[max(0, ceil(q * len(ordered)) - 1)]


_NOTHING: dict[str, Any] = {"grants": 0, "used": 0, "held_ps": 0, "lit_ps": 0, "waited_ps": []}
