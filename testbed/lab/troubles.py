"""What is wrong with a network while it runs: faults that have begun, by plan or by command, and their healing.

What may live here: from the faults that are active to what they come to, for nodes and for the quantum plane.  Which
faults there are, and where, is ``testbed.scenario.troubles``.  Of two that have a size, of one kind on one channel
or clock, the later counts: until it is over, or in its place if it is to last.  Of two that break something, what
either breaks is broken.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from stack.config import Faults, Path, Plight
from testbed.clock.federate import Upset
from testbed.fault_kinds import AMOUNTS, DISK, DRIFT
from testbed.plan.ways import all_ways
from testbed.scenario import Channel, Scenario
from testbed.scenario.troubles import Ground, NoTrouble, Trouble


class Change(NamedTuple):
    """What has become another when a fault begins or is over."""

    plights: dict[int, Plight]
    """By node: what is to reach it."""
    upset: Upset


class Troubles:
    """All that is wrong with a network at a time."""

    def __init__(self, scenario: Scenario) -> None:
        self.active: list[Trouble] = []
        self._scenario = scenario
        self._ground = Ground(scenario.nodes, scenario.links, scenario.classical_links, scenario.channels)
        self._numbers = {node.name: node.number for node in scenario.nodes}
        self._links = {link.name: link.number for link in scenario.links}
        self._ways: dict[int, dict[int, Path]] | None = None
        self._cut: set[int] = set()
        self._blind: set[int] = set()
        self._drifts: dict[int, int] = {}
        self._bends: dict[int, tuple[tuple[int, int], ...]] = {}
        """Of each node's oscillator all there has been: its next life has it, too."""
        self._full = False

    def checked(self, about: Mapping[str, Any]) -> Trouble:
        """The fault that is asked for.  Raises NoTrouble."""
        return self._ground.checked(about)

    def fault(self, t_ps: int, about: Mapping[str, Any]) -> Change:
        """It begins.  Raises NoTrouble."""
        trouble = self.checked(about)
        span_ps = about.get("for_ps")
        if trouble.kind in AMOUNTS and span_ps is None:  # one that passes only covers what was before
            self.active = [t for t in self.active if (t.kind, t.at) != (trouble.kind, trouble.at)]
        self.active.append(trouble._replace(since_ps=t_ps, ends_ps=0 if span_ps is None else t_ps + span_ps))
        return self._changed(t_ps)

    def heal(self, t_ps: int, about: Mapping[str, Any]) -> Change:
        """It is over.  Raises NoTrouble."""
        over = matching(self.active, about)
        ends_ps = about.get("ends_ps")  # its time is over: not that of another that has taken its place
        if ends_ps is not None:
            over = [t for t in over if t.ends_ps == ends_ps]
        self.active = [t for t in self.active if t not in over]
        return self._changed(t_ps)

    # -- what it comes to ----------------------------------------------------------------------------------------

    def plight_of(self, node: int) -> Plight:
        """What a node that starts now is to know of: all that is not as it was built."""
        built = all_ways(self._scenario)
        ways = {peer: path for peer, path in self._now()[node].items() if path != built[node][peer]}
        return Plight(ways, self._bends.get(node, ()), self._full)

    def _now(self) -> dict[int, dict[int, Path]]:
        if self._ways is None:
            self._ways = all_ways(self._scenario)
        return self._ways

    def _changed(self, t_ps: int) -> Change:
        cut, blind, drifts = self._light()
        bends = {n: drifts.get(n, 0) for n in sorted({*drifts, *self._drifts}) if drifts.get(n) != self._drifts.get(n)}
        for node, ppb in bends.items():
            self._bends[node] = (*self._bends.get(node, ()), (t_ps, ppb))
        full = any(one.kind == DISK for one in self.active)
        plights = {}
        ways = self._new_ways()
        for node in self._numbers.values():
            bend = ((t_ps, bends[node]),) if node in bends else ()
            plight = Plight(ways.get(node, {}), bend, None if full == self._full else full)
            if plight != Plight():
                plights[node] = plight
        dark = {n: (n in cut, n in blind) for n in sorted((cut ^ self._cut) | (blind ^ self._blind))}
        self._cut, self._blind, self._drifts, self._full = cut, blind, drifts, full
        return Change(plights, Upset(dark, bends))

    def _light(self) -> tuple[set[int], set[int], dict[int, int]]:
        """Which quantum links are cut and which are blinded, by number; by how many ppb each node's clock is off."""
        cut: set[int] = set()
        blind: set[int] = set()
        drifts: dict[int, int] = {}
        for one in self.active:
            if one.kind == "cut":
                cut |= {self._links[name] for name in self._ground.links(one.at) if name in self._links}
            elif one.kind == "blind":
                blind |= {self._links[name] for name in self._ground.blinded(self._ground.stations(one.at))}
            elif one.kind == DRIFT:
                drifts |= {self._numbers[name]: round(one.value) for name in self._ground.nodes(one.at)}
        return cut, blind, drifts

    def _new_ways(self) -> dict[int, dict[int, Path]]:
        """The ways that are others from now on, by the node that sends over them."""
        before = self._now()
        self._ways = after = self._disturbed()
        changed = {
            node: {peer: path for peer, path in there.items() if path != before[node][peer]}
            for node, there in after.items()
        }
        return {node: there for node, there in changed.items() if there}

    def _disturbed(self) -> dict[int, dict[int, Path]]:
        channels = {frozenset((c.a, c.b)): c for c in self._scenario.channels}
        cuts: set[frozenset[str]] = set()
        for trouble in self.active:
            if trouble.kind == "cut":
                sides = [set(self._ground.sides[link]) for link in self._ground.links(trouble.at)]
                cuts |= {pair for pair in channels if any(pair <= ends for ends in sides)}
            elif trouble.kind == "partition":
                cuts |= {pair for pair in channels if len(pair & set(trouble.at)) == 1}
            elif trouble.kind in AMOUNTS and trouble.kind != DRIFT:
                for pair in self._ground.channels(trouble.at):
                    channels[pair] = _worse(channels[pair], trouble, self._scenario)
        return all_ways(replace(self._scenario, channels=tuple(channels.values())), cuts)


def matching(active: Iterable[Trouble], about: Mapping[str, Any]) -> list[Trouble]:
    """What is to be healed: of a kind, at a place, or all.  Raises NoTrouble if there is nothing of the sort."""
    known = list(active)
    kind, at = about.get("kind"), tuple(sorted(set(about.get("at") or ())))
    found = [t for t in known if kind in (None, t.kind) and at in ((), t.at)]
    if not found:
        where = f" at {', '.join(at)}" if at else ""
        there = list(dict.fromkeys(f"{t.kind} {'at ' + ', '.join(t.at) if t.at else 'everywhere'}" for t in known))
        remedy = f"there is {'; '.join(there[:12])}" if there else "there is nothing wrong"
        raise NoTrouble("heal", f"there is no {kind or 'trouble'}{where}", remedy)
    return found


def _worse(channel: Channel, trouble: Trouble, scenario: Scenario) -> Channel:
    """The channel as it is with this trouble.  A delay comes on top of what it was built with."""
    if trouble.kind == "delay":
        built = scenario.channel_between(channel.a, channel.b)
        assert built is not None
        return replace(channel, delay_ps=built.delay_ps + round(trouble.value))
    faults: Faults = channel.faults
    if trouble.kind == "jitter":
        return replace(channel, faults=replace(faults, jitter_ps=round(trouble.value)))
    chance: Any = {trouble.kind: trouble.value}
    return replace(channel, faults=replace(faults, **chance))


__all__ = ["Change", "Troubles", "matching"]
