"""The process of an attached program: ``python -m testbed.lab.program_process FILE`` runs FILE as Python itself would.

What may live here: what must surround a person's program so that it never outlives the run.  It may compute or sleep
for hours between two calls; a thread ends it, and whatever it has started, when the launcher has gone.
"""

import os
import runpy
import signal
import sys
import threading

LIFELINE = "BELLWIRE_LIFELINE"
"""The environment variable that says which descriptor the lifeline is."""


def watch_lifeline(fd: int) -> None:
    """End this session of processes as soon as the launcher has ended."""

    def wait() -> None:
        os.read(fd, 1)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


def main() -> None:
    watch_lifeline(int(os.environ.pop(LIFELINE)))
    path = os.path.abspath(sys.argv[1])
    sys.argv = [path]
    sys.path.insert(0, os.path.dirname(path))
    runpy.run_path(path, run_name="__main__")


if __name__ == "__main__":
    main()
