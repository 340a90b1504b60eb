"""Two neighbours with QNP between them, and what the link layer tells them.

What may live here: the pair of machines, and the messages a test says itself.
"""

from typing import Any

from machine_pair import Net

from protocols.pairs import ReleaseQubit
from protocols.qnp.node import HOLD_PS, Qnp
from protocols.qnp.service import (
    CircuitId,
    LinkPair,
    RequestOpened,
)
from protocols.wire.codec import (
    BellIndex,
    CircuitHop,
    PairUse,
    Purification,
    QnpInstall,
    QnpTrack,
)

LINK = 9
PURPOSE = 77
FIDELITY = 3_000_000_000
DELAY_PS = 10_000
HEAD, TAIL = 1, 2


def net(on_event: Any = None, hold_ps: int = HOLD_PS) -> Net:
    machines = {HEAD: Qnp(HEAD, {LINK: TAIL}, hold_ps), TAIL: Qnp(TAIL, {LINK: HEAD}, hold_ps)}
    machines[TAIL].listen(PURPOSE)
    return Net(machines, DELAY_PS, on_event=on_event)


def qnp(network: Net, node: int) -> Qnp:
    machine = network.machines[node]
    assert isinstance(machine, Qnp)
    return machine


def half(circuit: CircuitId, sequence: int, node: int, index: int = BellIndex.PSI_PLUS) -> LinkPair:
    """A qubit handle names its node and its link pair, so that a test sees what became of it."""
    return LinkPair(LINK, circuit.label, sequence, index, node * 100_000 + sequence, 4_000_000_000 - node, 5)


def an_install(label: int = 2, **change: Any) -> QnpInstall:
    """Of a circuit of one hop."""
    hops = (CircuitHop(LINK, TAIL, 255, 0, FIDELITY),)
    return QnpInstall(label, HEAD, 1, 0, 0, 0, 10**12, Purification.NONE, 0, 0, 0, hops)._replace(**change)


def a_track(
    circuit: int, pair_id: int, link: int, sequence: int, index: int, errors: int = 0, request: int = 0, age: int = 0
) -> QnpTrack:
    use = PairUse.DELIVER
    return QnpTrack(circuit, pair_id, link, sequence, index, index, use, errors, errors, errors, age, request)


def open_circuit(network: Net, number: int) -> tuple[int, CircuitId]:
    request = qnp(network, HEAD).request(TAIL, PURPOSE, number, FIDELITY, network.now)
    network.run()
    return request, network.of(HEAD, RequestOpened)[-1].circuit


def arrive(network: Net, node: int, circuit: CircuitId, sequence: int, index: int = 2) -> None:
    qnp(network, node).link_pair(half(circuit, sequence, node, index), network.now)
    network.run()


def released(network: Net, node: int) -> list[int]:
    return [event.qubit - node * 100_000 for event in network.of(node, ReleaseQubit)]
