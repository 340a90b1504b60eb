"""telegate.svg: the first remote gate of a run, drawn from its trace.

What may live here: which stretch of the run that is, and between which nodes.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from testbed.palette import standalone
from testbed.scenario import Scenario
from testbed.trace.ladder import ladder
from testbed.trace.reading import read_events


class Stretch(NamedTuple):
    """What is drawn: nodes from left to right, from when to when, a title."""

    nodes: list[str]
    start_ps: int
    end_ps: int
    title: str


def write_telegate(scenario: Scenario, folder: Path, path: Path) -> str | None:
    """Draw it into `path`; the SVG for a page, or None if no gate was done."""
    stretch = first_telegate(scenario, read_events(folder / "events.jsonl"))
    if stretch is None:
        return None
    drawn = ladder(folder, stretch.nodes, stretch.start_ps, stretch.end_ps, stretch.title)
    path.write_text(standalone(drawn), encoding="utf-8")
    return drawn


def first_telegate(scenario: Scenario, events: Iterable[dict[str, Any]]) -> Stretch | None:
    """The gate that was done first at both ends, from when its circuit was asked for."""
    asked: dict[tuple[int, int], dict[str, tuple[str, int]]] = {}
    requested: dict[tuple[str, int], int] = {}
    ended: dict[tuple[int, int], int] = {}
    numbers = {node.name: node.number for node in scenario.nodes}
    for event in events:
        match event["layer"], event["event"]:
            case "network", "request":
                requested[event["node"], event["peer"]] = event["t_ps"]
            case "gates", "asked":
                ends = asked.setdefault((event["job"], event["gate"]), {})
                ends[event["role"]] = event["node"], event["t_ps"]
            case "gates", "done":
                key = event["job"], event["gate"]
                ended[key] = ended.get(key, 0) + 1
                ends = asked[key]
                if ended[key] < 2 or len(ends) < 2:
                    continue
                (control, first), (target, second) = ends["CONTROL"], ends["TARGET"]
                start = min(first, second, requested.get((control, numbers[target]), first))
                title = f"{scenario.name}: a remote gate from {control} to {target}"
                return Stretch(_way(scenario, control, target), start, event["t_ps"], title)
    return None


def _way(scenario: Scenario, start: str, end: str) -> list[str]:
    """The nodes that make its pair, in the order of the fibre."""
    import networkx as nx

    graph = nx.Graph()
    for link in scenario.links:
        graph.add_edge(link.a, link.station)
        graph.add_edge(link.station, link.b)
    try:
        return list(nx.shortest_path(graph, start, end))
    except (nx.NetworkXNoPath, nx.NodeNotFound):
        return [start, end]
