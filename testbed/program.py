"""How a person here calls this program: what every hint that can be typed begins with.

What may live here: finding that out.
"""

import os
import shlex
import shutil
import sys
from functools import cache
from pathlib import Path


@cache
def program() -> str:
    """``bellwire`` if the shell finds ours by that name, else the way to it: ``.venv/bin/bellwire``."""
    ours = Path(sys.executable).with_name("bellwire")
    found = shutil.which("bellwire")
    if not ours.exists() or (found is not None and os.path.samefile(found, ours)):
        return "bellwire"
    here = Path.cwd()
    return str(ours.relative_to(here) if ours.is_relative_to(here) else ours)


def start_there(ticket: Path) -> str:
    """What a person is to do for a node that is started elsewhere."""
    shown = ticket.relative_to(Path.cwd()) if ticket.is_relative_to(Path.cwd()) else ticket
    return f"there, with a copy of its ticket: {program()} node {shlex.quote(str(shown))} --address ADDRESS"


__all__ = ["program", "start_there"]
