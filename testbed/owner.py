"""What is to end with somebody who may die without a word: with a test run that is killed, for one.

What may live here: the variable ``BELLWIRE_OWNER`` of the environment, the id of a process.  Commands, and testbeds
that stay, end in order, as by SIGTERM, when that process has gone.
"""

import os
import select
import signal
import threading
from typing import Final

OWNER: Final = "BELLWIRE_OWNER"


def end_with_owner() -> None:
    """From now on.  Nothing is watched where nobody is named, or this process itself."""
    named = os.environ.get(OWNER, "")
    if not named.isdecimal() or int(named) == os.getpid():
        return
    try:
        owner = os.pidfd_open(int(named))
    except ProcessLookupError:
        os.kill(os.getpid(), signal.SIGTERM)
        return
    threading.Thread(target=_watch, args=(owner,), name="owner", daemon=True).start()


def _watch(owner: int) -> None:
    select.select([owner], [], [])  # readable: it has ended
    os.kill(os.getpid(), signal.SIGTERM)


__all__ = ["OWNER", "end_with_owner"]
