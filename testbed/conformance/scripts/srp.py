"""Scripts for SRP: a switch between six scripted nodes; an end of a switched link before a scripted switch."""

from itertools import pairwise
from typing import Any, Final

from protocols.asking import TRIES
from protocols.wire import (
    DeviceConnect,
    DeviceListen,
    DeviceOutcome,
    EgpAddAck,
    EgpTrain,
    EgpTrainAck,
    EgpVerdict,
    MhpError,
    MhpGen,
    MhpKind,
    MhpOutcome,
    MhpReply,
    SrpDeny,
    SrpGrant,
    SrpQueued,
    SrpReady,
    SrpReason,
    SrpRelease,
    SrpReserve,
)
from testbed.conformance.scene import (
    DELAY_PS,
    LED,
    LINK,
    LONGEST_GRANT_PS,
    MS,
    RECONFIGURE_PS,
    SLOT_PS,
    STAY_PS,
    STAYING,
    SWITCH,
    SWITCHED,
)
from testbed.conformance.scripts import decides
from testbed.conformance.scripts.pairs import asked, begun, heralded, proposal, ready
from testbed.conformance.stage import SOON_PS, NotMet, Seen, Stage

LEADS: Final = {1: 1, 2: 1, 3: 3, 4: 5}
"""By link: the end that leads it."""
NOTICE_PS: Final = 16 * SLOT_PS
HOST_PS: Final = 60 * MS
"""What a host may need between its reckoning and its sending."""
REFRESHES: Final = 4
_ROUND_TRIP_PS: Final = 2 * DELAY_PS


def _reserve(stage: Stage, link: int, ticket: int = 1, slots: int = 10, **fields: int) -> None:
    row = {"notice_ps": NOTICE_PS, "within_ps": 0}
    stage.peers[LEADS[link]].send(SrpReserve(link, ticket, slots, **{**row, **fields}))


def _release(stage: Stage, link: int, ticket: int = 1) -> None:
    stage.peers[LEADS[link]].send(SrpRelease(link, ticket))


async def _granted(stage: Stage, link: int, ticket: int = 1, within: int = SOON_PS) -> SrpGrant:
    peer = stage.peers[LEADS[link]]
    seen: Seen = await peer.expect_seen(SrpGrant, within, where=lambda grant: grant.link == link, ticket=ticket)
    grant: SrpGrant = seen.message
    early = grant.first_slot * SLOT_PS - (seen.at - DELAY_PS)
    if early < NOTICE_PS - HOST_PS:
        raise NotMet(f"the grant gives {early / MS:.0f} ms of notice, {NOTICE_PS / MS:.0f} were asked for")
    return grant


async def _queued(stage: Stage, link: int, ticket: int = 1) -> SrpQueued:
    peer = stage.peers[LEADS[link]]
    return await peer.expect(SrpQueued, where=lambda queued: queued.link == link, ticket=ticket)


def _train(stage: Stage, link: int, first_slot: int, count: int = 3, queue_id: int = 7) -> MhpGen:
    """The Gens of both ends."""
    gen = MhpGen(MhpKind.PRODUCE, link, queue_id, first_slot, 1, count, 0, 1)
    row = next(row for row in stage.scene.links if row.number == link)
    for end in (row.a, row.b):
        stage.peers[end].send(gen)
    return gen


async def _refused(stage: Stage, gen: MhpGen) -> None:
    row = next(row for row in stage.scene.links if row.number == gen.link)
    for end in (row.a, row.b):
        await stage.peers[end].expect(MhpReply, queue_id=gen.queue_id, outcome=MhpOutcome.ERROR, error=MhpError.LOCAL)
    if stage.devices.listens(gen.link) is not None:
        raise NotMet("the switch listens to a train that has no grant")


# The switch.


