"""What somebody has done to the network while it ran: lossy channels, cut fibres, partitions, and their healing.

What may live here: from what is asked for to the ways that nodes have then.  A trouble is plain data, the same in a
command, in ``inputs.jsonl`` and in a replay:

    {"kind": "loss", "value": 0.1, "at": ["west-east"], "for_ps": 1000000}

``at`` names links or nodes: a link is its channels, two nodes their channel, one node all of its channels, nothing
all there are.  A cut is of links, a partition parts the nodes it names from all others.  Of two troubles of one kind
on one channel the later counts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

from stack.config import Faults, Path
from stack.runtime.times import NEVER
from testbed.lab.ways import all_ways
from testbed.scenario import Channel, Scenario
from testbed.scenario.model import PlannedFault

CHANCES: Final = ("loss", "duplicate", "corrupt", "reorder")
"""Probabilities per frame."""
SPANS: Final = ("delay", "jitter")
"""Picoseconds: by how much every frame is later, or by how much at most."""
BREAKS: Final = ("cut", "partition")
BROKER: Final = "broker"
"""None of the network's: the MQTT broker of its own is gone."""
_NETWORKS: Final = (*CHANCES, *SPANS, *BREAKS)
KINDS: Final = (*_NETWORKS, BROKER)

LONGEST_PS: Final = 1_000_000_000_000
"""Of a delay: as in a scenario."""


