"""The photonic grade: every attempt as emissions, flights and clicks on SeQUeNCe's timeline.

Memory and QuantumChannel are SeQUeNCe's. So are SingleAtomBSM and Detector where they are right: Barrett-Kok
with equal arms and full overlap. SingleAtomBSM knows no overlap; each round it draws anew which of the two
atoms was bright, so that unequal arms give p = ((a+b)/2)^2/2 instead of ab/2; and its photons do not bunch,
which we put right. For everything else the analyser is ours: it applies the masks of interference.py to the
state and draws the pattern by their traces. Neither evaluates a link's closed form. Dark counts are drawn
once per gate: as events of SeQUeNCe they would be millions.

Memories here are the emitters' state between emission and herald, free of T1/T2: the plane applies those from
emission on.
"""

from cmath import rect
from dataclasses import dataclass, field
from math import sqrt
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.random import Generator
from sequence.components.bsm import SingleAtomBSM
from sequence.components.memory import Memory
from sequence.components.optical_channel import QuantumChannel
from sequence.components.photon import Photon

from testbed.keyed import keyed_generator
from testbed.plane.links.interference import ClickMasks, click_masks
from testbed.plane.links.model import (
    ON_TIME,
    PSI_MINUS,
    PSI_PLUS,
    Arrivals,
    Brightness,
    Done,
    LinkId,
    LinkParameters,
    both,
)
from testbed.plane.simulator import Entity, Event, Process
from testbed.plane.state.engine import StateEngine

if TYPE_CHECKING:
    from sequence.kernel.timeline import Timeline


class Emitter(Entity):
    """A node's end of the link: owns one memory and the fibre, and gives both a seeded generator."""

    def __init__(
        self, station: "Lane", side: str, efficiency: float, arm_m: float, delay_ps: int, rng: Generator
    ) -> None:
        name, timeline = f"{station.name}.{side}", station.timeline
        super().__init__(name, timeline)
        self.rng = rng
        self.memory = Memory(
            f"{name}.memory",
            timeline,
            fidelity=1.0,
            frequency=0,
            efficiency=efficiency,
            coherence_time=-1,
            wavelength=1550,
        )
        self.memory.owner = self
        self.memory.add_receiver(self)
        attenuation_db_per_m = station.bench.parameters.attenuation_db_per_km * 1e-3
        self.channel = QuantumChannel(f"{name}.fibre", timeline, attenuation_db_per_m, arm_m)
        self.channel.set_ends(self, station.name)  # type: ignore[arg-type]
        self.channel.init()
        # SeQUeNCe rounds distance / speed in m/ps; the plane's arm delay is the one both sides must obey.
        self.channel.delay = delay_ps

    def init(self) -> None:
        pass

    def get_generator(self) -> Generator:
        return self.rng

    def assign_qchannel(self, channel: QuantumChannel, receiver: str) -> None:
        pass  # one fibre, held as self.channel

    def get(self, photon: Photon, **keywords: Any) -> None:
        self.channel.transmit(photon, self)  # type: ignore[arg-type]

    def prepare(self, alpha: float) -> None:
        self.memory.update_state([sqrt(1.0 - alpha), sqrt(alpha)])


class Late(NamedTuple):
    """Two photons that are not on time: how much later the first comes, and their chances to meet the gate."""

    apart_ps: int
    gate_a: float
    gate_b: float


UNTOUCHED: Final = Late(0, 1.0, 1.0)


