"""REL: delivers messages to each peer in order and exactly once, over a network that loses them.

`node` is the machine of a node, with the rules, `streams` what it remembers of each peer, `timing` how long it waits,
`service` what passes to the layer above; reliable.toml has the requirements.
"""

from protocols.reliable.node import KEEPALIVE_PS, MAX_BODY, MAX_PAYLOAD, TRIES, WINDOW, Reliable, lost_after_ps
from protocols.reliable.service import Broken, Delivered, Undelivered
from protocols.reliable.streams import first_sequence
from protocols.reliable.timing import DOUBLINGS, EVERY, RoundTrip

__all__ = [
    "DOUBLINGS",
    "EVERY",
    "KEEPALIVE_PS",
    "MAX_BODY",
    "MAX_PAYLOAD",
    "TRIES",
    "WINDOW",
    "Broken",
    "Delivered",
    "Reliable",
    "RoundTrip",
    "Undelivered",
    "first_sequence",
    "lost_after_ps",
]
