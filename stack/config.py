"""What a node is told at birth, as plain data: it comes as JSON from the launcher, whatever the clock.

What may live here: frozen dataclasses and their JSON form.  No defaults that hide physics: the lab says everything.
"""

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from protocols.timers import UNTIL_REST, Pauses

SETTLES_WITHIN: Final = 64
"""Exchanges with its time server, after which a node comes up with the clock that it has."""


@dataclass(frozen=True, slots=True)
class Faults:
    """What the emulated channel to one destination does to frames; probabilities per frame."""

    loss: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0
    reorder: float = 0.0
    jitter_ps: int = 0
    """Every frame is late by up to this much; a reordered one by up to this plus twice the delay."""

    @property
    def none(self) -> bool:
        return not (self.loss or self.duplicate or self.corrupt or self.reorder or self.jitter_ps)


@dataclass(frozen=True, slots=True)
class Noise:
    """What is wrong with an oscillator beside a constant offset and a whole number of ppb."""

    rate: float = 0.0
    """Relative frequency error, on top of ``rate_ppb``."""
    drift_per_day: float = 0.0
    """By how much that grows."""
    white_fm: float = 0.0
    """White noise of frequency: Allan deviation at 1 s."""
    flicker_fm: float = 0.0
    """Flicker noise of frequency: Allan deviation of the floor."""
    wander_ps: float = 0.0
    """Noise of time itself, rms, of a clock that something else keeps."""
    knot_ps: int = 10_000_000_000
    """The frequency is constant from knot to knot."""


@dataclass(frozen=True, slots=True)
class TimeKeeping:
    """How a node's clock is kept by TTP."""

    server: int | None
    """The neighbour whose clock it follows; None: this node is the master."""
    interval_ps: int
    timestamp_noise_ps: float = 0.0
    """Rms of the NIC's timestamps."""
    opens_ps: int = 0
    """Node time at which the network begins to work: no node comes up before, so that none waits for another."""

    @property
    def patience_ps(self) -> int:
        """After so long a node comes up with the clock that it has."""
        return SETTLES_WITHIN * self.interval_ps


@dataclass(frozen=True, slots=True)
class Path:
    """The classical way to one other node, over however many channels."""

    name: str
    delay_ps: int
    faults: Faults = Faults()
    cut: bool = False
    """Whatever is sent is lost, whatever else holds."""
    qubits: bool = True
    """Whether that node has any: what has not, hears nothing of pairs, of sessions or of keys."""


@dataclass(frozen=True, slots=True)
class Plight:
    """What has become of a node's surroundings since the network was built.  The emulator's business: no protocol goes
    by it."""

    ways: dict[int, Path] = field(default_factory=dict)
    """Ways to other nodes that are others now."""
    drifts: tuple[tuple[int, int], ...] = ()
    """(true time, ppb): from when on its oscillator runs fast by how much."""
    full: bool | None = None
    """Whether there is no room for its trace; None: as before."""

    def then(self, later: "Plight") -> "Plight":
        """What both come to, one after the other."""
        full = self.full if later.full is None else later.full
        return Plight(self.ways | later.ways, self.drifts + later.drifts, full)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Plight":
        """What ``asdict`` has taken apart."""
        ways = {int(peer): path_from_json(path) for peer, path in data["ways"].items()}
        return cls(ways, tuple((int(t), int(ppb)) for t, ppb in data["drifts"]), data["full"])


@dataclass(frozen=True, slots=True)
class Device:
    """What a node knows of its own qubits: data qubits come first, communication qubits after them."""

    data_qubits: int
    communication_qubits: int
    emission_ps: int
    memory_t1_ps: int
    """Of what halves of pairs wait in: a communication qubit, or storage where there is any; 0 = infinite.  The same
    for T2."""
    memory_t2_ps: int
    swap_errors: tuple[float, float, float, float]
    """Errors I, Z, X, Y that a Bell measurement here, with its gates, their time and its readout, adds to a chain."""
    gate_2q_w: float = 1.0
    """What a gate between two qubits leaves of every correlator."""
    readout: tuple[float, float] = (0.0, 0.0)
    """Chances of reading 1 from |0>, and 0 from |1>."""
    parity_ps: int = 0
    """From the beginning of a CNOT to the device's answer, if its target is read next."""
    parity_w: float = 1.0
    """What decay leaves of the target's <Z> until then."""
    storage_qubits: int = 0
    """Places into which the link layer moves its halves; they come after the communication qubits."""

    @property
    def keeps(self) -> int:
        """Halves of pairs that the node can keep at a time."""
        return self.storage_qubits or self.communication_qubits


