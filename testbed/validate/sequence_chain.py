"""Table of area `network` on SeQUeNCe's own repeater chain, beside ours on the same parameters in the same call.

Routers, reservation, rules, Barrett-Kok generation and swapping are all SeQUeNCe's; nothing of ours is in the way.

Where the two differ, and why:

- **Fidelity.** SeQUeNCe keeps a number beside the state: a pair has the fidelity its memories are given, and a swap
  makes f1 f2 d of two, d the degradation that the user names (1 here).  Ours is that of the state, Werner pairs of the
  same fidelity: 1/4 + 3/4 (w1 w2).  Theirs is lower: it counts two errors that cancel as two.
- **Rate.** SeQUeNCe's routers agree on every attempt over their classical channel before it is made, and an attempt
  begins when the last one's result is known at both.  Ours agree on a train of attempts at once, and an attempt waits
  for the herald only.  Ours make about two and a half pairs for one of theirs.
"""

from functools import lru_cache
from heapq import heappop
from itertools import pairwise
from math import sqrt
from typing import Any, NamedTuple

from sequence.app.request_app import RequestApp
from sequence.topology.node import QuantumRouter
from sequence.topology.router_net_topo import RouterNetTopo

from testbed.keyed import keyed_generator
from testbed.validate.chains import MEASURES, check_chain, whole
from testbed.validate.table import Measurement, Parameter, Parameters, Table

_PAIRS = 200
_MOST_EVENTS = 400_000
"""Of SeQUeNCe's timeline: a chain that gives no pairs by then is not worth waiting for."""
_MOST_HOPS = 16
_START_PS = 10**10
_END_PS = 10**15
_LIGHT_M_PER_S = 2e8
_MEMORIES = 1


class _Delivered(NamedTuple):
    at_ps: int
    fidelity: float


class _Taker(RequestApp):
    """Notes each pair that its router gets with the other end, and gives the memory back."""

    def __init__(self, node: QuantumRouter) -> None:
        super().__init__(node)
        self.came: list[_Delivered] = []

    def get_memory(self, info: Any) -> None:
        reservation = self.memo_to_reservation.get(info.index)
        if info.state == "ENTANGLED" and reservation is not None and info.remote_node == reservation.responder:
            self.came.append(_Delivered(self.node.timeline.now(), info.fidelity))
        super().get_memory(info)


def _topology(values: Parameters, seed: int) -> RouterNetTopo:
    hops, length_m = whole(values, "hops", _MOST_HOPS), float(values["length_m"])

    def drawn(name: str) -> int:
        return int(keyed_generator(seed, "sequence chain", name, repr(sorted(values.items()))).integers(1 << 31))

    detector = {"efficiency": values["detector_efficiency"], "count_rate": 1e12, "dark_count": 0, "time_resolution": 1}
    memories = {
        "fidelity": values["fidelity"],
        "efficiency": values["efficiency"],
        "coherence_time": -1,
        "frequency": 1e9,
    }
    router = {"MemoryArray": memories, "EntanglementSwapping": {"swapping_degradation": 1.0}}
    names = [f"n{i}" for i in range(hops + 1)]
    return RouterNetTopo(
        {
            "templates": {"router": router, "station": {"SingleAtomBSM": {"detectors": [detector, dict(detector)]}}},
            "nodes": [
                {
                    "name": name,
                    "type": "QuantumRouter",
                    "seed": drawn(name),
                    "memo_size": _MEMORIES if name in (names[0], names[-1]) else 2 * _MEMORIES,
                    "template": "router",
                }
                for name in names
            ],
            "qconnections": [
                {
                    "node1": a,
                    "node2": b,
                    "attenuation": float(values["attenuation_db_per_km"]) * 1e-3,
                    "distance": length_m,
                    "type": "meet_in_the_middle",
                    "seed": drawn(f"{a}-{b}"),
                    "template": "station",
                }
                for a, b in pairwise(names)
            ],
            "cconnections": [
                {"node1": a, "node2": names[j], "delay": round((j - i) * length_m / _LIGHT_M_PER_S * 1e12)}
                for i, a in enumerate(names)
                for j in range(i + 1, hops + 1)
            ],
            "stop_time": _END_PS,
        }
    )


@lru_cache(maxsize=8)
def _run(given: tuple[tuple[str, Any], ...], seed: int) -> tuple[tuple[_Delivered, ...], str]:
    """Pairs as they come, and why they are fewer than asked for, if they are."""
    values = dict(given)
    topology = _topology(values, seed)
    timeline = topology.get_timeline()
    nodes = topology.get_nodes_by_type(RouterNetTopo.QUANTUM_ROUTER)
    routers = {node.name: node for node in nodes if isinstance(node, QuantumRouter)}
    tail = f"n{values['hops']}"
    taker = _Taker(routers["n0"])
    for name, router in routers.items():
        if name != "n0":
            RequestApp(router)
    timeline.init()
    taker.start(tail, _START_PS, _END_PS, _MEMORIES, 1e-6)
    events, left = timeline.events.data, _MOST_EVENTS
    while events and len(taker.came) < _PAIRS and left:
        event = heappop(events)
        left -= 1
        if not event.is_invalid():
            timeline.time = event.time
            event.process.run()
    pairs = len(taker.came)
    spent = "" if pairs == _PAIRS else f"{pairs} pairs in {timeline.time * 1e-12:.3g} s of emulated time"
    return tuple(taker.came), spent


