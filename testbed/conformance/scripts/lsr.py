"""Scripts for LSR: a node with neighbours 1 and 3, which say what they want of themselves and of others.

Towards node 3 the implementation leads; node 1 leads towards it.
"""

from itertools import pairwise
from typing import Final

from protocols.wire import (
    LsrAck,
    LsrAdvert,
    LsrHello,
    LsrPart,
    LsrRequest,
    LsrSummary,
    LsrVersion,
)
from testbed.conformance.scene import MS, ROUTER, ROUTING
from testbed.conformance.scripts import decides
from testbed.conformance.scripts.neighbours import FAR, NODE, TOLD_PS, Side, advert_of, link_to, up, version
from testbed.conformance.stage import SOON_PS, NotMet, Seen, Stage

LAST: Final = (0xFFFF, 0xFF)


@decides("LSR-1", scene=ROUTER)
async def up_is_who_hears_us(stage: Stage) -> None:
    """A Hello that does not name this life is answered by one that names the life it came from; one that does brings
    the neighbour up; one that does no more takes it down: node 3 is told each time."""
    (other,) = await up(stage, 3)
    side = Side(stage, 1)
    side.peer.forget()
    side.hello(heard=0)
    await side.peer.expect(LsrHello, heard=1)
    await other.peer.silence(LsrAdvert, during=TOLD_PS)
    side.hello()
    advert = await other.advert()
    if {link.neighbour for link in advert.links} != {1, 3}:
        raise NotMet(f"node 1 is up, and {advert} does not name it")
    side.peer.forget()
    side.hello(heard=9)
    await side.peer.expect(LsrHello, heard=1)
    advert = await other.advert()
    if {link.neighbour for link in advert.links} != {3}:
        raise NotMet(f"node 1 does not hear this node any more, and {advert} names it")


@decides("LSR-2", scene=ROUTER)
async def overtaken_hellos_are_nothing(stage: Stage) -> None:
    """Number 5, then 5 and 4 again: no answer.  A newer life is answered; the earlier one is not, whatever its
    number."""
    (side,) = await up(stage, 1)
    side.hello(answer=1, number=5)
    await side.peer.expect(LsrHello)
    for number in (5, 4):
        side.hello(answer=1, number=number)
        side.hello(heard=0, number=number)
    await side.peer.silence(LsrHello)
    side.life = 2
    side.hello(heard=0, number=1)
    await side.peer.expect(LsrHello, heard=2)
    side.life = 1
    side.hello(answer=1, number=1_000)
    await side.peer.silence(LsrHello, where=lambda hello: hello.heard == 1)


@decides("LSR-2", scene=ROUTER)
async def a_newer_life_was_down(stage: Stage) -> None:
    """A Hello of a newer life that hears this node: it was down, and is up again: it is sent what there is anew."""
    (side,) = await up(stage, 1)
    side.life, side.number = 2, 0
    side.peer.send(LsrHello(2, 1, 1, 0, 0))
    side.peer.send(LsrSummary(0, 0, *LAST, ()))
    await side.advert()


@decides("LSR-3", scene=ROUTER)
async def a_question_is_answered_at_once(stage: Stage) -> None:
    """With answer = 1 a Hello is answered by a Hello, with 0 it is not."""
    (side,) = await up(stage, 1)
    side.hello(answer=1)
    await side.peer.expect(LsrHello, heard=1, answer=0)
    side.peer.forget()
    digest = 0
    side.hello(answer=1)
    digest = (await side.peer.expect(LsrHello)).digest
    side.hello(digest=digest)
    await side.peer.silence(LsrHello)