@dataclass(frozen=True, slots=True)
class Link:
    """A quantum link as one of its ends, or its station, knows it."""

    number: int
    name: str
    a: int
    b: int
    station: int
    slot_ps: int
    arm_a_ps: int
    arm_b_ps: int
    attempt_ps: int
    emission_ps: int
    success_probability: float
    estimate: float
    """Fidelity of a heralded pair by the device model, when the herald has reached both ends (and its halves have been
    moved to storage, where there is any)."""
    pairs_per_ks: int
    """Pairs in 1,000 s, with nothing else to do and memories free."""
    errors: tuple[float, ...] = ()
    """Parts of the delivered state in the four Bell states, by the XOR with the heralded one; empty: not known."""
    leaning: tuple[float, ...] = ()
    """<Z> of the delivered halves at a and at b, 1 for |0>; empty: not known."""
    measured_estimate: float = 0.0
    """Fidelity of the state in which pairs measured right after emission are measured, by the device model."""
    estimate_error: float = 0.0
    """What the device data leave open: half width at 99 %."""
    formula_error: float = 0.0
    """By how much the formula behind the estimate may be off."""
    settings: tuple[tuple[float, float, float, float, float], ...] = ()
    """Other bright-state populations, by rising alpha: (alpha, success probability, estimate, measured estimate,
    formula error)."""
    lead_a_ps: int | None = None
    """How long before a slot's time end a begins to use its qubit; less than nothing where a photon comes to it.  None:
    its arm, since it emits.  The same for end b."""
    lead_b_ps: int | None = None
    measuring_ps: int = 0
    """From an emission until its half has been measured, at the slower end."""
    readout_a: tuple[float, float] = (0.0, 0.0)
    """At end a: chance of reading 1 from |0>, and 0 from |1>."""
    readout_b: tuple[float, float] = (0.0, 0.0)
    scheduler: str = "fcfs"
    test_share: float = 0.0
    """Share of pairs that are measured to learn the link's fidelity."""
    switched: bool = False
    """Its station is a switch: a train needs an analyser of the pool."""

    @property
    def leads_ps(self) -> tuple[int, int]:
        """lead_a_ps and lead_b_ps, in figures."""
        a = self.arm_a_ps if self.lead_a_ps is None else self.lead_a_ps
        return a, self.arm_b_ps if self.lead_b_ps is None else self.lead_b_ps


@dataclass(frozen=True, slots=True)
class Switch:
    """What a switch knows of itself; its links are those of its node."""

    analysers: int
    reconfigure_ps: int
    longest_grant_ps: int
    policy: str
    stay_ps: int = 0


@dataclass(frozen=True, slots=True)
class RouteHop:
    """One step of a configured way; ``offer`` has the fields of ``protocols.routes.Offer``."""

    link: int
    node: int
    offer: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Circuits:
    """How the circuits that start at a node are to be (``protocols.qnp.promise.Wishes``)."""

    cutoff_ps: int | None = None
    nested: bool = False
    method: int = 0
    link_rounds: int | None = None
    end_rounds: int | None = None
    pumping: bool = False
    refresh_ps: int = 1_000_000_000_000


@dataclass(frozen=True, slots=True)
class Routing:
    """Routing by a protocol between the nodes (``protocols.lsr.service.Settings``)."""

    policy: str
    """A name that ``stack.network.paths`` knows, or a Python file."""
    hello_ps: int
    dead_ps: int
    idle_hello_ps: int
    forget_ps: int
    hold_ps: int
    most_hold_ps: int
    patience_ps: int
    """How long a request waits for a way."""


@dataclass(frozen=True, slots=True)
class Control:
    """What a controller knows of its network at birth."""

    qpus: dict[int, tuple[str, int]]
    """Name and data qubits."""
    distances: dict[int, dict[int, float]]
    """What a pair between two QPUs costs, the cheapest about 1; who is missing can have none."""
    communication: dict[int, int]
    """Communication qubits of each."""


CONTROLLER_APP = "controller"
"""Submits the scenario's jobs at their times, in whichever life of the controller that is."""


