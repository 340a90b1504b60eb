"""Scripts for REL: the peer's own sublayer is off, its segments are written by hand.

An Echo Ping that is delivered is told to the user above ('heard'); `say` sends a message of no protocol.
"""

from itertools import pairwise
from typing import Any, Final

from protocols.reliable import TRIES, RoundTrip, first_sequence
from protocols.wire import EchoPing, ProtocolId, RelAck, RelData, RelProbe, RelReset
from testbed.conformance.scene import DELAY_PS, ECHO, KEEP_ALIVE_PS, MS, REBORN
from testbed.conformance.scripts import decides
from testbed.conformance.stage import SOON_PS, NotMet, Peer, Stage

EPOCH: Final = 1 << 16
START: Final = first_sequence(EPOCH)
AT_ONCE_PS: Final = 2 * DELAY_PS + 60 * MS
JITTER_PS: Final = 10 * MS
"""By how much two frames may come nearer to each other than they were sent: the kit's host delays the first."""
LATER_PS: Final = 5 * DELAY_PS + 100 * MS
"""An acknowledgement that may wait one round trip for a Data is here by then."""


def _peer(stage: Stage) -> Peer:
    peer = stage.peers[2]
    peer.reliable = None
    return peer


def _data(number: int, epoch: int = EPOCH, acknowledged: int = 0) -> RelData:
    """Segment ``number`` of a stream, with a Ping whose token is the same number."""
    body = EchoPing(number, 0, b"").pack()
    sequence = first_sequence(epoch) + number & 0xFFFFFFFF
    return RelData(epoch, sequence, acknowledged, ProtocolId.ECHO, EchoPing.MESSAGE, 0, body)


def _ack(number: int, epoch: int = EPOCH) -> RelAck:
    """The implementation's stream has been received below segment ``number``."""
    return RelAck(epoch, first_sequence(epoch) + number & 0xFFFFFFFF)


async def _opened(stage: Stage, peer: Peer) -> None:
    """The implementation's stream, begun and acknowledged."""
    stage.user.order("say", node=2, size=1)
    await peer.expect(RelData, stream_epoch=EPOCH)
    peer.send(_ack(1))
    await stage.wait(2 * DELAY_PS)


@decides("REL-1", "REL-6", "REL-7", scene=ECHO)
async def delivered_once_and_in_order(stage: Stage) -> None:
    """Segments 0, 2, 3, 1, 1, 0, 4: each is delivered once, in order; early ones and copies are acknowledged at
    once."""
    peer = _peer(stage)
    peer.send(_data(0))
    await peer.expect(RelAck, AT_ONCE_PS, stream_epoch=EPOCH, acknowledged=START + 1)
    await stage.user.expect("heard", node=2, token=0)
    for early in (2, 3):
        peer.send(_data(early))
        await peer.expect(RelAck, AT_ONCE_PS, acknowledged=START + 1)
    await stage.user.silence("heard")
    peer.send(_data(1))
    await peer.expect(RelAck, acknowledged=START + 4)
    for token in (1, 2, 3):
        await stage.user.expect("heard", token=token)
    for copy in (1, 0, 3):
        peer.send(_data(copy))
        await peer.expect(RelAck, AT_ONCE_PS, acknowledged=START + 4)
    peer.send(_data(4))
    await peer.expect(RelAck, LATER_PS, acknowledged=START + 5)
    await stage.user.expect("heard", token=4)
    await stage.user.silence("heard")


@decides("REL-1", scene=ECHO)
async def a_body_in_parts_is_joined(stage: Stage) -> None:
    """A Ping with 600 bytes of padding in three segments is heard when the last one is there, and not before."""
    peer = _peer(stage)
    body = EchoPing(77, 0, bytes(600)).pack()
    parts = (body[:200], body[200:201], body[201:])
    for number, part in enumerate(parts):
        await stage.user.silence("heard")
        more = int(number < 2)
        peer.send(RelData(EPOCH, START + number, 0, ProtocolId.ECHO, EchoPing.MESSAGE, more, part))
    await stage.user.expect("heard", token=77, size=600)


