"""A scenario as the lab works with it: frozen dataclasses, checked, times in picoseconds, the rest in SI.

What may live here: the data and what follows from it without a choice. How it is written in YAML, and what is
refused, stands in the modules that read each section.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from protocols.key.service import Terms
from protocols.qnp.promise import end_places
from protocols.qnp.service import KEPT, Delivery
from protocols.wire.codec import EgpBases, EgpKind
from stack.config import Faults
from testbed.errors import Place

NodeKind = Literal["qpu", "repeater", "station", "controller"]
NODE_KINDS: Final[tuple[NodeKind, ...]] = ("qpu", "repeater", "station", "controller")

FORMALISMS: Final = ("auto", "density", "trajectory", "stabilizer")
"""How the quantum plane may keep states; what each means stands in testbed.plane.state.engine."""

PLOTS: Final = ("cutoffs", "sync-error", "telegate")

LEAST_DELAY_PS: Final = 1_000
"""No effect follows its cause by less: the order of events rests on it."""

PAULI_STATES: Final = ("zero", "one", "plus", "minus", "plus-i", "minus-i")
"""Eigenstates of Z, X and Y, +1 before -1: over these six, averages of fidelities are exact."""


@dataclass(frozen=True, slots=True)
class Network:
    """A device's networking unit: what its photons are when they enter the fibre. None: the link says it."""

    efficiency: float | None = None
    """Probability that an attempt puts a photon into the fibre."""
    alpha: float | None = None
    noise_photons: float | None = None
    """Added noise of a transducer, referred to the qubit's photon."""
    double_excitation: float | None = None
    conversion: float | None = None
    """Efficiency of wavelength conversion; `conversion_noise`: photons it adds per window."""
    conversion_noise: float | None = None
    photon_length_s: float | None = None
    photon_lifetime_s: float | None = None
    emission_jitter_s: float | None = None
    extraction: float | None = None
    """Chance that the microwave photon of a blue-detuned pair gets into the qubit."""
    modes: int | None = None
    repetition_hz: float | None = None
    """Attempts per second at most."""


@dataclass(frozen=True, slots=True)
class Device:
    """Qubits and what they can do. Data qubits have the indices 0, 1, …; communication qubits follow them.

    Fidelities are average gate fidelities of a depolarising channel. A T1 of 0 is infinite; a T2 of 0 is as
    long as T1 permits, 2·T1.
    """

    name: str
    data_qubits: int
    communication_qubits: int
    t1_ps: int = 0
    t2_ps: int = 0
    communication_t1_ps: int = 0
    communication_t2_ps: int = 0
    gate_1q_ps: int = 0
    gate_2q_ps: int = 0
    swap_ps: int = 0
    readout_ps: int = 0
    prepare_ps: int = 0
    emission_ps: int = 0
    """From the start of an attempt's round until the photon has left."""
    gate_1q_fidelity: float = 1.0
    gate_2q_fidelity: float = 1.0
    readout_error_0: float = 0.0
    """Probability of reading 1 from |0⟩."""
    readout_error_1: float = 0.0
    """Probability of reading 0 from |1⟩."""
    prepare_error: float = 0.0
    """Probability of |1⟩ where |0⟩ was prepared."""
    storage_qubits: int = 0
    """Where the link layer keeps its halves, like data qubits; they come after the communication qubits."""
    parallel: bool = False
    """Operations on different qubits may overlap."""
    swap_fidelity: float | None = None
    """None: as `gate_2q_fidelity`."""
    attempt_dephasing: float = 0.0
    """Probability of a phase flip on every data qubit per attempt of the node."""
    network: Network = Network()

    @property
    def qubits(self) -> int:
        return self.data_qubits + self.communication_qubits + self.storage_qubits

    @property
    def places(self) -> int:
        """Halves that it can keep."""
        return self.storage_qubits or self.communication_qubits


@dataclass(frozen=True, slots=True)
class Clock:
    """A node's oscillator: what it shows is true time + offset + true time · rate_ppb / 10⁹, and noise."""

    offset_ps: int = 0
    rate_ppb: int = 0
    offset_sigma_ps: int = 0
    """Rms of an offset that is drawn once per node and run, on top of `offset_ps`."""
    accuracy_ppm: float = 0.0
    """Bound of a rate that is drawn likewise, evenly from ± this."""
    drift_ppm_per_day: float = 0.0
    allan_1s: float = 0.0
    """White noise of frequency: Allan deviation at 1 s, falling with the root of time."""
    allan_floor: float = 0.0
    """Flicker noise of frequency: Allan deviation, the same at all times."""
    wander_ps: int = 0
    """Noise of time, rms, of a clock that something else keeps."""
    knot_ps: int = 10_000_000_000
    """The frequency is constant from knot to knot."""


