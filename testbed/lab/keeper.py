"""The process that keeps a standing testbed: ``python -m testbed.lab.keeper``, its orders as JSON on standard input.

What may live here: from orders to a run that stays, and word to whoever started it, in lines of JSON: its process, then
that it is up or has failed.  It is nobody's child: it lives on when whoever started it has ended, and needs no one to
wait for it.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.errors import BadInput
from testbed.lab.places import Place

if TYPE_CHECKING:
    from testbed.lab.run import Finished


def main() -> int:
    """Keep it until it ends; its exit code."""
    orders: dict[str, Any] = json.load(sys.stdin)
    ready = orders.pop("ready")

    def say(what: dict[str, Any]) -> None:
        nonlocal ready
        if ready is not None:
            os.write(ready, json.dumps(what).encode() + b"\n")
            os.close(ready)
            ready = None

    if os.fork():  # before there are threads, sockets or much memory
        os._exit(0)
    os.write(ready, json.dumps({"pid": os.getpid()}).encode() + b"\n")  # before all else that is said
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    place = Place(Path(orders.pop("place")))
    try:
        with place.hold():
            finished = _kept(place, orders, say)
    except BadInput as error:
        say({"bad": [error.file, error.place, error.problem, error.remedy]})
        return 2
    say({"code": finished.code, "trouble": finished.trouble})  # if it never came up; its name is free by now
    return finished.code


def _kept(place: Place, orders: dict[str, Any], say: Callable[[dict[str, Any]], None]) -> "Finished":
    from testbed.lab.run import Options, run
    from testbed.lab.standing import StandingTestbed

    paths = {key: Path(orders[key]) for key in ("scenario", "out") if orders[key] is not None}
    options = Options(**(orders | paths))
    standing = StandingTestbed(place, options.clock, lambda facts: say({"up": facts}))
    return run(options, standing.progress, standing=standing)


if __name__ == "__main__":
    sys.exit(main())
