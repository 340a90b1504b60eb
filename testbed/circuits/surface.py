"""Two patches of rotated surface code, one on each of two QPUs, joined over a seam into one logical Bell pair.

Theory of operation (lattice surgery: Horsman et al., New J. Phys. 14, 123011, 2012; noisy seams: Ramette et al., npj
Quantum Inf. 10, 58, 2024).  The patches are d x d data qubits, left and right, with X checks at top and bottom and Z
checks at the sides, so that X_L is a column and Z_L a row.  Both begin in |0_L>.  For d rounds the checks of the
joined patch of d x 2d are measured: new X checks across the seam, whose product is X_L X_L, and Z checks that were
halves.  Then for d rounds those of each patch by itself: what is left is a Bell pair, its sign known from the first
round.  At the end all data qubits are measured, in the basis Z, in which a row of both must come out even, or X, in
which a column of both must come out as that sign says.

Every check has an ancilla; one across the seam has it on the left, and its gates with the right are telegates.

What may live here: that circuit as OpenQASM, and as a Stim circuit for a decoder.  Both measure in the same order.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

BASES: Final = ("z", "x")

type Corner = int | None


class Check(NamedTuple):
    """One stabilizer: its type, its ancilla, its data qubits in the order of its four gates, None where there is none.

    The order is such that an error of the ancilla spreads across the logical operator of its type, not along it.
    """

    kind: str
    ancilla: int
    corners: tuple[Corner, ...]
    seam: bool

    @property
    def data(self) -> list[int]:
        return [qubit for qubit in self.corners if qubit is not None]


class Patches(NamedTuple):
    """Data qubits are numbered row by row over both patches; then come the ancillas."""

    distance: int
    joined: tuple[Check, ...]
    apart: tuple[Check, ...]
    """Without the X checks of the seam; its Z checks as halves, the left with the ancilla of the whole."""
    qubits: int

    @property
    def data(self) -> int:
        return 2 * self.distance**2

    @property
    def rounds(self) -> list[tuple[Check, ...]]:
        return [self.joined] * self.distance + [self.apart] * self.distance

    def left(self) -> list[int]:
        """The qubits of the left QPU."""
        d = self.distance
        data = [qubit for qubit in range(self.data) if qubit % (2 * d) < d]
        mine = set(data)
        ancillas = {check.ancilla for check in self.apart if mine.issuperset(check.data)}
        return [*data, *sorted(ancillas | {check.ancilla for check in self.joined if check.seam})]

    def logical(self, basis: str) -> list[int]:
        """Z_L Z_L, a row of both; X_L X_L, the column of each at the seam."""
        d = self.distance
        columns = [2 * d * row + d - 1 + side for row in range(d) for side in (0, 1)]
        return list(range(2 * d)) if basis == "z" else columns


def patches(distance: int) -> Patches:
    """distance: odd, at least 3."""
    height, width = distance, 2 * distance
    ancilla = height * width
    whole: list[Check] = []
    for row in range(-1, height):
        for column in range(-1, width):
            kind = "x" if (row + column) % 2 else "z"
            inside = 0 <= row < height - 1 and 0 <= column < width - 1
            top_or_bottom = row in (-1, height - 1) and 0 <= column < width - 1 and kind == "x"
            side = column in (-1, width - 1) and 0 <= row < height - 1 and kind == "z"
            if not (inside or top_or_bottom or side):
                continue
            order = ((0, 0), (0, 1), (1, 0), (1, 1)) if kind == "x" else ((0, 0), (1, 0), (0, 1), (1, 1))
            places = [(row + down, column + right) for down, right in order]
            corners = tuple(r * width + c if 0 <= r < height and 0 <= c < width else None for r, c in places)
            whole.append(Check(kind, ancilla, corners, column == distance - 1))
            ancilla += 1
    apart: list[Check] = []
    for check in whole:
        if not check.seam:
            apart.append(check)
        elif check.kind == "z":
            right = tuple(q if q is not None and q % width >= distance else None for q in check.corners)
            left = tuple(q if q not in right else None for q in check.corners)
            apart += [check._replace(corners=left), check._replace(corners=right, ancilla=ancilla)]
            ancilla += 1
    return Patches(distance, tuple(whole), tuple(apart), ancilla)


def _gates(checks: tuple[Check, ...]) -> Iterator[tuple[int, int]]:
    """CNOTs of one round, (control, target), in four steps, in each of which no two share a qubit."""
    for step in range(4):
        for check in checks:
            qubit = check.corners[step]
            if qubit is not None:
                yield (check.ancilla, qubit) if check.kind == "x" else (qubit, check.ancilla)


def qasm(distance: int, basis: str) -> str:
    """OpenQASM 2.  Classical bits: the checks round by round, then the data qubits."""
    code = patches(distance)
    clbits = sum(len(checks) for checks in code.rounds) + code.data
    lines = ["OPENQASM 2.0;", 'include "qelib1.inc";', f"qreg q[{code.qubits}];", f"creg c[{clbits}];"]
    clbit = 0
    used: set[int] = set()
    for checks in code.rounds:
        lines += [f"reset q[{check.ancilla}];" for check in checks if check.ancilla in used]
        used |= {check.ancilla for check in checks}
        turns = [f"h q[{check.ancilla}];" for check in checks if check.kind == "x"]
        lines += [*turns, *(f"cx q[{control}],q[{target}];" for control, target in _gates(checks)), *turns]
        for check in checks:
            lines.append(f"measure q[{check.ancilla}] -> c[{clbit}];")
            clbit += 1
    if basis == "x":
        lines += [f"h q[{qubit}];" for qubit in range(code.data)]
    lines += [f"measure q[{qubit}] -> c[{clbit + qubit}];" for qubit in range(code.data)]
    return "\n".join(lines) + "\n"


def stim_circuit(distance: int, basis: str, bulk: float, seam: float) -> Any:
    """The same circuit with detectors and its one observable.

    bulk: chance of a Pauli error after a gate on two qubits, and of a wrong readout; seam: of a phase error of a
    telegate's pair, which is one of its control.  A telegate has two gates in place of one, and a wrong readout of its
    control's end is an X on its target, of its target's end a Z on its control.
    """
    import stim

    code = patches(distance)
    left = set(code.left())
    circuit = stim.Circuit()
    circuit.append("R", range(code.qubits))
    measured = 0
    last: dict[int, list[int]] = {}  # ancilla -> the measurements whose parity its check had, from 0 on

    def record(*numbers: int) -> list[Any]:
        return [stim.target_rec(number - measured) for number in numbers]

    across: list[int] = []
    for number, checks in enumerate(code.rounds):
        if number:
            circuit.append("R", [check.ancilla for check in checks])
        of_x = [check.ancilla for check in checks if check.kind == "x"]
        circuit.append("H", of_x)
        for control, target in _gates(checks):
            circuit.append("CX", [control, target])
            if (control in left) == (target in left):
                circuit.append("DEPOLARIZE2", [control, target], bulk)
                continue
            circuit.append("PAULI_CHANNEL_2", [control, target], _near_control(bulk))
            circuit.append("PAULI_CHANNEL_2", [control, target], _near_target(bulk))
            circuit.append("Z_ERROR", [control], seam)
            circuit.append("Z_ERROR", [control], bulk)
            circuit.append("X_ERROR", [target], bulk)
        circuit.append("H", of_x)
        circuit.append("M", [check.ancilla for check in checks], bulk)
        first = measured
        measured += len(checks)
        now = {check.ancilla: first + place for place, check in enumerate(checks)}
        if number == 0:
            across = [now[check.ancilla] for check in checks if check.seam and check.kind == "x"]
        halves = [check for check in checks if check.seam and number == distance]
        for check in checks:
            if check in halves:
                continue
            before = last.get(check.ancilla)
            if before is not None or check.kind == "z":  # at first X checks come out at random
                circuit.append("DETECTOR", record(now[check.ancilla], *(before or [])))
        for one, other in zip(halves[::2], halves[1::2], strict=True):
            circuit.append("DETECTOR", record(now[one.ancilla], now[other.ancilla], *last[one.ancilla]))
        last |= {ancilla: [place] for ancilla, place in now.items()}
    circuit.append("MX" if basis == "x" else "M", range(code.data), bulk)
    first = measured
    measured += code.data
    for check in code.apart:
        if check.kind == basis:
            circuit.append("DETECTOR", record(*(first + qubit for qubit in check.data), *last[check.ancilla]))
    signs = across if basis == "x" else []
    circuit.append("OBSERVABLE_INCLUDE", record(*(first + qubit for qubit in code.logical(basis)), *signs), 0)
    return circuit


_PAULIS: Final = [one + other for one in "IXYZ" for other in "IXYZ"][1:]
"""In the order of Stim's PAULI_CHANNEL_2."""


def _near_control(bulk: float) -> list[float]:
    """The gate between control and ebit: X and Y of the ebit turn its readout, and so the target; Z does nothing."""
    return _carried(bulk, lambda control, ebit: control + ("X" if ebit in "XY" else "I"))


def _near_target(bulk: float) -> list[float]:
    """The gate between ebit and target: Z and Y of the ebit turn its readout, and so the control's phase."""
    return _carried(bulk, lambda ebit, target: ("Z" if ebit in "ZY" else "I") + target)


def _carried(bulk: float, becomes: Callable[[str, str], str]) -> list[float]:
    total = dict.fromkeys(["II", *_PAULIS], 0.0)
    for pauli in _PAULIS:
        total[becomes(pauli[0], pauli[1])] += bulk / 15
    return [total[pauli] for pauli in _PAULIS]