@decides("REL-2", "REL-4", "REL-11", scene=ECHO)
async def streams_are_named_and_numbered(stage: Stage) -> None:
    """The first stream of incarnation 1 is 65536, the one after a Reset 65537; a Reset of another epoch is nothing."""
    peer = _peer(stage)
    await _opened(stage, peer)
    stage.user.order("say", node=2, size=2)
    await peer.expect(RelData, stream_epoch=EPOCH, sequence=START + 1)
    peer.send(RelReset(EPOCH + 1))
    peer.send(RelReset(EPOCH - 1))
    await stage.user.silence("broken")
    peer.send(RelReset(EPOCH))
    await stage.user.expect("broken", node=2)
    await stage.user.silence("broken")
    peer.forget()
    stage.user.order("say", node=2, size=3)
    await peer.expect(RelData, stream_epoch=EPOCH + 1, sequence=first_sequence(EPOCH + 1))


@decides("REL-3", scene=ECHO)
async def the_first_segment_goes_alone(stage: Stage) -> None:
    """Three messages: one segment, until it is acknowledged; then the other two."""
    peer = _peer(stage)
    for size in (1, 2, 3):
        stage.user.order("say", node=2, size=size)
    await peer.expect(RelData, sequence=START)
    await peer.silence(RelData, where=lambda data: data.sequence != START)
    peer.send(_ack(1))
    for number in (1, 2):
        await peer.expect(RelData, where=lambda data: data.sequence != START, sequence=START + number)


@decides("REL-5", scene=ECHO)
async def long_bodies_are_split(stage: Stage) -> None:
    """Bodies of 0, 1,100, 1,101 and 3,300 bytes: in 1, 1, 2 and 3 segments, full ones but for the last."""
    peer = _peer(stage)
    await _opened(stage, peer)
    number = 1
    for size, parts in ((0, (0,)), (1_100, (1_100,)), (1_101, (1_100, 1)), (3_300, (1_100, 1_100, 1_100))):
        stage.user.order("say", node=2, size=size)
        for index, length in enumerate(parts):
            more = int(index + 1 < len(parts))
            data = await peer.expect(RelData, sequence=START + number & 0xFFFFFFFF, more=more)
            if len(data.payload) != length:
                raise NotMet(f"part {index} of {size} bytes has {len(data.payload)}, not {length}")
            number += 1
        peer.send(_ack(number))
        await stage.wait(2 * DELAY_PS)


@decides("REL-6", scene=ECHO)
async def data_carries_the_acknowledgement(stage: Stage) -> None:
    """Without a stream of the peer a Data acknowledges 0; after two segments of it, the third."""
    peer = _peer(stage)
    stage.user.order("say", node=2, size=1)
    await peer.expect(RelData, acknowledged=0)
    peer.send(_data(0))
    await peer.expect(RelAck, AT_ONCE_PS, acknowledged=START + 1)
    peer.send(_data(1, acknowledged=START + 1))
    await peer.expect(RelAck, LATER_PS, acknowledged=START + 2)
    stage.user.order("say", node=2, size=1)
    await peer.expect(RelData, sequence=START + 1, acknowledged=START + 2)


