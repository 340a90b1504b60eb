"""Links of EGP for tests: which there are, what frames suffer, and what must hold at the end.

What may live here: what several tests of EGP ask of a `LinkLab`.
"""

from typing import Any

from hypothesis import strategies as st
from link_lab import DELAY, LinkLab, Story, Way
from machine_pair import Faults

from protocols.wire.codec import (
    EgpAdd,
    EgpExpire,
    EgpExpireAck,
    EgpTrain,
    EgpTrainAck,
    RelData,
)

A, B, STATION, LINK = 1, 2, 9, 5
ONE = [Way(LINK, A, B, STATION)]
CHAIN = [Way(1, 1, 2, 8), Way(2, 2, 3, 9)]
TRIANGLE = [Way(1, 1, 2, 9), Way(2, 2, 3, 9), Way(3, 1, 3, 8)]
LONG = 1_000_000_000_000  # a second: far more than anything here takes

lossy = st.builds(
    Faults,
    loss=st.floats(0, 0.3),
    duplicate=st.floats(0, 0.3),
    jitter_ps=st.sampled_from([0, DELAY // 4, 3 * DELAY]),
)


def finish(lab: LinkLab, restarted: bool = False) -> None:
    """Everything comes to rest by itself: no timer is left, hence no request."""
    lab.run(until=lab.now + LONG)
    assert all(machine.next_timeout() is None for machine in lab.machines.values())
    lab.check(restarted)


def both(lab: LinkLab, origin: int, create_id: int) -> tuple[Story, Story]:
    return lab.story(A, LINK, origin, create_id), lab.story(B, LINK, origin, create_id)


def sent(lab: LinkLab, *kinds: type) -> list[tuple[int, Any]]:
    """Messages of EGP, with their sender, as the reliable sublayer first sent them."""
    seen, found = set(), []
    for _, source, _, data in lab.sent:
        if isinstance(data, RelData) and (source, *data[:2]) not in seen:
            seen.add((source, *data[:2]))
            kind = {k.MESSAGE: k for k in (EgpAdd, EgpTrain, EgpTrainAck, EgpExpire, EgpExpireAck)}.get(data.message)
            if kind in kinds and kind is not None and data.protocol == kind.PROTOCOL:
                found.append((source, kind.unpack(data.payload)))
    return found
