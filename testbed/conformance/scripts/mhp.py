"""Scripts for MHP: a station between two scripted nodes, and an end of a link before a scripted station."""

from itertools import pairwise
from typing import Any

from protocols.wire import (
    DeviceListen,
    DeviceOutcome,
    EgpAddAck,
    EgpTrainAck,
    EgpVerdict,
    MhpError,
    MhpGen,
    MhpKind,
    MhpOutcome,
    MhpReply,
)
from testbed.conformance.scene import DELAY_PS, FOLLOWER, LINK, MASTER, MS, SLOT_PS, STATION
from testbed.conformance.scripts import decides
from testbed.conformance.scripts.pairs import PURPOSE, add, led, proposal, reply
from testbed.conformance.stage import SOON_PS, NotMet, Stage

AHEAD_PS = 6 * SLOT_PS
"""In which the first slot of a train lies when its Gens are sent."""


def _gen(stage: Stage, queue_id: int = 7, count: int = 3, spacing: int = 4, **fields: int) -> MhpGen:
    row = {
        "kind": MhpKind.PRODUCE,
        "link": LINK,
        "queue_id": queue_id,
        "first_slot": stage.slot(AHEAD_PS),
        "spacing": spacing,
        "count": count,
        "alpha": 0,
        "pairs": 1,
    }
    return MhpGen(**{**row, **fields})  # type: ignore[arg-type]


def _both(stage: Stage, gen: MhpGen) -> None:
    for peer in stage.peers.values():
        peer.send(gen)


async def _replies(stage: Stage, **fields: Any) -> list[MhpReply]:
    return [await peer.expect(MhpReply, **fields) for peer in stage.peers.values()]


async def _success(stage: Stage, queue_id: int) -> int:
    """One train with a success at its first slot; the sequence that both are told."""
    gen = _gen(stage, queue_id, count=1)
    _both(stage, gen)
    stage.devices.commands.clear()
    await stage.devices.expect(DeviceListen, first_slot=gen.first_slot)
    await stage.wait_slot(gen.first_slot)
    stage.devices.herald(LINK, DeviceOutcome.PSI_PLUS, gen.first_slot)
    first, second = await _replies(stage, outcome=MhpOutcome.PSI_PLUS, queue_id=queue_id, slot=gen.first_slot)
    if first.mhp_sequence != second.mhp_sequence:
        raise NotMet(f"the two nodes are told sequences {first.mhp_sequence} and {second.mhp_sequence}")
    return first.mhp_sequence


@decides("MHP-6", "MHP-2", scene=STATION)
async def equal_gens_are_looked_at(stage: Stage) -> None:
    """Equal Gens of both: it listens to just those slots; a success at the second is told to both, once."""
    gen = _gen(stage)
    stage.peers[1].send(gen)
    await stage.wait(20 * MS)
    stage.peers[2].send(gen)
    row: dict[str, Any] = {"link": LINK, "first_slot": gen.first_slot, "spacing": gen.spacing, "count": gen.count}
    await stage.devices.expect(DeviceListen, **row)
    slot = gen.first_slot + gen.spacing
    await stage.wait_slot(slot)
    for peer in stage.peers.values():
        await peer.silence(MhpReply, during=0)
    stage.devices.herald(LINK, DeviceOutcome.PSI_MINUS, slot)
    await _replies(stage, outcome=MhpOutcome.PSI_MINUS, error=0, queue_id=7, peer_queue_id=7, slot=slot, link=LINK)
    await stage.peers[1].silence(MhpReply)
    if stage.devices.listens(LINK) is not None:
        raise NotMet("the station still listens after the first success")


@decides("MHP-6", scene=STATION)
async def one_gen_is_not_looked_at(stage: Stage) -> None:
    """A Gen of one node only: the station does not listen."""
    stage.peers[1].send(_gen(stage))
    await stage.wait(AHEAD_PS + SOON_PS)
    if any(isinstance(command, DeviceListen) for _, command in stage.devices.commands):
        raise NotMet("the station listens to a train that one node only has asked for")