class Analyser:
    """Our own Bell-state analyser: any overlap, any pair of arms, any brightness."""

    def __init__(
        self, parameters: LinkParameters, engine: StateEngine, keys: list[int], rng: Generator
    ) -> None:
        self.parameters, self.engine, self.keys, self.rng = parameters, engine, keys, rng
        self.packets = parameters.packets
        self._masks: ClickMasks | None = None
        self.late = UNTOUCHED
        self.alike = self.packets.visibility(0.0)
        """What wave packets that arrive as this attempt's do leave of their visibility."""
        self.phase = 1.0 + 0.0j
        """What this attempt's optical phase and double excitations leave of the paths' coherence."""

    def begin(self, single: bool, late: Late) -> None:
        """A new attempt: draws what is common to it; `single`: it has one click, so the phase counts."""
        known = self.parameters
        if late != self.late:
            self.late, self._masks = late, None
        if known.jitter_frozen:
            self.jitter()
        self.phase = complex(known.coherence) if single else 1.0 + 0.0j
        if single and known.phase_sigma_rad:
            self.phase *= rect(1.0, float(self.rng.normal(0.0, known.phase_sigma_rad)))
        # Once per node: in two rounds, or rails, it is bright in one. With one click, as LinkParameters.emitted_once.
        if any(known.doubles) and (self.rng.random(2) < known.doubles).any():
            self.phase = 0j  # the second photon tells which node was bright, and when

    def jitter(self) -> None:
        known = self.parameters
        if self.packets.timed:
            offset_ps = known.offset_ps + self.late.apart_ps + known.jitter_ps * float(self.rng.standard_normal())
            self.alike = self.packets.visibility(offset_ps * 1e-12)

    def detect(self, photons: list[Photon], now_ps: int) -> tuple[bool, bool]:
        """Which detectors the photons make click; leaves the memories in the state that goes with it."""
        if not self.parameters.jitter_frozen:
            self.jitter()
        # Loss is the same for every photon of an emitter; only jitter makes masks change.
        if self._masks is None or self.packets.timed:
            pa, pb = ((1.0 - photon.loss) * self.parameters.detector_efficiency for photon in photons)
            pa, pb = pa * self.late.gate_a, pb * self.late.gate_b
            self._masks = click_masks(pa, pb, self.parameters.visibility * self.alike)
        masks = self._masks
        rho = self.engine.density(self.keys, now_ps)
        sample = self.rng.random()
        for clicks, mask in (
            ((False, False), masks.none),
            ((True, False), masks.only[0]),
            ((False, True), masks.only[1]),
        ):
            weight = float(np.vdot(mask.diagonal(), rho.diagonal()).real)
            if sample < weight:
                kept = rho * (mask / weight)
                kept[1, 2] *= self.phase
                kept[2, 1] *= self.phase.conjugate()
                self.engine.set(self.keys, kept)
                return clicks
            sample -= weight
        return True, True  # both detectors: never a herald, so the state no longer matters


class SequenceAnalyser:
    """SeQUeNCe's SingleAtomBSM and its two Detectors, for equal arms and full overlap."""

    def __init__(
        self, name: str, timeline: "Timeline", owner: Entity, detector_efficiency: float, rng: Generator
    ) -> None:
        # The count rate is a dead time of one picosecond: it makes each detector a threshold detector, no
        # more.
        detector = {
            "efficiency": detector_efficiency,
            "dark_count": 0,
            "count_rate": 1e12,
            "time_resolution": 1,
        }
        self.bsm = SingleAtomBSM(name, timeline, detectors=[detector, dict(detector)])
        self.bsm.owner = owner
        self.bsm.init()
        for component in self.bsm.detectors:
            assert component is not None
            component.init()
        self.bsm.attach(self)
        self.rng = rng
        self.clicked = [False, False]

    def bsm_update(self, bsm: SingleAtomBSM, info: dict[str, Any]) -> None:
        self.clicked[info["res"]] = True

    def detect(self, photons: list[Photon], now_ps: int) -> tuple[bool, bool]:
        self.clicked = [False, False]
        for photon in photons:
            self.bsm.get(photon)
        if all(self.clicked):
            # Two detected photons: at full overlap they leave by one port (Hong-Ou-Mandel), which this BSM
            # does not know.
            self.clicked[int(self.rng.random() < 0.5)] = False
        return self.clicked[0], self.clicked[1]


