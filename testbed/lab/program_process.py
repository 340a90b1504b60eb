"""The process of an attached program: ``python -m testbed.lab.program_process FILE`` runs FILE as Python itself would.

What may live here: what must surround a person's program so that neither it nor anything it has started outlives the
run.  It may compute or sleep for hours between two calls; it may also end at the very moment at which the launcher is
killed, because its session closes then, and leave children behind.  So there are two processes: the keeper, which
the launcher knows and which touches nothing of the program's, and its child, the program.  When the program ends, the
lifeline closes or the launcher says so (SIGTERM), the keeper ends every descendant it has, those in sessions of their
own too, and then ends as the program did.
"""

import os
import resource
import runpy
import signal
import sys
import threading
from contextlib import suppress
from typing import NoReturn

from testbed.lab.spawning import adopt_orphans, processes

LIFELINE = "BELLWIRE_LIFELINE"
"""The environment variable that says which descriptor the lifeline is."""

SESSION = "BELLWIRE_SESSION"
"""The same for the session, which ``stack.sdk`` takes."""


def main() -> None:
    lifeline = int(os.environ.pop(LIFELINE))
    adopt_orphans(True)  # so that no descendant is out of reach
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # until there is somebody to obey it
    program = os.fork()
    if program:
        os.close(int(os.environ[SESSION]))  # when the program closes its end, the node is to see it
        _keep(program, lifeline)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    os.close(lifeline)
    os.setpgid(0, 0)  # a signal to its own group is not meant for us
    path = os.path.abspath(sys.argv[1])
    sys.argv = [path]
    sys.path.insert(0, os.path.dirname(path))
    runpy.run_path(path, run_name="__main__")


def _keep(program: int, lifeline: int) -> NoReturn:
    """Wait for the end of the program, or bring it about; then sweep, and end in the same way."""
    handle = os.pidfd_open(program)
    told: list[int] = []

    def end_program() -> None:
        with suppress(ProcessLookupError):  # it has ended by itself
            signal.pidfd_send_signal(handle, signal.SIGKILL)

    def obey(sent: int, frame: object) -> None:
        told.append(sent)
        end_program()

    def watch_lifeline() -> None:
        os.read(lifeline, 1)
        end_program()

    signal.signal(signal.SIGTERM, obey)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    threading.Thread(target=watch_lifeline, name="lifeline", daemon=True).start()
    ended = status = 0
    while ended != program:  # orphans of the program's are reaped on the way
        ended, status = os.waitpid(-1, 0)
    _sweep()
    code = os.waitstatus_to_exitcode(status)
    if told:
        code = -told[0]
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the program has left its own
        if -code not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _sweep() -> None:
    """End all descendants: a child that dies hands its own children to us, so children are enough to look for."""
    while True:
        for process in processes():
            if process.parent == os.getpid():
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


if __name__ == "__main__":
    main()
