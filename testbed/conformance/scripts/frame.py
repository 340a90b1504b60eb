"""Scripts for the header: what is dropped must leave no mark.  A Ping that is answered is the proof of acceptance."""

from protocols.wire import HEADER_BYTES, EchoPing, EchoPong, MhpGen, MhpKind
from testbed.conformance.scene import ECHO, MS
from testbed.conformance.scripts import decides
from testbed.conformance.stage import NotMet, Peer, Stage


async def _answered(peer: Peer, token: int) -> None:
    await peer.expect(EchoPong, token=token)


async def _dropped(peer: Peer) -> None:
    await peer.silence(EchoPong)
    peer.send(EchoPing(0xA11FE, 0, b""))
    await _answered(peer, 0xA11FE)


def _with(frame: bytes, at: int, value: bytes) -> bytes:
    return frame[:at] + value + frame[at + len(value) :]


@decides("FRM-1", scene=ECHO, outside=True)
async def what_is_no_frame_is_dropped(stage: Stage) -> None:
    """Empty, short, another version, a length too small or too large, a frame above 1,200 bytes, the device bus's
    protocol."""
    peer = stage.peers[2]
    good = peer.frame(EchoPing(1, 0, b"abc"))
    for bad in (
        b"",
        good[:1],
        good[: HEADER_BYTES - 1],
        good[:-1],
        good + b"\0",
        _with(good, 4, (len(good) - 1).to_bytes(2, "big")),
        bytes(1201),
    ):
        peer.send_frame(bad)
    for number in (0, 2, 255):
        peer.send_frame(_retagged(peer, good, 0, bytes([number])), f"version {number}")
    for number in (128, 200):
        peer.send_frame(_retagged(peer, good, 1, bytes([number])), f"protocol {number}")
    await _dropped(peer)


def _retagged(peer: Peer, frame: bytes, at: int, value: bytes) -> bytes:
    """The frame with other bytes in its header, and a tag that fits them."""
    return peer.tagged(_with(frame, at, value))


@decides("FRM-2", scene=ECHO, outside=True)
async def a_wrong_tag_is_dropped(stage: Stage) -> None:
    """One bit of the tag, of the header, of the body; another key; no tag.  The same sequence, right, is then new."""
    peer = stage.peers[2]
    good = peer.frame(EchoPing(2, 0, b"abc"))
    for place in (16, 31, 3, 10, 13, len(good) - 1):
        peer.send_frame(_with(good, place, bytes([good[place] ^ 1])))
    peer.send_frame(_with(good, 16, bytes(16)))
    peer.send_frame(peer.frame(EchoPing(2, 0, b"abc"), key=bytes(32), sequence=peer.sequence))
    await peer.silence(EchoPong)
    peer.send_frame(good, "the frame as it was")
    await _answered(peer, 2)


@decides("FRM-3", scene=ECHO, outside=True)
async def a_frame_is_accepted_once(stage: Stage) -> None:
    """A copy is dropped; 1,023 below the highest is accepted, once; 1,024 below is not; the order is free."""
    peer = stage.peers[2]

    def ping(token: int, sequence: int) -> bytes:
        return peer.frame(EchoPing(token, 0, b""), sequence=sequence)

    first = ping(1, 5_000)
    peer.send_frame(first, "sequence 5000")
    await _answered(peer, 1)
    peer.send_frame(first, "sequence 5000 again")
    await peer.silence(EchoPong)
    for token, sequence in ((2, 5_000 - 1_023), (3, 4_999), (4, 4_500)):
        frame = ping(token, sequence)
        peer.send_frame(frame, f"sequence {sequence}")
        await _answered(peer, token)
        peer.send_frame(frame, f"sequence {sequence} again")
        await peer.silence(EchoPong)
    peer.send_frame(ping(5, 5_000 - 1_024), "1,024 below")
    peer.send_frame(ping(6, 1), "far below")
    await peer.silence(EchoPong)
    peer.send_frame(ping(7, 0xFFFFFFFF), "the highest there is")
    await _answered(peer, 7)
    peer.send_frame(ping(8, 5_001), "now far below")
    await peer.silence(EchoPong)


async def _incarnations(peer: Peer, newer: tuple[tuple[int, int], ...], older: tuple[int, ...]) -> None:
    for token, (incarnation, sequence) in enumerate(newer):
        peer.send_frame(
            peer.frame(EchoPing(token, 0, b""), incarnation=incarnation, sequence=sequence),
            f"incarnation {incarnation}, sequence {sequence}",
        )
        await _answered(peer, token)
    for incarnation in older:
        peer.send_frame(
            peer.frame(EchoPing(9, 0, b""), incarnation=incarnation, sequence=10**6), f"incarnation {incarnation}"
        )
    await peer.silence(EchoPong)