@decides("LSR-4", "LSR-5", "LSR-6", scene=ROUTER)
async def the_newer_version_counts(stage: Stage) -> None:
    """Sequences 0xFFFFFFF0, 3 (it wraps), and 1 of the next life: each goes to the other neighbour and is acknowledged.
    An older one, of sequence or of life, is answered by the newer."""
    side, other = await up(stage, 1, 3)
    for life, sequence in ((1, 0xFFFFFFF0), (1, 3), (2, 1)):
        advert = advert_of(sequence, life=life)
        side.peer.send(advert)
        passed = await other.advert(SOON_PS, FAR)
        if passed != advert:
            raise NotMet(f"{passed} is not what was to be passed on")
        ack = await side.peer.expect(LsrAck)
        if ack.versions != (version(advert),):
            raise NotMet(f"{ack} acknowledges {advert}")
    for life, sequence in ((1, 0xFFFFFFF1), (2, 0)):
        side.peer.send(advert_of(sequence, life=life))
        newer = await side.advert(SOON_PS, FAR)
        if version(newer) != version(advert):
            raise NotMet(f"an older version is answered by {newer}")
    await other.peer.silence(LsrAdvert, where=lambda a: a.origin == FAR)


@decides("LSR-5", scene=ROUTER)
async def an_advert_is_repeated_until_it_is_acknowledged(stage: Stage) -> None:
    """Node 3 does not acknowledge: it comes again, and again; then it does: no more.  Node 1, from which it came, does
    not get it."""
    side, other = await up(stage, 1, 3)
    advert = advert_of(5)
    side.peer.send(advert)
    for _ in range(3):
        await other.peer.expect(LsrAdvert, 3_000 * MS, origin=FAR, sequence=5)
    other.acknowledge(advert)
    await stage.wait(SOON_PS)
    other.peer.forget()
    await other.peer.silence(LsrAdvert, during=3_000 * MS)
    await side.peer.silence(LsrAdvert, where=lambda a: a.origin == FAR)


@decides("LSR-5", scene=ROUTER)
async def a_newer_life_replaces_all_parts(stage: Stage) -> None:
    """Parts 0 and 1 of one life, part 0 of the next: part 1 is there no more."""
    side, _ = await up(stage, 1, 3)
    for part in (0, 1):
        side.peer.send(advert_of(5 + part, part=part))
    await stage.wait(SOON_PS)
    side.peer.send(LsrRequest((LsrPart(FAR, 1),)))
    await side.advert(SOON_PS, FAR, part=1)
    side.peer.send(advert_of(1, life=2))
    await stage.wait(SOON_PS)
    side.peer.forget()
    side.peer.send(LsrRequest((LsrPart(FAR, 1), LsrPart(FAR, 0))))
    await side.advert(SOON_PS, FAR, part=0, incarnation=2)
    await side.peer.silence(LsrAdvert, where=lambda a: (a.origin, a.part) == (FAR, 1))


@decides("LSR-7", scene=ROUTER)
async def what_is_said_in_its_name_is_outdone(stage: Stage) -> None:
    """Adverts of the implementation that it has not sent: of an earlier life, and of this one with a high sequence."""
    (side,) = await up(stage, 1)
    side.peer.send(advert_of(9, origin=NODE, life=0))
    await side.advert(incarnation=1)
    side.peer.send(advert_of(70_000, origin=NODE))
    advert = await side.advert(incarnation=1)
    if advert.sequence <= 70_000:
        raise NotMet(f"{advert} does not outdo sequence 70000")
    if not advert.links:
        raise NotMet("what others have said in its name stands")


@decides("LSR-8", scene=ROUTER)
async def the_lower_number_sends_summaries(stage: Stage) -> None:
    """Another digest at node 3: a Summary of all keys, again until the digests are equal.  At node 1: none."""
    side, other = await up(stage, 1, 3)
    side.peer.send(advert_of(5, links=(link_to(8, 1),)))
    await other.advert(SOON_PS, FAR)
    other.hello(digest=0x1234)
    for _ in range(2):
        summary = await other.peer.expect(LsrSummary, 10_000 * MS, first_origin=0, first_part=0)
        if (summary.last_origin, summary.last_part) != LAST:
            raise NotMet(f"{summary} does not cover all keys, and no other follows")
        if not any(version.origin == NODE for version in summary.versions):
            raise NotMet(f"{summary} does not list what the implementation says of itself")
    other.peer.forget()
    other.hello(answer=1, digest=0x1234)
    digest = (await other.peer.expect(LsrHello)).digest
    other.hello(digest=digest)
    await stage.wait(SOON_PS)
    other.peer.forget()
    side.hello(digest=0x4321)
    await other.peer.silence(LsrSummary, during=3_000 * MS)
    await side.peer.silence(LsrSummary, during=0)


