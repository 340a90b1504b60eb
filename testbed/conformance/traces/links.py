"""Rules of MHP, EGP and SRP: trains, what became of them, and who may have an analyser."""

from typing import Any, Final

from protocols.mhp.trains import SEQUENCE_MODULUS, SUCCESSES
from protocols.wire import (
    EgpAdd,
    EgpAddAck,
    EgpExpire,
    EgpExpireAck,
    EgpTrain,
    EgpTrainAck,
    EgpVerdict,
    MhpGen,
    MhpKind,
    MhpReply,
    SrpDeny,
    SrpGrant,
    SrpQueued,
    SrpReserve,
)
from testbed.conformance.traces import Broken, Found, Shown, shows
from testbed.conformance.traces.frames import LATE_PS
from testbed.conformance.traces.trace import Said, Trace, reborn

_NAMES: Final = ("first_slot", "spacing", "count", "pairs")


def _produced(trace: Trace) -> list[Said]:
    return [said for said in trace.of(MhpGen) if said.message.kind == MhpKind.PRODUCE]


def _covers(gen: Any, slot: int) -> bool:
    """Is it one of the train's slots?"""
    behind = slot - gen.first_slot
    return bool(0 <= behind <= gen.spacing * (gen.count - 1) and (gen.count == 1 or behind % gen.spacing == 0))


def _agreed(trace: Trace, gen: Said) -> tuple[Said, Said] | None:
    """The Train that a Gen is of, and the READY to it: both known to the node when it sent the Gen."""
    message = gen.message
    name = (message.link, message.queue_id)
    for train in reversed(trace.by(EgpTrain, "link", "queue_id").get(name, [])):
        proposed = train.message
        if gen.source not in (train.source, train.destination) or train.t_ps > gen.t_ps or not proposed.count:
            continue
        told_apart = bool(proposed.each) and message.count == 1
        same = all(getattr(proposed, name) == getattr(message, name) for name in ("first_slot", "spacing", "count"))
        if not same and not (told_apart and _covers(proposed, message.first_slot)):
            continue
        if gen.source == train.destination and not train.before(gen):
            continue
        for ready in trace.by(EgpTrainAck, "link", "queue_id").get(name, ()):
            answers = (ready.source, ready.destination) == (train.destination, train.source)
            agrees = answers and ready.message.verdict == EgpVerdict.READY and ready.t_ps >= train.t_ps
            # Who says READY begins with it; the other when it has heard that.
            if agrees and (gen.source == ready.source or ready.before(gen)):
                return train, ready
    return None


@shows("MHP-1")
def a_train_is_what_both_have_agreed_on(trace: Trace) -> Found:
    """Each Gen has link, queue id and slots of a Train that was proposed, and that the other node has said READY to."""
    if not trace.of(EgpTrain):
        return  # a capture that begins later, or of the stations' side only
    begins = trace.of(EgpTrain)[0].t_ps
    for gen in _produced(trace):
        if gen.t_ps < begins:
            continue
        agreed = _agreed(trace, gen)
        if agreed is None:
            yield Broken(gen.source, f"{gen.message} is of no train that both have agreed on", (gen.number,))
        else:
            yield Shown(gen.source, (agreed[0].number, agreed[1].number, gen.number))


def _successes(trace: Trace) -> list[Said]:
    """Each Reply of a success, the first time it is said to a node."""
    told: set[tuple[Any, ...]] = set()
    found = []
    for said in trace.of(MhpReply):
        reply = said.message
        name = (said.source, said.life, said.destination, reply.link, reply.mhp_sequence, reply.slot)
        if reply.outcome in SUCCESSES and name not in told:
            told.add(name)
            found.append(said)
    return found


