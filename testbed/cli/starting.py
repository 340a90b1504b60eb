"""`bellwire new`: a scenario to begin with."""

import argparse
from pathlib import Path

from testbed.cli.terminal import Commands, say
from testbed.errors import BadInput
from testbed.program import program


def add(commands: Commands) -> None:
    """Declare `new`."""
    from testbed.starters import STARTERS

    known = "; ".join(f"{name}: {starter.about}" for name, starter in STARTERS.items())
    new = commands.add_parser(
        "new", help="write a scenario to begin with", description=f"Write a commented scenario that runs. {known}."
    )
    new.set_defaults(do=_new)
    new.add_argument("file", metavar="FILE", type=Path, help="where to: my-network.yaml")
    new.add_argument("--kind", choices=list(STARTERS), default="link", help="what it begins with (default: link)")


def _new(args: argparse.Namespace) -> int:
    from testbed.starters import starter

    file: Path = args.file
    if file.suffix not in (".yaml", ".yml"):
        raise BadInput(file, "FILE", "a scenario's name ends in .yaml", f"write {file}.yaml")
    try:
        with file.open("x", encoding="utf-8") as written:
            written.write(starter(args.kind, file))
    except FileExistsError:
        raise BadInput(file, "FILE", "it is there already", "name another one") from None
    except OSError as error:
        raise BadInput(file, "FILE", error.strerror or str(error), "name another one") from None
    run = f"{program()} run {file}, or bring it up: {program()} up {file} --dilation 100"
    say([f"{file} is written; run it: {run}"], 2)
    return 0
