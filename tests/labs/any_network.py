"""Random networks, what they are asked for, and what goes wrong: scenarios as a user could have written them.

What may live here: hypothesis strategies for the texts of whole scenarios, each of which `bellwire run` accepts.  What
must hold of every one of them is in whole_stack.py.
"""

from itertools import pairwise

from any_hardware import GRADES, REAL, Draw, Text, arms, clocks, device, link
from hypothesis import strategies as st

WORST = 0.3
"""Most of what is lost, doubled or held back of all frames."""

MS = 1e-3


def _ms(draw: Draw, least: float, most: float) -> float:
    """Seconds, with the resolution of a microsecond."""
    return round(draw(st.integers(round(least * 1e3), round(most * 1e3))) * 1e-6, 6)


# ------------------------------------------------------------------------------------- networks


def _network(draw: Draw, grade: str, ends: dict[str, list[str]], joined: list[tuple[str, str]]) -> Text:
    """Nodes and links; ``ends``: the names of QPUs and repeaters."""
    links = {f"l{n}": {"a": a, "b": b, "station": f"s{n}"} for n, (a, b) in enumerate(joined)}
    nodes: Text = {}
    for kind, names in ends.items():
        for name in names:
            degree = sum(name in pair for pair in joined)
            nodes[name] = {"kind": kind, "device": device(draw, degree if kind == "repeater" else 1, grade)}
    nodes |= {keys["station"]: {"kind": "station"} for keys in links.values()}
    return {"nodes": nodes, "links": {name: keys | arms(draw) | link(draw, grade) for name, keys in links.items()}}


def _chain(draw: Draw, grade: str) -> Text:
    """One to four hops."""
    names = [f"n{n}" for n in range(draw(st.integers(2, 5)))]
    return _network(draw, grade, {"qpu": [names[0], names[-1]], "repeater": names[1:-1]}, list(pairwise(names)))


def _hub(draw: Draw, grade: str) -> Text:
    """QPUs around one repeater."""
    leaves = [f"n{n}" for n in range(draw(st.integers(2, 4)))]
    return _network(draw, grade, {"qpu": leaves, "repeater": ["hub"]}, [("hub", leaf) for leaf in leaves])


def _mesh(draw: Draw, grade: str) -> Text:
    """A ring of repeaters with a QPU at each of two of them, sometimes with a chord: there is more than one way."""
    ring = [f"r{n}" for n in range(draw(st.integers(3, 4)))]
    joined = list(zip(ring, ring[1:] + ring[:1], strict=True))
    if len(ring) == 4 and draw(st.booleans()):
        joined.append((ring[0], ring[2]))
    ways = [("n0", ring[0]), ("n1", ring[-2]), *joined]
    return _network(draw, grade, {"qpu": ["n0", "n1"], "repeater": ring}, ways)


def _switch(draw: Draw, grade: str) -> Text:
    """QPUs around an optical switch with fewer analysers than pairs of them."""
    leaves = [f"n{n}" for n in range(draw(st.integers(2, 4)))]
    nodes: Text = {leaf: {"kind": "qpu", "device": device(draw, 1, grade)} for leaf in leaves}
    pool = {"analysers": draw(st.integers(1, 2)), "technology": "electro-optic"}
    nodes["switch"] = {"kind": "station", "switch": pool}
    star = {"station": "switch", "ends": leaves, "arm_m": 100, "link": link(draw, grade)}
    return {"nodes": nodes, "links": {}, "stars": {"floor": star}}


@st.composite
def networks(draw: Draw) -> Text:
    """Nodes, links and clocks.  The grade of the hardware is said in the scenario's description."""
    grade = draw(st.sampled_from(GRADES))
    network = draw(st.sampled_from([_chain, _hub, _mesh, _switch]))(draw, grade)
    own, kept = clocks(draw, list(network["nodes"]))
    for name, clock in own.items():
        network["nodes"][name]["clock"] = clock
    return {"description": grade} | network | kept


def _ends(network: Text, kinds: tuple[str, ...] = ("qpu", "repeater")) -> list[str]:
    return [name for name, node in network["nodes"].items() if node["kind"] in kinds]


# ------------------------------------------------------------------------------------- work


def _two(draw: Draw, names: list[str]) -> tuple[str, str]:
    a = draw(st.sampled_from(names))
    return a, draw(st.sampled_from([name for name in names if name != a]))


def _request(draw: Draw, network: Text) -> Text:
    source, destination = _two(draw, _ends(network, ("qpu",)))
    asked: Text = {"from": source, "to": destination, "pairs": draw(st.integers(1, 6))}
    asked |= {"ahead": draw(st.integers(1, 3)), "at_s": _ms(draw, 0, 3)}
    if draw(st.integers(0, 3)) == 0:
        asked |= {"pairs_per_s": 10, "priority": draw(st.integers(0, 2))}
    if draw(st.integers(0, 4)) == 0:
        asked["max_time_s"] = _ms(draw, 0.1, 5)
    return asked


