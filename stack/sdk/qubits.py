"""Qubits as a program holds them: objects that know when they have gone.

What may live here: qubits, what is done to them, and the list of what the node has still to do.

Gates are put down and done with the next call that the node hears of: no virtual time passes between two calls, so
this is when they would have been done anyway, in fewer trips.
"""

from typing import Any, Self


class QubitGone(Exception):
    """The qubit was measured, released or sent away: there is nothing that could be done to it."""


class Sheet:
    """What has been put down of one program."""

    def __init__(self) -> None:
        self.ops: list[list[Any]] = []
        self.block: list[list[Any]] | None = None
        """Of a remote gate whose target is being described."""

    def put(self, op: list[Any]) -> None:
        (self.ops if self.block is None else self.block).append(op)

    def take(self) -> list[list[Any]]:
        """What is to be done now."""
        if self.block is not None:
            raise RuntimeError("within copy() there is room for gates only: leave it before anything else is asked for")
        ops, self.ops = self.ops, []
        return ops


class Qubit:
    """One qubit of a QPU.  Gates return the qubit, so that they can be put in a row: ``q.h().rz(0.3)``.

    Everything raises QubitGone once it has gone.
    """

    __slots__ = ("_gone", "_sheet", "_where", "number")

    def __init__(self, sheet: Sheet, number: int, where: str) -> None:
        self.number = number
        """Its number in this program; never another's."""
        self._sheet = sheet
        self._where = where
        self._gone = ""

    def __repr__(self) -> str:
        return f"<qubit {self.number} of {self._where}{', ' + self._gone if self._gone else ''}>"

    @property
    def gone(self) -> bool:
        """Whether it is a qubit of this program no more."""
        return bool(self._gone)

    def use(self) -> int:
        """Its number, for a call.  Raises QubitGone."""
        if self._gone:
            raise QubitGone(f"qubit {self.number} of {self._where} is not here any more: {self._gone}")
        return self.number

    def went(self, how: str) -> None:
        """It has gone."""
        self._gone = how

    def _one(self, name: str, *angle: float) -> Self:
        self._sheet.put([name, self.use(), *angle])
        return self

    def _two(self, name: str, other: "Qubit", *angle: float) -> Self:
        if other._sheet is not self._sheet:
            raise ValueError(f"{self!r} and {other!r} are of different programs: use a remote gate")
        if other is self:
            raise ValueError(f"{name} needs two qubits")
        self._sheet.put([name, self.use(), other.use(), *angle])
        return self

    def x(self) -> Self:
        return self._one("x")

    def y(self) -> Self:
        return self._one("y")

    def z(self) -> Self:
        return self._one("z")

    def h(self) -> Self:
        return self._one("h")

    def s(self) -> Self:
        return self._one("s")

    def sdg(self) -> Self:
        return self._one("sdg")

    def t(self) -> Self:
        return self._one("t")

    def tdg(self) -> Self:
        return self._one("tdg")

    def sx(self) -> Self:
        return self._one("sx")

    def rx(self, angle: float) -> Self:
        """Rotation about X by ``angle`` radians."""
        return self._one("rx", angle)

    def ry(self, angle: float) -> Self:
        """Rotation about Y by ``angle`` radians."""
        return self._one("ry", angle)

    def rz(self, angle: float) -> Self:
        """Rotation about Z by ``angle`` radians."""
        return self._one("rz", angle)

    def cx(self, target: "Qubit") -> Self:
        """CNOT, controlled by this one."""
        return self._two("cx", target)

    def cz(self, other: "Qubit") -> Self:
        return self._two("cz", other)

    def swap(self, other: "Qubit") -> Self:
        return self._two("swap", other)

    def cp(self, other: "Qubit", angle: float) -> Self:
        """Phase ``angle`` (radians) on |11>."""
        return self._two("cp", other, angle)


class Copy:
    """Of the control of a remote gate, in the Z basis: it may control, and is gone when the gate is done."""

    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet

    def _with(self, name: str, qubit: Qubit, *angle: float) -> Self:
        if self._sheet.block is None:
            raise QubitGone("the remote gate has been done: its copy is not there any more")
        self._sheet.put([name, 0, qubit.use(), *angle])
        return self

    def cx(self, target: Qubit) -> Self:
        return self._with("cx", target)

    def cz(self, qubit: Qubit) -> Self:
        return self._with("cz", qubit)

    def cp(self, qubit: Qubit, angle: float) -> Self:
        """Phase ``angle`` (radians) on |11>."""
        return self._with("cp", qubit, angle)
