"""EGP, the link layer: pairs with a neighbour, kept, measured directly or prepared remotely.  EGP-n: egp.toml.

Theory of operation.  Of the two nodes of a link the lower-numbered one is its master.  Either may ask for
pairs; the requests of both form one queue per link, in the same order at both nodes.  The order is the
master's: it queues its own requests when they are made and its peer's when they arrive, and says so, in that
order, in Adds and AddAcks.  This protocol travels over the reliable sublayer, which keeps order, so the peer
queues them alike.

Pairs are made one train of attempts at a time.  The master proposes a train for the first request in the
queue (Train), with a qubit of its own set aside; the peer sets one aside and agrees (TrainAck READY), or has
none (BUSY: proposed again after a pause, or when the peer's second TrainAck, READY, invites it), or does not
know the request. Nobody waits for a qubit while it holds another, so nodes that share one qubit between links
do not deadlock; links take turns at a node's qubits.  A link at one of its nodes moves as LINK_TABLE says.

The station numbers its successes.  Both nodes know the next number before each train: they say it in Train
and TrainAck, and the larger counts.  A success with that number is an Ok.  One that is ahead of it: pairs
were missed. One whose slot was not the device's last emission: the next emission has destroyed this half.  A
train of which the station tells nothing: nobody knows.  In these cases the node tells its peer in an Expire
from which number on it has nothing, and the request ends at both with EXPIRE; whoever still wants the pairs
asks again.

link.py is one end of one link, and tells its parts what has happened: queue.py (its requests), proposals.py (the next
train), patience.py (and when), holding.py (what is set aside for it), delivery.py (what it brings), rounds.py (what of
that is a test).  States and table stand in states.py, what passes to and from other layers in service.py.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from protocols.egp.estimation import Estimator
from protocols.egp.facts import LinkFacts
from protocols.egp.link import LinkEnd
from protocols.egp.rooms import Rooms
from protocols.egp.schedulers import make_scheduler
from protocols.egp.service import KEPT, Expectation, How, QubitsReady
from protocols.egp.states import RequestId, Shared, TimerKind
from protocols.ignored import Ignored
from protocols.machine import Output
from protocols.mhp.node import TrainOutcome
from protocols.mhp.trains import SUCCESSES
from protocols.wire.codec import (
    DeviceRemembered,
    EgpAdd,
    EgpAddAck,
    EgpAddReject,
    EgpError,
    EgpExpire,
    EgpExpireAck,
    EgpKind,
    EgpTested,
    EgpTrain,
    EgpTrainAck,
    MhpError,
)

_CREATE_IDS: Final = 0xFFFFFFFF  # their modulus, as published


class Egp:
    """The link layer of one node, on all its links.

    Its messages go over the reliable sublayer.  The driver hands in what came of trains (`train_result`), and
    what the sublayer says about a peer (`broken`).
    """

    def __init__(
        self,
        node: int,
        links: Iterable[LinkFacts],
        *,
        seed: int = 0,
        rooms: Mapping[int | None, int] | None = None,
        schedulers: Mapping[int, str] | None = None,
    ) -> None:
        """`rooms`: free places in storage by the link that each is for, under None for any; None if kept halves stay
        where they are made.  `schedulers`: by link, names of files in protocols/egp/schedulers; else fcfs.
        """
        self._shared = Shared(node, seed, Rooms(rooms))
        names = schedulers or {}
        self._links = {
            facts.number: LinkEnd(facts, self._shared, make_scheduler(names.get(facts.number, "fcfs")))
            for facts in links
        }
        self._next_create_id = 0
        self._switches: dict[int, list[LinkEnd]] = {}  # links by their switch
        for end in self._links.values():
            if end.facts.switched:
                self._switches.setdefault(end.facts.station, []).append(end)
        self._shared.told = dict.fromkeys(self._switches)
        self._shared.mixed = 0 < sum(map(len, self._switches.values())) < len(self._links)

    # The service upward.

    def recv(self, remote: int, purpose_id: int) -> None:
        """RECV: accept requests of `remote` for this purpose."""
        self._shared.rules.add((remote, purpose_id))

    def stop_recv(self, remote: int, purpose_id: int) -> None:
        """STOP_RECV: accept no more of them; open requests go on."""
        self._shared.rules.discard((remote, purpose_id))

    def create(
        self,
        link: int,
        purpose_id: int,
        number: int,
        minimum_fidelity: int,
        priority: int,
        max_time_ps: int,
        now: int,
        how: How = KEPT,
    ) -> int:
        """CREATE `number` pairs, within max_time_ps (0: any time); returns the create_id of Ok and Err.

        What cannot be is told by an Err, at the next poll.  `priority` names the scheduler's queue: 0 NL, 1 CK, 2 MD.
        A minimum fidelity of 0 leaves the brightness of attempts to the link.
        """
        create_id, self._next_create_id = self._next_create_id, (self._next_create_id + 1) % _CREATE_IDS
        request_id = RequestId(self._shared.node, create_id)
        self._links[link].requests.create(
            request_id, purpose_id, number, minimum_fidelity, priority, max_time_ps, how, now
        )
        return create_id

    def withdraw(self, link: int, create_id: int, now: int) -> None:
        """End a request of this node, with Err OTHER; a train that runs is seen to its end.

        One that has ended is no error.
        """
        end = self._links[link]
        request = end.requests.open.get(RequestId(self._shared.node, create_id))
        if request is not None:
            end.withdraw(request)
            self._serve(now)

    def queue(self, link: int) -> tuple[RequestId, ...]:
        """The requests of both nodes, in the common order."""
        return tuple(self._links[link].requests.ordered)

    # Qubits.

    def offer_qubit(self, qubit: int, now: int, link: int | None = None) -> None:
        """A communication qubit is free, for any link or for one.

        It stays with this machine until an Ok or a ReleaseQubit names it, or withdraw_qubit takes it back.
        """
        self._shared.qubits.offer(qubit, link)
        self._serve(now)

    def withdraw_qubit(self, qubit: int) -> bool:
        """Take a qubit back; False if it is in use, or not here at all."""
        return self._shared.qubits.withdraw(qubit)

    def free_qubits(self) -> tuple[int, ...]:
        """Those that wait to be used."""
        return self._shared.qubits.free()

    def offer_room(self, now: int, link: int | None = None) -> None:
        """A place in storage is free again: a pair was given back, or a test round is over."""
        if self._shared.rooms.limited:
            self._shared.rooms.give(link)
            self._serve(now)

    def expects(self, link: int, kind: EgpKind, minimum_fidelity: int) -> Expectation:
        """What a request of this kind and fidelity can hope for."""
        return self._links[link].estimator.expects(kind, minimum_fidelity)

    def estimator(self, link: int) -> Estimator:
        """What is known of the fidelity of a link's pairs."""
        return self._links[link].estimator

    # From the layer below, and from the reliable sublayer.

    def train_result(
        self,
        outcome: TrainOutcome,
        last_emitted_slot: int,
        now: int,
        remembered: DeviceRemembered | None = None,
    ) -> None:
        """What MHP says of a train, the last slot for which the device has emitted, now that it has stopped, and what a
        measuring device remembers of the slot that heralded."""
        told = self._shared.told
        station = self._links[outcome.link].facts.station
        if (known := told.get(station)) is not None:
            # The station knows of a success, and counts.  Whether this was one is not always known here.
            success = outcome.outcome in SUCCESSES
            told[station] = None if outcome.error is MhpError.GENERAL else known - success
        self._links[outcome.link].on_result(outcome, last_emitted_slot, now, remembered)
        self._serve(now)

    def tested(self, link: int, sequence: int, outcome: int, now: int) -> None:
        """The answer to a MeasureTest."""
        self._links[link].on_measured(sequence, outcome)
        self._serve(now)

    def train_failed(self, link: int, queue_id: int, now: int) -> None:
        """The device did not take the train; its qubit is given up."""
        self._links[link].on_failed(queue_id, now)
        self._serve(now)

    def granted(self, link: int, first_slot: int, slots: int, now: int) -> None:
        """A switched link has an analyser in these slots, the first of which begins its train."""
        self._links[link].on_granted(first_slot, slots, now)
        self._serve(now)

    def refused(self, link: int, silent: bool, now: int) -> None:
        """The switch does not grant what was reserved; `silent`: it does not even answer."""
        self._links[link].on_refused(silent, now)
        self._serve(now)

    def broken(self, peer: int, now: int) -> None:
        """The reliable sublayer has lost messages to or from this peer, or it has restarted."""
        for end in self._links.values():
            if end.facts.peer == peer:
                end.on_broken()
        if peer in self._switches:
            self._shared.told[peer] = None
        self._serve(now)

    def lives(self, station: int, now: int) -> None:
        """This node has started anew, or has said something that is about no train here (EGP-27)."""
        doubted = [end for end in self._links.values() if end.facts.station == station and end.station_lives()]
        if doubted:
            self._serve(now)

    # The machine.

    def receive(self, message: NamedTuple, source: int, now: int) -> None:
        end = self._links.get(getattr(message, "link", -1))
        if end is None or end.facts.peer != source:
            ignored = Ignored(source, type(message).__name__, "not the peer of this link")
            self._shared.outputs.append(ignored)
            return
        match message:
            case EgpAdd():
                end.consider(end.requests.on_add(message, now))
            case EgpAddAck():
                end.consider(end.requests.on_add_ack(message))
            case EgpAddReject():
                end.requests.on_add_reject(message)
            case EgpTrain():
                end.on_train(message, now)
            case EgpTrainAck():
                end.on_train_ack(message, now)
            case EgpExpire():
                end.on_expire(message)
            case EgpExpireAck():
                end.on_expire_ack(message)
            case EgpTested():
                end.on_tested(message)
            case _:
                raise TypeError(f"{type(message).__name__} is not a message of EGP")
        end.requests.heard(now)
        self._serve(now)

    def poll(self, now: int) -> list[Output]:
        shared = self._shared
        for key in shared.timers.take_due(now):
            end = self._links[key.link]
            match key.kind:
                case TimerKind.DEADLINE:
                    assert key.request is not None
                    end.end_in_time(end.requests.open[key.request], EgpError.TIMEOUT)  # EGP-15
                case TimerKind.HELD:
                    end.let_go()
                case TimerKind.QUIET:
                    end.ask_peer()  # EGP-17: once, for the sublayer brings an answer or breaks
                case TimerKind.RETRY:
                    pass  # the pause is over
            self._serve(now)
        outputs, shared.outputs = shared.outputs, []
        return outputs

    def next_timeout(self) -> int | None:
        return self._shared.timers.next()

    def _serve(self, now: int) -> None:
        """Hand out free qubits; links take turns."""
        ends = [end for end in self._links.values() if end.waits]
        if len(ends) > 1:
            ends.sort(key=lambda end: end.served)  # stable: ties by their order
        for end in ends:
            end.use_qubit(now)
        for station, around in self._switches.items():
            self._tell(station, around)

    def _tell(self, station: int, around: list[LinkEnd]) -> None:
        """A switch, how many qubits its links could use, if it does not know."""
        if any(end.requests.open for end in around):
            shared = self._shared
            qubits = len(shared.qubits)  # also those in trains: they may be back by then
            if qubits != shared.told[station]:
                shared.told[station] = qubits
                shared.outputs.append(QubitsReady(station, qubits))

    def shown(self) -> list[dict[str, Any]]:
        """Each link's queue, for people who look."""
        return [end.shown() for end in self._links.values()]