@decides("SRP-3", "SRP-7", "SRP-10", scene=SWITCH)
async def analysers_are_granted_one_by_one(stage: Stage) -> None:
    """Three links and two analysers: two are granted, on different analysers; the third is queued until the first one's
    train has heralded.  A repeated Reserve brings the same Grant."""
    _reserve(stage, 1)
    first = await _granted(stage, 1)
    one = await stage.devices.expect(DeviceConnect, link=1)
    _reserve(stage, 1)
    again = await stage.peers[1].expect(SrpGrant)
    if again != first:
        raise NotMet(f"{again} repeats {first}")
    _reserve(stage, 4, notice_ps=24 * SLOT_PS)
    await stage.peers[5].expect(SrpGrant, link=4)
    other = await stage.devices.expect(DeviceConnect, link=4)
    if one.analyser == other.analyser:
        raise NotMet(f"two links are set on analyser {one.analyser}")
    _reserve(stage, 3)
    await _queued(stage, 3)
    _train(stage, 1, first.first_slot)
    await stage.devices.expect(DeviceListen, 500 * MS, link=1, first_slot=first.first_slot)
    await stage.wait_slot(first.first_slot)
    await stage.peers[3].silence(SrpGrant, during=0)
    stage.devices.herald(1, DeviceOutcome.PSI_PLUS, first.first_slot)
    await _granted(stage, 3, within=2 * DELAY_PS)


@decides("SRP-7", scene=SWITCH)
async def a_train_in_vain_ends_its_grant(stage: Stage) -> None:
    """No success until the last slot: the analyser is free then, though its grant was for longer."""
    for link in (1, 4):
        _reserve(stage, link, slots=20)
    grant = await _granted(stage, 1)
    other = await _granted(stage, 4)
    _train(stage, 1, grant.first_slot, count=2)
    _train(stage, 4, other.first_slot, count=other.slots)
    _reserve(stage, 3)
    await _queued(stage, 3)
    await stage.wait_slot(grant.first_slot + 1)
    await _granted(stage, 3)


@decides("SRP-10", scene=SWITCH)
async def a_port_is_granted_once(stage: Stage) -> None:
    """Links 1 and 2 share the port of node 1: the second is queued, though an analyser is free, until the first is
    released; and then there is time to reconfigure."""
    _reserve(stage, 1)
    await _granted(stage, 1)
    _reserve(stage, 2, notice_ps=0)
    await _queued(stage, 2)
    await stage.peers[1].silence(SrpGrant)
    _release(stage, 1)
    seen = await stage.peers[1].expect_seen(SrpGrant, link=2)
    early = seen.message.first_slot * SLOT_PS - (seen.at - DELAY_PS)
    if early < RECONFIGURE_PS - HOST_PS:
        raise NotMet(f"{early / MS:.0f} ms are no time to reconfigure")


@decides("SRP-3", "SRP-11", scene=SWITCH)
async def a_reservation_is_soft_state(stage: Stage) -> None:
    """Node 3 has no qubit: link 3 waits.  Repeated every refresh time it waits on, and is granted when there is one;
    not repeated it is forgotten."""
    node = stage.peers[3]
    node.send(SrpReady(0))
    await stage.wait(_ROUND_TRIP_PS)
    _reserve(stage, 3)
    queued = await _queued(stage, 3)
    for _ in range(REFRESHES + 2):
        await stage.wait(queued.refresh_ps - DELAY_PS)
        node.send(SrpReady(0))
        _reserve(stage, 3)
        await _queued(stage, 3)
    node.send(SrpReady(1))
    await _granted(stage, 3)
    _release(stage, 3)
    node.send(SrpReady(0))
    await stage.wait(_ROUND_TRIP_PS)
    _reserve(stage, 3, ticket=2)
    await _queued(stage, 3, ticket=2)
    for _ in range(REFRESHES + 1):
        await stage.wait(queued.refresh_ps)
        node.send(SrpReady(0))
    node.send(SrpReady(1))
    await node.silence(SrpGrant)
    _reserve(stage, 3, ticket=2)
    await node.expect(SrpDeny, ticket=2, reason=SrpReason.OVER)


