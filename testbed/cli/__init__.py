"""The command line: ``bellwire COMMAND``.

What may live here: the way in.  It imports next to nothing, so that Ctrl-C is answered as soon as there is somebody to
answer; the list of commands is ``commands``.
"""

import os
import signal
import sys

_INTERRUPTED = "bellwire: interrupted\n"


def main(arguments: list[str] | None = None) -> int:
    """The console command; its exit code."""
    try:
        # Nothing has begun that would have to be put in order, and an exception in the midst of imports may get lost.
        unheard = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if unheard:
            signal.signal(signal.SIGINT, _end)
        from testbed.cli.commands import obey

        if unheard:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return obey(arguments)
    except KeyboardInterrupt:
        sys.stderr.write(_INTERRUPTED)
        return 130


def _end(*_: object) -> None:
    os.write(2, _INTERRUPTED.encode())
    os._exit(130)


__all__ = ["main"]