FIRST_INCARNATION: Final = 1
_INCARNATIONS: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """One node.  ``apps`` are the programs it runs by itself: {name: arguments}."""

    number: int
    name: str
    kind: str
    seed: int
    incarnation: int = FIRST_INCARNATION
    start_ps: int = 0
    offset_ps: int = 0
    rate_ppb: int = 0
    noise: Noise | None = None
    time: TimeKeeping | None = None
    """None: nobody tells the time here, and nobody asks."""
    paths: dict[int, Path] = field(default_factory=dict)
    plight: Plight = Plight()
    """What is not as it was built when the node starts."""
    keys: dict[int, str] = field(default_factory=dict)
    """Secret keys by node, hexadecimal.  With a node that has none here, the key follows from the seed."""
    device: Device | None = None
    links: tuple[Link, ...] = ()
    switch: Switch | None = None
    routes: dict[int, tuple[tuple[RouteHop, ...], ...]] = field(default_factory=dict)
    """Ways to other nodes, by destination, the best first; used without ``routing`` only."""
    routing: Routing | None = None
    circuits: Circuits = Circuits()
    controller: int = 0
    """Of a QPU: the node that may lease it; 0: none."""
    control: Control | None = None
    """Of a controller."""
    apps: dict[str, dict[str, Any]] = field(default_factory=dict)
    died: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Its parts of jobs that ended with an earlier life: others may wait for them."""
    sessions: int = 0
    spools: str = ""
    """Folder for the node's spool files, or nothing: no trace."""
    journals: str = ""
    """Folder for what the node writes down for its next life, or nothing: then nothing outlives it."""
    journal_lost: str = ""
    """Why this life does not know what earlier ones have written down, if so, in words."""
    allowance_ps: int = 0
    """What ``paced`` adds to protocol timers for the host's own slowness."""
    pauses: Pauses = UNTIL_REST
    """After which it asks again for who cannot be heard."""

    def reborn(self, t_ps: int) -> "NodeConfig":
        """The next incarnation, born at ``t_ps``: nothing volatile is kept, programs that ran there are gone.

        Who has jobs for a controller is none of these: it submits what it has not submitted yet.
        """
        apps = {name: arguments for name, arguments in self.apps.items() if name == CONTROLLER_APP}
        died = self.died | {name: arguments for name, arguments in self.apps.items() if name.startswith("job-")}
        following = (self.incarnation + 1) % _INCARNATIONS
        if following == FIRST_INCARNATION:
            following += 1  # once round; nobody else is in a first life (REL-16)
        return replace(self, incarnation=following, start_ps=t_ps, sessions=0, apps=apps, died=died)

    def suffering(self, plight: Plight) -> "NodeConfig":
        """The same where this has come to pass, too."""
        return replace(self, plight=self.plight.then(plight))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "NodeConfig":
        fields = dict(data)
        fields["time"] = None if data["time"] is None else TimeKeeping(**data["time"])
        fields["noise"] = None if data["noise"] is None else Noise(**data["noise"])
        fields["paths"] = {int(n): path_from_json(path) for n, path in data["paths"].items()}
        fields["pauses"] = Pauses(*data["pauses"])
        fields["plight"] = Plight.from_json(data["plight"])
        fields["keys"] = {int(n): k for n, k in data["keys"].items()}
        fields["device"] = None if data["device"] is None else _own_device(data["device"])
        fields["links"] = tuple(_link(link) for link in data["links"])
        fields["switch"] = None if data["switch"] is None else Switch(**data["switch"])
        fields["routes"] = {
            int(n): tuple(tuple(RouteHop(h["link"], h["node"], tuple(h["offer"])) for h in way) for way in ways)
            for n, ways in data["routes"].items()
        }
        fields["circuits"] = Circuits(**data["circuits"])
        fields["control"] = None if data["control"] is None else _control(data["control"])
        fields["routing"] = None if data["routing"] is None else Routing(**data["routing"])
        return cls(**fields)


def _own_device(data: dict[str, Any]) -> Device:
    return Device(**{**data, "swap_errors": tuple(data["swap_errors"]), "readout": tuple(data["readout"])})


def _control(data: dict[str, Any]) -> Control:
    qpus = {int(n): (name, room) for n, (name, room) in data["qpus"].items()}
    distances = {int(a): {int(b): d for b, d in row.items()} for a, row in data["distances"].items()}
    return Control(qpus, distances, {int(n): room for n, room in data["communication"].items()})


def path_from_json(data: dict[str, Any]) -> Path:
    """The way that ``asdict`` has taken apart."""
    return Path(data["name"], data["delay_ps"], Faults(**data["faults"]), data["cut"], data["qubits"])


def _link(data: dict[str, Any]) -> Link:
    settings = tuple((a, p, kept, measured, error) for a, p, kept, measured, error in data["settings"])
    readouts = {end: (data[end][0], data[end][1]) for end in ("readout_a", "readout_b")}
    return Link(**{**data, "settings": settings, **readouts})
