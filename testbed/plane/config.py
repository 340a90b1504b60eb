"""What a quantum plane is built from: plain records, filled in from a scenario by whoever reads scenarios."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stack.runtime.oscillator import Oscillator
from testbed.plane.devices import DeviceModel
from testbed.plane.links import LinkModel
from testbed.plane.switches import SwitchModel

if TYPE_CHECKING:
    from testbed.plane.state.engine import Formalism


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
    cuts: tuple[tuple[int, int], ...] = ()
    """From when till when the fibre is cut, in true time."""
    blindings: tuple[tuple[int, int], ...] = ()
    """From when till when the detectors do not click."""

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
    def dark_ps(self) -> tuple[tuple[int, int], ...]:
        """Between which times of a slot it cannot herald, bounds excluded: for want of photons or of detectors.

        An attempt begins with the first photon on its way, and ends when the last has been looked for.
        """
        lead_ps, attempt_ps = max(self.leads_ps), self.model.attempt_ps
        rounds_ps = lead_ps - max(self.arm_a_ps, self.arm_b_ps)
        cut = [(start - attempt_ps, end + lead_ps) for start, end in self.cuts]
        return (*cut, *((start - attempt_ps, end + rounds_ps) for start, end in self.blindings))

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
