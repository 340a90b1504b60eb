"""A plot per table: what was expected, what was measured, and by how many σ they differ.

Rows that differ in a number are drawn over that number, else one below the other by their ids.
"""

import textwrap
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from testbed.errors import BadInput
from testbed.palette import LIGHT
from testbed.plotting import save
from testbed.validate.judge import ROW_SIGMA
from testbed.validate.table import Row, Table, Value

_MEASURED, _FAILED, _EXPECTED = LIGHT["blue"], LIGHT["red"], LIGHT["grey"]
_OF_CURVES = [LIGHT[name] for name in ("blue", "orange", "green", "violet", "teal", "pink")]
_MARKS = "osD^vP*X"
_AXIS_VALUES = 4
"""So many different values make a parameter an axis,"""
_CURVES = 6
"""if its rows make no more curves than these."""

mpl.rcParams["font.size"] = 9


def plot_tables(tables: Mapping[str, Table], rows: Sequence[Row], folder: Path) -> list[Path]:
    """One SVG per table that has rows, TABLE.svg; BadInput if the folder cannot be written."""
    drawn = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in dict.fromkeys(row.table for row in rows):
            path = folder / f"{name}.svg"
            figure = _plot(tables[name], [row for row in rows if row.table == name])
            save(figure, f"{name}: {tables[name].quantity}, expected and measured", path, bbox_inches="tight")
            drawn.append(path)
    except OSError as error:
        raise BadInput(str(folder), "--plots", f"cannot be written: {error}", "give a folder that can") from None
    return drawn


def _plot(table: Table, rows: list[Row]) -> Figure:
    axis = _axis(table, rows)
    return _listed(table, rows) if axis is None else _over(table, rows, axis)


def _full(table: Table, row: Row) -> dict[str, Value]:
    return {p.name: p.default for p in table.parameters if p.default is not None} | row.params


def _axis(table: Table, rows: list[Row]) -> str | None:
    """The number over which rows make few and long curves, if there is one."""
    best: tuple[int, str] | None = None
    for column in table.parameters:
        values = {_full(table, row)[column.name] for row in rows}
        if any(isinstance(value, str) for value in values) or len(values) < _AXIS_VALUES:
            continue
        groups = len(_groups(table, rows, column.name))
        if groups <= _CURVES and 2 * groups <= len(rows) and (best is None or groups < best[0]):
            best = groups, column.name
    return None if best is None else best[1]


def _groups(table: Table, rows: list[Row], axis: str) -> dict[str, list[Row]]:
    """Rows that belong to one curve: alike in everything but the axis and how the figure comes about."""
    varying = [
        c.name for c in table.parameters if c.name != axis and len({_full(table, row)[c.name] for row in rows}) > 1
    ]
    groups: dict[str, list[Row]] = {}
    for row in rows:
        full = _full(table, row)
        words = [
            str(full[name]) if isinstance(full[name], str) else f"{name}={full[name]:g}"
            for name in varying
            if full[name] not in full  # as another column says
        ]
        groups.setdefault(", ".join(words), []).append(row)
    return groups


def _over(table: Table, rows: list[Row], axis: str) -> Figure:
    """Figures over a parameter, and how many σ they are off below."""
    figure = Figure(figsize=(7.5, 5.8), layout="constrained")
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    column = next(c for c in table.parameters if c.name == axis)
    for number, (label, members) in enumerate(_groups(table, rows, axis).items()):
        members = sorted(members, key=lambda row: float(_full(table, row)[axis]))
        x = [float(_full(table, row)[axis]) for row in members]
        top.plot(x, [row.expected for row in members], "-", color=_EXPECTED, lw=1, marker="_", ms=12, zorder=1)
        colour, mark = _OF_CURVES[number % len(_OF_CURVES)], _MARKS[number % len(_MARKS)]
        top.errorbar(
            x,
            [row.measured for row in members],
            [ROW_SIGMA * (row.stderr or 0.0) for row in members],
            fmt=mark,
            color=colour,
            ms=4.5,
            lw=1,
            capsize=2,
            label=label or "measured",
            zorder=2,
        )
        _failures(top, x, members)
        below.plot(x, [_pull(row) for row in members], mark, color=colour, ms=4)
    if _wide([row.expected for row in rows]):
        top.set_yscale("log")
    if _wide([float(_full(table, row)[axis]) for row in rows]):
        top.set_xscale("log")
    top.plot([], [], "-", color=_EXPECTED, lw=1, label="expected; bars are 5σ")
    figure.legend(fontsize=7, loc="outside lower center", ncols=3)  # outside: nothing lies behind it
    top.set_title(table.name, fontsize=9)
    top.set_ylabel(textwrap.fill(table.quantity, 48), fontsize=8)
    _band(below)
    below.set_ylabel("σ off")
    below.set_xlabel(f"{axis} [{column.unit}]")
    top.grid(alpha=0.7)
    return figure


