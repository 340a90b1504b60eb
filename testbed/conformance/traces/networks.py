"""Rules of QNP, QTP, RGP and JOB: circuits and their pairs, sessions and their qubits, gates, leases."""

from itertools import pairwise
from typing import Any

from protocols.wire import (
    JobLoad,
    JobLoaded,
    JobReleased,
    JobRun,
    JobStop,
    JobWhy,
    QnpDiscard,
    QnpForward,
    QnpForwardAck,
    QnpInstall,
    QnpInstalled,
    QnpRefresh,
    QnpTeardown,
    QnpTrack,
    QtpAccept,
    QtpClose,
    QtpCredit,
    QtpDelivered,
    QtpFinish,
    QtpOpen,
    QtpRefuse,
    QtpReset,
    QtpTeleport,
    RgpCat,
    RgpKind,
    RgpReady,
    RgpUncat,
)
from testbed.conformance.traces import Broken, Found, Shown, shows
from testbed.conformance.traces.frames import LATE_PS
from testbed.conformance.traces.trace import Said, Trace, reborn


def _tails(trace: Trace) -> dict[tuple[int, int, int], Said]:
    """Circuits that end at a node: by (node, neighbour, label), the Install."""
    return {
        (one.destination, one.source, one.message.circuit): one
        for one in trace.of(QnpInstall)
        if one.message.position == len(one.message.hops) - 1
    }


def _heads(trace: Trace) -> set[tuple[int, int, int]]:
    """Circuits that begin at a node: (node, neighbour, label)."""
    found = trace.of(QnpInstall)
    return {(one.source, one.destination, one.message.circuit) for one in found if not one.message.position}


def _answered(trace: Trace, asked: Said, kinds: tuple[type, ...], **fields: Any) -> list[Said]:
    return list(trace.answers(asked, *kinds, **fields))


def _due(trace: Trace, asked: Said) -> bool:
    return asked.heard_ps is not None and asked.heard_ps + LATE_PS < trace.end_ps


@shows("QNP-2")
def a_forward_has_one_answer(trace: Trace) -> Found:
    """At the tail of its circuit."""
    tails = _tails(trace)
    for said in trace.of(QnpForward):
        label = said.message.circuit
        if (said.destination, said.source, label) not in tails:
            continue
        asked = [f for f in trace.of(QnpForward) if f.source == said.source and f.message[:2] == said.message[:2]]
        answers = _answered(trace, said, (QnpForwardAck,), circuit=label, request=said.message.request)
        if len(answers) > len(asked):
            numbers = (said.number, *(one.number for one in answers))
            yield Broken(said.destination, f"a Forward has {len(answers)} answers", numbers)
        elif answers:
            yield Shown(said.destination, (said.number, answers[0].number))
        elif _due(trace, said) and not _answered(trace, said, (QnpTeardown,), circuit=label):
            gone = any(
                one.message.circuit == label for one in trace.of(QnpTeardown) if one.source == said.source
            )
            if not gone and not reborn(trace, said):
                yield Broken(said.destination, "a Forward has no answer", (said.number,))


@shows("QNP-3")
def a_head_numbers_its_pairs(trace: Trace) -> Found:
    """Each Track of a head has a number, and no other pair of this head has it."""
    heads = _heads(trace)
    named: dict[tuple[int, int, int], Said] = {}
    for said in trace.of(QnpTrack):
        if (said.source, said.destination, said.message.circuit) not in heads:
            continue
        track = said.message
        if not track.pair_id:
            yield Broken(said.source, "the head's Track names no pair", (said.number,))
            continue
        before = named.setdefault((said.source, said.life, track.pair_id), said)
        if before is said:
            yield Shown(said.source, (said.number,))
        elif (track.link, track.link_sequence) != (before.message.link, before.message.link_sequence):
            why = f"two pairs of node {said.source} have the number {track.pair_id}"
            yield Broken(said.source, why, (before.number, said.number))


@shows("QNP-13")
def a_track_is_passed_on_as_it_came(trace: Trace) -> Found:
    """What a repeater says of a numbered pair it has heard: the same number, request and use."""
    ends = _heads(trace) | set(_tails(trace))
    known = {(one.source, one.destination, one.message.circuit) for one in trace.of(QnpInstall)}
    known |= {(peer, node, label) for node, peer, label in known}
    tracks = trace.of(QnpTrack)
    for said in tracks:
        hop = (said.source, said.destination, said.message.circuit)
        if not said.message.pair_id or hop in ends or hop not in known:
            continue
        heard = [
            one
            for one in trace.by(QnpTrack, "pair_id")[said.message.pair_id,]
            if one.destination == said.source
            and one.before(said)
            and (one.message.request, one.message.use) == (said.message.request, said.message.use)
        ]
        if heard:
            yield Shown(said.source, (heard[-1].number, said.number))
        else:
            yield Broken(said.source, f"{said.message} comes of no Track that was heard", (said.number,))