def _theirs(values: Parameters, seed: int) -> tuple[Measurement, Measurement]:
    """Pairs per second, fidelity."""
    columns = ("hops", "length_m", "fidelity", "efficiency", "detector_efficiency", "attenuation_db_per_km")
    came, spent = _run(tuple((name, values[name]) for name in columns), seed)
    if len(came) < 2:
        return Measurement(0.0, 1.0, len(came), spent=spent), Measurement(float("nan"), None, len(came), spent=spent)
    rate = (len(came) - 1) / ((came[-1].at_ps - came[0].at_ps) * 1e-12)
    fidelity = sum(pair.fidelity for pair in came) / len(came)
    return Measurement(rate, rate / sqrt(len(came) - 1), len(came), spent=spent), Measurement(fidelity, None, len(came))


def _ours(values: Parameters, seed: int) -> tuple[Measurement, Measurement]:
    """The same of the whole stack: as many memories, links that attempt as often as herald and photon allow."""
    return MEASURES["rate"](_chain(values), seed), MEASURES["fidelity"](_chain(values), seed)


def _chain(values: Parameters) -> Parameters:
    round_trip_s = float(values["length_m"]) / _LIGHT_M_PER_S
    return {
        "hops": values["hops"],
        "pairs": _PAIRS,
        "length_m": values["length_m"],
        "link_fidelity": values["fidelity"],
        "efficiency": values["efficiency"],
        "detector_efficiency": values["detector_efficiency"],
        "attenuation_db_per_km": values["attenuation_db_per_km"],
        "slot_s": max(10e-6, round_trip_s / 10),
        "memories": _MEMORIES,
    }


def _beside(values: Parameters, seed: int) -> Measurement:
    """One figure of one of the two, or of ours over theirs; the remark has both of both."""
    (their_rate, their_fidelity), (our_rate, our_fidelity) = _theirs(values, seed), _ours(values, seed)
    remark = (
        f"SeQUeNCe {their_rate.value:.4g} pairs/s of {their_fidelity.value:.6f} by its books, "
        f"Bellwire {our_rate.value:.4g} pairs/s of {our_fidelity.value:.6f} by the state"
    )
    match values["figure"]:
        case "their-fidelity":
            found = their_fidelity
        case "our-fidelity":
            found = our_fidelity
        case "their-rate":
            found = their_rate
        case "our-rate":
            found = our_rate
        case _:
            errors = [(rate.stderr or 0.0) / max(rate.value, 1e-300) for rate in (our_rate, their_rate)]
            ratio = our_rate.value / max(their_rate.value, 1e-300)
            found = Measurement(ratio, ratio * sqrt(sum(error**2 for error in errors)), _PAIRS, spent=their_rate.spent)
    return found._replace(remark=remark)


def _check(values: Parameters) -> None:
    whole(values, "hops", _MOST_HOPS)
    if not 100 <= float(values["length_m"]) <= 200_000:
        raise ValueError(f"length_m: {values['length_m']} is not within 100 and 200000")
    if not 0.25 < float(values["fidelity"]) <= 1:
        raise ValueError(f"fidelity: {values['fidelity']} is not within 1/4 and 1")
    check_chain(_chain(values))


TABLES = (
    Table(
        "sequence-chain",
        "SeQUeNCe's own repeater chain beside ours: one memory per link and side, swaps as soon as possible",
        (
            Parameter(
                "figure",
                "word",
                "fidelity, pairs per second, or our pairs per second over theirs",
                "our-fidelity",
                ("their-fidelity", "our-fidelity", "their-rate", "our-rate", "ratio"),
            ),
            Parameter("hops", "links", "between the two ends, 1 to 16", None, (), ("n", "links")),
            Parameter("length_m", "m", "of each link, 100 to 200000", 10_000.0, (), ("L",)),
            Parameter("fidelity", "F", "of a link's pairs: by their books, of our Werner pairs", 1.0, (), ("F",)),
            Parameter("efficiency", "probability", "that an excited memory's photon enters the fibre", 0.9, (), ("η",)),
            Parameter("detector_efficiency", "probability", "of a photon that arrives", 0.9, (), ("η_d",)),
            Parameter("attenuation_db_per_km", "dB/km", "of the fibre", 0.2),
        ),
        _beside,
        _check,
    ),
)