def _teleport(draw: Draw, network: Text) -> Text:
    source, destination = _two(draw, _ends(network, ("qpu",)))
    return {
        "from": source,
        "to": destination,
        "rounds": draw(st.integers(1, 2)),
        "ahead": draw(st.integers(0, 2)),
        "in_flight": draw(st.integers(1, 2)),
    }


def _job(draw: Draw, network: Text) -> Text:
    one, other = _two(draw, _ends(network, ("qpu",)))
    mapping = {one: [0, 1], other: [2, 3]}
    return {"circuit": "ghz-4.qasm", "shots": draw(st.integers(1, 6)), "mapping": mapping}


def _work(draw: Draw, network: Text) -> Text:
    work: Text = {"requests": [_request(draw, network) for _ in range(draw(st.integers(1, 3)))]}
    match draw(st.integers(0, 3)):
        case 1:
            work["teleport"] = _teleport(draw, network)
        case 2:
            work["job"] = _job(draw, network)
    return work


# ------------------------------------------------------------------------------------- what goes wrong


def _channel(draw: Draw, network: Text) -> Text:
    """Where clocks are kept, frames are not delayed at random: by more than a detection window, and no photons meet."""
    rate = st.integers(0, round(WORST * 100)).map(lambda percent: percent / 100)
    channel = {"loss": draw(rate), "corrupt": draw(st.sampled_from([0, 0, 0.05])), "duplicate": draw(rate)}
    return channel if "time_sync" in network else channel | {"reorder": draw(rate), "jitter_s": _ms(draw, 0, 0.02)}


def _faults(draw: Draw, network: Text) -> list[Text]:
    nodes = list(network["nodes"])
    faults: list[Text] = []
    for node in draw(st.lists(st.sampled_from(nodes), max_size=2, unique=True)):
        at = _ms(draw, 0, 8)
        if draw(st.booleans()):
            faults.append({"at_s": at, "kill": node})
            if draw(st.booleans()):
                faults.append({"at_s": round(at + _ms(draw, 0.05, 20), 6), "restart": node})
        else:
            faults.append({"at_s": at, "freeze": node, "for_s": _ms(draw, 0.01, 20)})
    if network["links"] and draw(st.integers(0, 2)) == 0:
        link = draw(st.sampled_from(list(network["links"])))
        faults.append({"at_s": _ms(draw, 0, 8), "cut": link, "for_s": _ms(draw, 0.01, 500)})
    if draw(st.integers(0, 3)) == 0:
        station = draw(st.sampled_from([name for name, node in network["nodes"].items() if node["kind"] == "station"]))
        faults.append({"at_s": _ms(draw, 0, 8), "blind": station, "for_s": _ms(draw, 0.01, 20)})
    if "time_sync" in network and draw(st.booleans()):
        drift = {"drift_ppm": draw(st.sampled_from([-20, -1, 20])), "at": [draw(st.sampled_from(nodes))]}
        faults.append({"at_s": _ms(draw, 0, 8), **drift, "for_s": _ms(draw, 0.01, 500)})
    if draw(st.integers(0, 3)) == 0:
        apart = draw(st.lists(st.sampled_from(nodes), min_size=1, max_size=len(nodes) - 1, unique=True))
        faults.append({"at_s": _ms(draw, 0, 8), "partition": apart, "for_s": _ms(draw, 0.01, 500)})
    return faults


# ------------------------------------------------------------------------------------- whole scenarios


def _policy(draw: Draw, network: Text) -> Text:
    """Of the worst pairs none is purified: that may take thousands of each."""
    circuits: Text = {"refresh_s": _ms(draw, 100, 500), "swapping": draw(st.sampled_from(["asap", "nested"]))}
    if draw(st.booleans()):
        circuits["cutoff_s"] = _ms(draw, 30, 100)
    if network["description"] != REAL and draw(st.integers(0, 3)) == 0:
        method = draw(st.sampled_from(["bbpssw", "dejmps", "epl"]))
        rounds = {"link_rounds": draw(st.integers(0, 1)), "end_rounds": draw(st.sampled_from([0, 1, 1, 2]))}
        circuits |= {"purification": method, **rounds, "pumping": method != "epl" and draw(st.booleans())}
    policy: Text = {"circuits": circuits}
    if draw(st.integers(0, 2)) == 0:
        policy["routing"] = {"hello_s": 5 * MS, "dead_s": 20 * MS, "hold_s": 1 * MS, "patience_s": 50 * MS}
    return policy


@st.composite
def scenarios(draw: Draw, faults: bool = True) -> Text:
    """A whole scenario; ``faults``: planned ones as well as those of frames."""
    text: Text = {"seed": draw(st.integers(0, 1 << 32))}
    network = draw(networks())
    text |= network | _work(draw, network) | _policy(draw, network) | {"channel": _channel(draw, network)}
    if faults and (planned := _faults(draw, network)):
        text["faults"] = planned
    return text | {"linger_s": 1.0 if "time_sync" in network else 3.0, "duration_s": 120.0}