@decides("SRP-11", scene=SWITCH)
async def a_success_takes_a_qubit(stage: Stage) -> None:
    """Node 4 has one qubit: after a success link 3 is not granted again, until it has one more."""
    stage.peers[4].send(SrpReady(1))
    await stage.wait(_ROUND_TRIP_PS)
    _reserve(stage, 3)
    grant = await _granted(stage, 3)
    _train(stage, 3, grant.first_slot)
    await stage.devices.expect(DeviceListen, 500 * MS, link=3)
    await stage.wait_slot(grant.first_slot)
    stage.devices.herald(3, DeviceOutcome.PSI_PLUS, grant.first_slot)
    await stage.wait(10 * MS)
    _reserve(stage, 3, ticket=2)
    await _queued(stage, 3, ticket=2)
    stage.peers[4].send(SrpReady(1))
    await _granted(stage, 3, ticket=2)


@decides("SRP-3", scene=SWITCH)
async def strangers_are_denied(stage: Stage) -> None:
    """A link that there is not, the end that does not lead, a node of another link: STRANGER."""
    for node, link in ((1, 77), (2, 1), (5, 1)):
        stage.peers[node].send(SrpReserve(link, 5, 3, NOTICE_PS, 0))
        await stage.peers[node].expect(SrpDeny, link=link, ticket=5, reason=SrpReason.STRANGER)
    if any(isinstance(command, DeviceConnect) for _, command in stage.devices.commands):
        raise NotMet("an analyser is set on the link of a stranger")


async def _herald(stage: Stage, grant: SrpGrant) -> None:
    """Its train comes, and succeeds in its first slot."""
    gen = _train(stage, grant.link, grant.first_slot)
    listens: dict[str, Any] = {"link": grant.link, "first_slot": gen.first_slot}
    await stage.devices.expect(DeviceListen, gen.first_slot * SLOT_PS - stage.now + SOON_PS, **listens)
    await stage.wait_slot(gen.first_slot)
    stage.devices.herald(grant.link, DeviceOutcome.PSI_PLUS, gen.first_slot)


@decides("SRP-12", scene=STAYING)
async def an_analyser_does_not_wait_for_long(stage: Stage) -> None:
    """Link 1 has its pair and does not come back: link 4 is granted when reconfiguring could have been done."""
    _reserve(stage, 1)
    first = await _granted(stage, 1)
    _reserve(stage, 4)
    await _queued(stage, 4)
    await _herald(stage, first)
    await _granted(stage, 4, within=2 * DELAY_PS + RECONFIGURE_PS + HOST_PS)


@decides("SRP-12", scene=STAYING)
async def who_says_release_has_no_analyser_waiting(stage: Stage) -> None:
    """Link 1 has its pair and wants no other: link 4 is granted at once."""
    _reserve(stage, 1)
    first = await _granted(stage, 1)
    _reserve(stage, 4)
    await _queued(stage, 4)
    await _herald(stage, first)
    _release(stage, 1)
    await _granted(stage, 4, within=2 * DELAY_PS + HOST_PS)


@decides("SRP-12", scene=STAYING)
async def a_turn_is_over_after_the_stay(stage: Stage) -> None:
    """Whether the analyser waits for link 1 or not: after two trains, which take longer than the stay, it does not."""
    began = stage.now
    _reserve(stage, 1)
    grant = await _granted(stage, 1)
    await _herald(stage, grant)
    await stage.wait(DELAY_PS + HOST_PS)
    _reserve(stage, 1, ticket=2)
    grant = await _granted(stage, 1, ticket=2)
    _reserve(stage, 4)
    await _queued(stage, 4)
    await _herald(stage, grant)
    if stage.now - began < STAY_PS + 4 * DELAY_PS:
        raise NotMet("two trains took less than a stay")
    await _granted(stage, 4, within=2 * DELAY_PS + HOST_PS)