@decides("LSR-8", scene=ROUTER)
async def a_summary_is_compared(stage: Stage) -> None:
    """Nothing of the implementation listed: it sends it.  An unknown version: it is asked for.  An older one: the newer
    is sent."""
    side, _ = await up(stage, 1, 3)
    side.peer.send(advert_of(5))
    await stage.wait(SOON_PS)
    side.peer.forget()
    side.peer.send(LsrSummary(0, 0, *LAST, (LsrVersion(FAR, 0, 1, 4), LsrVersion(FAR + 1, 0, 1, 1))))
    request = await side.peer.expect(LsrRequest)
    if request.parts != (LsrPart(FAR + 1, 0),):
        raise NotMet(f"{request} asks for something else than part 0 of node {FAR + 1}")
    await side.advert(SOON_PS, NODE)
    await side.advert(SOON_PS, FAR, sequence=5)


@decides("LSR-9", scene=ROUTER)
async def small_changes_are_not_told(stage: Stage) -> None:
    """A load of 1/2: told.  Then 9/16 is near, and is not; 7/8 is.  Between two versions lies the hold, or more."""
    (side,) = await up(stage, 1)
    stage.user.order("load", link=1, sixteenths=8)
    first = await side.peer.expect_seen(LsrAdvert, TOLD_PS)
    side.acknowledge(first.message)
    stage.user.order("load", link=1, sixteenths=9)
    await side.peer.silence(LsrAdvert, during=2 * TOLD_PS)
    times: list[Seen] = []
    for sixteenths in (14, 4, 14):
        stage.user.order("load", link=1, sixteenths=sixteenths)
        seen = await side.peer.expect_seen(LsrAdvert, 4_000 * MS)
        side.acknowledge(seen.message)
        times.append(seen)
    for before, after in pairwise(times):
        if after.at - before.at < ROUTING["hold_ps"] - 20 * MS:
            raise NotMet(f"two versions are {(after.at - before.at) / MS:.0f} ms apart")


@decides("LSR-10", scene=ROUTER)
async def who_is_depended_on_is_asked(stage: Stage) -> None:
    """A circuit leads over node 1: a Hello that asks, every hello interval; answered, nothing changes.  Then it is not
    answered, for the dead interval and six times: lost, and node 3 is told."""
    side, other = await up(stage, 1, 3)
    stage.user.order("depend", node=1)
    for _ in range(3):
        await side.peer.expect(LsrHello, 2 * ROUTING["hello_ps"], answer=1)
        side.hello(digest=(await _digest(stage, side)))
    await other.peer.silence(LsrAdvert, during=0)
    side.peer.forget()
    began = stage.now
    advert = await other.advert(60_000 * MS)
    if any(link.neighbour == 1 for link in advert.links):
        raise NotMet(f"node 1 has been silent, and {advert} names it")
    if stage.now - began < ROUTING["dead_ps"]:
        raise NotMet(f"node 1 was given up after {(stage.now - began) / MS:.0f} ms")
    asked = sum(isinstance(seen.message, LsrHello) for seen in side.peer.seen)
    if asked < 6:
        raise NotMet(f"node 1 was given up after {asked} questions")


async def _digest(stage: Stage, side: Side) -> int:
    """What the implementation holds, by its own word."""
    side.hello(answer=1)
    return (await side.peer.expect(LsrHello, where=lambda hello: hello.answer == 0)).digest


