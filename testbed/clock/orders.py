"""Orders that reach whoever keeps the clock while a run goes on.

What may live here: taking them off their socket.  An order is a packet of JSON:

    {"do": "input", "id": 7, "what": {...}}        what may change the run, see ``testbed.lab.inputs``
    {"do": "spent", "id": 8, "places": [[1, 5]]}   a question to the oracle, which changes nothing
"""

import json
import select
import socket
from typing import Any


class Orders:
    """The receiving end.  ``standing``: the run stays when nothing is left to do in it, and waits for more."""

    def __init__(self, sock: socket.socket, standing: bool) -> None:
        self.standing = standing
        self._sock = sock
        self._open = True

    def fileno(self) -> int:
        return self._sock.fileno()

    def next(self) -> dict[str, Any] | None:
        """The next order, if there is one."""
        if not self._open:
            return None
        try:
            packet = self._sock.recv(1 << 20, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except OSError:
            packet = b""
        if not packet:  # whoever gave them has gone; the lifeline ends us
            self._open = False
            return None
        order: dict[str, Any] = json.loads(packet)
        return order

    def wait(self) -> None:
        """Until there is one."""
        if self._open:
            select.select([self._sock], [], [])
        else:
            select.select([], [], [])


__all__ = ["Orders"]