@dataclass(frozen=True, slots=True)
class Switch:
    """A station that shares a pool of Bell-state analysers among its links; each node beside it is on one port."""

    analysers: int
    reconfigure_ps: int
    insertion_loss_db: float = 0.0
    """Of every photon that passes."""
    fidelity_cost: float = 0.0
    """1 − F of a pair that would have been perfect."""
    longest_grant_ps: int = 10**10
    policy: str = "least-served"
    stay_ps: int = 0
    """How long an analyser waits for the next train of one link after another, before it goes to others."""


@dataclass(frozen=True, slots=True)
class Node:
    name: str
    number: int
    kind: NodeKind
    device: Device | None = None
    """What a qpu or a repeater has, and nobody else."""
    clock: Clock = Clock()
    switch: Switch | None = None
    """What some stations have."""
    controller: str = ""
    """Of a qpu: who may lease it; nothing: the first controller that it reaches."""

    @property
    def address(self) -> str:
        """The logical address that traces carry."""
        return f"10.77.{self.number >> 8}.{self.number & 255}"


@dataclass(frozen=True, slots=True)
class Link:
    """A quantum link: two ends with communication qubits, and a heralding station between them."""

    name: str
    number: int
    a: str
    b: str
    station: str
    arm_a_m: float
    arm_b_m: float
    delay_a_ps: int
    """From end a to the station; `delay_b_ps` likewise."""
    delay_b_ps: int
    model: str
    grade: str
    slot_ps: int
    alpha: float = 0.0
    """Bright-state population of an attempt, unless a request has its own; 0 in models without one."""
    best_alpha: bool = False
    """`alpha` is to be the one with the largest fidelity at emission; it is not known here."""
    physics: Mapping[str, float | bool | None] = field(default_factory=dict)
    """What else the model works with, by field of the plane's LinkParameters: all that its type knows."""
    scheduler: str = "fcfs"
    """Which request is served next: a file of protocols/egp/schedulers."""
    test_rounds: float = 0.0
    """Share of pairs that the nodes measure to learn the link's fidelity."""
    device_data_off: float = 0.0
    """By how much the fidelities that the nodes' device data say are above what the link has."""
    asymmetry_ps: int = 0
    """By how much longer a frame takes from a to b than from b to a; photons do not know of it."""
    qubit_frame_hz: float = 0.0
    """Frequency of the qubits' frames, which the nodes' clocks keep."""

    @property
    def length_m(self) -> float:
        return self.arm_a_m + self.arm_b_m

    def fibre_transmission(self, end: str) -> float:
        """10^(−dB/10) of one arm."""
        arm_m = self.arm_a_m if end == "a" else self.arm_b_m
        loss: float = 10.0 ** (-float(self.physics["attenuation_db_per_km"] or 0) * arm_m / 1e4)
        return loss


@dataclass(frozen=True, slots=True)
class ClassicalLink:
    """A way for frames only."""

    name: str
    a: str
    b: str
    length_m: float
    delay_ps: int
    asymmetry_ps: int = 0
    """By how much longer a frame takes from a to b than from b to a."""


@dataclass(frozen=True, slots=True)
class Channel:
    """The classical way between two nodes: what follows from the links."""

    a: str
    b: str
    delay_ps: int
    faults: Faults = Faults()
    asymmetry_ps: int = 0
    """By how much longer a frame takes from a to b than from b to a."""

    def delay_from(self, node: str) -> int:
        """What a frame takes that leaves from that end."""
        half_ps = self.asymmetry_ps // 2
        return self.delay_ps - half_ps if node == self.b else self.delay_ps + self.asymmetry_ps - half_ps


@dataclass(frozen=True, slots=True)
class TimeSync:
    """Time transfer: whose clock each node follows (None: a master), and how."""

    servers: Mapping[str, str | None]
    interval_ps: int
    timestamp_noise_ps: int

    @property
    def depth(self) -> int:
        """Hops from the node that is farthest from its master."""
        longest = 0
        for name in self.servers:
            hops, server = 0, self.servers[name]
            while server is not None:
                hops, server = hops + 1, self.servers[server]
            longest = max(longest, hops)
        return longest