@decides("FRM-4", scene=ECHO, outside=True)
async def a_newer_incarnation_begins_anew(stage: Stage) -> None:
    """The newer one is accepted with any sequence, and the older ones no more."""
    peer = stage.peers[2]
    base = peer.incarnation
    await _incarnations(
        peer,
        ((base, 90_000), ((base + 1) & 0xFFFF, 1), ((base + 3) & 0xFFFF, 7)),
        ((base + 2) & 0xFFFF, base, (base - 1) & 0xFFFF),
    )


@decides("FRM-4", scene=ECHO)
async def incarnations_wrap(stage: Stage) -> None:
    """Newer is up to half of the ring ahead: 40000, 65000, 0, 3."""
    peer = stage.peers[2]
    await _incarnations(peer, ((40_000, 9), (65_000, 5), (0, 2), (3, 1)), (2, 0, 65_000, 40_001))


@decides("FRM-5", scene=ECHO, outside=True)
async def a_frame_for_others_is_dropped(stage: Stage) -> None:
    """Another destination, another source; with tags that fit."""
    peer = stage.peers[2]
    for destination in (0, 2, 77):
        peer.send_frame(peer.frame(EchoPing(1, 0, b""), destination=destination), f"for node {destination}")
    for source in (0, 1, 77):
        peer.send_frame(peer.frame(EchoPing(1, 0, b""), source=source), f"from node {source}")
    await _dropped(peer)


@decides("FRM-6", scene=ECHO, outside=True)
async def what_is_no_message_is_dropped(stage: Stage) -> None:
    """Bodies too short and too long, a padding beyond its bound, unknown messages, unknown code points."""
    peer = stage.peers[2]
    body = EchoPing(1, 0, b"abcd").pack()
    bodies = [b"", body[:7], body[:-1], body + b"\0", _with(body, 6, b"\0\3"), _with(body, 6, b"\0\5")]
    bodies.append(body[:6] + (1_001).to_bytes(2, "big") + bytes(1_001))
    for wrong in bodies:
        peer.send_frame(peer.frame(EchoPing(1, 0, b""), body=wrong), f"a Ping of {wrong[:12].hex()}…")
    for number in (0, 3, 255):
        peer.send_frame(peer.frame(EchoPing(1, 0, b""), message=number), f"ECHO message {number}")
    gen = MhpGen(MhpKind.PRODUCE, 1, 1, 10, 1, 1, 0, 1)
    peer.send_frame(peer.frame(gen, body=b"\x09" + gen.pack()[1:]), "a Gen of kind 9")
    await _dropped(peer)


@decides("FRM-7", scene=ECHO)
async def flags_are_sent_as_zero_and_ignored(stage: Stage) -> None:
    """A Ping with all flags set is answered, by a frame without any; reserved bits of a Data likewise."""
    peer = stage.peers[2]
    good = peer.frame(EchoPing(6, 0, b""))
    peer.send_frame(_retagged(peer, good, 3, b"\xff"), "a Ping with all flags set")
    seen = await peer.expect_seen(EchoPong, token=6)
    if seen.header.flags:
        raise NotMet(f"flags {seen.header.flags:#x} in a frame of the implementation")


@decides("FRM-8", scene=ECHO)
async def sequences_grow(stage: Stage) -> None:
    """Answers, pings, repeated pings: each frame's sequence is above the one before."""
    peer = stage.peers[2]
    highest = 0
    stage.user.order("ping", node=2, timeout_ps=400 * MS)
    for token in range(4):
        peer.send(EchoPing(token, 0, b""))
        highest = _higher(highest, (await peer.expect_seen(EchoPong)).header.sequence)
    await stage.wait(600 * MS)
    pings = [seen for seen in peer.seen if isinstance(seen.message, EchoPing)]
    if len(pings) < 2:
        raise NotMet("the unanswered ping was not sent again")
    sequences = sorted(seen.header.sequence for seen in pings)
    if len(set(sequences)) < len(sequences):
        raise NotMet(f"sequences {sequences} of pings repeat")
    peer.send(EchoPong(pings[0].message.token, 1, b""))
    peer.send(EchoPing(99, 0, b""))
    _higher(max(sequences), (await peer.expect_seen(EchoPong)).header.sequence)


def _higher(before: int, sequence: int) -> int:
    if sequence <= before:
        raise NotMet(f"sequence {sequence} follows {before}")
    return sequence