@decides("MHP-6", scene=STATION)
async def no_success_is_told_as_well(stage: Stage) -> None:
    """No success in any slot: both get a Reply FAIL after the last one."""
    gen = _gen(stage, count=2, spacing=1)
    _both(stage, gen)
    await stage.wait_slot(gen.first_slot + 1)
    await _replies(stage, outcome=MhpOutcome.FAIL, error=0, queue_id=7)


@decides("MHP-7", scene=STATION)
async def other_queue_ids_do_not_match(stage: Stage) -> None:
    """Queue ids 7 and 8: both are told QUEUE_MISMATCH, each with its own id first."""
    gen = _gen(stage)
    stage.peers[1].send(gen)
    stage.peers[2].send(gen._replace(queue_id=8))
    row: dict[str, Any] = {"outcome": MhpOutcome.ERROR, "error": MhpError.QUEUE_MISMATCH}
    await stage.peers[1].expect(MhpReply, **row, queue_id=7, peer_queue_id=8)
    await stage.peers[2].expect(MhpReply, **row, queue_id=8, peer_queue_id=7)


@decides("MHP-7", scene=STATION)
async def other_slots_do_not_match(stage: Stage) -> None:
    """Equal queue ids, but another first slot, spacing, or count: TIME_MISMATCH to both."""
    for number, other in enumerate(({"first_slot": 1}, {"spacing": 1}, {"count": 1})):
        gen = _gen(stage, queue_id=20 + number)
        stage.peers[1].send(gen)
        name, more = next(iter(other.items()))
        stage.peers[2].send(gen._replace(**{name: getattr(gen, name) + more}))
        await _replies(stage, outcome=MhpOutcome.ERROR, error=MhpError.TIME_MISMATCH, queue_id=20 + number)


@decides("MHP-8", scene=STATION)
async def a_missing_gen_is_told_to_both(stage: Stage) -> None:
    """By the first slot there is one Gen: NO_CLASSICAL_OTHER to both."""
    gen = _gen(stage)
    stage.peers[2].send(gen)
    await stage.wait_slot(gen.first_slot)
    await _replies(stage, outcome=MhpOutcome.ERROR, error=MhpError.NO_CLASSICAL_OTHER)


