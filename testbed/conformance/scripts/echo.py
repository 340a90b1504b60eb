"""Scripts for ECHO."""

from protocols.wire import EchoPing, EchoPong
from testbed.conformance.scene import ECHO, MS
from testbed.conformance.scripts import decides
from testbed.conformance.stage import NotMet, Stage


@decides("ECHO-1", scene=ECHO, outside=True)
async def a_ping_is_answered(stage: Stage) -> None:
    """Pings with and without padding, and with the highest hops."""
    peer = stage.peers[2]
    for token, hops, padding in ((7, 0, b""), (0xFFFFFFFF, 0xFFFF, b"\x00\xff" * 500), (0, 41, b"x")):
        peer.send(EchoPing(token, hops, padding))
        await peer.expect(EchoPong, token=token, hops=(hops + 1) % 65536, padding=padding)
    await peer.silence(EchoPong)


@decides("ECHO-2", "ECHO-5", scene=ECHO)
async def pings_in_flight_have_tokens_of_their_own(stage: Stage) -> None:
    """Five pings, two at a time: no third before an answer; the end is told once all are answered."""
    peer = stage.peers[2]
    stage.user.order("ping", node=2, count=5, in_flight=2, timeout_ps=3_000 * MS)
    open_tokens: list[int] = []
    for left in range(5, 0, -1):
        while len(open_tokens) < min(2, left):
            ping = await peer.expect(EchoPing)
            if ping.token in open_tokens:
                raise NotMet(f"token {ping.token} is used again while it is unanswered")
            open_tokens.append(ping.token)
        await peer.silence(EchoPing)
        await stage.user.silence("pinged", during=0)
        peer.send(EchoPong(open_tokens.pop(0), 1, b""))
    await stage.user.expect("pinged", answered=5, lost=0)


@decides("ECHO-3", "ECHO-5", scene=ECHO)
async def a_ping_is_repeated_as_it_was(stage: Stage) -> None:
    """Unanswered, it comes again with the same token, hops and padding; answered then, the run ends."""
    peer = stage.peers[2]
    stage.user.order("ping", node=2, padding=9, timeout_ps=400 * MS)
    first = await peer.expect(EchoPing)
    second = await peer.expect(EchoPing, within=1_000 * MS)
    if first != second:
        raise NotMet(f"repeated as {second}, first sent as {first}")
    peer.send(EchoPong(first.token, 1, first.padding))
    await stage.user.expect("pinged", answered=1, lost=0)


@decides("ECHO-4", scene=ECHO)
async def an_unawaited_pong_changes_nothing(stage: Stage) -> None:
    """A Pong with another token ends nothing; nor does a second one with the right token end a second ping."""
    peer = stage.peers[2]
    stage.user.order("ping", node=2, count=2, timeout_ps=3_000 * MS)
    first = await peer.expect(EchoPing)
    peer.send(EchoPong(first.token ^ 0x55AA, 1, b""))
    await peer.silence(EchoPing)
    peer.send(EchoPong(first.token, 1, b""))
    second = await peer.expect(EchoPing)
    if second.token != first.token:
        peer.send(EchoPong(first.token, 1, b""))
        await stage.user.silence("pinged")
    peer.send(EchoPong(second.token, 1, b""))
    await stage.user.expect("pinged", answered=2, lost=0)
