"""`bellwire replay DIR --until T`: a run once more, up to a time, and a look into its nodes.

What may live here: that look as text.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.cli.terminal import Commands, ProgressLine, say, span_ps

if TYPE_CHECKING:
    from testbed.lab.replay import Look

REPLAY = """Run what left DIR once more, with what came to it from outside, stop at a virtual time, and show what
every node has then: the queues of its links, its memories, circuits and sessions.  Nothing is written.

  bellwire replay out/two-qpus --until 3ms
  bellwire replay out/two-qpus --until 2.790026ms --node west
"""

_TABLES = (
    ("queues", "queues of links"),
    ("memories", "memories"),
    ("circuits", "circuits"),
    ("sessions", "sessions"),
    ("streams", "waits for acknowledgement"),
)


def add(commands: Commands) -> None:
    """Declare `replay`."""
    replay = commands.add_parser(
        "replay",
        help="run a run once more up to a time, and look into its nodes",
        usage="%(prog)s DIR [--until T] [options]",
        description=REPLAY,
    )
    replay.set_defaults(do=_replay)
    replay.add_argument("path", metavar="DIR", type=Path, help="a run's output folder")
    replay.add_argument("--until", metavar="T", help="stop before anything of this time: 3ms, 2.5us (default: its end)")
    replay.add_argument("--node", metavar="NAME", action="append", default=[], help="this node only; may be repeated")
    replay.add_argument("--json", action="store_true", help="as JSON")


def _replay(args: argparse.Namespace) -> int:
    from testbed.errors import BadInput
    from testbed.lab.replay import look

    until_ps = span_ps("--until", args.until)
    if until_ps == 0:
        raise BadInput("command line", "--until", "nothing has begun at time 0", "give a later time")
    with ProgressLine() as progress:
        seen = look(args.path, until_ps, progress.show)
    for name in args.node:
        if name not in seen.nodes:
            raise BadInput(args.path, "--node", f"there is no {name}", f"name one of {', '.join(seen.nodes)}")
    seen = seen._replace(nodes={n: about for n, about in seen.nodes.items() if not args.node or n in args.node})
    if args.json:
        say([json.dumps(seen._asdict(), indent=2)], 2)
    else:
        say(list(_lines(seen)), 2)
    return 0


def _lines(seen: "Look") -> Iterator[str]:
    yield f"{seen.scenario} at {seen.t_ps * 1e-9:.9g} ms"
    for name, about in seen.nodes.items():
        life = f", life {about['incarnation']}" if about["incarnation"] > 1 else ""
        busy = f", runs {', '.join(about['programs'])}" if about["programs"] else ""
        yield ""
        yield f"{name}: {about['state']}{life}{busy}"
        for key, title in _TABLES:
            rows = [_flat(row) for row in about[key]]
            if rows:
                yield f"  {title}"
                yield from (f"    {line}" for line in _table(rows))


def _flat(row: dict[str, Any]) -> dict[str, str]:
    """A row of text; what stands in it as a list or by names is said in words."""
    flat = {}
    for key, value in row.items():
        if isinstance(value, dict):
            flat[key] = " ".join(f"{k}={v}" for k, v in value.items()) or "-"
        elif isinstance(value, list):
            flat[key] = "; ".join(" ".join(f"{k}={v}" for k, v in item.items()) for item in value) or "-"
        else:
            flat[key] = str(value) or "-"
    return flat


def _table(rows: list[dict[str, str]]) -> Iterator[str]:
    heads = list(rows[0])
    widths = [max(len(head), *(len(row[head]) for row in rows)) for head in heads]
    for cells in ([head.replace("_", " ") for head in heads], *([row[head] for head in heads] for row in rows)):
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip()
