"""ECHO: ping-pong, bursts, think time, loss (requirements ECHO-1 to ECHO-5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machine_pair import Faults, Net

from protocols.echo import Done, Echo, PingLost, PongSeen
from protocols.machine import Send
from protocols.wire.codec import EchoPing, EchoPong, RelAck

DELAY_PS = 10_000


def net(loss: float = 0.0, seed: int = 1) -> Net:
    return Net({1: Echo(), 2: Echo()}, DELAY_PS, Faults(loss), seed)


def pinger(network: Net) -> Echo:
    machine = network.machines[1]
    assert isinstance(machine, Echo)
    return machine


def test_a_ping_is_answered_at_once_with_its_token_and_padding() -> None:
    """ECHO-1."""
    machine = Echo()
    machine.receive(EchoPing(7, 41, b"abc"), source=5, now=100)
    assert machine.poll(100) == [Send(5, EchoPong(7, 42, b"abc"), reliable=False)]
    assert machine.next_timeout() is None


def test_hops_wrap() -> None:
    """ECHO-1."""
    machine = Echo()
    machine.receive(EchoPing(7, 0xFFFF, b""), source=5, now=0)
    (sent,) = machine.poll(0)
    assert sent.message.hops == 0


def test_ping_pong_keeps_one_frame_on_the_way() -> None:
    network = net()
    run = pinger(network).ping(2, 500, now=0, padding=b"x" * 100)
    network.run()
    assert [type(message) for message in network.messages()] == [EchoPing, EchoPong] * 500
    assert [message.hops for message in network.messages()] == list(range(1000))
    assert network.of(1, Done) == [Done(run, 2, 500, 500, 0, 0, elapsed_ps=1000 * DELAY_PS)]
    assert network.of(1, PongSeen)[-1] == PongSeen(run, 499, 999, 2, 2 * DELAY_PS)


def test_a_burst_is_sent_at_once() -> None:
    """ECHO-2."""
    machine = Echo()
    machine.ping(2, 300, now=0, in_flight=300)
    sent = machine.poll(0)
    assert len({output.message.token for output in sent}) == 300


def test_in_flight_bounds_the_unanswered() -> None:
    """ECHO-2."""
    machine = Echo()
    machine.ping(2, 50, now=0, in_flight=8)
    first = machine.poll(0)
    assert len(first) == 8
    machine.receive(EchoPong(first[3].message.token, 1, b""), source=2, now=5)
    assert [type(output) for output in machine.poll(5)] == [PongSeen, Send]


def test_think_time_passes_between_pong_and_ping() -> None:
    network = net()
    pinger(network).ping(2, 3, now=0, think_ps=777)
    network.run()
    assert network.of(1, Done)[0].elapsed_ps == 6 * DELAY_PS + 2 * 777


def test_a_lost_ping_is_sent_again_unchanged() -> None:
    """ECHO-3."""
    machine = Echo()
    machine.ping(2, 1, now=0, padding=b"p", timeout_ps=100)
    first = machine.poll(0)
    assert machine.next_timeout() == 100
    assert machine.poll(99) == []
    assert machine.poll(100) == first
    assert machine.next_timeout() == 200


def test_attempts_run_out() -> None:
    """ECHO-5."""
    network = net(loss=1.0)
    run = pinger(network).ping(2, 2, now=0, timeout_ps=100, attempts=3)
    network.run()
    assert network.of(1, PingLost) == [PingLost(run, 0), PingLost(run, 1)]
    assert network.of(1, Done) == [Done(run, 2, 2, answered=0, lost=2, retransmissions=4, elapsed_ps=600)]
    assert len(network.messages(EchoPing)) == 6
    assert pinger(network).next_timeout() is None


def test_a_pong_nobody_waits_for_changes_nothing() -> None:
    """ECHO-4."""
    machine = Echo()
    machine.ping(2, 1, now=0)
    (ping,) = machine.poll(0)
    token = ping.message.token
    machine.receive(EchoPong(token + 1, 1, b""), source=2, now=10)
    machine.receive(EchoPong(token, 1, b""), source=3, now=10)
    assert machine.poll(10) == []
    machine.receive(EchoPong(token, 1, b""), source=2, now=20)
    assert [type(output) for output in machine.poll(20)] == [PongSeen, Done]
    machine.receive(EchoPong(token, 1, b""), source=2, now=30)
    assert machine.poll(30) == []
    assert machine.stray_pongs == 3


@given(
    count=st.integers(1, 40),
    in_flight=st.integers(1, 40),
    think_ps=st.sampled_from([0, 1, 12_345]),
    loss=st.sampled_from([0.0, 0.2, 0.5]),
    seed=st.integers(0, 2**32),
)
def test_every_ping_is_answered_under_loss(
    count: int, in_flight: int, think_ps: int, loss: float, seed: int
) -> None:
    """ECHO-5: one Done, when all are answered, and nothing is left over."""
    network = net(loss=loss, seed=seed)
    pinger(network).ping(
        2, count, now=0, in_flight=in_flight, think_ps=think_ps, timeout_ps=5 * DELAY_PS
    )
    network.run()
    assert len(network.of(1, PongSeen)) == count
    assert len({pong.token for pong in network.of(1, PongSeen)}) == count
    (done,) = network.of(1, Done)
    assert network.events[1][-1] == done
    assert (done.answered, done.lost) == (count, 0)
    assert len(network.messages(EchoPing)) == count + done.retransmissions
    assert pinger(network).next_timeout() is None


@pytest.mark.parametrize(
    "settings",
    [{"in_flight": 0}, {"think_ps": -1}, {"timeout_ps": 0}, {"attempts": 0}],
)
def test_what_makes_no_sense_is_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        Echo().ping(2, 1, now=0, **settings)  # type: ignore[arg-type]


def test_a_message_of_another_protocol_is_an_error_of_ours() -> None:
    with pytest.raises(TypeError):
        Echo().receive(RelAck(1, 1), source=2, now=0)
