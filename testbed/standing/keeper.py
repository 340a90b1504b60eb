"""The process that keeps a standing testbed: ``python -m testbed.standing.keeper``, its orders as JSON on its input.

What may live here: from orders to a run that stays, and word to whoever started it, in lines of JSON: its process, then
that it is up or has failed.  It is nobody's child: it lives on when whoever started it has ended, and needs no one to
wait for it.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.errors import BadInput
from testbed.owner import end_with_owner
from testbed.standing.places import Place

if TYPE_CHECKING:
    from testbed.lab.run import Finished


def main() -> int:
    """Keep it until it ends; its exit code."""
    orders: dict[str, Any] = json.load(sys.stdin)
    ready, alone = orders.pop("ready"), False

    def say(what: dict[str, Any]) -> None:
        nonlocal ready, alone
        if ready is None:
            return
        with open(ready, "wb", buffering=0) as word:
            ready = None
            try:
                word.write(json.dumps(what).encode() + b"\n")
            except BrokenPipeError:  # nobody knows that it is up: it need not be
                alone = True
                raise KeyboardInterrupt from None

    if os.fork():  # before there are threads, sockets or much memory
        os._exit(0)
    os.write(ready, json.dumps({"pid": os.getpid()}).encode() + b"\n")  # before all else that is said
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    end_with_owner()
    place = Place(Path(orders.pop("place")))
    try:
        with place.hold():
            finished = _kept(place, orders, say)
            if finished.code and place.about and not alone:
                place.fell(finished.trouble)
    except BadInput as error:
        say({"bad": [error.file, error.place, error.problem, error.remedy]})
        return 2
    with suppress(KeyboardInterrupt):
        say({"code": finished.code, "trouble": finished.trouble})  # if it never came up; its name is free by now
    return finished.code


def _kept(place: Place, orders: dict[str, Any], say: Callable[[dict[str, Any]], None]) -> "Finished":
    from testbed.lab.prepare import Options
    from testbed.lab.run import run
    from testbed.standing.service import StandingTestbed

    paths = {key: Path(orders[key]) for key in ("scenario", "out") if orders[key] is not None}
    options = Options(**(orders | paths | {"remote": tuple(orders["remote"])}))
    standing = StandingTestbed(place, options.clock, lambda facts: say({"up": facts}))
    return run(options, standing.progress, standing=standing)


if __name__ == "__main__":
    sys.exit(main())