class Lane(Entity):
    """The station's side of one attempt at a time, with its two emitters."""

    def __init__(self, name: str, timeline: "Timeline", bench: "Bench", number: int) -> None:
        super().__init__(name, timeline)
        self.bench = bench
        known = bench.parameters
        self.rng, rng_a, rng_b = (
            keyed_generator(bench.ident.seed, "photonic", bench.ident.name, number, part)
            for part in ("station", "a", "b")
        )
        # Loss is loss wherever it is: that of a switch stands with the emitters', SeQUeNCe has no switch.
        through = known.transmission(0.0)
        self.ends = (
            Emitter(self, "a", known.efficiency_a * known.conversion_a * through, known.arm_a_m, known.arm_a_ps, rng_a),
            Emitter(self, "b", known.efficiency_b * known.conversion_b * through, known.arm_b_m, known.arm_b_ps, rng_b),
        )
        engine = timeline.quantum_manager
        assert isinstance(engine, StateEngine), "the photonic grade needs Timeline(formalism='bellwire')"
        self.engine = engine
        self.keys = [end.memory.qstate_key for end in self.ends]
        self.analyser: Analyser | SequenceAnalyser
        if (
            bench.rounds == 2
            and not bench.clocked
            and known.visibility == known.packets.at_once == 1.0
            and not known.packets.timed
            and not any(known.doubles)
            and known.detection_a == known.detection_b
            and known.dead_time_ps <= known.round_gap_ps
        ):
            self.analyser = SequenceAnalyser(
                f"{name}.bsm", timeline, self, known.detector_efficiency, self.rng
            )
        else:
            self.analyser = Analyser(known, engine, self.keys, self.rng)
        self.arrived: dict[str, Photon] = {}
        self.heralds: list[int] = []
        self.done: Done | None = None

    def init(self) -> None:
        pass

    def get_generator(self) -> Generator:
        return self.rng

    def start(
        self, slot_ps: int, emissions: tuple[int, ...], alphas: tuple[float, float], done: Done, late: Late
    ) -> None:
        """All rounds of an attempt, whose first photons leave at `emissions`."""
        self.begin(done, late)
        for turn in range(self.bench.rounds):
            gap_ps = turn * self.bench.parameters.round_gap_ps
            self.round(slot_ps + gap_ps, tuple(emission + gap_ps for emission in emissions), turn, alphas)

    def begin(self, done: Done, late: Late) -> None:
        self.done = done
        self.heralds = []
        if isinstance(self.analyser, Analyser):
            self.analyser.begin(self.bench.rounds == 1 and self.bench.rails == 1, late)

    def round(self, slot_ps: int, emissions: tuple[int, ...], turn: int, alphas: tuple[float, float]) -> None:
        known, schedule = self.bench.parameters, self.bench.schedule
        for end, emission_ps in enumerate(emissions):
            schedule(emission_ps, self, "emit", [end, turn, alphas[end]])
        schedule(slot_ps + known.window_ps, self, "close_gate", [turn])

    def emit(self, end: int, turn: int, alpha: float) -> None:
        if turn == 0:
            self.ends[end].prepare(alpha)
        self.ends[end].memory.excite(self.name)

    def receive_qubit(self, source: str, photon: Photon) -> None:
        """Both photons of a round are here, one perhaps late; the analyser sees a, b."""
        self.arrived[source] = photon
        if len(self.arrived) < 2:
            return
        photons = [self.arrived[end.name] for end in self.ends]
        self.arrived = {}
        for rail in range(self.bench.rails):
            if -1 in self.heralds:
                return
            if rail:  # the photon of the other level: bright and dark change places
                for key in self.keys:
                    self.engine.gate1(key, "x", self.timeline.now())
            self.look(photons)

    def look(self, photons: list[Photon]) -> None:
        """One round or rail: its clicks, noise and dark counts included."""
        clicks = list(self.analyser.detect(photons, self.timeline.now()))
        known = self.bench.parameters
        if known.dark_probability:
            dark = self.rng.random(2) < known.dark_probability
            clicks = [bool(click or extra) for click, extra in zip(clicks, dark, strict=True)]
        if any(known.noise):
            thermal = self.rng.random(2) < known.thermal_click
            clicks = [bool(click or extra) for click, extra in zip(clicks, thermal, strict=True)]
        if any(known.converter_noise):
            for mean in known.converted:  # each noise photon takes either port
                for _ in range(int(self.rng.poisson(mean))):
                    clicks[int(self.rng.random() < 0.5)] = True
        if self.bench.rounds == 2 and self.heralds and known.dead_time_ps > known.round_gap_ps:
            clicks[self.heralds[0]] = False
        herald = clicks.index(True) if clicks.count(True) == 1 else -1
        if not self.heralds and herald >= 0:
            self.bench.first_rounds += 1
        self.heralds.append(herald)

    def close_gate(self, turn: int) -> None:
        """End of a detection window: flips the spins after the first of two, reports after the last."""
        last = turn == self.bench.rounds - 1
        if not last:
            clicked = self.heralds[0] >= 0
            if clicked:
                # Emission of the second photon may lie before this: a flip and the flight of a photon
                # commute.
                for key in self.keys:
                    self.engine.gate1(key, "x", self.timeline.now())
            if self.bench.waits:
                self.bench.waiting = self if clicked else None
                if not clicked:
                    self.bench.free.append(self)
                assert self.done is not None
                self.done(None)
            return
        done, self.done = self.done, None
        self.bench.free.append(self)
        assert done is not None
        if len(self.heralds) < self.bench.rounds * self.bench.rails or -1 in self.heralds:
            done(None)
            return
        outcome = PSI_MINUS if sum(self.heralds) == 1 else PSI_PLUS
        done((outcome, self.engine.density(self.keys, self.timeline.now())))