@shows("QNP-5")
def a_discard_goes_on_past_the_swap(trace: Trace) -> Found:
    """A repeater that has passed a Track on from one pair to another tells the end of the one as that of the other."""
    tracks = trace.of(QnpTrack)
    discards, teardowns = trace.of(QnpDiscard), trace.of(QnpTeardown)
    joined: dict[tuple[int, int, int], tuple[int, int, int, int]] = {}
    """(node, link, sequence) -> the pair it was swapped with, and where to: (neighbour, label, link, sequence)."""
    for said in tracks:
        heard = [
            one
            for one in trace.by(QnpTrack, "pair_id")[said.message.pair_id,]
            if said.message.pair_id
            and one.destination == said.source
            and one.source != said.destination
            and one.before(said)
        ]
        if heard:
            come, gone = heard[-1].message, said.message
            onward = (said.destination, gone.circuit, gone.link, gone.link_sequence)
            joined[said.source, come.link, come.link_sequence] = onward
    for said in discards:
        where = joined.get((said.destination, said.message.link, said.message.link_sequence))
        if where is None or said.heard_ps is None:
            continue
        neighbour, label, link, sequence = where
        told = [
            one
            for one in trace.by(QnpDiscard, "link", "link_sequence").get((link, sequence), ())
            if {one.source, one.destination} == {said.destination, neighbour}
        ]
        over = [one for one in teardowns if one.message.circuit in (label, said.message.circuit)]
        if told:
            yield Shown(said.destination, (said.number, told[0].number))
        elif not over and _due(trace, said) and not reborn(trace, said):
            why = f"pair {sequence} of link {link} hangs on one that was given up, and node {neighbour} is not told"
            yield Broken(said.destination, why, (said.number,))


@shows("QNP-11")
def a_head_refreshes(trace: Trace) -> Found:
    """A circuit of several hops, once a period, from Installed until it ends."""
    for said in trace.of(QnpInstall):
        install = said.message
        if install.position or len(install.hops) == 1 or not install.refresh_ps:
            continue
        hop = (said.source, said.destination, install.circuit)
        ends = [
            one.t_ps
            for one in trace.of(QnpTeardown)
            if one.t_ps > said.t_ps
            and one.message.circuit == install.circuit
            and {one.source, one.destination} == set(hop[:2])
        ]
        end = min([*ends, trace.end_ps])
        told = [
            one for one in trace.of(QnpRefresh)
            if (one.source, one.destination, one.message.circuit) == hop and said.t_ps < one.t_ps <= end
        ]  # fmt: skip
        times = [said.t_ps, *(one.t_ps for one in told), end]
        late = [b - a for a, b in pairwise(times) if b - a > 1.5 * install.refresh_ps]
        if late and not reborn(trace, said):
            numbers = (said.number, *(one.number for one in told))
            why = f"{max(late) / 1e9:.1f} ms pass without a Refresh; a period has {install.refresh_ps / 1e9:.1f}"
            yield Broken(said.source, why, numbers)
        elif told:
            yield Shown(said.source, (said.number, told[0].number))


@shows("QNP-12")
def an_install_is_answered(trace: Trace) -> Found:
    """By Installed, or by Teardown; or it is passed on."""
    for said in trace.of(QnpInstall):
        label = said.message.circuit
        answers = _answered(trace, said, (QnpInstalled, QnpTeardown), circuit=label)
        onward = [
            one
            for one in trace.by(QnpInstall, "head", "number")[said.message.head, said.message.number]
            if one.source == said.destination and one.t_ps >= (said.heard_ps or 0)
        ]
        if answers or onward:
            yield Shown(said.destination, (said.number, (answers or onward)[0].number))
        elif _due(trace, said) and not reborn(trace, said):
            yield Broken(said.destination, "an Install is not answered", (said.number,))


# Sessions.


@shows("QTP-1")
def sessions_have_their_openers_numbers(trace: Trace) -> Found:
    """Even from the lower node, odd from the higher; none that lives."""
    living: dict[tuple[int, int, int], Said] = {}
    for said in trace.of(QtpOpen, QtpClose, QtpRefuse, QtpReset):
        pair = (min(said.source, said.destination), max(said.source, said.destination))
        name = (*pair, said.message.session)
        if not isinstance(said.message, QtpOpen):
            living.pop(name, None)
            continue
        before = living.get(name)
        if said.message.session % 2 != int(said.source > said.destination):
            why = f"node {said.source} opens session {said.message.session} with node {said.destination}"
            yield Broken(said.source, why, (said.number,))
        elif before is not None and before.life == said.life and before.source == said.source:
            why = f"session {said.message.session} is opened while it lives"
            if not reborn(trace, before):
                yield Broken(said.source, why, (before.number, said.number))
        else:
            yield Shown(said.source, (said.number,))
        living[name] = said