@decides("LSR-11", scene=ROUTER)
async def what_cannot_be_reached_ages(stage: Stage) -> None:
    """No chain of links leads to node 7: its advert is not in the digest nor in a Summary; it is kept for the age
    limit, and then dropped."""
    (other,) = await up(stage, 3)
    before = await _digest(stage, other)
    other.peer.send(advert_of(5))
    await stage.wait(SOON_PS)
    if await _digest(stage, other) != before:
        raise NotMet("an advert out of reach is part of the digest")
    other.hello(digest=0x77)
    summary = await other.peer.expect(LsrSummary)
    if any(version.origin == FAR for version in summary.versions):
        raise NotMet("an advert out of reach is listed in a Summary")
    other.hello(digest=before)
    await stage.wait(ROUTING["forget_ps"] - 5_000 * MS)
    other.peer.send(LsrRequest((LsrPart(FAR, 0),)))
    await other.advert(SOON_PS, FAR)
    await stage.wait(10_000 * MS)
    other.peer.forget()
    other.peer.send(LsrRequest((LsrPart(FAR, 0),)))
    await other.peer.silence(LsrAdvert, where=lambda a: a.origin == FAR)


@decides("LSR-12", scene=ROUTER)
async def ways_use_what_both_ends_say(stage: Stage) -> None:
    """Node 3 advertises a link to node 4, which does not: no way.  It does: a way.  Node 3 is none to pass through: no
    way."""
    _, other = await up(stage, 1, 3)

    async def ways(*expected: list[int]) -> None:
        await stage.wait(TOLD_PS)
        stage.user.order("ways", node=4)
        # No time is set for the search: it may have to load a library first.
        await stage.user.expect("ways", 5_000 * MS, ways=list(expected))

    other.peer.send(advert_of(1, origin=3, links=(link_to(2, NODE), link_to(5, 4))))
    await ways()
    other.peer.send(advert_of(1, origin=4, links=(link_to(5, 3),)))
    await ways([3, 4])
    other.peer.send(advert_of(2, origin=3, transit=0, links=(link_to(2, NODE), link_to(5, 4))))
    await ways()


@decides("LSR-13", scene=ROUTER)
async def an_idle_network_is_silent(stage: Stage) -> None:
    """Node 1 agrees, and hears nothing for a minute.  Node 3 is down: it is asked at intervals that grow, up to an
    eighth of the time for which it has been down."""
    born = stage.now
    (side,) = await up(stage, 1)
    side.hello(digest=(await _digest(stage, side)))
    await stage.wait(SOON_PS)
    side.peer.forget()
    other = stage.peers[3]
    other.forget()
    times = []
    began = stage.now
    while stage.now < began + 60_000 * MS:
        await stage.wait(1_000 * MS)
        times += [seen.at for seen in other.seen if isinstance(seen.message, LsrHello)]
        other.forget()
    await side.peer.silence(during=0)
    gaps = [b - a for a, b in pairwise(times)]
    for asked, gap in zip(times, gaps, strict=False):
        ceiling = max(ROUTING["hello_ps"], (asked - born) // 8)
        # Neither is exact on a host that has other things to do.
        if asked - began > 10_000 * MS and not ceiling // 2 <= gap <= 2 * ceiling + 500 * MS:
            raise NotMet(f"a neighbour that is down is asked after {round(gap / MS)} ms, not {round(ceiling / MS)}")
    if len(gaps) < 2:
        raise NotMet("a neighbour that is down is not asked for")


@decides("LSR-15", scene=ROUTER)
async def who_comes_late_is_told_of_those_out_of_reach(stage: Stage) -> None:
    """Node 1 tells of a node to which no way is known; node 3, which comes up later, is told of it, too."""
    (side,) = await up(stage, 1)
    side.peer.send(advert_of(1))
    await side.peer.expect(LsrAck, TOLD_PS)
    late = Side(stage, 3)
    late.hello()
    await late.advert(origin=FAR)
