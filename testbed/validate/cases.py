"""Reads rows from YAML, ours and a user's alike: a list of {id, table, params, expected}, and comments."""

from math import isfinite
from pathlib import Path
from typing import Any, Final

import yaml

from testbed.errors import BadInput, listed, nearest, shown
from testbed.validate.table import Case, Parameter, Table, Value

_FIELDS = {"id", "table", "params", "expected", "source"}
_COMMENTS: Final = frozenset(
    ("comment", "comments", "note", "notes", "remark", "remarks", "description", "label", "source", "reference", "ref",
     "doi", "url")
)  # fmt: skip
"""Names that are for people, in a row and among its parameters.  Any other name that is not known could be meant to
change what is measured: it is refused, rather than that a row passes which has checked something else."""


def read_cases(path: Path, tables: dict[str, Table]) -> list[Case]:
    """The cases of a file; BadInput with the row's number for whatever cannot be used."""
    file = str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadInput(file, "file", "does not exist", "give the path of a YAML list of cases") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(file, "file", f"cannot be read: {error}", "give a readable UTF-8 YAML file") from None
    try:
        rows = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}" if mark else "file"
        raise BadInput(file, place, f"is not YAML: {getattr(error, 'problem', error)}", "mend the syntax") from None
    if not isinstance(rows, list) or not rows:
        raise BadInput(file, "file", "holds no list of cases", "write a list of {id, table, params, expected}")
    cases = [_case(file, f"row {number}", row, tables) for number, row in enumerate(rows, 1)]
    seen: set[str] = set()
    for case in cases:
        if case.id in seen:
            raise BadInput(file, case.place, f"id {case.id!r} stands twice", "give every row its own id")
        seen.add(case.id)
    return cases


def _case(file: str, place: str, row: Any, tables: dict[str, Table]) -> Case:
    if not isinstance(row, dict):
        raise BadInput(file, place, f"{shown(row)} is not a case", "write {id, table, params, expected}")
    if "id" in row:
        place = f"{place} ({row['id']})"
    ignored = [name for name in row if name in _COMMENTS - _FIELDS]
    for name in row:
        if name not in _FIELDS | _COMMENTS:
            remedy = f"use {', '.join(sorted(_FIELDS))}, or comment for what is one"
            raise BadInput(file, place, f"unknown field {shown(name)}", remedy)
    for name in ("id", "table", "expected"):
        if name not in row:
            raise BadInput(file, place, f"has no {name}", "write {id, table, params, expected}")
    table = tables.get(row["table"]) if isinstance(row["table"], str) else None
    if table is None:
        close = nearest(str(row["table"]), list(tables))
        remedy = f"did you mean {close}?" if close else f"tables are {listed(list(tables))}"
        raise BadInput(file, f"{place}, table", f"unknown table {shown(row['table'])}", remedy)
    given = row.get("params") or {}
    if not isinstance(given, dict):
        raise BadInput(file, f"{place}, params", "is not a mapping", "write {name: value, ...}")
    columns = {parameter.name: parameter for parameter in table.parameters}
    params: dict[str, Value] = {}
    for name, value in given.items():
        if value is None:
            continue  # an empty field, as in a table of rows of several kinds
        meant = [columns[name]] if name in columns else [c for c in columns.values() if name in c.symbols]
        if not meant and name in _COMMENTS:
            ignored.append(name)
            continue
        if not meant:
            close = nearest(str(name), list(columns))
            meaning = f"did you mean {close}? " if close else ""
            remedy = f"{meaning}a comment goes under comment; {table.name} has {', '.join(columns)}"
            raise BadInput(file, f"{place}, params.{name}", "unknown parameter", remedy)
        for column in meant:
            if column.name in params:
                raise BadInput(file, f"{place}, params.{name}", f"{column.name} has its value already", "give it once")
            params[column.name] = _value(file, f"{place}, params.{name}", column, value)
    for name, column in columns.items():
        if column.default is None and name not in params:
            raise BadInput(file, f"{place}, params", f"has no {name}", f"give it ({column.unit})")
    expected = _number(file, f"{place}, expected", row["expected"])
    return Case(str(row["id"]), table, params, expected, str(row.get("source", "")), place, tuple(ignored))


def _value(file: str, place: str, column: Parameter, value: Any) -> Value:
    if column.choices:
        if value not in column.choices:
            raise BadInput(file, place, f"{shown(value)} is not a choice", f"use one of {listed(list(column.choices))}")
        return str(value)
    return _number(file, place, value)


def _number(file: str, place: str, value: Any) -> float:
    # YAML 1.1 reads 1e-6 as text, since it has no dot: a number all the same.
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise BadInput(file, place, f"{shown(value)} is not a number", "give a number") from None
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise BadInput(file, place, f"{shown(value)} is not a finite number", "give a number")
    return value if isinstance(value, int) else float(value)
