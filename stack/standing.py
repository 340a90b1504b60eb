"""Where the sockets of testbeds that stay up lie: the rule that those who keep them and those who attach go by.

What may live here: paths, and whether somebody keeps what is there.  A testbed is a folder, up for as long as its
keeper holds the lock in it:

    FOLDER/NAME/lock  control (a socket)  about.json  attach/NODE (a socket each, where programs attach)

FOLDER is $XDG_RUNTIME_DIR/bellwire, or bellwire-UID among temporary files.
"""

import fcntl
import json
import os
import socket
import tempfile
from pathlib import Path


def default_folder() -> Path:
    """Where this user's testbeds are, if nobody says otherwise; it may not exist."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.access(runtime, os.W_OK):
        return Path(runtime) / "bellwire"
    return Path(tempfile.gettempdir()) / f"bellwire-{os.getuid()}"


def door(testbed: Path, node: str) -> Path:
    """The socket at which programs attach to a node; ``testbed`` is its folder."""
    return testbed / "attach" / node


def about(testbed: Path) -> Path:
    """What its keeper says of it."""
    return testbed / "about.json"


def behind(sock: socket.socket) -> Path | None:
    """The folder of the testbed in virtual time to which a program has come at one of its doors; None if it has come
    another way, or time is the wall's there."""
    try:
        came_by = sock.getpeername() if sock.family == socket.AF_UNIX else None
        if not isinstance(came_by, str) or not came_by:
            return None
        testbed = Path(came_by).parent.parent.resolve()
        facts = json.loads(about(testbed).read_text())
    except (OSError, ValueError):
        return None
    return testbed if facts.get("clock") == "virtual" else None


def held(lock: Path) -> bool:
    """Whether somebody holds this lock."""
    try:
        descriptor = os.open(lock, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def up(folder: Path) -> list[Path]:
    """The folders of all testbeds of this user's that are up, by name."""
    try:
        if folder.stat().st_uid != os.getuid():
            return []
        found = sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:
        return []
    return [path for path in found if held(path / "lock")]
