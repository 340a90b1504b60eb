"""Two QPUs that speak RGP, their frames carried by hand, and pairs of which each is given its half.

What may live here: the bench of RGP's tests.
"""

from typing import Any

from machine_pair import Net

from protocols.pairs import Pair
from protocols.rgp.node import Rgp
from protocols.rgp.service import (
    Role,
)
from protocols.wire.codec import RgpKind

C, T = 1, 2  # the nodes: control and target
JOB = 6
DATA_C, DATA_T = 11, 22
DELAY_PS = 10_000


def net(on_event: Any = None) -> Net:
    return Net({C: Rgp(C), T: Rgp(T)}, DELAY_PS, on_event=on_event)


def rgp(network: Net, node: int) -> Rgp:
    machine = network.machines[node]
    assert isinstance(machine, Rgp)
    return machine


def start(network: Net, node: int, gate: int = 0, kind: RgpKind = RgpKind.CNOT) -> None:
    role, qubit, peer = (Role.CONTROL, DATA_C, T) if node == C else (Role.TARGET, DATA_T, C)
    rgp(network, node).start(JOB, gate, role, kind, qubit, peer, network.now)


def half(node: int, pair_id: int, index: int = 0) -> Pair:
    """A pair that the control asked for; a qubit's handle names its node and pair."""
    return Pair(C, pair_id, index, node * 1000 + pair_id)


def pair_up(network: Net, pair_id: int, index: int = 0) -> None:
    rgp(network, C).pair(T, half(C, pair_id, index), network.now)
    rgp(network, T).pair(C, half(T, pair_id, index), network.now)
    network.run()


def both_started(*gates: int, kind: RgpKind = RgpKind.CNOT) -> Net:
    """Both ends have started these gates, or gate 0, and the control knows it."""
    network = net()
    for gate in gates or (0,):
        start(network, C, gate, kind)
        start(network, T, gate, kind)
    network.run(until=DELAY_PS)
    return network


def under_way(kind: RgpKind = RgpKind.CNOT) -> Net:
    """Both ends hold pair 1 for gate 0, too; the control's program runs."""
    network = both_started(kind=kind)
    pair_up(network, 1)
    return network