@shows("MHP-6")
def a_herald_needs_two_equal_gens(trace: Trace) -> Found:
    """Of both ends, heard before it is told, and with its slot among theirs."""
    gens = trace.by(MhpGen, "link", "queue_id", ".source")
    ends_of: dict[int, set[int]] = {}
    for gen in trace.of(MhpGen):
        ends_of.setdefault(gen.message.link, set()).add(gen.source)
    for said in _successes(trace):
        reply = said.message
        mine = [
            gen
            for end in ends_of.get(reply.link, ())
            for queue_id in {reply.queue_id, reply.peer_queue_id}
            for gen in gens.get((reply.link, queue_id, end), ())
            if gen.message.kind == MhpKind.PRODUCE
            and gen.destination == said.source
            and gen.before(said)
            and _covers(gen.message, reply.slot)
        ]
        ends = {gen.source for gen in mine}
        equal = [
            (one, two)
            for one in mine
            for two in mine
            if one.source < two.source and _slots(one) == _slots(two)
        ]
        if equal:
            yield Shown(said.source, (equal[-1][0].number, equal[-1][1].number, said.number))
        else:
            why = f"slot {reply.slot} heralds, and nodes {sorted(ends)} have sent Gens for it that do not agree"
            yield Broken(said.source, why, (*(gen.number for gen in mine), said.number))


def _slots(gen: Said) -> tuple[int, ...]:
    return tuple(getattr(gen.message, name) for name in _NAMES)


@shows("MHP-12")
def heralds_are_counted(trace: Trace) -> Found:
    """Each success of a link has the number after the one before, in one life of the station."""
    last: dict[tuple[int, int, int], Said] = {}
    for said in _successes(trace):
        reply = said.message
        link = (said.source, said.life, reply.link)
        before = last.get(link)
        if before is not None and before.message.slot != reply.slot:
            numbers = (before.number, said.number)
            wanted = (before.message.mhp_sequence + 1) % SEQUENCE_MODULUS
            if reply.mhp_sequence == wanted:
                yield Shown(said.source, numbers)
            else:
                why = f"sequence {reply.mhp_sequence} follows {before.message.mhp_sequence} on link {reply.link}"
                yield Broken(said.source, why, numbers)
        elif before is not None and before.message.mhp_sequence != reply.mhp_sequence:
            why = f"one success has the sequences {before.message.mhp_sequence} and {reply.mhp_sequence}"
            yield Broken(said.source, why, (before.number, said.number))
        last[link] = said


@shows("MHP-7")
def both_are_told_alike(trace: Trace) -> Found:
    """A success, to each of its nodes: the same slot and Bell state, and the queue ids of both, changed round."""
    first: dict[tuple[int, int, int, int], Said] = {}
    for said in _successes(trace):
        reply = said.message
        other = first.setdefault((said.source, said.life, reply.link, reply.mhp_sequence), said)
        if other.destination == said.destination:
            first[said.source, said.life, reply.link, reply.mhp_sequence] = said  # the number has come round
            continue
        numbers = (other.number, said.number)
        swapped = (reply.queue_id, reply.peer_queue_id) == (other.message.peer_queue_id, other.message.queue_id)
        if swapped and (reply.slot, reply.outcome) == (other.message.slot, other.message.outcome):
            yield Shown(said.source, numbers)
        else:
            yield Broken(said.source, f"{other.message} and {reply} are of one success", numbers)


@shows("MHP-11")
def one_train_has_one_reply(trace: Trace) -> Found:
    """What is asked again, by Gen or INFO, has the same answer."""
    told: dict[tuple[int, int, int], tuple[Said, Said]] = {}
    gens = trace.by(MhpGen, "link", "queue_id", ".source")
    for said in trace.of(MhpReply):
        reply = said.message
        mine = gens.get((reply.link, reply.queue_id, said.destination), ())
        asked = [gen for gen in mine if gen.destination == said.source and gen.before(said)]
        if not asked or asked[-1].message.pairs > 1 or asked[-1].message.kind == MhpKind.ERR:
            continue
        gen = asked[-1]
        if reply.outcome in SUCCESSES and not _covers(gen.message, reply.slot):
            continue  # its train may be another of this queue id
        train = (said.source, said.destination, gen.message.link)
        before = told.get(train)
        again = before is not None and before[0].message._replace(kind=0, pairs=0) == gen.message._replace(
            kind=0, pairs=0
        )
        if before is not None and again and before[1].life == said.life:
            numbers = (before[1].number, gen.number, said.number)
            if before[1].message == reply:
                yield Shown(said.source, numbers)
            else:
                yield Broken(said.source, f"{before[1].message} and {reply} answer one train", numbers)
        told[train] = (gen, said)


