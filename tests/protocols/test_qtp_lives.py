"""QTP over REL, whose sender dies at any point and lives again: exactly once, over both lives (QTP-5, QTP-8, QTP-9,
REL-13, REL-16)."""

from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from machine_pair import Faults, Net, OverReliable
from qtp_lab import DELAY_PS, PORT, A, B

from protocols.machine import Machine
from protocols.pairs import Pair, ReleaseQubit
from protocols.qtp.node import Qtp
from protocols.qtp.service import (
    Arrived,
    Closed,
    CloseReason,
    Delivered,
    NeedPair,
    Opened,
    RunBellMeasurement,
    SessionId,
)
from protocols.reliable import Reliable
from protocols.wire import ProtocolId, QtpService

QUBITS = 6


class Sessions(Qtp):
    """Hears of a peer's loss from REL, as a node's transport layer does."""

    def broken(self, peer: int, now: int) -> None:
        self.peer_lost(peer, now)


def node(number: int, life: int) -> Machine:
    return OverReliable(Reliable(life, 2 * DELAY_PS), {ProtocolId.QTP: Sessions(number)})


class World:
    """The two nodes, the layers below them, and their users."""

    def __init__(self, faults: Faults, seed: int, late: list[int]) -> None:
        self.net = Net({A: node(A, 1), B: node(B, 1)}, DELAY_PS, faults, seed, self.on_event)
        self.life = 1
        self.late = late
        self.halves: list[int] = []  # that B was given
        self.pairs = 0
        self.qtp(B).listen(PORT, QtpService.TELEPORT)

    def qtp(self, number: int) -> Sessions:
        machine: Any = self.net.machines[number]
        sessions: Sessions = machine.machines[ProtocolId.QTP]
        return sessions

    def open(self) -> None:
        self.qtp(A).open(B, PORT, QtpService.TELEPORT, self.net.now)

    def in_this_life(self, after: int, act: Any) -> None:
        """Unless A dies before."""
        life = self.life
        self.net.at(self.net.now + after, lambda: act() if self.life == life and A not in self.net.cut else None)

    def on_event(self, number: int, event: Any, now: int) -> None:
        match event:
            case Opened(session, opener=True):
                for index in range(QUBITS):
                    self.qtp(A).teleport(session, 100 * self.life + index, now)
            case NeedPair(session, count) if number == A:
                for _ in range(count):
                    self.make_pair(session)
            case RunBellMeasurement(session, index):
                self.in_this_life(DELAY_PS, lambda: self.qtp(A).measured(session, index, 0, 0, self.net.now))
            case Arrived(session):
                self.net.at(now + 1, lambda: self.qtp(B).freed(session, self.net.now))

    def make_pair(self, session: SessionId) -> None:
        self.pairs += 1
        pair_id = self.pairs
        late = self.late[pair_id % len(self.late)] * DELAY_PS

        def at_b() -> None:
            self.halves.append(2000 + pair_id)
            self.qtp(B).pair(SessionId(A, session.number), Pair(A, pair_id, 0, 2000 + pair_id), self.net.now)

        self.in_this_life(1, lambda: self.qtp(A).pair(session, Pair(A, pair_id, 0, 1000 + pair_id), self.net.now))
        self.in_this_life(1 + late, at_b)

    def die(self) -> None:
        self.net.cut.add(A)

    def live_again(self) -> None:
        self.net.cut.discard(A)
        self.life += 1
        self.net.events[A].clear()
        reborn: Any = node(A, self.life)
        reborn.reliable.announce([B], self.net.now)
        self.net.replace(A, reborn)


@given(
    st.builds(Faults, loss=st.sampled_from([0.0, 0.2]), duplicate=st.just(0.1), jitter_ps=st.just(DELAY_PS)),
    st.integers(0, 2**32),
    st.lists(st.integers(0, 6), min_size=1, max_size=4),
    st.integers(0, 60),
    st.integers(0, 40),
    st.integers(0, 10),
)
@settings(max_examples=60, phases=[Phase.generate])
def test_a_sender_dies_and_begins_anew(
    faults: Faults, seed: int, late: list[int], died: int, dead: int, idle: int
) -> None:
    """What the receiver has of each life comes in order and once, and the end of the first is told before anything of
    the second comes; of the second all is delivered and confirmed."""
    world = World(faults, seed, late)
    net = world.net
    world.open()
    net.run(until=died * DELAY_PS)
    world.die()
    net.run(until=net.now + dead * DELAY_PS)
    world.live_again()
    net.run(until=net.now + idle * DELAY_PS)
    world.open()
    net.run()
    assert _in_order_and_once(net.events[B]) == list(range(QUBITS))
    assert [event.index for event in net.of(A, Delivered)] == list(range(QUBITS))
    held = [event.qubit for event in net.events[B] if isinstance(event, Arrived | ReleaseQubit)]
    assert sorted(held) == sorted(world.halves)


def _in_order_and_once(events: list[Any]) -> list[int]:
    """Of each session that these are about; what came of the last."""
    arrived: dict[Any, list[int]] = {}
    for event in events:
        match event:
            case Opened(session):
                assert session not in arrived, "it is over before another has its name"
                arrived[session] = []
            case Closed(session, reason):
                assert reason is CloseReason.PEER_LOST
                del arrived[session]
            case Arrived(session, index):
                assert index > max(arrived[session], default=-1)
                arrived[session].append(index)
    return list(arrived.values())[-1]