@decides("SRP-3", scene=SWITCH)
async def what_comes_too_late_is_denied(stage: Stage) -> None:
    """A grant is of use within 100 ms only, and its notice is 200: TOO_LATE."""
    _reserve(stage, 1, within_ps=100 * MS)
    await stage.peers[1].expect(SrpDeny, link=1, ticket=1, reason=SrpReason.TOO_LATE)


@decides("SRP-5", scene=SWITCH)
async def older_tickets_change_nothing(stage: Stage) -> None:
    """Ticket 10 is granted: 9 is OVER, a Release of 9 nothing; 11 takes its place; a Release of 11 ends it for good."""
    peer = stage.peers[1]
    _reserve(stage, 1, ticket=10, notice_ps=40 * SLOT_PS)
    grant = await _granted(stage, 1, ticket=10)
    _reserve(stage, 1, ticket=9)
    await peer.expect(SrpDeny, ticket=9, reason=SrpReason.OVER)
    _release(stage, 1, ticket=9)
    await stage.wait(_ROUND_TRIP_PS)
    _reserve(stage, 1, ticket=10)
    again = await peer.expect(SrpGrant)
    if again != grant:
        raise NotMet(f"after a Reserve and a Release of an older ticket {again} repeats {grant}")
    _reserve(stage, 1, ticket=11)
    await _granted(stage, 1, ticket=11)
    _release(stage, 1, ticket=11)
    await stage.wait(10 * MS)
    for ticket in (11, 10):
        _reserve(stage, 1, ticket=ticket)
        await peer.expect(SrpDeny, ticket=ticket, reason=SrpReason.OVER)


@decides("SRP-6", scene=SWITCH)
async def no_grant_is_longer_than_the_longest(stage: Stage) -> None:
    """A thousand slots are asked for."""
    _reserve(stage, 1, slots=1_000)
    grant = await _granted(stage, 1)
    if grant.slots != LONGEST_GRANT_PS // SLOT_PS:
        raise NotMet(f"{grant.slots} slots are granted, the longest grant has {LONGEST_GRANT_PS // SLOT_PS}")


@decides("SRP-6", scene=SWITCH)
async def nobody_is_overtaken_for_ever(stage: Stage) -> None:
    """Link 2 needs the ports of nodes 1 and 3, of which links 1 and 3 have always one: they may pass four times."""
    _reserve(stage, 1, notice_ps=40 * SLOT_PS)
    await stage.peers[1].expect(SrpGrant, link=1)
    _reserve(stage, 2)
    await _queued(stage, 2)
    tickets = {1: 1, 3: 0}
    for number in range(4):
        link, other = (3, 1) if number % 2 == 0 else (1, 3)
        tickets[link] += 1
        _reserve(stage, link, ticket=tickets[link], notice_ps=40 * SLOT_PS)
        await stage.peers[LEADS[link]].expect(SrpGrant, link=link)
        _release(stage, other, tickets[other])
        await stage.wait(10 * MS)
    _reserve(stage, 3, ticket=tickets[3] + 1)
    await _queued(stage, 3, ticket=tickets[3] + 1)
    await stage.peers[3].silence(SrpGrant)
    _release(stage, 1, tickets[1])
    await _granted(stage, 2)


@decides("SRP-8", scene=SWITCH)
async def an_unused_grant_is_void(stage: Stage) -> None:
    """Two grants, no train: the link that waits is served at the first slot; the train that comes later is refused."""
    for link in (1, 4):
        _reserve(stage, link)
    grant = await _granted(stage, 1)
    await _granted(stage, 4)
    _reserve(stage, 3)
    await _queued(stage, 3)
    await stage.peers[3].silence(SrpGrant, during=grant.first_slot * SLOT_PS - stage.now - DELAY_PS)
    await _granted(stage, 3)
    await _refused(stage, _train(stage, 1, stage.slot(4 * DELAY_PS)))


