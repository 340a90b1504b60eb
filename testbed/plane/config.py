"""What a quantum plane is built from: plain records, filled in from a scenario by whoever reads scenarios."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from protocols.device import Durations
from stack.runtime.oscillator import Oscillator
from testbed.plane.links import LinkModel
from testbed.plane.state.noise import check_times, depolarising1, depolarising2

if TYPE_CHECKING:
    from testbed.plane.state.engine import Formalism


MAX_QUBITS: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class DeviceModel:
    """One node's quantum device. Times in ps, 0 = infinite; fidelities are average gate fidelities of a
    depolarising channel (Nielsen 2002). Data qubits have indexes 0 .. data-1, communication qubits follow, then
    storage qubits. Raises ValueError.
    """

    data: int
    communication: int
    t1_data_ps: int = 0
    t2_data_ps: int = 0
    t1_communication_ps: int = 0
    t2_communication_ps: int = 0
    durations: Durations = field(default_factory=Durations)
    one_qubit_fidelity: float = 1.0
    two_qubit_fidelity: float = 1.0
    swap_fidelity: float | None = None
    """None: as any two-qubit gate."""
    init_error: float = 0.0
    """Chance that INIT leaves |1⟩."""
    readout_error_0: float = 0.0
    """Chance that a qubit found in |0⟩ is reported as 1."""
    readout_error_1: float = 0.0
    attempt_dephasing: float = 0.0
    """Chance of a phase flip on each data or storage qubit per emission of the node (damage by attempts)."""
    storage: int = 0
    """Qubits like data qubits, for halves of pairs that are kept; their indexes follow the communication qubits'."""

    def __post_init__(self) -> None:
        counts = self.data, self.communication, self.storage
        if min(counts) < 0 or sum(counts) > MAX_QUBITS:
            raise ValueError(f"{counts[0]} data, {counts[1]} communication and {counts[2]} storage qubits")
        check_times(self.t1_data_ps, self.t2_data_ps)
        check_times(self.t1_communication_ps, self.t2_communication_ps)
        for name in ("init_error", "readout_error_0", "readout_error_1", "attempt_dephasing"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} {getattr(self, name)} is no probability")
        depolarising1(self.one_qubit_fidelity)
        depolarising2(self.two_qubit_fidelity)
        depolarising2(self.two_qubit_fidelity if self.swap_fidelity is None else self.swap_fidelity)

    @property
    def parallel(self) -> bool:
        return self.durations.parallel

    @property
    def data_qubits(self) -> range:
        """Indexes of the data qubits."""
        return range(self.data)

    def stores(self, index: int) -> bool:
        """Is it a data or storage qubit?"""
        return not self.data <= index < self.data + self.communication

    @property
    def communication_qubits(self) -> range:
        """Indexes of the communication qubits."""
        return range(self.data, self.data + self.communication)


@dataclass(frozen=True, slots=True)
class SwitchModel:
    """A station with many ports (one per node) and a pool of analysers. Raises ValueError."""

    analysers: int
    reconfigure_ps: int = 0
    """From a command until light can pass to another analyser."""

    def __post_init__(self) -> None:
        if self.analysers < 1 or self.reconfigure_ps < 0:
            raise ValueError(f"a switch with {self.analysers} analysers that takes {self.reconfigure_ps} ps")


@dataclass(frozen=True, slots=True)
class LinkConfig:
    """A heralded link between nodes a and b with its midpoint at node `station` (which may be a or b itself).

    Slot k begins at k * slot_ps of the station's time; a node emits for it one arm delay earlier. The state a
    model draws is in the order |ab>. Raises ValueError.
    """

    a: int
    b: int
    station: int
    slot_ps: int
    arm_a_ps: int
    arm_b_ps: int
    model: LinkModel
    frame_hz: float = 0.0
    """Frequency of the qubits' frames, which clocks keep: 0 if no clock turns them."""

    def __post_init__(self) -> None:
        if self.a == self.b:
            raise ValueError(f"both ends of the link are node {self.a}")
        if self.slot_ps < 1:
            raise ValueError(f"slot_ps {self.slot_ps} is not positive")
        if self.arm_a_ps < 0 or self.arm_b_ps < 0:
            raise ValueError("an arm delay is negative")
        if self.model.attempt_ps < 1:
            raise ValueError(f"attempt_ps {self.model.attempt_ps} is not positive")
        # A photonic model lets photons fly for as long as its own parameters say.
        known = self.model.parameters
        if self.model.grade == "photonic" and (known.arm_a_ps, known.arm_b_ps) != (
            self.arm_a_ps,
            self.arm_b_ps,
        ):
            raise ValueError(
                f"arm delays differ from those of the link model, {known.arm_a_ps} and {known.arm_b_ps}"
            )

    @property
    def leads_ps(self) -> tuple[int, int]:
        """How long before a slot's time each end begins to use its qubit: halves are born then, or a round later."""
        later_ps = self.model.parameters.round_gap_ps if self.model.parameters.abort else 0
        a, b = self.model.births_ps
        return -a - later_ps, -b - later_ps


@dataclass(frozen=True, slots=True)
class PlaneConfig:
    """The whole plane: nodes by number (None: no qubits, such as a station) and links by number. Raises
    ValueError.

    formalism, density_qubits and trajectory_qubits are those of the state engine.
    """

    seed: int
    nodes: Mapping[int, DeviceModel | None]
    links: Mapping[int, LinkConfig] = field(default_factory=dict)
    switches: Mapping[int, SwitchModel] = field(default_factory=dict)
    """Which stations are switches; of any other, every link has an analyser of its own."""
    formalism: "Formalism" = "auto"
    density_qubits: int = 6
    trajectory_qubits: int = 20
    oscillators: Mapping[int, Oscillator] = field(default_factory=dict)
    """Of those nodes that do not show true time, or whose clock will be steered."""

    def __post_init__(self) -> None:
        for number, link in self.links.items():
            for node in (link.a, link.b, link.station):
                if node not in self.nodes:
                    raise ValueError(f"link {number}: there is no node {node}")
            for node in (link.a, link.b):
                model = self.nodes[node]
                if model is None or not model.communication:
                    raise ValueError(f"link {number}: node {node} has no communication qubit")
        for node in self.switches:
            if node not in self.nodes:
                raise ValueError(f"switch {node}: there is no such node")