@shows("QTP-2")
def an_open_has_one_answer(trace: Trace) -> Found:
    """Accept or Refuse."""
    for said in trace.of(QtpOpen):
        answers = _answered(trace, said, (QtpAccept, QtpRefuse), session=said.message.session)
        again = [o for o in trace.of(QtpOpen) if (o.source, o.message.session) == (said.source, said.message.session)]
        if len(answers) > len(again):
            numbers = (said.number, *(one.number for one in answers))
            yield Broken(said.destination, f"an Open has {len(answers)} answers", numbers)
        elif answers:
            yield Shown(said.destination, (said.number, answers[0].number))
        elif _due(trace, said) and not reborn(trace, said):
            yield Broken(said.destination, "an Open has no answer", (said.number,))


def _direction(said: Said) -> tuple[int, int, int]:
    return said.source, said.destination, said.message.session


@shows("QTP-5", "QTP-6")
def each_qubit_is_answered_once_and_in_order(trace: Trace) -> Found:
    """Delivered, of every index that a Teleport had, in rising order."""
    delivered: dict[tuple[int, int, int], Said] = {}
    for said in trace.of(QtpOpen, QtpDelivered):
        if isinstance(said.message, QtpOpen):
            for ends in ((said.source, said.destination), (said.destination, said.source)):
                delivered.pop((*ends, said.message.session), None)
            continue
        before = delivered.get(_direction(said))
        asked = [
            one
            for one in trace.by(QtpTeleport, "session", "index").get((said.message.session, said.message.index), ())
            if (one.source, one.destination) == (said.destination, said.source) and one.before(said)
        ]
        numbers = (said.number,) if before is None else (before.number, said.number)
        if not asked:
            why = f"index {said.message.index} is delivered, and was never teleported"
            yield Broken(said.source, why, numbers)
        elif before is not None and said.message.index <= before.message.index and not said.message.status:
            why = f"index {said.message.index} is delivered after {before.message.index}"
            yield Broken(said.source, why, numbers)
        else:
            yield Shown(said.source, (asked[-1].number, said.number))
        delivered[_direction(said)] = said


@shows("QTP-10")
def no_qubit_without_a_place(trace: Trace) -> Found:
    """A Teleport has an index below the limit that its sender had heard of."""
    for said in trace.of(QtpTeleport):
        limit = None
        for one in trace.of(QtpOpen, QtpAccept, QtpDelivered, QtpCredit):
            if _direction(one) == (said.destination, said.source, said.message.session) and one.before(said):
                told = one.message.places if isinstance(one.message, QtpOpen | QtpAccept) else one.message.limit
                limit = told if limit is None or isinstance(one.message, QtpOpen | QtpAccept) else max(limit, told)
        if limit is None:
            continue
        if said.message.index < limit:
            yield Shown(said.source, (said.number,))
        else:
            yield Broken(said.source, f"index {said.message.index} is sent, and the limit is {limit}", (said.number,))


@shows("QTP-8", "QTP-11")
def an_end_waits_for_its_qubits(trace: Trace) -> Found:
    """Close and Finish come when each qubit of the node has been delivered or lost; Finish once, with their number."""
    finished: dict[tuple[int, int, int], Said] = {}
    for said in trace.of(QtpClose, QtpFinish):
        opened = [
            one.t_ps
            for one in trace.of(QtpOpen)
            if one.message.session == said.message.session
            and {one.source, one.destination} == {said.source, said.destination}
            and one.t_ps <= said.t_ps
        ]
        if not opened:
            continue
        sent = {
            one.message.index: one
            for one in trace.of(QtpTeleport)
            if _direction(one) == _direction(said) and max(opened) <= one.t_ps <= said.t_ps
        }
        known = {
            one.message.index
            for one in trace.of(QtpDelivered)
            if _direction(one) == (said.destination, said.source, said.message.session) and one.before(said)
        }
        open_ = sorted(set(sent) - known)
        if open_:
            why = f"qubits {open_} are under way"
            yield Broken(said.source, why, (*(sent[i].number for i in open_), said.number))
        elif sent:
            yield Shown(said.source, (said.number,))
        if isinstance(said.message, QtpFinish):
            before = finished.get(_direction(said))
            if before is not None and before.t_ps >= max(opened):
                yield Broken(said.source, "Finish is said twice", (before.number, said.number))
            finished[_direction(said)] = said


# Gates.


@shows("RGP-1")
def a_pair_is_for_one_gate(trace: Trace) -> Found:
    """Each Cat of a node to another names a pair of its own."""
    used: dict[tuple[int, int, int, int], Said] = {}
    for said in trace.of(RgpCat):
        before = used.setdefault((said.source, said.life, said.destination, said.message.pair_id), said)
        if before is said:
            yield Shown(said.source, (said.number,))
        else:
            why = f"pair {said.message.pair_id} is used for two gates"
            yield Broken(said.source, why, (before.number, said.number))


