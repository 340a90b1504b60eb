"""Tables of area `link` on SeQUeNCe itself: its components driven bare, and its own Barrett-Kok stack.

Nothing of ours is in the way here: what these rows show is what the `photonic` grade, and our rates, stand beside.
"""

from functools import lru_cache
from heapq import heappop
from math import sqrt
from typing import Any

import numpy as np
from numpy.random import Generator
from sequence.components.bsm import SingleAtomBSM
from sequence.components.circuit import Circuit
from sequence.components.memory import Memory
from sequence.components.optical_channel import ClassicalChannel, QuantumChannel
from sequence.components.photon import Photon
from sequence.kernel.entity import Entity
from sequence.kernel.timeline import Timeline
from sequence.resource_management.action_condition_set import (
    eg_rule_action_await,
    eg_rule_action_request,
    eg_rule_condition,
)
from sequence.resource_management.rule_manager import Rule
from sequence.topology.node import BSMNode, QuantumRouter

from testbed.keyed import keyed_generator
from testbed.validate.heralds import BELL, Outcome, mean_of, rate
from testbed.validate.table import Measurement, Parameter, Parameters, Table

_ATTEMPTS = 4_000
_PAIRS = 300
_STACK_LIMIT_S = 60.0
"""Of emulated time: a link that gives less than a few pairs in a minute is not worth waiting for."""
_STACK_LIMIT_EVENTS = 300_000

_FLIP = Circuit(1)
_FLIP.x(0)


class Port(Entity):
    """The least that a channel wants at its ends: a name, a seeded generator, somebody to hand photons to."""

    def __init__(self, name: str, timeline: Timeline, rng: Generator) -> None:
        super().__init__(name, timeline)
        self.rng = rng
        self.channel: QuantumChannel | None = None
        self.sink: SingleAtomBSM | None = None

    def init(self) -> None:
        pass

    def get_generator(self) -> Generator:
        return self.rng

    def assign_qchannel(self, channel: QuantumChannel, receiver: str) -> None:
        self.channel = channel

    def get(self, photon: Photon, **keywords: Any) -> None:
        assert self.channel is not None
        self.channel.transmit(photon, self)  # type: ignore[arg-type]

    def receive_qubit(self, source: str, photon: Photon) -> None:
        assert self.sink is not None
        self.sink.get(photon)


class BareBarrettKok:
    """Two memories, two fibres, one analyser of SeQUeNCe, excited twice by hand; no node and no protocol."""

    def __init__(self, arm_m: float, memory_efficiency: float, detector_efficiency: float, db_per_km: float, seed: int):
        self.timeline = Timeline(formalism="ket_vector")
        self._events = self.timeline.events.data
        self.ends = [Port(n, self.timeline, keyed_generator(seed, "bare", n)) for n in ("a", "b")]
        station = Port("station", self.timeline, keyed_generator(seed, "bare", "station"))
        # A count rate of 1/ps is no dead time beyond the photon's own picosecond.
        detector = {"efficiency": detector_efficiency, "dark_count": 0, "count_rate": 1e12, "time_resolution": 1}
        station.sink = SingleAtomBSM("bsm", self.timeline, detectors=[detector, dict(detector)])
        station.sink.owner = station
        station.sink.attach(self)
        self.memories = []
        for end in self.ends:
            memory = Memory(f"{end.name}.memory", self.timeline, 1.0, 0, memory_efficiency, -1, 1550)
            memory.owner = end
            memory.add_receiver(end)
            self.memories.append(memory)
            channel = QuantumChannel(f"{end.name}.fibre", self.timeline, db_per_km * 1e-3, arm_m)
            channel.set_ends(end, "station")  # type: ignore[arg-type]
        self.timeline.init()
        self._clicks: list[int] = []

    def bsm_update(self, bsm: SingleAtomBSM, info: dict[str, Any]) -> None:
        self._clicks.append(info["res"])

    def _round(self) -> int | None:
        """The detector that clicked, if exactly one did."""
        self.timeline.time += 1_000_000  # photons of two rounds never meet
        self._clicks.clear()
        for memory in self.memories:
            memory.excite("station")
        while self._events:
            event = heappop(self._events)
            self.timeline.time = event.time
            event.process.run()
        return self._clicks[0] if len(self._clicks) == 1 else None

    def attempt(self) -> tuple[int, int] | None:
        """Both rounds; which detector clicked in each."""
        for memory in self.memories:
            memory.update_state([sqrt(0.5), sqrt(0.5)])
        first = self._round()
        if first is None:
            return None
        for memory in self.memories:
            self.timeline.quantum_manager.run_circuit(_FLIP, [memory.qstate_key])  # type: ignore[attr-defined]
        second = self._round()
        return None if second is None else (first, second)

    def fidelity(self, clicks: tuple[int, int]) -> float:
        """Of the heralded state to the Bell state that the clicks name."""
        state = self.timeline.quantum_manager.get(self.memories[0].qstate_key)
        ket = BELL["psi+" if clicks[0] == clicks[1] else "psi-"]
        # Exchanging the two qubits is a sign at most.
        return float(abs(np.vdot(ket, state.state)) ** 2) if len(state.keys) == 2 else 0.0


@lru_cache(maxsize=16)
def _bare(arm_m: float, memory: float, detector: float, db_per_km: float, seed: int) -> Outcome:
    link = BareBarrettKok(arm_m, memory, detector, db_per_km, seed)
    fidelities = []
    for _ in range(_ATTEMPTS):
        clicks = link.attempt()
        if clicks is not None:
            fidelities.append(link.fidelity(clicks))
    return Outcome(rate(len(fidelities), _ATTEMPTS), mean_of(fidelities))


