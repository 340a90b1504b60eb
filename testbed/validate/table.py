"""What a table of a validation is: parameters with units, a runner from parameters to a measurement, and
rows.

Nothing here knows any physics; an area (link.py, ...) brings its tables, and a YAML file beside it their
rows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, NamedTuple

type Value = float | str
type Parameters = Mapping[str, Value]


class Measurement(NamedTuple):
    """A figure; `stderr` and `n` are None where it is exact.

    `largest`: the figure is a mean of n values between 0 and this.  `spent`: why it was not measured for longer,
    if it was cut short.  `remark`: what a person should see beside the figure.
    """

    value: float
    stderr: float | None = None
    n: int | None = None
    largest: float | None = None
    spent: str = ""
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One column of a table: a number with its unit, or one of some words; required if it has no default.

    `symbols`: how formulas write it; rows may, too.  One symbol may stand for several columns.  A default that is text
    says which other column's value is taken.
    """

    name: str
    unit: str
    meaning: str
    default: Value | None = None
    choices: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """Cases one runner can measure, from parameters and a seed.

    `check` says what is wrong with parameters before anything is measured: ValueError("name: problem").
    """

    name: str
    quantity: str
    parameters: tuple[Parameter, ...]
    runner: Callable[[Parameters, int], Measurement]
    check: Callable[[Parameters], object] = lambda values: None


class Case(NamedTuple):
    """One row as it is asked for; `place` says where it stands, for messages."""

    id: str
    table: Table
    given: dict[str, Value]
    expected: float
    source: str
    place: str
    comments: tuple[str, ...] = ()
    """Names of what it has for people, and nothing else."""

    @property
    def parameters(self) -> dict[str, Value]:
        """All parameters, defaults included."""
        filled = {p.name: p.default for p in self.table.parameters if p.default is not None}
        return {**filled, **self.given}


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it came out."""

    id: str
    table: str
    params: dict[str, Value]
    expected: float
    measured: float
    stderr: float | None
    n: int | None
    sigma: float | None
    passed: bool
    note: str = ""
    remark: str = ""

    def as_json(self) -> dict[str, Any]:
        """The row under its public names; floats with 9 significant digits, what is no number as null."""
        return {
            "id": self.id,
            "table": self.table,
            "params": self.params,
            "expected": nine(self.expected),
            "measured": nine(self.measured),
            "stderr": nine(self.stderr),
            "n": self.n,
            "sigma": nine(self.sigma),
            "pass": self.passed,
            **({"note": self.note} if self.note else {}),
            **({"remark": self.remark} if self.remark else {}),
        }


def nine(value: float | None) -> float | None:
    """Nine significant digits; None for what JSON cannot hold."""
    return float(f"{value:.9g}") if value is not None and isfinite(value) else None