@decides("SRP-9", scene=SWITCH)
async def a_train_fits_its_grant(stage: Stage) -> None:
    """Without a grant, beyond the grant, beside its first slot: not listened to, ERROR LOCAL to both."""
    await _refused(stage, _train(stage, 3, stage.slot(4 * DELAY_PS)))
    for number, (later, longer) in enumerate(((0, 1), (1, 0)), 1):
        _reserve(stage, 1, ticket=number)
        grant = await _granted(stage, 1, ticket=number)
        gen = _train(stage, 1, grant.first_slot + later, grant.slots + longer - later, queue_id=20 + number)
        await _refused(stage, gen)
        _release(stage, 1, ticket=number)


# An end of a link.


def _attempts(train: EgpTrain) -> bool:
    """It is no question whether a request is known."""
    return train.count > 0


async def _reserving(stage: Stage, **arguments: Any) -> tuple[int, SrpReserve]:
    """At the leading end: a request that both have, and the reservation for it."""
    request = await asked(stage, **arguments)
    stage.peers[2].send(EgpAddAck(LINK, request.create_id, 0, 0))
    return request.create_id, await stage.peers[3].expect(SrpReserve, link=LINK)


def _grant(stage: Stage, reserve: SrpReserve, ahead_ps: int = 0, slots: int = 30) -> SrpGrant:
    ahead_ps = ahead_ps or reserve.notice_ps
    return SrpGrant(LINK, reserve.ticket, stage.slot(ahead_ps), slots)


@decides("SRP-1", "EGP-19", scene=SWITCHED)
async def a_train_lies_in_its_grant(stage: Stage) -> None:
    """The train begins with the grant's first slot and ends within; the next reservation has a larger ticket."""
    request, reserve = await _reserving(stage, number=2)
    peer, switch = stage.peers[2], stage.peers[3]
    await peer.silence(EgpTrain, during=DELAY_PS, where=_attempts)
    grant = _grant(stage, reserve, slots=6)
    switch.send(grant)
    train = await peer.expect(EgpTrain, where=_attempts, first_slot=grant.first_slot)
    if (train.count - 1) * train.spacing >= grant.slots:
        raise NotMet(f"{train} goes beyond the {grant.slots} slots of its grant")
    peer.send(ready(train))
    await heralded(stage, await begun(stage, request, train))
    await stage.user.expect("ok", create_id=request)
    again = await switch.expect(SrpReserve, where=lambda later: later.ticket != reserve.ticket)
    if again.ticket <= reserve.ticket:
        raise NotMet(f"ticket {again.ticket} follows {reserve.ticket}")


@decides("SRP-1", scene=LED)
async def the_other_end_reserves_nothing(stage: Stage) -> None:
    """It follows a train of the leading end, and says nothing to the switch but how many qubits it has."""
    request = await asked(stage)
    peer = stage.peers[1]
    peer.send(EgpAddAck(LINK, request.create_id, 0, 0))
    await stage.wait(2 * DELAY_PS)
    train = proposal(stage, request.create_id, origin=0)
    peer.send(train)
    await peer.expect(EgpTrainAck, verdict=EgpVerdict.READY)
    await begun(stage, request.create_id, train)
    await stage.peers[3].silence(SrpReserve, SrpRelease)


@decides("SRP-2", scene=SWITCHED)
async def a_reserve_is_repeated(stage: Stage) -> None:
    """Unanswered: after three round trips, then at doubling intervals, up to 16 times that, with the same ticket.
    Queued: when it says."""
    switch = stage.peers[3]
    request = await asked(stage)
    stage.peers[2].send(EgpAddAck(LINK, request.create_id, 0, 0))
    seen = [await switch.expect_seen(SrpReserve, 5_000 * MS) for _ in range(7)]
    tickets = {one.message.ticket for one in seen}
    if len(tickets) > 1:
        raise NotMet(f"repeated Reserves have tickets {sorted(tickets)}")
    for index, (before, after) in enumerate(pairwise(one.at for one in seen)):
        due = 3 * _ROUND_TRIP_PS << min(index, 4)
        if not due <= after - before <= due + 60 * MS:
            raise NotMet(f"Reserve {index + 2} came after {(after - before) / MS:.0f} ms, due after {due / MS:.0f}")
    refresh = 800 * MS
    told = stage.now
    switch.send(SrpQueued(LINK, seen[0].message.ticket, refresh))
    again = await switch.expect_seen(SrpReserve, 2_000 * MS)
    waited = again.at - told - 2 * DELAY_PS
    if not refresh <= waited <= refresh + 60 * MS:
        raise NotMet(f"Queued for {refresh / MS:.0f} ms, the Reserve is repeated after {waited / MS:.0f}")