@dataclass(frozen=True, slots=True)
class PlannedFault:
    at_ps: int
    kind: str
    """``kill``, ``restart``, ``freeze``, or one of ``testbed.scenario.troubles.KINDS``."""
    node: str = ""
    """What is killed, restarted or frozen."""
    for_ps: int = 0
    """How long it lasts; deaths and births are for good."""
    value: float | None = None
    at: tuple[str, ...] = ()
    """Both as a command has them, see ``about``."""

    @property
    def about(self) -> dict[str, Any]:
        """A fault of the network as the plain data of ``testbed.scenario.troubles``."""
        return {"kind": self.kind, "value": self.value, "at": self.at, "for_ps": self.for_ps}


@dataclass(frozen=True, slots=True)
class Job:
    """A circuit to run. `mapping` has the circuit qubits of each node, in the order of its data qubits."""

    name: str
    circuit: Path
    shots: int
    mapping: Mapping[str, tuple[int, ...]] | None
    """None: the compiler chooses."""
    minimum_fidelity: float
    circuit_place: Place = field(compare=False)
    """Where the circuit was named: the file for errors about the job as a whole."""
    mapping_place: Place = field(compare=False)
    merge: bool = True
    """Whether gates may share pairs and qubits may move; without it the circuit runs as it is written."""
    ahead: int = 0
    """Pairs that each QPU keeps ready with each one whose qubits its own control."""
    controller: str = ""
    """The node that takes it, compiles and places it; nothing: compiled before the start, which is at once."""
    at_ps: int = 0
    """When it is submitted to the controller."""
    cancel_at_ps: int | None = None
    overridden: bool = False
    """The circuit came from the command line: places in the mapping beyond its qubits are left empty."""


PURIFICATIONS: Final = ("none", "bbpssw", "dejmps", "epl")
"""Methods of purification, in the order of their numbers on the wire."""


@dataclass(frozen=True, slots=True)
class CircuitPolicy:
    """How circuits over several links are made."""

    cutoff_ps: int | None = None
    """How long a half waits at a repeater; None: what the fidelity that is asked for allows; 0: for ever."""
    nested: bool = False
    """Swap by rank, in a binary tree; else as soon as possible."""
    method: int = 0
    """Index into PURIFICATIONS."""
    link_rounds: int | None = None
    """Rounds of purification on every link; None: as many as the promise needs."""
    end_rounds: int | None = None
    pumping: bool = False
    refresh_ps: int = 1_000_000_000_000

    @property
    def growing(self) -> int:
        """Halves that an end keeps, beside the one that is being made, for rounds that the scenario asks for."""
        return end_places(self.link_rounds or 0, self.end_rounds or 0, self.pumping) - 1


@dataclass(frozen=True, slots=True)
class RoutingPolicy:
    """Routing by a protocol between the nodes, in place of a table that the lab has made."""

    policy: str = "fidelity"
    """One of PATH_POLICIES, or a Python file."""
    hello_ps: int = 10**11
    dead_ps: int = 4 * 10**11
    idle_hello_ps: int = 0
    """0: a neighbour that no circuit leads over is not asked."""
    forget_ps: int = 6 * 10**13
    hold_ps: int = 10**10
    most_hold_ps: int = 10**12
    patience_ps: int = 10**12


PATH_POLICIES: Final = ("fidelity", "rate", "hops")


@dataclass(frozen=True, slots=True)
class Requests:
    """Pairs that one node asks for with another, measured by the oracle and released as they come."""

    source: str
    destination: str
    pairs: int
    minimum_fidelity: float = 0.0
    at_ps: int = 0
    priority: int = 0
    pairs_per_s: float = 0.0
    """A rate that every link on the way must have left for it."""
    max_time_ps: int = 0
    ahead: int = 1
    """How many of them may be asked for at once."""
    every_ps: int = 0
    """One is wanted so often, whatever has come; 0: as soon as another has come."""
    delivery: Delivery = KEPT
    """What becomes of them."""


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """Secret keys that one node makes with another."""

    source: str
    destination: str
    terms: Terms
    minimum_fidelity: float = 0.0
    at_ps: int = 0
    for_ps: int = 0
    """As many as there are within so long; 0: as many as the terms say."""


@dataclass(frozen=True, slots=True)
class Teleport:
    """States to teleport in turn, `rounds` of each."""

    source: str
    destination: str
    states: tuple[str, ...]
    rounds: int
    minimum_fidelity: float = 0.0
    ahead: int = 0
    """Pairs that are kept ready; they are made before the first qubit goes."""
    in_flight: int = 1
    """Qubits on their way at a time."""