@dataclass
class Bench:
    """The optics of one link: as many lanes as attempts are in flight at once, made when needed."""

    parameters: LinkParameters
    rounds: int
    ident: LinkId
    free: list[Lane] = field(default_factory=list)
    timeline: "Timeline | None" = None
    lanes: int = 0
    rails: int = 1
    first_rounds: int = 0
    waits: bool = False
    """A second round is only begun when the first has had its click (`start_round`)."""
    waiting: Lane | None = None
    """The lane whose first round, just before, had its click."""
    clocked: bool = False
    """Photons may be early or late, which SeQUeNCe's analyser does not know."""

    def start(
        self,
        timeline: "Timeline",
        slot_ps: int,
        alpha: Brightness,
        done: Done,
        arrivals: Arrivals | None = None,
    ) -> None:
        lane, emissions, late = self._lane(timeline, slot_ps, arrivals)
        lane.start(slot_ps, emissions, both(alpha), done, late)

    def start_round(
        self, timeline: "Timeline", slot_ps: int, done: Done, arrivals: Arrivals | None = None
    ) -> None:
        """A second round if the one before was a first and had its click, else a first one."""
        lane, self.waiting = self.waiting, None
        if lane is not None and timeline is self.timeline:
            lane.done = done
            # What is late in the second round counts as in the first, by which the attempt was begun.
            lane.round(slot_ps, self.emissions(slot_ps, arrivals or ON_TIME), 1, (0.5, 0.5))
            return
        lane, emissions, late = self._lane(timeline, slot_ps, arrivals)
        lane.begin(done, late)
        lane.round(slot_ps, emissions, 0, (0.5, 0.5))

    def renew(self) -> None:
        """The next round is a first one."""
        if self.waiting is not None:
            self.free.append(self.waiting)
            self.waiting = None

    def _lane(
        self, timeline: "Timeline", slot_ps: int, arrivals: Arrivals | None
    ) -> tuple[Lane, tuple[int, int], Late]:
        """A lane that is free, for a slot whose emissions are still to come, with these and what is late."""
        if timeline is not self.timeline:
            self.timeline, self.free, self.lanes = timeline, [], 0
        self.clocked = self.clocked or arrivals is not None
        emissions = self.emissions(slot_ps, arrivals or ON_TIME)
        if min(emissions) < timeline.now():
            raise ValueError(
                f"slot at {slot_ps} ps needs an emission at {min(emissions)} ps, before now ({timeline.now()} ps)"
            )
        if self.free:
            lane = self.free.pop()
        else:
            lane = Lane(f"{self.ident.name}.lane{self.lanes}", timeline, self, self.lanes)
            self.lanes += 1
        return lane, emissions, self.late(arrivals or ON_TIME)

    def emissions(self, slot_ps: int, arrivals: Arrivals) -> tuple[int, int]:
        """When the photons of a slot leave."""
        known = self.parameters
        return slot_ps + arrivals.a_ps - known.arm_a_ps, slot_ps + arrivals.b_ps - known.arm_b_ps

    def late(self, arrivals: Arrivals) -> Late:
        """What these arrivals do to two photons."""
        if arrivals == ON_TIME:
            return UNTOUCHED
        window_s = self.parameters.window_ps * 1e-12
        packets = self.parameters.packets
        gates = [packets.in_gate(late * 1e-12, window_s, end) for end, late in enumerate(arrivals)]
        return Late(arrivals.a_ps - arrivals.b_ps, gates[0], gates[1])

    def schedule(self, time_ps: int, owner: Any, method: str, arguments: list[Any]) -> None:
        # Equal (time, priority) are not FIFO in SeQUeNCe; none of a lane's own events ever tie in a way that
        # matters.
        assert self.timeline is not None
        self.timeline.schedule(Event(time_ps, Process(owner, method, arguments), self.ident.priority))
