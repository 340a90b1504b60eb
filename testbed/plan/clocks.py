"""Clocks of a run: each node's oscillator, with what is drawn for this seed.

What may live here: from a scenario's clocks to what nodes and plane are told of theirs.
"""

from typing import NamedTuple

from stack.config import Noise, TimeKeeping
from stack.runtime.oscillator import Oscillator
from stack.runtime.times import ClockMap
from testbed.keyed import keyed_generator
from testbed.scenario import Node, Scenario

_OPENING_EXCHANGES = 16
"""So many exchanges settle a clock, also if some are lost; servers settle before their clients."""


class Oscillation(NamedTuple):
    """One node's oscillator, as ``NodeConfig`` has it."""

    offset_ps: int
    rate_ppb: int
    noise: Noise | None


def oscillations(scenario: Scenario) -> dict[int, Oscillation]:
    """By node number.  The clocks of a run count from an epoch early enough that none shows a negative time: a slot,
    and a time on the wire, is never negative.  If no clock is behind true time, that epoch is true time 0.
    """
    drawn = {node.number: _drawn(node, scenario.seed) for node in scenario.nodes}
    epoch_ps = max(0, -min(offset for offset, _ in drawn.values()))
    return {
        node.number: Oscillation(drawn[node.number][0] + epoch_ps, node.clock.rate_ppb, drawn[node.number][1])
        for node in scenario.nodes
    }


def oscillators(scenario: Scenario) -> dict[int, Oscillator]:
    """Those of the nodes that have clocks of their own, or clocks that are steered, by node number: what the quantum
    plane works by."""
    keeping = time_keeping(scenario)
    found = {}
    for number, (offset_ps, rate_ppb, noise) in oscillations(scenario).items():
        oscillator = Oscillator(ClockMap(offset_ps, rate_ppb), noise, scenario.seed, number)
        steered = number in keeping and keeping[number].server is not None
        if steered or not oscillator.ideal:
            found[number] = oscillator
    return found


def time_keeping(scenario: Scenario) -> dict[int, TimeKeeping]:
    """How each node's clock is kept, by node number; nothing if the scenario has no time transfer.

    Where nothing is to be done, and for no stated time, clocks are not kept either: it would never end.
    """
    sync = scenario.time_sync
    work = (scenario.jobs, scenario.teleport, scenario.toy, scenario.programs, scenario.requests, scenario.keys)
    if sync is None or not any((*work, scenario.link_loads, scenario.duration_ps)):
        return {}
    numbers = {node.name: node.number for node in scenario.nodes}
    shown = oscillations(scenario)
    keeping = {}
    for name, server in sync.servers.items():
        master = name
        while (above := sync.servers[master]) is not None:
            master = above
        # By the clock of its master, which its own will follow.
        opens_ps = shown[numbers[master]].offset_ps + sync.depth * _OPENING_EXCHANGES * sync.interval_ps
        keeping[numbers[name]] = TimeKeeping(
            None if server is None else numbers[server], sync.interval_ps, float(sync.timestamp_noise_ps), opens_ps
        )
    return keeping


def _drawn(node: Node, seed: int) -> tuple[int, Noise | None]:
    """Offset and noise of a node's oscillator."""
    clock = node.clock
    offset_ps, rate = clock.offset_ps, 0.0
    if clock.offset_sigma_ps:
        draw = keyed_generator(seed, "oscillator", node.number, "offset").standard_normal()
        offset_ps += round(clock.offset_sigma_ps * float(draw))
    if clock.accuracy_ppm:
        draw = keyed_generator(seed, "oscillator", node.number, "rate").uniform(-1.0, 1.0)
        rate = clock.accuracy_ppm * 1e-6 * float(draw)
    noise = Noise(
        rate=rate,
        drift_per_day=clock.drift_ppm_per_day * 1e-6,
        white_fm=clock.allan_1s,
        flicker_fm=clock.allan_floor,
        wander_ps=float(clock.wander_ps),
        knot_ps=clock.knot_ps,
    )
    return offset_ps, None if noise == Noise(knot_ps=clock.knot_ps) else noise