def _components(values: Parameters, seed: int) -> Measurement:
    numbers = [
        float(values[name]) for name in ("arm_m", "memory_efficiency", "detector_efficiency", "attenuation_db_per_km")
    ]
    seen = _bare(numbers[0], numbers[1], numbers[2], numbers[3], seed)
    return seen.p if values["figure"] == "p" else seen.fidelity


class _Taker:
    """SeQUeNCe's application of a router: takes each pair, and gives its memory back at once."""

    def __init__(self, router: QuantumRouter) -> None:
        self.router = router
        self.pairs = 0

    def get_memory(self, info: Any) -> None:
        if info.state == "ENTANGLED":
            self.pairs += 1
            self.router.resource_manager.update(None, info.memory, "RAW")


def _stack_rate(values: Parameters, seed: int) -> Measurement:
    """Pairs per second of two routers with one memory each: resource manager, rules, Barrett-Kok, all SeQUeNCe's."""
    length_m = float(values["length_m"])
    timeline = Timeline(formalism="ket_vector")
    a, b = (QuantumRouter(name, timeline, 1) for name in ("a", "b"))
    station = BSMNode("m", timeline, ["a", "b"])
    for number, node in enumerate((a, b, station)):
        node.set_seed(int(keyed_generator(seed, "stack", number, repr(sorted(values.items()))).integers(1 << 31)))
    for router, other in ((a, "b"), (b, "a")):
        router.add_bsm_node("m", other)
        memories = router.get_components_by_type("MemoryArray")[0]
        memories.update_memory_params("efficiency", float(values["memory_efficiency"]))
        memories.update_memory_params("frequency", 1e9)
        memories.update_memory_params("coherence_time", -1)
        router.set_app(_Taker(router))  # type: ignore[arg-type]
        channel = QuantumChannel(
            f"{router.name}.fibre", timeline, float(values["attenuation_db_per_km"]) * 1e-3, length_m / 2
        )
        channel.set_ends(router, "m")
    analyser = station.get_components_by_type("SingleAtomBSM")[0]
    for name, value in (("efficiency", float(values["detector_efficiency"])), ("count_rate", 1e12), ("dark_count", 0)):
        analyser.update_detectors_params(name, value)
    for source in (a, b, station):
        for other_node in (a, b, station):
            if source is not other_node:
                between = length_m / 2 if station in (source, other_node) else length_m
                wire = ClassicalChannel(f"{source.name}-{other_node.name}", timeline, between)
                wire.set_ends(source, other_node.name)
    timeline.init()
    for router, action, more in (
        (b, eg_rule_action_await, {"index": 1}),
        (a, eg_rule_action_request, {"index": 0, "name": "a", "reservation": "all"}),
    ):
        arguments = {"mid": "m", "path": ["a", "b"], **more}
        rule = Rule(10, action, eg_rule_condition, arguments, {"memory_indices": [0]})
        rule.reservation = "all"  # type: ignore[assignment]
        router.resource_manager.load(rule)
    taker = a.app
    assert isinstance(taker, _Taker)
    events = timeline.events.data
    left = _STACK_LIMIT_EVENTS
    while events and taker.pairs < _PAIRS and timeline.time < _STACK_LIMIT_S * 1e12 and left:
        event = heappop(events)
        left -= 1
        if not event.is_invalid():
            timeline.time = event.time
            event.process.run()
    pairs = taker.pairs
    spent = "" if pairs == _PAIRS else f"{pairs} pairs in {timeline.time * 1e-12:.3g} s of emulated time"
    if not pairs:
        return Measurement(0.0, 1e12 / max(1, timeline.time), 0, spent=spent)
    per_second = pairs / (timeline.time * 1e-12)
    return Measurement(per_second, per_second / sqrt(pairs), pairs, spent=spent)


def _check(values: Parameters) -> None:
    for name in ("memory_efficiency", "detector_efficiency"):
        if not 0 < float(values[name]) <= 1:
            raise ValueError(f"{name}: {values[name]} is not within 0 and 1")
    for name in ("arm_m", "length_m", "attenuation_db_per_km"):
        if float(values.get(name, 0)) < 0:
            raise ValueError(f"{name}: {values[name]} is negative")
    if "length_m" in values and not 100 <= float(values["length_m"]) <= 200_000:
        raise ValueError(f"length_m: {values['length_m']} is not within 100 and 200000")


_LINK = (
    Parameter(
        "memory_efficiency", "probability", "that an excited memory's photon enters the fibre", 1.0, (), ("η_mem",)
    ),
    Parameter("detector_efficiency", "probability", "of a photon that arrives", 1.0, (), ("eta_d", "η_d", "η_det")),
    Parameter("attenuation_db_per_km", "dB/km", "of the fibre", 0.2),
)

TABLES = (
    Table(
        "sequence-components",
        "Barrett-Kok of SeQUeNCe's memories, fibres and analyser driven bare: equal arms, full overlap, no dark counts",
        (
            Parameter("figure", "word", "probability or fidelity", "p", ("p", "fidelity")),
            Parameter("arm_m", "m", "fibre from each memory to the analyser", 0.0),
            *_LINK,
        ),
        _components,
        _check,
    ),
    Table(
        "sequence-stack-rate",
        "pairs per second of SeQUeNCe's own Barrett-Kok stack, one memory at each end, light at 2e8 m/s",
        (Parameter("length_m", "m", "of the whole link, the station midway"), *_LINK),
        _stack_rate,
        _check,
    ),
)
