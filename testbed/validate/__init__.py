"""`bellwire validate AREA`: the plane's figures against published laws and numbers, row by row.

`run` measures an area's own rows, or those of a file it has never seen; `list_tables` prints what rows can
hold.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml

from testbed.errors import BadInput, listed
from testbed.validate.cases import read_cases
from testbed.validate.judge import judge, judge_table
from testbed.validate.table import Case, Row, Table, nine

__all__ = ["AREAS", "list_tables", "run"]

# Modules, not their contents: an area loads SeQUeNCe, and `--list` of one needs no other.
AREAS: Final[dict[str, str]] = {
    name: f"testbed.validate.{name}" for name in ("link", "network", "gates", "oxford", "circuits", "logical", "keys")
}
SCHEMA: Final = "bellwire-validate/1"


@dataclass(frozen=True, slots=True)
class Area:
    tables: dict[str, Table]
    rows: Path


def _area(name: str) -> Area:
    if name not in AREAS:
        raise BadInput("validate", "AREA", f"unknown area {name!r}", f"areas are {listed(list(AREAS))}")
    module = import_module(AREAS[name])
    return Area({table.name: table for table in module.TABLES}, module.ROWS)


def run(
    area: str,
    seed: int = 1,
    cases: str | Path | None = None,
    json_path: str | Path | None = None,
    plots: str | Path | None = None,
    write: Callable[[str], object] | None = None,
) -> int:
    """Measures every row, prints each as it is done, and returns 0 if all rows and tables pass, else 1.

    area: a name in AREAS.  cases: a YAML file of rows instead of the area's own.  json_path: where the rows
    go as JSON.  plots: a folder for a plot per table; with json_path it is NAME-plots beside that file.
    write: takes the text instead of standard output.  Raises BadInput for an area, file or row that cannot be
    used; the rows are all checked before the first is run.
    """
    say = write or _say
    chosen = _area(area)
    file = Path(cases) if cases is not None else chosen.rows
    todo = read_cases(file, chosen.tables)
    for case in todo:
        with _named(case, file):
            case.table.check(case.parameters)
    if json_path is not None and not Path(json_path).resolve().parent.is_dir():
        raise BadInput(str(json_path), "--json", "its folder does not exist", "make the folder first")
    started = time.monotonic()
    if comments := dict.fromkeys(name for case in todo for name in case.comments):
        say(f"read as comments, with no effect: {', '.join(comments)}\n")
    say(f"{'row':30} {'table':31} {'expected':>13} {'measured':>13} {'stderr':>9} {'n':>8} {'σ':>5}\n")
    rows: list[Row] = []
    for case in todo:
        with _named(case, file), np.errstate(all="ignore"):  # what comes out as no number fails its row
            row = judge(case, case.table.runner(case.parameters, seed))
        rows.append(row)
        say(_line(row))
    verdicts = _verdicts(rows)
    for verdict in verdicts:
        chi2 = f"χ² {verdict['chi2']:.1f} over {verdict['dof']}" if verdict["dof"] else "exact"
        say(f"{verdict['table']:33} {verdict['rows']:3} rows, {chi2:24} {_word(verdict['pass'])}\n")
    passed = all(verdict["pass"] for verdict in verdicts)
    say(f"validate {area}: {len(rows)} rows in {time.monotonic() - started:.1f} s: {_word(passed)}\n")
    if json_path is not None:
        report = {
            "schema": SCHEMA,
            "area": area,
            "seed": seed,
            "rows": [row.as_json() for row in rows],
            "tables": verdicts,
            "pass": passed,
        }
        Path(json_path).write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        plots = plots or Path(json_path).with_suffix("").with_name(f"{Path(json_path).stem}-plots")
    if plots is not None:
        from testbed.validate.plots import plot_tables  # matplotlib takes half a second to load

        drawn = plot_tables(chosen.tables, rows, Path(plots))
        say(f"{len(drawn)} plots in {plots}\n")
    return 0 if passed else 1


def list_tables(area: str) -> str:
    """Every table of an area as text: its parameters with units and defaults, and one example row in YAML."""
    text: list[str] = []
    say = text.append
    chosen = _area(area)
    examples: dict[str, Case] = {}
    for case in read_cases(chosen.rows, chosen.tables):
        # The one that says most, the first of several.
        if len(case.given) > len(examples.get(case.table.name, case).given) or case.table.name not in examples:
            examples[case.table.name] = case
    for table in chosen.tables.values():
        say(f"{table.name}: {table.quantity}\n")
        for column in table.parameters:
            default = "required" if column.default is None else f"default {column.default}"
            choices = f" ({' | '.join(column.choices)})" if column.choices else ""
            symbols = f"; also {', '.join(column.symbols)}" if column.symbols else ""
            say(f"  {column.name} [{column.unit}] {column.meaning}{choices}, {default}{symbols}\n")
        if table.name in examples:
            case = examples[table.name]
            row = {"id": case.id, "table": table.name, "params": case.given, "expected": case.expected}
            example = yaml.safe_dump([row], sort_keys=False, default_flow_style=None, width=1000)
            say("  example row:\n" + "".join(f"    {line}\n" for line in example.splitlines()))
        say("\n")
    return "".join(text).rstrip("\n")


@contextmanager
def _named(case: Case, file: Path) -> Iterator[None]:
    """Says of which row and parameter a ValueError is: checks and runners say "parameter: what is wrong with it"."""
    try:
        yield
    except ValueError as error:
        name, _, problem = str(error).partition(": ")
        known = name in {column.name for column in case.table.parameters}
        place = f"{case.place}, params.{name}" if known else case.place
        remedy = "give a value within its range"
        raise BadInput(str(file), place, problem if known else str(error), remedy) from None
    except (ArithmeticError, MemoryError) as error:
        problem = f"these values lead to numbers out of all bounds ({type(error).__name__})"
        raise BadInput(str(file), f"{case.place}, params", problem, "give values of a physical size") from None


def _verdicts(rows: list[Row]) -> list[dict[str, Any]]:
    verdicts = []
    for name in dict.fromkeys(row.table for row in rows):
        mine = [row for row in rows if row.table == name]
        chi2, dof, passed = judge_table(mine)
        verdicts.append({"table": name, "rows": len(mine), "chi2": nine(chi2), "dof": dof, "pass": passed})
    return verdicts


def _line(row: Row) -> str:
    stderr = f"{row.stderr:9.2g}" if row.stderr is not None else f"{'-':>9}"
    count = f"{row.n:8}" if row.n is not None else f"{'-':>8}"
    sigma = f"{row.sigma:5.2f}" if row.sigma is not None else f"{'-':>5}"
    figures = f"{row.expected:13.8g} {row.measured:13.8g} {stderr} {count} {sigma}"
    word = "" if row.passed else row.note or "FAILED"
    remark = f"\n  {row.remark}" if row.remark else ""
    return f"{row.id:30} {row.table:31} {figures} {word}".rstrip() + remark + "\n"


def _say(text: str) -> None:
    """At once: whoever reads along, through a pipe too, sees how far it is."""
    sys.stdout.write(text)
    sys.stdout.flush()


def _word(passed: bool) -> str:
    return "pass" if passed else "FAILED"