@dataclass(frozen=True, slots=True)
class LoadClass:
    """Requests of one sort, made of a link directly."""

    name: str
    kind: EgpKind
    share: float
    """Of the load."""
    pairs: int
    minimum_fidelity: float = 0.0
    priority: int = 0
    bases: EgpBases = EgpBases.NONE
    remote_bases: EgpBases = EgpBases.NONE
    atomic: bool = False
    consecutive: bool = False
    max_time_ps: int = 0


@dataclass(frozen=True, slots=True)
class LinkLoad:
    """Requests that arrive at random on one link, for so long."""

    link: str
    load: float
    """Share of the link's time that the requests would keep it busy."""
    for_ps: int
    ends: tuple[str, ...]
    classes: tuple[LoadClass, ...]


@dataclass(frozen=True, slots=True)
class Toy:
    """The echo workload: `count` pings of `padding` bytes, at most `in_flight` of them unanswered at once."""

    source: str
    destination: str
    count: int
    padding: int = 0
    in_flight: int = 1
    think_ps: int = 0
    """Between an answer and the next ping."""
    timeout_ps: int | None = None
    """When an unanswered ping is sent again; None: never."""
    attempts: int | None = None
    """How often a ping is sent before it counts as lost; None: until it is answered."""


@dataclass(frozen=True, slots=True)
class Program:
    """A person's own program, attached to a node before the start."""

    node: str
    run: Path


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    description: str
    seed: int
    path: Path
    speed_m_per_s: float
    nodes: tuple[Node, ...]
    devices: Mapping[str, Device]
    links: tuple[Link, ...]
    classical_links: tuple[ClassicalLink, ...]
    channels: tuple[Channel, ...]
    faults: tuple[PlannedFault, ...]
    jobs: tuple[Job, ...]
    teleport: Teleport | None
    programs: tuple[Program, ...]
    toy: Toy | None
    duration_ps: int | None
    """None: until the work is done."""
    linger_ps: int
    """How long the network runs on after its work is done, so that last messages arrive."""
    dilation: float
    """Wall seconds per virtual second in paced time."""
    mqtt: str
    """"none", "embedded" or the URL of a broker."""
    host_allowance_ps: int = 5 * 10**9
    """In paced time: how late, by the wall, a process of this machine may be; timers and trains allow for it."""
    formalism: str = "auto"
    circuits: CircuitPolicy = CircuitPolicy()
    routing: RoutingPolicy | None = None
    requests: tuple[Requests, ...] = ()
    keys: tuple[KeyRequest, ...] = ()
    link_loads: tuple[LinkLoad, ...] = ()
    time_sync: TimeSync | None = None
    plots: tuple[str, ...] = ()
    """What is drawn when the run is over."""

    def network(self) -> "Scenario":
        """The same without its work."""
        nothing: dict[str, Any] = {"teleport": None, "toy": None, "duration_ps": None}
        none: dict[str, Any] = dict.fromkeys(("jobs", "requests", "keys", "link_loads", "programs", "plots"), ())
        return replace(self, **nothing, **none)

    def node(self, name: str) -> Node:
        """Raises KeyError."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    def link(self, name: str) -> Link:
        """It must be there."""
        return next(link for link in self.links if link.name == name)

    def link_between(self, a: str, b: str) -> Link | None:
        """The first quantum link between two nodes."""
        return next((link for link in self.links if {link.a, link.b} == {a, b}), None)

    def joined(self, a: str, b: str) -> bool:
        """Can pairs be made between the two, over one link or by repeaters that swap?"""
        return joined(self.nodes, self.links, a, b)

    def channel_between(self, a: str, b: str) -> Channel | None:
        return next((channel for channel in self.channels if {channel.a, channel.b} == {a, b}), None)


def joined(nodes: Iterable[Node], links: Iterable[Link], a: str, b: str) -> bool:
    """Does a chain of links lead from a to b, with repeaters between them?"""
    swaps = {node.name for node in nodes if node.kind == "repeater"}
    ends = [(link.a, link.b) for link in links]
    reached, waiting = {a}, [a]
    while waiting:
        here = waiting.pop()
        for link in ends:
            if here in link:
                there = link[1] if link[0] == here else link[0]
                if there not in reached:
                    reached.add(there)
                    if there in swaps:
                        waiting.append(there)
    return b in reached
