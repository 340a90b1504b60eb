"""Orders that reach whoever keeps the clock while a run goes on.

What may live here: taking them off their socket.  An order is a packet of JSON:

    {"do": "input", "id": 7, "what": {...}}        what may change the run, see ``testbed.lab.inputs``
    {"do": "spent", "id": 8, "places": [[1, 5]]}   a question to the oracle, which changes nothing
    {"do": "withdraw", "id": 7}                    do not, if that has not been begun
    {"do": "moved", "node": 3, "address": [...]}   a node elsewhere has come: where its frames go (``paced``)
"""

import json
import socket
from typing import Any, Final

WITHDRAW: Final = "withdraw"
MOVED: Final = "moved"


class Orders:
    """The receiving end.  ``standing``: the run stays when nothing is left to do in it, and waits for more."""

    def __init__(self, sock: socket.socket, standing: bool) -> None:
        self.standing = standing
        self.open = True
        """Whether more may come."""
        self._sock = sock

    def fileno(self) -> int:
        return self._sock.fileno()

    def next(self) -> dict[str, Any] | None:
        """The next order, if there is one."""
        if not self.open:
            return None
        try:
            packet = self._sock.recv(1 << 20, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except OSError:
            packet = b""
        if not packet:  # whoever gave them has gone; the lifeline ends us
            self.open = False
            return None
        order: dict[str, Any] = json.loads(packet)
        return order

    def pending(self) -> list[dict[str, Any]]:
        """All that have come, but those that have been withdrawn meanwhile."""
        come = []
        while (order := self.next()) is not None:
            come.append(order)
        withdrawn = {order["id"] for order in come if order["do"] == WITHDRAW}
        return [order for order in come if order["do"] != WITHDRAW and order["id"] not in withdrawn]


__all__ = ["MOVED", "WITHDRAW", "Orders"]
