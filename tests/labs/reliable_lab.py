"""REL: two endpoints, their frames carried by hand.

What may live here: the endpoints, and what is said and heard.
"""

from typing import Any

from hypothesis import strategies as st
from machine_pair import Faults, Net

from protocols.reliable import Delivered, Reliable

A, B = 1, 2
DELAY = 10_000
ROUND_TRIP = 2 * DELAY

lossy = st.builds(
    Faults,
    loss=st.floats(0, 0.3),
    duplicate=st.floats(0, 0.3),
    jitter_ps=st.sampled_from([0, DELAY // 4, 5 * DELAY]),
)


def pair(faults: Faults = Faults(), seed: int = 1, first: int = 1, **options: Any) -> Net:
    machines = {node: Reliable(first, ROUND_TRIP, **options) for node in (A, B)}
    return Net(machines, DELAY, faults, seed)


def send(net: Net, source: int, body: bytes, message: int = 1) -> None:
    net.machines[source].send(B if source == A else A, 3, message, body, net.now)


def bodies(net: Net, node: int) -> list[bytes]:
    return [event.body for event in net.of(node, Delivered)]