@decides("REL-8", scene=ECHO)
async def the_timeout_doubles(stage: Stage) -> None:
    """The first segment comes again after 3 configured round trips, twice, then twice after twice as long, up to 16
    times; once it is acknowledged, no more."""
    peer = _peer(stage)
    stage.user.order("say", node=2, size=1)
    times = [(await peer.expect_seen(RelData, 10_000 * MS, sequence=START)).at for _ in range(12)]
    first = 3 * 2 * DELAY_PS
    for index, (before, after) in enumerate(pairwise(times)):
        gap, due = after - before, first * 2 ** min(index // 2, 4)
        if not due - JITTER_PS <= gap <= due + 60 * MS:
            raise NotMet(f"retransmission {index + 1} came after {gap / MS:.1f} ms, due after {due / MS:.0f}")
    peer.send(_ack(1))
    await stage.wait(2 * DELAY_PS)
    peer.forget()
    await peer.silence(RelData, during=first * 10)


@decides("REL-8", scene=ECHO)
async def the_timeout_follows_the_round_trip(stage: Stage) -> None:
    """After samples of one round trip the timeout is RFC 6298's: no more than 4 of them with the peer's delay."""
    peer = _peer(stage)
    await _opened(stage, peer)
    for number in range(1, 9):
        stage.user.order("say", node=2, size=1)
        await peer.expect(RelData, sequence=START + number)
        peer.send(_ack(number + 1))
        await stage.wait(2 * DELAY_PS)
    stage.user.order("say", node=2, size=1)
    sent = (await peer.expect_seen(RelData, sequence=START + 9)).at
    gap = (await peer.expect_seen(RelData, 2_000 * MS, sequence=START + 9)).at - sent
    if not 2 * DELAY_PS <= gap <= 6 * DELAY_PS - MS:
        raise NotMet(f"after eight samples of {2 * DELAY_PS / MS:.0f} ms the timeout is {gap / MS:.1f} ms")


@decides("REL-8", scene=ECHO, emulated=True)
async def late_acknowledgements_move_it_little(stage: Stage) -> None:
    """Every other acknowledgement comes just before the timeout, as if one before it had been lost: the timeout is
    still what it is when such a sample counts as two smoothed round trips."""
    peer = _peer(stage)
    await _opened(stage, peer)
    model = RoundTrip(2 * DELAY_PS, 2 * DELAY_PS)
    model.sample(2 * DELAY_PS)
    for number in range(1, 25):
        late = number % 2 * (model.timeout_ps * 9 // 10 - 2 * DELAY_PS)
        stage.user.order("say", node=2, size=1)
        await peer.expect(RelData, sequence=START + number)
        await stage.wait(late)
        peer.send(_ack(number + 1))
        await stage.wait(2 * DELAY_PS)
        model.sample(2 * DELAY_PS + late)
    stage.user.order("say", node=2, size=1)
    sent = (await peer.expect_seen(RelData, sequence=START + 25)).at
    gap = (await peer.expect_seen(RelData, 20_000 * MS, sequence=START + 25)).at - sent
    if not model.timeout_ps - JITTER_PS <= gap <= model.timeout_ps + 60 * MS:
        raise NotMet(f"the timeout is {gap / MS:.1f} ms, not {model.timeout_ps / MS:.1f}")


@decides("REL-8", scene=ECHO)
async def what_was_repeated_gives_no_sample(stage: Stage) -> None:
    """Segments are acknowledged after retransmissions only: the timeout stays what it was, with at most two doublings,
    for nobody knows how long the round trip was."""
    peer = _peer(stage)
    await _opened(stage, peer)
    before = 0
    for number in range(1, 25):
        copies = 1 if number < 9 else 4 if number == 9 else 2
        stage.user.order("say", node=2, size=1)
        times = [(await peer.expect_seen(RelData, 20_000 * MS, sequence=START + number)).at for _ in range(copies)]
        if copies > 1:
            timeout = times[1] - times[0]
            before = before or timeout
            if timeout > 4 * before + 60 * MS:
                raise NotMet(f"the timeout is {timeout / MS:.1f} ms; before retransmissions it was {before / MS:.1f}")
        peer.send(_ack(number + 1))
        await stage.wait(2 * DELAY_PS)


@decides("REL-9", scene=ECHO)
async def a_window_is_kept(stage: Stage) -> None:
    """A hundred messages: at most 64 segments are on the way; acknowledgements let others follow, no more than that."""
    peer = _peer(stage)
    await _opened(stage, peer)
    for _ in range(100):
        stage.user.order("say", node=2, size=1)
    await stage.wait(SOON_PS)
    before = len({seen.message.sequence for seen in peer.seen})
    if not 0 < before <= 64:
        raise NotMet(f"{before} segments are unacknowledged")
    acknowledged = min(10, before)
    peer.send(_ack(1 + acknowledged))
    await stage.wait(SOON_PS)
    after = len({seen.message.sequence for seen in peer.seen})
    if not before < after <= 64 + acknowledged:
        raise NotMet(f"with {acknowledged} of {before} acknowledged, {after} segments have been sent")


@decides("REL-10", scene=ECHO, patient=True)
async def a_silent_peer_is_given_up(stage: Stage) -> None:
    """Never acknowledged: 259 times, then one Broken; the next message begins the next stream."""
    peer = _peer(stage)
    stage.user.order("say", node=2, size=1)
    for _ in range(TRIES):
        await peer.expect(RelData, 2_000_000 * MS, stream_epoch=EPOCH, sequence=START)
    await stage.user.expect("broken", 2_000_000 * MS, node=2)
    await peer.silence(RelData)
    await stage.user.silence("broken")
    stage.user.order("say", node=2, size=2)
    await peer.expect(RelData, stream_epoch=EPOCH + 1)


@decides("REL-11", scene=ECHO)
async def an_unknown_stream_is_reset(stage: Stage) -> None:
    """A later segment of a stream that is not known: Reset with its epoch, and nothing is heard; so beside a known
    stream, which goes on."""
    peer = _peer(stage)
    peer.send(_data(5))
    await peer.expect(RelReset, stream_epoch=EPOCH)
    peer.send(_data(0))
    await peer.expect(RelAck, acknowledged=START + 1)
    await stage.user.expect("heard", token=0)
    peer.send(_data(2, EPOCH + 1))
    await peer.expect(RelReset, stream_epoch=EPOCH + 1)
    await stage.user.silence("heard", "broken")
    peer.send(_data(1))
    await stage.user.expect("heard", token=1)


@decides("REL-11", scene=REBORN)
async def what_was_said_to_an_earlier_life_is_reset(stage: Stage) -> None:
    """A first segment that acknowledges a stream of the first life: Reset, and it is not heard; one of a node that
    knows no stream of it is."""
    peer = _peer(stage)
    peer.send(_data(0, acknowledged=START + 1))
    await peer.expect(RelReset, stream_epoch=EPOCH)
    await stage.user.silence("heard")
    peer.send(_data(0, EPOCH + 1))
    await peer.expect(RelAck, stream_epoch=EPOCH + 1)
    await stage.user.expect("heard", token=0)


@decides("REL-11", scene=ECHO)
async def what_answers_to_a_stream_that_has_ended_is_reset(stage: Stage) -> None:
    """The peer's first segment acknowledges what the peer itself has reset: Reset, and it is not heard; one that
    acknowledges nothing is."""
    peer = _peer(stage)
    await _opened(stage, peer)
    peer.send(RelReset(EPOCH))
    await stage.user.expect("broken", node=2)
    peer.send(_data(0, acknowledged=START + 1))
    await peer.expect(RelReset, stream_epoch=EPOCH)
    await stage.user.silence("heard")
    peer.send(_data(0, EPOCH + 1))
    await stage.user.expect("heard", token=0)


@decides("REL-11", scene=ECHO)
async def a_new_stream_that_answers_to_one_that_has_ended_is_reset(stage: Stage) -> None:
    """As before, but the peer's stream was known: its next one, which acknowledges what has ended, is reset; the one
    after that, which acknowledges nothing, is heard."""
    peer = _peer(stage)
    peer.send(_data(0))
    await stage.user.expect("heard", token=0)
    await _opened(stage, peer)
    peer.send(RelReset(EPOCH))
    await stage.user.expect("broken", node=2)
    peer.send(_data(0, EPOCH + 1, acknowledged=START + 1))
    await peer.expect(RelReset, stream_epoch=EPOCH + 1)
    await stage.user.silence("heard", "broken")
    peer.send(_data(0, EPOCH + 2))
    await stage.user.expect("heard", token=0)
    await stage.user.silence("broken")


@decides("REL-11", scene=ECHO)
async def what_goes_on_to_answer_to_a_stream_that_has_ended_is_reset(stage: Stage) -> None:
    """The peer's stream begins without an answer, after the end of the implementation's; its second segment
    acknowledges what has ended: Reset, and it is not heard.  A copy of the first that does so changes nothing."""
    peer = _peer(stage)
    await _opened(stage, peer)
    peer.send(RelReset(EPOCH))
    await stage.user.expect("broken", node=2)
    peer.send(_data(0))
    await stage.user.expect("heard", token=0)
    peer.send(_data(0, acknowledged=START + 1))
    await peer.silence(RelReset)
    peer.send(_data(1, acknowledged=START + 1))
    await peer.expect(RelReset, stream_epoch=EPOCH)
    await stage.user.silence("heard")
    peer.send(_data(0, EPOCH + 1))
    await stage.user.expect("heard", token=0)


@decides("REL-17", scene=ECHO, patient=True)
async def who_was_given_up_is_told(stage: Stage) -> None:
    """The peer's stream goes on after the implementation has ended its own: Reset, and it is not heard; the peer's next
    one is, without another Broken."""
    peer = _peer(stage)
    peer.send(_data(0))
    await stage.user.expect("heard", token=0)
    stage.user.order("say", node=2, size=1)
    await stage.user.expect("broken", 2_000_000 * MS, node=2)
    peer.send(_data(1))
    await peer.expect(RelReset, stream_epoch=EPOCH)
    peer.send(_data(0, EPOCH + 1))
    await stage.user.expect("heard", token=0)
    await stage.user.silence("broken", "heard")


@decides("REL-17", scene=ECHO, patient=True)
async def who_was_given_up_and_is_spoken_to_again_may_go_on(stage: Stage) -> None:
    """The implementation has begun its next stream: of the peer's old one it takes nothing that does not acknowledge
    that, and what does."""
    peer = _peer(stage)
    peer.send(_data(0))
    await stage.user.expect("heard", token=0)
    stage.user.order("say", node=2, size=1)
    await stage.user.expect("broken", 2_000_000 * MS, node=2)
    peer.forget()
    stage.user.order("say", node=2, size=1)
    await peer.expect(RelData, stream_epoch=EPOCH + 1)
    peer.send(_data(1))
    await peer.silence(RelReset)
    await stage.user.silence("heard")
    peer.send(_data(1, acknowledged=first_sequence(EPOCH + 1) + 1 & 0xFFFFFFFF))
    await stage.user.expect("heard", token=1)
    await stage.user.silence("broken")


@decides("REL-17", scene=ECHO, patient=True)
async def what_came_before_it_was_given_up_comes_again(stage: Stage) -> None:
    """The peer has not heard that its first segment had come, which the implementation has let go of; then comes the
    implementation's next stream.  The segment is sent again, and heard again."""
    peer = _peer(stage)
    peer.send(_data(0))
    await stage.user.expect("heard", token=0)
    stage.user.order("say", node=2, size=1)
    await stage.user.expect("broken", 2_000_000 * MS, node=2)
    peer.forget()
    stage.user.order("say", node=2, size=1)
    await peer.expect(RelData, stream_epoch=EPOCH + 1, acknowledged=0)
    peer.send(_data(0, acknowledged=first_sequence(EPOCH + 1) + 1 & 0xFFFFFFFF))
    await stage.user.expect("heard", token=0)
    await peer.expect(RelAck, stream_epoch=EPOCH, acknowledged=START + 1)
    await stage.user.silence("broken")


@decides("REL-12", scene=ECHO)
async def who_is_given_up_ends_its_own_stream(stage: Stage) -> None:
    """The peer has acknowledged the implementation's first segment, and not its second; then its second stream comes,
    which acknowledges nothing.  Broken; the second segment is not sent again, and a Probe begins the next stream."""
    peer = _peer(stage)
    await _opened(stage, peer)
    stage.user.order("say", node=2, size=2)
    await peer.expect(RelData, stream_epoch=EPOCH, sequence=START + 1)
    peer.send(_data(0, EPOCH + 1))
    await stage.user.expect("broken", node=2)
    await stage.user.expect("heard", token=0)
    row: dict[str, Any] = {"protocol": ProtocolId.REL, "message": RelProbe.MESSAGE}
    await peer.expect(RelData, stream_epoch=EPOCH + 1, sequence=first_sequence(EPOCH + 1), **row)
    peer.send(_ack(1, EPOCH + 1))
    await stage.wait(2 * DELAY_PS)
    peer.forget()
    await peer.silence(RelData, during=20 * DELAY_PS)
    await stage.user.silence("broken")


@decides("REL-12", scene=ECHO)
async def a_stream_that_acknowledges_ends_nothing_of_the_other(stage: Stage) -> None:
    """The peer's next stream knows the implementation's: that goes on."""
    peer = _peer(stage)
    await _opened(stage, peer)
    peer.send(_data(0, EPOCH + 1, acknowledged=START + 1))
    await stage.user.expect("heard", token=0)
    peer.forget()
    stage.user.order("say", node=2, size=1)
    await peer.expect(RelData, stream_epoch=EPOCH, sequence=START + 1)
    await stage.user.silence("broken")


@decides("REL-12", scene=ECHO)
async def a_newer_stream_ends_the_known_one(stage: Stage) -> None:
    """The first segment of the next stream: Broken, then its message; segments of the old one change nothing."""
    peer = _peer(stage)
    peer.send(_data(0))
    await stage.user.expect("heard", token=0)
    peer.send(_data(0, EPOCH + 1))
    await peer.expect(RelAck, where=lambda ack: ack.stream_epoch == EPOCH + 1)
    told = [facts["event"] for facts in stage.user.told]
    if told != ["broken", "heard"]:
        raise NotMet(f"the user was told {told}, not of the end of the old stream and then what the new one brings")
    stage.user.told.clear()
    peer.forget()
    peer.send(_data(1))
    await peer.silence()
    await stage.user.silence("heard", "broken")


@decides("REL-2", "REL-12", scene=ECHO)
async def lives_are_counted_once_round(stage: Stage) -> None:
    """Life 0 of the peer comes after its life 65,535: its stream is heard."""
    peer = _peer(stage)
    last = 0xFFFF << 16
    peer.incarnation = 0xFFFF
    peer.send(_data(0, last))
    await peer.expect(RelAck, stream_epoch=last)
    await stage.user.expect("heard", token=0)
    peer.incarnation, peer.sequence = 0, 0
    peer.send(_data(0, 0))
    await peer.expect(RelAck, stream_epoch=0, acknowledged=1)
    await stage.user.expect("heard", token=0)


@decides("REL-13", scene=ECHO)
async def a_restart_ends_both_streams(stage: Stage) -> None:
    """The peer's next incarnation begins a stream: the implementation's own to it ends, too, and begins anew."""
    peer = _peer(stage)
    await _opened(stage, peer)
    peer.send(_data(0))
    await stage.user.expect("heard", token=0)
    peer.forget()
    peer.incarnation, peer.sequence = 2, 0
    peer.send(_data(0, 2 << 16))
    await stage.user.expect("broken", node=2)
    stage.user.order("say", node=2, size=1)
    await peer.expect(RelData, stream_epoch=EPOCH + 1, sequence=first_sequence(EPOCH + 1))


@decides("REL-13", scene=ECHO)
async def any_frame_tells_of_a_restart(stage: Stage) -> None:
    """A Ping of the peer's next incarnation: what it has acknowledged it has forgotten, and the stream ends; once."""
    peer = _peer(stage)
    await _opened(stage, peer)
    peer.forget()
    _live_anew(peer)
    await stage.user.expect("broken", node=2)
    peer.send(_data(0, 2 << 16))
    await stage.user.expect("heard", token=0)
    await stage.user.silence("broken")
    peer.forget()
    stage.user.order("say", node=2, size=1)
    await peer.expect(RelData, stream_epoch=EPOCH + 1, sequence=first_sequence(EPOCH + 1))


@decides("REL-13", scene=ECHO)
async def what_cannot_have_been_forgotten_goes_on(stage: Stage) -> None:
    """The peer has acknowledged and delivered nothing when its next incarnation comes: that gets the segment."""
    peer = _peer(stage)
    peer.send(EchoPing(1, 0, b""))
    stage.user.order("say", node=2, size=1)
    await peer.expect(RelData, stream_epoch=EPOCH, sequence=START)
    _live_anew(peer)
    await stage.user.silence("broken")
    peer.send(_ack(1))
    await stage.wait(2 * DELAY_PS)
    peer.forget()
    stage.user.order("say", node=2, size=1)
    await peer.expect(RelData, stream_epoch=EPOCH, sequence=START + 1)


def _live_anew(peer: Peer) -> None:
    peer.incarnation, peer.sequence = peer.incarnation + 1, 0
    peer.send(EchoPing(2, 0, b""))


@decides("REL-14", scene=ECHO)
async def a_silent_peer_is_asked(stage: Stage) -> None:
    """Somebody waits for the peer: a Data with a Probe comes, and again later; the peer's own Probe is acknowledged and
    brings nothing."""
    peer = _peer(stage)
    stage.user.order("watch", node=2)
    row: dict[str, Any] = {"protocol": ProtocolId.REL, "sequence": START}
    probe = await peer.expect(RelData, KEEP_ALIVE_PS + SOON_PS, message=RelProbe.MESSAGE, **row)
    peer.send(_ack(1))
    await stage.wait(2 * DELAY_PS)
    peer.forget()
    row |= {"sequence": START + 1}
    await peer.expect(RelData, 2 * KEEP_ALIVE_PS + SOON_PS, message=probe.message, **row)
    peer.send(_ack(2))
    peer.send(RelData(EPOCH, START, 0, ProtocolId.REL, RelProbe.MESSAGE, 0, b""))
    await peer.expect(RelAck, acknowledged=START + 1)
    await stage.user.silence("heard")


@decides("REL-16", scene=REBORN)
async def a_second_life_is_announced(stage: Stage) -> None:
    """Every peer gets a Probe as the first of the stream, until it acknowledges that; then no more."""
    epoch = REBORN.incarnation << 16
    row: dict[str, Any] = {"stream_epoch": epoch, "sequence": first_sequence(epoch), "acknowledged": 0}
    peers = list(stage.peers.values())
    for peer in peers:
        peer.reliable = None
    for _ in range(2):
        for peer in peers:
            await peer.expect(RelData, 20 * DELAY_PS, protocol=ProtocolId.REL, message=RelProbe.MESSAGE, **row)
    for peer in peers:
        peer.send(_ack(1, epoch))
    await stage.wait(2 * DELAY_PS)
    for peer in peers:
        peer.forget()
    for peer in peers:
        await peer.silence(RelData, during=20 * DELAY_PS)
    await stage.user.silence("broken", "heard")