def _wide(values: list[float]) -> bool:
    """Whether these numbers want a logarithmic axis."""
    return min(values) > 0 and max(values) > 30 * min(values)


def _listed(table: Table, rows: list[Row]) -> Figure:
    """Figures by id, and how many σ they are off beside them."""
    figure = Figure(figsize=(8.5, 1.9 + 0.22 * len(rows)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1))
    y = list(range(len(rows)))
    left.plot([row.expected for row in rows], y, "|", color=_EXPECTED, ms=13, mew=2, label="expected", zorder=1)
    left.errorbar(
        [row.measured for row in rows],
        y,
        xerr=[ROW_SIGMA * (row.stderr or 0.0) for row in rows],
        fmt="o",
        color=_MEASURED,
        ms=4,
        lw=1,
        capsize=2,
        label="measured, ±5σ",
        zorder=2,
    )
    if _wide([row.expected for row in rows]):
        left.set_xscale("log")
    failed = [i for i, row in enumerate(rows) if not row.passed]
    left.plot([rows[i].measured for i in failed], failed, "x", color=_FAILED, ms=9, mew=2, zorder=3)
    left.set_yticks(y, [row.id for row in rows], fontsize=7)
    left.set_ylim(len(rows) - 0.5, -0.5)
    left.grid(axis="x", alpha=0.7)
    left.set_xlabel(textwrap.fill(table.quantity, 72), fontsize=8)
    figure.legend(fontsize=7, loc="outside lower center", ncols=2)
    figure.suptitle(table.name, fontsize=9)
    right.plot([_pull(row) for row in rows], y, "o", color=_MEASURED, ms=4)
    _band(right, vertical=True)
    right.set_xlabel("σ off")
    return figure


def _failures(axes: Axes, x: Sequence[float], rows: Sequence[Row]) -> None:
    failed = [(at, row.measured) for at, row in zip(x, rows, strict=True) if not row.passed]
    axes.plot([at for at, _ in failed], [y for _, y in failed], "x", color=_FAILED, ms=9, mew=2, zorder=3)


def _pull(row: Row) -> float:
    """Signed σ, cut where the axis ends; an exact row is at nought if it passes, at the end if not."""
    if row.sigma is None or not isfinite(row.sigma):
        return 0.0 if row.passed else ROW_SIGMA + 1
    sign = 1.0 if row.measured >= row.expected else -1.0
    return sign * min(row.sigma, ROW_SIGMA + 1)


def _band(axes: Axes, vertical: bool = False) -> None:
    """The ±5σ within which a row passes."""
    edge = ROW_SIGMA + 1.5
    if vertical:
        axes.axvspan(-ROW_SIGMA, ROW_SIGMA, color=_EXPECTED, alpha=0.15, lw=0)
        axes.axvline(0, color=_EXPECTED, lw=0.7)
        axes.set_xlim(-edge, edge)
    else:
        axes.axhspan(-ROW_SIGMA, ROW_SIGMA, color=_EXPECTED, alpha=0.15, lw=0)
        axes.axhline(0, color=_EXPECTED, lw=0.7)
        axes.set_ylim(-edge, edge)
