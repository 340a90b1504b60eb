"""Tables of area `link` on single photons and detectors: the chain of efficiencies, and dark counts in a gate."""

from heapq import heappop
from math import ceil
from typing import Any

import numpy as np
from numpy.random import Generator
from sequence.components.detector import Detector
from sequence.components.memory import Memory
from sequence.components.optical_channel import QuantumChannel
from sequence.components.photon import Photon
from sequence.kernel.entity import Entity
from sequence.kernel.timeline import Timeline

from testbed.keyed import keyed_generator
from testbed.plane.links import LinkParameters
from testbed.validate.heralds import rate
from testbed.validate.table import Measurement, Parameter, Parameters, Table

_PHOTONS = 20_000
_COUNTS = 20_000


class _Path(Entity):
    """From a memory through a fibre to a detector, all SeQUeNCe's."""

    def __init__(self, known: LinkParameters, timeline: Timeline, rng: Generator) -> None:
        super().__init__("path", timeline)
        self.rng = rng
        self.memory = Memory("memory", timeline, 1.0, 0, known.efficiency_a * known.conversion_a, -1, 1550)
        self.memory.owner = self
        self.memory.add_receiver(self)
        self.fibre = QuantumChannel("fibre", timeline, known.attenuation_db_per_km * 1e-3, known.arm_a_m)
        self.fibre.set_ends(self, "path")  # type: ignore[arg-type]
        self.detector = Detector("detector", timeline, known.detector_efficiency, 0, 1e12, 1)
        self.detector.owner = self
        self.detector.attach(self)
        self.clicks = 0

    def init(self) -> None:
        pass

    def get_generator(self) -> Generator:
        return self.rng

    def assign_qchannel(self, channel: QuantumChannel, receiver: str) -> None:
        pass

    def get(self, photon: Photon, **keywords: Any) -> None:
        # Memory's photons carry their loss along; the fibre adds its own, and the analyser would draw it.
        self.fibre.transmit(photon, self)  # type: ignore[arg-type]

    def receive_qubit(self, source: str, photon: Photon) -> None:
        if self.rng.random() >= photon.loss:
            self.detector.get(photon)

    def trigger(self, detector: Detector, info: dict[str, Any]) -> None:
        self.clicks += 1


def _detected(values: Parameters, seed: int) -> Measurement:
    known = _parameters(values)
    if values["grade"] == "closed":
        return Measurement(known.detection_a)
    timeline = Timeline(formalism="ket_vector")
    path = _Path(known, timeline, keyed_generator(seed, "validate detection", repr(known)))
    timeline.init()
    events = timeline.events.data
    for _ in range(_PHOTONS):
        path.memory.update_state([0, 1])
        path.memory.excite("path")
        while events:
            event = heappop(events)
            timeline.time = event.time
            event.process.run()
        timeline.time += 1_000
    return rate(path.clicks, _PHOTONS)


def _parameters(values: Parameters) -> LinkParameters:
    stages = [float(values[f"stage_{n}"]) for n in range(1, 5)]
    for number, stage in enumerate(stages, 1):
        if not 0 <= stage <= 1:
            raise ValueError(f"stage_{number}: {stage} is not within 0 and 1")
    return LinkParameters(
        arm_a_m=float(values["arm_m"]),
        arm_b_m=0.0,
        attenuation_db_per_km=float(values["attenuation_db_per_km"]),
        efficiency_a=float(np.prod(stages)),
        detector_efficiency=float(values["detector_efficiency"]),
        insertion_loss_db=float(values["insertion_loss_db"]),
    )


def _check_path(values: Parameters) -> None:
    _parameters(values)
    if values["grade"] == "components" and float(values["insertion_loss_db"]):
        raise ValueError("insertion_loss_db: SeQUeNCe's components have no switch")


def _dark(values: Parameters, seed: int) -> Measurement:
    """Gates until a first dark count, from its exponentially distributed time: as good at 1e-7 as at .1."""
    per_gate = float(values["rate_hz"]) * float(values["window_s"])
    rng = keyed_generator(seed, "validate dark", repr(sorted(values.items())))
    gates = sum(ceil(t) for t in rng.exponential(1 / per_gate, _COUNTS).tolist())
    return rate(_COUNTS, gates)


def _check_dark(values: Parameters) -> None:
    for name in ("rate_hz", "window_s"):
        if float(values[name]) <= 0:
            raise ValueError(f"{name}: {values[name]} is not positive")
    if float(values["rate_hz"]) * float(values["window_s"]) < 1e-12:
        raise ValueError(f"rate_hz: {values['rate_hz']} gives less than one dark count in 1e12 gates")


TABLES = (
    Table(
        "photon-detection",
        "probability that a photon of node a makes its detector click",
        (
            Parameter("grade", "word", "our parameters, or SeQUeNCe's parts", "closed", ("closed", "components")),
            *(
                Parameter(f"stage_{n}", "probability", "of an efficiency on the way: emission, collection, ...", 1.0)
                for n in range(1, 5)
            ),
            Parameter("arm_m", "m", "of fibre", 0.0),
            Parameter("attenuation_db_per_km", "dB/km", "of the fibre", 0.2),
            Parameter("insertion_loss_db", "dB", "of a switch", 0.0),
            Parameter("detector_efficiency", "probability", "of a photon that arrives", 1.0),
        ),
        _detected,
        _check_path,
    ),
    Table(
        "dark-count",
        "probability of a dark count while a detector is gated open",
        (
            Parameter("rate_hz", "Hz", "of dark counts"),
            Parameter("window_s", "s", "that the gate is open"),
        ),
        _dark,
        _check_dark,
    ),
)