@shows("EGP-2")
def only_masters_propose(trace: Trace) -> Found:
    """The lower-numbered node of a link."""
    for said in trace.of(EgpTrain):
        if not said.message.count:
            continue
        if said.source < said.destination:
            yield Shown(said.source, (said.number,))
        else:
            yield Broken(said.source, f"node {said.source} proposes a train to node {said.destination}", (said.number,))


@shows("EGP-26")
def requests_are_numbered(trace: Trace) -> Found:
    """By the master, one after the other, in its Adds and AddAcks."""
    last: dict[tuple[int, int, int], Said] = {}
    for said in trace.of(EgpAdd, EgpAddAck):
        if said.source > said.destination:
            continue
        link = (said.source, said.life, said.message.link)
        before = last.get(link)
        if before is not None:
            numbers = (before.number, said.number)
            if said.message.queue_sequence == (before.message.queue_sequence + 1) % (1 << 16):
                yield Shown(said.source, numbers)
            else:
                why = f"request {said.message.queue_sequence} follows {before.message.queue_sequence}"
                yield Broken(said.source, why, numbers)
        last[link] = said


def _answered(trace: Trace, asked: Said, kinds: tuple[type, ...], **fields: Any) -> Said | None:
    """The first message of these kinds, with these fields, that who heard it says back."""
    return next(trace.answers(asked, *kinds, **fields), None)


def _verdict(trace: Trace, asked: Said, answer: Said | None, why: str) -> Found:
    if answer is not None:
        yield Shown(asked.destination, (asked.number, answer.number))
    elif asked.heard_ps is not None and asked.heard_ps + LATE_PS < trace.end_ps and not reborn(trace, asked):
        yield Broken(asked.destination, why, (asked.number,))


@shows("EGP-17")
def who_asks_whether_a_request_lives_is_answered(trace: Trace) -> Found:
    """By a TrainAck with queue id 0."""
    for said in trace.of(EgpTrain):
        if not said.message.count and not said.message.queue_id:
            answer = _answered(trace, said, (EgpTrainAck,), link=said.message.link, queue_id=0)
            yield from _verdict(trace, said, answer, "a Train without attempts is not answered")


@shows("EGP-12")
def an_expire_is_acknowledged(trace: Trace) -> Found:
    """By an ExpireAck."""
    for said in trace.of(EgpExpire):
        answer = _answered(trace, said, (EgpExpireAck,), link=said.message.link)
        yield from _verdict(trace, said, answer, "an Expire is not acknowledged")


@shows("SRP-1")
def the_lower_end_reserves(trace: Trace) -> Found:
    """Its tickets for one link grow."""
    last: dict[tuple[int, int], Said] = {}
    for said in trace.of(SrpReserve):
        link = (said.source, said.message.link)
        before = last.get(link)
        numbers = (said.number,) if before is None else (before.number, said.number)
        if before is not None and said.message.ticket < before.message.ticket:
            why = f"ticket {said.message.ticket} after {before.message.ticket}"
            yield Broken(said.source, why, numbers)
        elif before is not None and said.message.ticket > before.message.ticket:
            yield Shown(said.source, numbers)
        last[link] = said


@shows("SRP-3")
def a_reserve_is_answered(trace: Trace) -> Found:
    """By Queued, Grant or Deny of its ticket."""
    for said in trace.of(SrpReserve):
        row = {"link": said.message.link, "ticket": said.message.ticket}
        answer = _answered(trace, said, (SrpQueued, SrpGrant, SrpDeny), **row)
        yield from _verdict(trace, said, answer, f"{said.message} is not answered")
