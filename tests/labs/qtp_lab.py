"""Two nodes with QTP between them, and the pairs that the network layer would give them.

What may live here: the pair of machines, and what a test does to both.
"""

from typing import Any

from machine_pair import Net

from protocols.pairs import Pair
from protocols.qtp.node import Qtp
from protocols.qtp.service import (
    Arrived,
    Delivered,
    Lost,
    Returned,
    SessionId,
)
from protocols.wire.codec import (
    QtpService,
)

A, B = 1, 2
PORT = 80
DELAY_PS = 10_000


def net(on_event: Any = None) -> Net:
    machines = {A: Qtp(A), B: Qtp(B)}
    machines[B].listen(PORT, QtpService.TELEPORT)
    machines[B].listen(PORT + 1, QtpService.PAIRS)
    return Net(machines, DELAY_PS, on_event=on_event)


def qtp(network: Net, node: int) -> Qtp:
    machine = network.machines[node]
    assert isinstance(machine, Qtp)
    return machine


def opened(network: Net, service: QtpService = QtpService.TELEPORT) -> tuple[SessionId, SessionId]:
    """A session as A and as B know it."""
    port = PORT if service is QtpService.TELEPORT else PORT + 1
    session = qtp(network, A).open(B, port, service, network.now)
    network.run()
    return session, SessionId(A, session.number)


def pair_up(network: Net, sessions: tuple[SessionId, SessionId], pair_id: int, index: int = 0) -> None:
    """Both ends get a pair that A asked for; a qubit's handle names its node and pair."""
    for node, session in zip((A, B), sessions, strict=True):
        qtp(network, node).pair(session, Pair(A, pair_id, index, node * 1000 + pair_id), network.now)
    network.run()


def endings(network: Net, node: int, *, incoming: bool = False) -> list[Any]:
    """What became of the qubits that a node sent, or was sent."""
    kinds = (Arrived,) if incoming else (Delivered, Returned)
    return [
        event
        for event in network.events[node]
        if isinstance(event, kinds) or (isinstance(event, Lost) and event.incoming is incoming)
    ]