@decides("SRP-2", "EGP-20", scene=SWITCHED, patient=True)
async def a_dead_switch_ends_the_request(stage: Stage) -> None:
    """259 Reserves and no answer: ERR OTHER."""
    request = await asked(stage)
    stage.peers[2].send(EgpAddAck(LINK, request.create_id, 0, 0))
    await stage.user.expect("err", 3_000_000 * MS, create_id=request.create_id, code="OTHER")
    reserves = sum(isinstance(seen.message, SrpReserve) for seen in stage.peers[3].seen)
    if reserves != TRIES:
        raise NotMet(f"it has sent {reserves} Reserves, not {TRIES}")


@decides("SRP-4", scene=SWITCHED)
async def what_is_not_wanted_is_released(stage: Stage) -> None:
    """A Grant that nobody has asked for; a reservation whose request is withdrawn; its Grant that comes later."""
    switch = stage.peers[3]
    switch.send(SrpGrant(LINK, 3, stage.slot(4 * DELAY_PS), 10))
    await switch.expect(SrpRelease, link=LINK, ticket=3)
    request, reserve = await _reserving(stage)
    stage.user.order("withdraw", link=LINK, create_id=request)
    await switch.expect(SrpRelease, link=LINK, ticket=reserve.ticket)
    switch.send(_grant(stage, reserve))
    await switch.expect(SrpRelease, link=LINK, ticket=reserve.ticket)
    await stage.peers[2].silence(EgpTrain, where=_attempts)


@decides("EGP-19", scene=SWITCHED)
async def a_grant_without_a_train_is_released(stage: Stage) -> None:
    """Its first slot is too near; then the peer has no qubit: released both times, and reserved again."""
    _, reserve = await _reserving(stage)
    peer, switch = stage.peers[2], stage.peers[3]
    switch.send(SrpGrant(LINK, reserve.ticket, stage.slot(DELAY_PS) + 1, 30))
    await switch.expect(SrpRelease, ticket=reserve.ticket)
    await peer.silence(EgpTrain, during=0, where=_attempts)
    later = await switch.expect(SrpReserve, 3_000 * MS)
    switch.send(_grant(stage, later))
    train = await peer.expect(EgpTrain, where=_attempts)
    peer.send(ready(train)._replace(verdict=EgpVerdict.BUSY))
    await switch.expect(SrpRelease, ticket=later.ticket)
    await switch.expect(SrpReserve, 3_000 * MS)


@decides("SRP-11", scene=SWITCHED)
async def qubits_are_told_to_the_switch(stage: Stage) -> None:
    """With a request: two qubits.  After a success the switch counts by itself; when one is back it is told."""
    request, reserve = await _reserving(stage, number=3)
    peer, switch = stage.peers[2], stage.peers[3]
    await switch.expect(SrpReady, qubits=2)
    grant = _grant(stage, reserve)
    switch.send(grant)
    train = await peer.expect(EgpTrain, where=_attempts, first_slot=grant.first_slot)
    peer.send(ready(train))
    await heralded(stage, await begun(stage, request, train))
    ok = await stage.user.expect("ok", create_id=request)
    await switch.silence(SrpReady)
    stage.user.order("release", qubit=ok["qubit"])
    await switch.expect(SrpReady, qubits=2)
