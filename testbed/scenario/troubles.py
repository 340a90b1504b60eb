"""What can be wrong with a network, in one vocabulary for scenario files, commands, ``inputs.jsonl`` and replays.

What may live here: which faults there are, what each needs, and where it can be.  What they come to while a network
runs is ``testbed.lab.troubles``.  A fault is plain data:

    {"kind": "loss", "value": 0.1, "at": ["west-east"], "for_ps": 1000000}

``at`` names links or nodes: a link is its channels, two nodes their channel, one node all of its channels, nothing
all there are.  A cut is of links, a partition parts the nodes it names from all others, stations are blinded, and
clocks of nodes drift.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from stack.runtime.times import NEVER
from testbed.errors import listed
from testbed.fault_kinds import AMOUNTS, BROKER, CHANCES, DISK, DRIFT, KINDS, SPANS
from testbed.scenario.model import Channel, ClassicalLink, Link, Node

LONGEST_PS: Final = 1_000_000_000_000
"""Of a delay: as in ``channel``."""
DEEDS: Final = ("kill", "restart", "freeze", "thaw")
"""Done to nodes, and no faults of the network."""
FASTEST_PPB: Final = 1_000_000
"""Of a clock: as in ``clock``."""


class NoTrouble(Exception):
    """What is asked for cannot be: the place, the problem, the remedy."""

    def __init__(self, place: str, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.place, self.problem, self.remedy = place, problem, remedy


class Trouble(NamedTuple):
    """One thing that is wrong.  ``value``: a probability, picoseconds or ppb; ``since_ps`` and ``ends_ps`` (0: never)
    are true times."""

    kind: str
    at: tuple[str, ...]
    value: float
    since_ps: int = 0
    ends_ps: int = 0

    def facts(self) -> dict[str, Any]:
        """For people and for JSON; times in seconds, drift as a fraction."""
        scale = {"delay": 1e-12, "jitter": 1e-12, DRIFT: 1e-9}.get(self.kind, 1.0)
        return {"kind": self.kind, "at": list(self.at), "value": self.value * scale, "since_s": self.since_ps * 1e-12}


class Ground:
    """Where faults can be: the nodes, links and channels of a network."""

    def __init__(
        self,
        nodes: Iterable[Node],
        links: Iterable[Link],
        classical: Iterable[ClassicalLink],
        channels: Iterable[Channel],
    ) -> None:
        self._nodes: Mapping[str, Node] = {node.name: node for node in nodes}
        self._quantum = {link.name: link for link in links}
        self.sides: dict[str, tuple[str, ...]] = {n.name: (n.a, n.station, n.b) for n in self._quantum.values()}
        """The nodes that each link joins."""
        self.sides |= {wire.name: (wire.a, wire.b) for wire in classical}
        self._pairs = [frozenset((channel.a, channel.b)) for channel in channels]

    def checked(self, about: Mapping[str, Any]) -> Trouble:
        """The fault that is asked for.  Raises NoTrouble."""
        kind, at, value = about.get("kind"), about.get("at", ()), about.get("value")
        if kind not in KINDS:
            deed = f"{kind} is a command of its own; faults: " if kind in DEEDS else "name one of "
            raise NoTrouble("fault", f"there is no {kind!r:.40}", f"{deed}{', '.join(KINDS)}")
        if not isinstance(at, list | tuple) or not all(isinstance(name, str) for name in at):
            raise NoTrouble(kind, "where it is to be must be a list of names", "name links or nodes")
        for name in at:
            if name not in self.sides and name not in self._nodes:
                known = ", ".join([*self.sides, *self._nodes])
                raise NoTrouble(kind, f"there is no {name!r:.40}", f"name one of {known:.200}")
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
        if kind in CHANCES and not 0 < number <= 1:
            raise NoTrouble(kind, f"{value!r:.40} is no probability", "give a number above 0, up to 1")
        if kind in SPANS and not 0 < number <= LONGEST_PS:
            problem = f"{number * 1e-12:g} s is no time for it" if number else f"{value!r:.40} ps is no time"
            raise NoTrouble(kind, problem, f"give a time above 0, up to {LONGEST_PS * 1e-12:g} s")
        if kind == DRIFT and (not 0 < abs(number) <= FASTEST_PPB or number != round(number)):
            raise NoTrouble(kind, f"{value!r:.40} ppb is no drift", "give whole ppb, up to 1000 ppm either way")
        if kind not in AMOUNTS and value is not None:
            raise NoTrouble(kind, "it is whole or it is not", "leave the number out")
        over = about.get("for_ps")
        if over is not None and (type(over) is not int or not 0 < over < NEVER // 2):
            raise NoTrouble(kind, f"{over!r:.40} ps is no duration", "give a time above 0")
        trouble = Trouble(kind, tuple(sorted(set(at))), number)
        self._somewhere(trouble)
        return trouble

    def _somewhere(self, trouble: Trouble) -> None:
        """Raises NoTrouble where it cannot be."""
        kind, at = trouble.kind, trouble.at
        if kind == "partition":
            if not 0 < len(set(at) & self._nodes.keys()) < len(self._nodes) or set(at) - self._nodes.keys():
                raise NoTrouble(kind, "there is nobody on one side", "name some of the nodes, not all")
        elif kind == "cut":
            self.links(at)
        elif kind == "blind":
            self.stations(at)
        elif kind == DRIFT:
            self.nodes(at)
        elif kind in (DISK, BROKER):
            if at:
                raise NoTrouble(kind, "there is one of it for all", f"leave {', '.join(at)} out")
        else:
            self.channels(at)

    def links(self, at: Iterable[str]) -> list[str]:
        """The links that are named, or join the two nodes that are.  Raises NoTrouble."""
        names = tuple(at)
        if names and all(name in self.sides for name in names):
            return list(names)
        found = [link for link, sides in self.sides.items() if len(names) == 2 and set(names) <= set(sides)]
        if not found:
            named = f"{' and '.join(names):.80}: no link" if names else "no link is named"
            raise NoTrouble("cut", named, f"name one of {', '.join(self.sides):.200}")
        return found

    def stations(self, at: Iterable[str]) -> list[str]:
        """The stations that are named, or all.  Raises NoTrouble."""
        known = [name for name, node in self._nodes.items() if node.kind == "station"]
        return _among(at, known, "blind", "station", {name: node.kind for name, node in self._nodes.items()})

    def nodes(self, at: Iterable[str]) -> list[str]:
        """The nodes that are named, or all.  Raises NoTrouble."""
        return _among(at, list(self._nodes), DRIFT, "node", {})

    def blinded(self, stations: Iterable[str]) -> list[str]:
        """The links that these stations watch."""
        watching = set(stations)
        return [name for name, link in self._quantum.items() if link.station in watching]

    def channels(self, at: Iterable[str]) -> list[frozenset[str]]:
        """The ends of each.  Raises NoTrouble where there are none."""
        names = tuple(at)
        nodes = {name for name in names if name not in self.sides}
        if not names:
            return self._pairs
        found = [
            pair
            for pair in self._pairs
            if any(pair <= set(self.sides[name]) for name in names if name in self.sides)
            or (pair == nodes if len(nodes) == 2 else len(nodes) == 1 and nodes <= pair)
        ]
        if not found:
            remedy = "name a link, or two nodes that one joins"
            raise NoTrouble("fault", f"no channel joins {' and '.join(names)}", remedy)
        return found


def _among(at: Iterable[str], known: list[str], kind: str, what: str, kinds: Mapping[str, str]) -> list[str]:
    for name in at:
        if name not in known:
            problem = f"{name} is a {kinds.get(name, 'link')}, not a {what}"
            raise NoTrouble(kind, problem, f"name one of: {listed(known)}")
    if not known:
        raise NoTrouble(kind, f"there is no {what} here", "leave it out")
    return list(at) or known


__all__ = ["FASTEST_PPB", "LONGEST_PS", "Ground", "NoTrouble", "Trouble"]