@shows("RGP-10")
def a_cat_follows_a_ready(trace: Trace) -> Found:
    """Of the target, for this gate."""
    for said in trace.of(RgpCat):
        ready = [
            one
            for one in trace.by(RgpReady, "job", "gate").get((said.message.job, said.message.gate), ())
            if (one.source, one.destination) == (said.destination, said.source)
            and not one.message.control
            and one.before(said)
        ]
        if ready:
            yield Shown(said.source, (ready[-1].number, said.number))
        else:
            yield Broken(said.source, "a gate is done before its target has said Ready", (said.number,))


@shows("RGP-11")
def only_what_moves_has_a_phase(trace: Trace) -> Found:
    """The phase of other Cats is 0; so is the Uncat of a MOVE."""
    moves = [one for one in trace.of(RgpCat) if one.message.kind == RgpKind.MOVE]
    for said in trace.of(RgpCat):
        if said.message.kind != RgpKind.MOVE:
            if said.message.phase:
                yield Broken(said.source, f"{said.message} has a phase", (said.number,))
            else:
                yield Shown(said.source, (said.number,))
    for said in trace.of(RgpUncat):
        of = [m for m in moves if m.message[:2] == said.message[:2] and m.destination == said.source and m.before(said)]
        if of and said.message.outcome:
            yield Broken(said.source, f"{said.message} ends a MOVE", (of[-1].number, said.number))
        elif of:
            yield Shown(said.source, (of[-1].number, said.number))


# Leases.


def _released(said: Said, lease: Said, trace: Trace) -> Said | None:
    """The Released that ended a lease before something was said; None while it lasts."""
    for one in trace.by(JobReleased, "lease").get((lease.message.lease,), ()):
        if one.source == lease.destination and lease.t_ps <= one.t_ps and one.before(said):
            return one
    return None


@shows("JOB-12")
def a_qpu_is_leased_once_at_a_time(trace: Trace) -> Found:
    """The first Load of a lease comes when the QPU has let go of the one before, or was lost since."""
    last: dict[tuple[int, int], Said] = {}
    for said in trace.of(JobLoad):
        before = last.get((said.source, said.destination))
        if before is not None and before.message.lease != said.message.lease:
            released = _released(said, before, trace)
            if released is not None:
                yield Shown(said.source, (before.number, released.number, said.number))
            elif not reborn(trace, before):
                why = f"lease {said.message.lease} begins while the QPU holds {before.message.lease}"
                yield Broken(said.source, why, (before.number, said.number))
        last[said.source, said.destination] = said


@shows("JOB-14")
def run_follows_all_loaded(trace: Trace) -> Found:
    """Of every QPU that the job has been sent to under this lease."""
    for said in trace.of(JobRun):
        lease = said.message.lease
        mine = [one for one in trace.by(JobLoad, "lease").get((lease,), ()) if one.source == said.source]
        numbers = [said.number]
        for qpu in sorted({one.destination for one in mine if one.t_ps <= said.t_ps}):
            loaded = [
                one
                for one in trace.by(JobLoaded, "lease").get((lease,), ())
                if one.source == qpu and one.destination == said.source and one.before(said)
            ]
            if not loaded:
                yield Broken(said.source, f"Run is said before node {qpu} has said Loaded", (said.number,))
                break
            numbers.append(loaded[-1].number)
        else:
            if len(numbers) > 1:
                yield Shown(said.source, tuple(sorted(numbers)))


@shows("JOB-15")
def who_lets_go_early_stops_the_others(trace: Trace) -> Found:
    """All others of the lease that have not let go are told to stop."""
    for said in trace.of(JobReleased):
        lease = said.message.lease
        if said.message.why in (JobWhy.DONE, JobWhy.STOPPED, JobWhy.UNKNOWN, JobWhy.BUSY) or said.heard_ps is None:
            continue
        loads = [one for one in trace.by(JobLoad, "lease").get((lease,), ()) if one.source == said.destination]
        for qpu in sorted({one.destination for one in loads} - {said.source}):
            gone = [
                one for one in trace.by(JobReleased, "lease").get((lease,), ())
                if one.source == qpu and (one.heard_ps or 0) <= said.heard_ps
            ]  # fmt: skip
            stops = [one for one in trace.by(JobStop, "lease").get((lease,), ()) if one.destination == qpu]
            if stops:
                yield Shown(said.destination, (said.number, stops[0].number))
            elif not gone and _due(trace, said) and not reborn(trace, said) and not reborn(trace, loads[0]):
                why = f"node {said.source} has let go of lease {lease}, and node {qpu} is not told to stop"
                yield Broken(said.destination, why, (said.number,))