@decides("MHP-9", scene=STATION)
async def a_late_gen_is_out_of_window(stage: Stage) -> None:
    """A Gen whose first slot is past is refused; a train that waits beside it goes on."""
    gen = _gen(stage)
    stage.peers[1].send(gen)
    late = gen._replace(queue_id=9, first_slot=stage.now // SLOT_PS)
    await stage.wait(20 * MS)
    stage.peers[2].send(late)
    row: dict[str, Any] = {"outcome": MhpOutcome.ERROR, "error": MhpError.OUT_OF_WINDOW}
    await stage.peers[2].expect(MhpReply, **row, queue_id=9)
    await stage.peers[1].silence(MhpReply, during=10 * MS)
    stage.peers[2].send(gen)
    await stage.devices.expect(DeviceListen, first_slot=gen.first_slot)


@decides("MHP-10", scene=STATION)
async def a_new_gen_supersedes(stage: Stage) -> None:
    """Before the other's Gen has come: the new one counts.  While it looks: it stops, and tells both of the old."""
    old = _gen(stage, queue_id=3)
    stage.peers[1].send(old)
    await stage.wait(10 * MS)
    new = old._replace(queue_id=4)
    stage.peers[1].send(new)
    await stage.wait(10 * MS)
    stage.peers[2].send(new)
    await stage.devices.expect(DeviceListen, first_slot=new.first_slot)
    other = _gen(stage, queue_id=5)
    stage.peers[2].send(other)
    row: dict[str, Any] = {"outcome": MhpOutcome.ERROR, "error": MhpError.QUEUE_MISMATCH}
    await stage.peers[1].expect(MhpReply, **row, queue_id=4)
    await stage.peers[2].expect(MhpReply, **row, queue_id=4)
    if stage.devices.listens(LINK) is not None:
        raise NotMet("the station still listens to the old train")
    stage.peers[1].send(other)
    await stage.devices.expect(DeviceListen, first_slot=other.first_slot)


@decides("MHP-11", scene=STATION)
async def an_ended_train_is_told_again(stage: Stage) -> None:
    """The Gen of a train that has ended, PRODUCE or INFO, is answered by the Reply that its sender got."""
    gen = _gen(stage, queue_id=11, count=1)
    _both(stage, gen)
    await stage.devices.expect(DeviceListen)
    await stage.wait_slot(gen.first_slot)
    stage.devices.herald(LINK, DeviceOutcome.PSI_PLUS, gen.first_slot)
    replies = await _replies(stage, outcome=MhpOutcome.PSI_PLUS)
    for kind in (MhpKind.PRODUCE, MhpKind.INFO, MhpKind.INFO):
        for peer, told in zip(stage.peers.values(), replies, strict=True):
            peer.send(gen._replace(kind=kind, pairs=int(kind == MhpKind.PRODUCE)))  # an INFO: of none it knows
            again = await peer.expect(MhpReply)
            if again != told:
                raise NotMet(f"{again} repeats {told}")


@decides("MHP-11", scene=STATION)
async def an_unknown_train_is_an_error(stage: Stage) -> None:
    """INFO of a train of which the station never had a Gen: GEN_FAIL, to whom asks only."""
    await stage.wait(10 * SLOT_PS)
    lost = _gen(stage, queue_id=13)._replace(kind=MhpKind.INFO, first_slot=stage.now // SLOT_PS - 2)
    stage.peers[1].send(lost)
    await stage.peers[1].expect(MhpReply, outcome=MhpOutcome.ERROR, error=MhpError.GEN_FAIL, queue_id=13)
    await stage.peers[2].silence(MhpReply)


@decides("MHP-12", scene=STATION)
async def the_sequence_counts_successes(stage: Stage) -> None:
    """Two successes are told n and n + 1; a failed and a refused train between them count nothing."""
    first = await _success(stage, 21)
    failed = _gen(stage, queue_id=22, count=1)
    _both(stage, failed)
    await stage.wait_slot(failed.first_slot)
    await _replies(stage, outcome=MhpOutcome.FAIL, queue_id=22)
    alone = _gen(stage, queue_id=23)
    stage.peers[1].send(alone)
    await stage.wait_slot(alone.first_slot)
    await _replies(stage, outcome=MhpOutcome.ERROR)
    second = await _success(stage, 24)
    if second != (first + 1) % 65535:
        raise NotMet(f"successes are numbered {first} and {second}")


@decides("MHP-5", scene=STATION)
async def a_node_that_cannot_go_on_ends_the_train(stage: Stage) -> None:
    """Gen ERR while the station looks: it stops, and tells both GEN_FAIL."""
    gen = _gen(stage, queue_id=31)
    _both(stage, gen)
    await stage.devices.expect(DeviceListen)
    stage.peers[1].send(gen._replace(kind=MhpKind.ERR))
    await _replies(stage, outcome=MhpOutcome.ERROR, error=MhpError.GEN_FAIL, queue_id=31)
    if stage.devices.listens(LINK) is not None:
        raise NotMet("the station still listens")


@decides("MHP-13", scene=STATION)
async def a_train_goes_on_to_its_last_pair(stage: Stage) -> None:
    """Two pairs wanted: the first is told with more to come, the station looks on behind it, the second ends the train;
    an INFO that knows of one brings the other."""
    gen = _gen(stage, queue_id=41, count=20, spacing=1, pairs=2)
    _both(stage, gen)
    await stage.devices.expect(DeviceListen, first_slot=gen.first_slot, count=20)
    slot = gen.first_slot + 2
    await stage.wait_slot(slot)
    stage.devices.herald(LINK, DeviceOutcome.PSI_PLUS, slot)
    await _replies(stage, outcome=MhpOutcome.PSI_PLUS, slot=slot, number=1, more=1)
    await stage.devices.expect(DeviceListen, first_slot=slot + 1, count=17)
    later = gen.first_slot + 15
    await stage.wait_slot(later)
    stage.devices.herald(LINK, DeviceOutcome.PSI_MINUS, later)
    await _replies(stage, outcome=MhpOutcome.PSI_MINUS, slot=later, number=2, more=0)
    if stage.devices.listens(LINK) is not None:
        raise NotMet("the station still listens after the last pair")
    stage.peers[1].send(gen._replace(kind=MhpKind.INFO, pairs=1))
    await stage.peers[1].expect(MhpReply, slot=later, number=2)
    await stage.peers[1].silence(MhpReply)


# An end of a link.


@decides("MHP-14", scene=FOLLOWER)
async def attempts_are_told_one_by_one(stage: Stage) -> None:
    """A train agreed to be told so: a Gen for its first slot alone, and, after a Reply FAIL, one for a later slot."""
    master, station = stage.peers[1], stage.peers[3]
    stage.user.order("recv", remote=1, purpose=PURPOSE)
    master.send(add(1))
    await master.expect(EgpAddAck, create_id=1)
    train = proposal(stage, 1, each=1, count=4, spacing=12)
    master.send(train)
    await master.expect(EgpTrainAck, queue_id=1, verdict=EgpVerdict.READY)
    gen = await station.expect(MhpGen, kind=MhpKind.PRODUCE, first_slot=train.first_slot, count=1)
    await stage.wait_slot(gen.first_slot)
    row = (LINK, 0, gen.queue_id, gen.queue_id, gen.first_slot, 0, 0)
    station.send(MhpReply(MhpOutcome.FAIL, MhpError.NONE, *row))
    following = await station.expect(MhpGen, kind=MhpKind.PRODUCE, queue_id=gen.queue_id, count=1)
    behind = following.first_slot - gen.first_slot
    if behind <= 0 or behind % train.spacing or behind > 3 * train.spacing:
        raise NotMet(f"the next attempt is told for slot {following.first_slot}, which is none of the train")


@decides("MHP-1", scene=MASTER)
async def a_train_is_told_to_the_station(stage: Stage) -> None:
    """An agreed train: one Gen with its row, before the first slot, and no second."""
    running = await led(stage)
    if stage.now > running.gen.first_slot * SLOT_PS:
        raise NotMet("the first slot of the train was past before its Gen could arrive")
    await stage.peers[3].silence(MhpGen, during=DELAY_PS)


@decides("MHP-3", scene=MASTER)
async def a_missing_reply_is_asked_for(stage: Stage) -> None:
    """No Reply when it should be there: Gen INFO, equal but for its kind and `pairs`, at growing intervals, of
    16 times the first at most."""
    running = await led(stage)
    station = stage.peers[3]
    times = []
    for _ in range(18):
        seen = await station.expect_seen(MhpGen, within=20_000 * MS)
        if seen.message != running.gen._replace(kind=MhpKind.INFO, pairs=0):
            raise NotMet(f"{seen.message} asks about {running.gen}")
        times.append(seen.at)
    gaps = [b - a for a, b in pairwise(times)]
    if any(b <= a for a, b in pairwise(gaps[:3])) or max(gaps) > 16 * gaps[0] + 60 * MS:
        raise NotMet(f"intervals of {[round(gap / MS) for gap in gaps]} ms do not grow, or without end")
    station.send(reply(running, MhpOutcome.FAIL))
    await station.silence(MhpGen, during=4 * gaps[-1], where=lambda gen: gen.queue_id == running.queue_id)


@decides("MHP-4", scene=MASTER)
async def a_train_has_one_outcome(stage: Stage) -> None:
    """Replies from the other end, of another train, of a slot that is none of its own: no pair.  The right one: one
    pair; the same again: no second."""
    running = await led(stage)
    station, other_end = stage.peers[3], stage.peers[2]
    await stage.wait_slot(running.gen.first_slot)
    other_end.send(reply(running, sequence=50))
    station.send(reply(running, sequence=51, queue_id=running.queue_id + 1))
    station.send(reply(running, sequence=52, slot=running.gen.first_slot + 1))
    station.send(reply(running, sequence=53, slot=running.gen.first_slot - running.gen.spacing))
    await stage.wait(5 * MS)
    station.send(reply(running, sequence=9))
    await stage.user.expect("ok", sequence=9)
    station.send(reply(running, sequence=9))
    station.send(reply(running, sequence=10))
    await stage.user.silence("ok", "err")