class NoTrouble(Exception):
    """What is asked for cannot be: the place, the problem, the remedy."""

    def __init__(self, place: str, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.place, self.problem, self.remedy = place, problem, remedy


class Trouble(NamedTuple):
    """One thing that is wrong.  ``value``: a probability or picoseconds; ``since_ps``: true time."""

    kind: str
    at: tuple[str, ...]
    value: float
    since_ps: int = 0

    def facts(self) -> dict[str, Any]:
        """For people and for JSON; times in seconds."""
        value = self.value * 1e-12 if self.kind in SPANS else self.value
        return {"kind": self.kind, "at": list(self.at), "value": value, "since_s": self.since_ps * 1e-12}


class Troubles:
    """All that is wrong with a network at a time."""

    def __init__(self, scenario: Scenario) -> None:
        self.active: list[Trouble] = []
        self._scenario = scenario
        self._numbers = {node.name: node.number for node in scenario.nodes}
        self._sides: dict[str, tuple[str, ...]] = {n.name: (n.a, n.station, n.b) for n in scenario.links}
        self._sides |= {link.name: (link.a, link.b) for link in scenario.classical_links}
        self._ways: dict[int, dict[int, Path]] | None = None

    def checked(self, about: Mapping[str, Any]) -> Trouble:
        """The trouble that is asked for.  Raises NoTrouble."""
        kind, at, value = about.get("kind"), about.get("at", ()), about.get("value")
        if kind not in _NETWORKS:
            raise NoTrouble("fault", f"there is no {kind!r:.40}", f"name one of {', '.join(KINDS)}")
        if isinstance(at, str) or not all(isinstance(name, str) for name in at):
            raise NoTrouble(kind, "where it is to be must be a list of names", "name links or nodes")
        for name in at:
            if name not in self._sides and name not in self._numbers:
                known = ", ".join([*self._sides, *self._numbers])
                raise NoTrouble(kind, f"there is no {name!r:.40}", f"name one of {known:.200}")
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
        if kind in CHANCES and not 0 < number <= 1:
            raise NoTrouble(kind, f"{value!r:.40} is no probability", "give a number above 0, up to 1")
        if kind in SPANS and not 0 < number <= LONGEST_PS:
            raise NoTrouble(kind, f"{value!r:.40} ps is no time", "give a time up to 1 s")
        if kind in BREAKS and value is not None:
            raise NoTrouble(kind, "it is whole or it is not", "leave the number out")
        over = about.get("for_ps")
        if over is not None and (type(over) is not int or not 0 < over < NEVER // 2):
            raise NoTrouble(kind, f"{over!r:.40} ps is no duration", "give a time above 0")
        trouble = Trouble(kind, tuple(sorted(set(at))), number)
        if kind == "partition":
            if not 0 < len(set(at) & self._numbers.keys()) < len(self._numbers) or set(at) - self._numbers.keys():
                raise NoTrouble(kind, "there is nobody on one side", "name some of the nodes, not all")
        elif kind == "cut":
            self._links(at)
        else:
            self._channels(at)
        return trouble

    def matching(self, about: Mapping[str, Any]) -> list[Trouble]:
        """What is to be healed: of a kind, at a place, or all.  Raises NoTrouble if there is nothing of the sort."""
        kind, at = about.get("kind"), tuple(sorted(set(about.get("at") or ())))
        found = [t for t in self.active if kind in (None, t.kind) and at in ((), t.at)]
        if not found:
            remedy = f"there is {', '.join(sorted({t.kind for t in self.active})) or 'nothing wrong'}"
            raise NoTrouble("heal", f"there is no such {kind or 'trouble'}", remedy)
        return found

    def fault(self, t_ps: int, about: Mapping[str, Any]) -> dict[int, dict[int, Path]]:
        """It begins; the ways that are others from now on, by the node that sends over them.  Raises NoTrouble."""
        trouble = self.checked(about)
        self.active = [t for t in self.active if (t.kind, t.at) != (trouble.kind, trouble.at)]
        self.active.append(trouble._replace(since_ps=t_ps))
        return self._changed()

    def heal(self, t_ps: int, about: Mapping[str, Any]) -> dict[int, dict[int, Path]]:
        """It is over; likewise.  Raises NoTrouble."""
        over = self.matching(about)
        since = about.get("since_ps")  # its time is over: not that of another that has taken its place
        if since is not None:
            over = [t for t in over if t.since_ps == since]
        self.active = [t for t in self.active if t not in over]
        return self._changed()

    # -- what it comes to ----------------------------------------------------------------------------------------

    def ways_of(self, node: int) -> dict[int, Path]:
        """Those that are not as they were built."""
        built = self._built()
        return {peer: path for peer, path in self._now()[node].items() if path != built[node][peer]}

    def _built(self) -> dict[int, dict[int, Path]]:
        return all_ways(self._scenario)

    def _now(self) -> dict[int, dict[int, Path]]:
        if self._ways is None:
            self._ways = self._built()
        return self._ways

    def _changed(self) -> dict[int, dict[int, Path]]:
        before = self._now()
        self._ways = after = all_ways(self._disturbed())
        changed = {
            node: {peer: path for peer, path in there.items() if path != before[node][peer]}
            for node, there in after.items()
        }
        return {node: there for node, there in changed.items() if there}

    def _disturbed(self) -> Scenario:
        channels = {frozenset((c.a, c.b)): c for c in self._scenario.channels}
        breaks: list[PlannedFault] = []
        for trouble in self.active:
            left_ps = NEVER - trouble.since_ps
            if trouble.kind == "cut":
                breaks += [
                    PlannedFault(trouble.since_ps, "cut", for_ps=left_ps, link=link) for link in self._links(trouble.at)
                ]
            elif trouble.kind == "partition":
                breaks.append(PlannedFault(trouble.since_ps, "partition", for_ps=left_ps, apart=trouble.at))
            else:
                for pair in self._channels(trouble.at):
                    channels[pair] = _worse(channels[pair], trouble, self._scenario)
        return replace(
            self._scenario, channels=tuple(channels.values()), faults=(*self._scenario.faults, *breaks)
        )

    def _links(self, at: Iterable[str]) -> list[str]:
        """The links that are named, or join the two nodes that are.  Raises NoTrouble."""
        names = tuple(at)
        if names and all(name in self._sides for name in names):
            return list(names)
        found = [link for link, sides in self._sides.items() if len(names) == 2 and set(names) <= set(sides)]
        if not found:
            raise NoTrouble("cut", "no link is named", f"name one of {', '.join(self._sides):.200}")
        return found

    def _channels(self, at: Iterable[str]) -> list[frozenset[str]]:
        """Raises NoTrouble where there are none."""
        names = tuple(at)
        pairs = [frozenset((c.a, c.b)) for c in self._scenario.channels]
        nodes = {name for name in names if name not in self._sides}
        if not names:
            return pairs
        found = [
            pair
            for pair in pairs
            if any(pair <= set(self._sides[name]) for name in names if name in self._sides)
            or (pair == nodes if len(nodes) == 2 else len(nodes) == 1 and nodes <= pair)
        ]
        if not found:
            remedy = "name a link, or two nodes that one joins"
            raise NoTrouble("fault", f"no channel joins {' and '.join(names)}", remedy)
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


__all__ = ["BREAKS", "BROKER", "CHANCES", "KINDS", "SPANS", "NoTrouble", "Trouble", "Troubles"]
