"""Links at work for tests of EGP: nodes with EGP and MHP over REL, stations, and devices of the simplest
kind.

The devices keep the truth: which emissions there were, which slots heralded, which halves later emissions
destroyed, who holds which qubit.  `check` compares what the nodes were told with it.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from machine_pair import NO_FAULTS, Faults, Net, OverReliable

from protocols.correlations import sign as _sign
from protocols.device import pack_handle, released
from protocols.egp.facts import LinkFacts, Setting, least_spacing
from protocols.egp.node import Egp
from protocols.egp.service import (
    KEPT,
    AskStation,
    CutTrain,
    Err,
    How,
    MeasureTest,
    Ok,
    OkAny,
    OkMeasured,
    OkPrepared,
    StartTrain,
    StopTrain,
)
from protocols.machine import Machine
from protocols.measuring import basis_at
from protocols.mhp.node import Midpoint, NodeMhp, TrainOutcome
from protocols.mhp.station import Arm, Disarm, StationLink, StationMhp
from protocols.mhp.trains import SEQUENCE_MODULUS, STATION_LEAD_PS, SUCCESSES
from protocols.pairs import ReleaseQubit
from protocols.reliable import Reliable
from protocols.wire.codec import BellIndex, DeviceRemembered, EgpError, MhpOutcome, ProtocolId

SLOT = 1_000
DELAY = 5_000  # from a node to a station and to its peer, quantum and classical
ATTEMPT = 1_000
ANSWER = 1_000  # of a device
ESTIMATE = 0xE0000000
PURPOSE = 7


class Way(NamedTuple):
    """A link between two nodes, and its station."""

    number: int
    a: int
    b: int
    station: int


@dataclass(eq=False)
class Emissions:
    """One train of one device."""

    node: int
    spec: StartTrain
    began: int
    stopped: int | None = None

    def emitted(self, slot: int) -> bool:
        attempt, rest = divmod(slot - self.spec.first_slot, self.spec.spacing)
        time = slot * SLOT - DELAY
        in_row = rest == 0 and 0 <= attempt < self.spec.count
        return in_row and self.began <= time and (self.stopped is None or time <= self.stopped)

    def last(self) -> int:
        """Last slot emitted for, now that it has stopped; 0 if there is none."""
        assert self.stopped is not None
        by_time = ((self.stopped + DELAY) // SLOT - self.spec.first_slot) // self.spec.spacing
        attempt = min(by_time, self.spec.count - 1)
        return self.spec.first_slot + attempt * self.spec.spacing if attempt >= 0 else 0


class Heralded(NamedTuple):
    """The truth about a success."""

    slot: int
    outcome: MhpOutcome
    trains: tuple[Emissions, Emissions]
    bit: int = 0  # what either node reads, if it measures

    def alive(self) -> bool:
        """No half that is kept has been destroyed."""
        kept = [train for train in self.trains if train.spec.measure is None]
        return all(train.stopped is not None and train.last() == self.slot for train in kept)


@dataclass(eq=False)
class Story:
    """One request as one node was told of it."""

    oks: list[OkAny] = field(default_factory=list)
    errs: list[Err] = field(default_factory=list)
    void: set[int] = field(default_factory=set)


class LinkLab(Net):
    """Nodes with `qubits` each, on the links `ways`; every common attempt succeeds with probability p."""

    def __init__(
        self,
        ways: Sequence[Way],
        qubits: int | Mapping[int, int] = 2,
        *,
        p: float = 0.3,
        faults: Faults = NO_FAULTS,
        seed: int = 1,
        hold_ps: int = 20_000,
        tries: int = 40,  # so many that no stream breaks
        scheduler: str = "fcfs",
        **facts: Any,
    ) -> None:
        self.ways = {way.number: way for way in ways}
        self.nodes = sorted({node for way in ways for node in (way.a, way.b)})
        self.p = p
        self.hold_ps = hold_ps
        self.tries = tries
        self.scheduler = scheduler
        self.seed = seed
        self.facts = facts
        self.chance = random.Random(seed)
        self.incarnations = dict.fromkeys(self.nodes, 1)
        self.running: dict[tuple[int, int], Emissions] = {}
        self.outcomes: dict[tuple[int, int], TrainOutcome] = {}
        self.listening: dict[int, Arm] = {}
        self.heralded: dict[tuple[int, int], Heralded] = {}  # by link and slot
        self.named: dict[tuple[int, int], Heralded] = {}  # by link and MHP sequence, the latest
        self.stories: dict[tuple[int, int, int, int], Story] = {}  # by node, link, origin, create id
        self.held: dict[int, dict[int, Ok]] = {node: {} for node in self.nodes}  # by qubit
        self.lent: dict[int, set[int]] = {node: set() for node in self.nodes}  # qubits that EGP has
        self.renewing: dict[int, set[int]] = {node: set() for node in self.nodes}  # being released
        self.asked: list[tuple[int, int, int]] = []  # node, link, create id
        machines: dict[int, Machine] = {}
        for station in {way.station for way in ways}:
            machines[station] = self.new_station(station)
        for node in self.nodes:
            machines[node] = self.new_node(node)
        super().__init__(machines, DELAY, faults, seed, self._happened)
        for node in self.nodes:
            for index in range(qubits if isinstance(qubits, int) else qubits[node]):
                self._lend(node, pack_handle(index))

    def new_station(self, station: int, born_ps: int = 0) -> StationMhp:
        links = {w.number: StationLink((w.a, w.b), SLOT) for w in self.ways.values() if w.station == station}
        return StationMhp(links, born_ps=born_ps)

    def new_node(self, node: int, incarnation: int = 1) -> OverReliable:
        own = [way for way in self.ways.values() if node in (way.a, way.b)]
        facts = [self.link_facts(way, node) for way in own]
        schedulers = dict.fromkeys(self.ways, self.scheduler)
        egp = Egp(node, facts, seed=self.seed, schedulers=schedulers)
        for way in own:
            egp.recv(way.b if node == way.a else way.a, PURPOSE)
        mhp = NodeMhp({way.number: Midpoint(way.station, 2 * DELAY, SLOT, STATION_LEAD_PS) for way in own})
        reliable = Reliable(incarnation, 2 * DELAY, tries=self.tries)
        return OverReliable(reliable, {ProtocolId.EGP: egp, ProtocolId.MHP: mhp})

    def link_facts(self, way: Way, node: int) -> LinkFacts:
        spacing = least_spacing(SLOT, 2 * DELAY, ATTEMPT, 0, margin_ps=1)
        settings: dict[str, Any] = {"own": Setting(0, self.p, ESTIMATE, ESTIMATE), "spacing_slots": spacing}
        settings |= self.facts
        return LinkFacts(
            number=way.number,
            peer=way.b if node == way.a else way.a,
            station=way.station,
            slot_ps=SLOT,
            arm_ps=DELAY,
            peer_arm_ps=DELAY,
            delay_to_peer_ps=DELAY,
            delay_to_station_ps=DELAY,
            delay_peer_to_station_ps=DELAY,
            attempt_ps=ATTEMPT,
            **settings,
        )

    def egp(self, node: int) -> Egp:
        machine: Any = self.machines[node]
        egp: Egp = machine.machines[ProtocolId.EGP]
        return egp

    def mhp(self, node: int) -> NodeMhp:
        machine: Any = self.machines[node]
        mhp: NodeMhp = machine.machines[ProtocolId.MHP]
        return mhp

    def create(
        self,
        node: int,
        link: int,
        number: int = 1,
        max_time_ps: int = 0,
        fidelity: int = 0,
        purpose: int = PURPOSE,
        priority: int = 0,
        how: How = KEPT,
    ) -> int:
        create_id = self.egp(node).create(link, purpose, number, fidelity, priority, max_time_ps, self.now, how)
        self.asked.append((node, link, create_id))
        return create_id

    def story(self, node: int, link: int, origin: int, create_id: int) -> Story:
        return self.stories.setdefault((node, link, origin, create_id), Story())

    def restart(self, node: int) -> None:
        """The node dies and lives again at once, with all its qubits empty."""
        self.incarnations[node] += 1
        self.replace(node, self.new_node(node, self.incarnations[node]))
        for key in [key for key in self.running if key[0] == node]:
            self._stop(self.running.pop(key))
            self.outcomes.pop(key, None)
        everything = sorted(self.lent[node] | set(self.held[node]) | self.renewing[node])
        for place in (self.lent, self.held, self.renewing):
            place[node].clear()
        for key in [key for key in self.stories if key[0] == node]:
            del self.stories[key]
        for qubit in everything:
            self._lend(node, released(qubit))

    def restart_station(self, station: int) -> None:
        """It dies with its listens, and lives again at once; its count of successes begins anew."""
        self.replace(station, self.new_station(station, self.now))
        for link in [link for link in self.listening if self.ways[link].station == station]:
            del self.listening[link]

    # What the layers above and below do.

    def _happened(self, node: int, event: Any, now: int) -> None:
        match event:
            case Arm():
                self.listening[event.link] = event
                # Behind a success some slots are past before the device listens again.
                past = max(0, (now // SLOT - event.first_slot) // event.spacing + 1)
                self._look(event, event.first_slot + min(past, event.count - 1) * event.spacing)
            case Disarm():
                self.listening.pop(event.link, None)
            case StartTrain():
                assert event.qubit in self.lent[node]
                assert (node, event.link) not in self.running
                self.running[node, event.link] = Emissions(node, event, now)
                row = (event.first_slot, event.spacing, event.count, event.alpha, event.deadline)
                self.mhp(node).start_train(event.link, event.queue_id, *row, event.pairs, event.each, event.twice)
            case CutTrain():
                self.mhp(node).cut(event.link)
            case StopTrain():
                self._stop(self.running.pop((node, event.link)))
                self.mhp(node).abort(event.link)
            case AskStation():
                self.mhp(node).ask(event.link)
            case TrainOutcome():
                self._outcome(node, event)
            case Ok():
                self._ok(node, event)
            case OkMeasured() | OkPrepared():
                origin = event.remote if event.directionality else node
                self.story(node, event.link, origin, event.create_id).oks.append(event)
            case MeasureTest():
                self._test(node, event)
            case Err():
                self._err(node, event)
            case ReleaseQubit():
                self._take_back(node, event.qubit)
                self._renew(node, event.qubit)

    def _look(self, arm: Arm, slot: int) -> None:
        """The station's device at a slot of its listen."""

        def known() -> None:
            if self.listening.get(arm.link) is not arm:
                return
            way = self.ways[arm.link]
            trains = [self.running.get((node, arm.link)) for node in (way.a, way.b)]
            a, b = trains
            success = a is not None and b is not None and a.emitted(slot) and b.emitted(slot)
            if success and self.chance.random() < self.p:
                assert a is not None
                assert b is not None
                outcome = self.chance.choice([MhpOutcome.PSI_PLUS, MhpOutcome.PSI_MINUS])
                bit = self.chance.getrandbits(1)
                self.heralded[arm.link, slot] = Heralded(slot, outcome, (a, b), bit)
                self._tell(arm, outcome, slot)
            elif slot == arm.first_slot + (arm.count - 1) * arm.spacing:
                self._tell(arm, MhpOutcome.FAIL, slot)
            else:
                self._look(arm, slot + arm.spacing)

        self.at(max(self.now, slot * SLOT + ATTEMPT), known)

    def _tell(self, arm: Arm, outcome: MhpOutcome, slot: int) -> None:
        del self.listening[arm.link]

        def told() -> None:
            station: Any = self.machines[self.ways[arm.link].station]
            station.heralded(arm, outcome, slot, self.now)

        self.at(self.now + ANSWER, told)

    def _outcome(self, node: int, outcome: TrainOutcome) -> None:
        train = self.running.get((node, outcome.link))
        if train is None or train.spec.queue_id != outcome.queue_id:
            return
        if not outcome.more:
            self._stop(train)
        life = self.incarnations[node]
        remembered = None
        measure = train.spec.measure
        if outcome.outcome in SUCCESSES:
            truth = self.heralded[outcome.link, outcome.slot]
            self.named[outcome.link, outcome.mhp_sequence] = truth
            if measure is not None:
                remembered = DeviceRemembered(1, truth.bit, basis_at(measure, outcome.slot))

        def stopped() -> None:
            if self.running.get((node, outcome.link)) is train and self.incarnations[node] == life:
                if not outcome.more:
                    del self.running[node, outcome.link]
                last = outcome.slot if outcome.more else train.last()
                self.egp(node).train_result(outcome, last, self.now, remembered)

        self.at(self.now + ANSWER, stopped)

    def _test(self, node: int, test: MeasureTest) -> None:
        """Read the half of a test round: bits that agree with a perfect pair, the lower node's being 0."""
        self._take_back(node, test.qubit)
        life = self.incarnations[node]
        truth = self.named[test.link, test.sequence]
        first = min(train.node for train in truth.trains)
        sign = _sign(test.test, BellIndex(int(truth.outcome) + 1))

        def read() -> None:
            if self.incarnations[node] == life:
                self.egp(node).tested(test.link, test.sequence, int(node != first and sign < 0), self.now)

        self.at(self.now + ANSWER, read)
        self._renew(node, test.qubit)

    def _stop(self, train: Emissions) -> None:
        if train.stopped is None:
            train.stopped = self.now

    def _ok(self, node: int, ok: Ok) -> None:
        self._take_back(node, ok.qubit)
        self.held[node][ok.qubit] = ok
        origin = ok.remote if ok.directionality else node
        self.story(node, ok.link, origin, ok.create_id).oks.append(ok)

        def done() -> None:
            if self.held[node].get(ok.qubit) is ok:
                del self.held[node][ok.qubit]
                self._renew(node, ok.qubit)

        self.at(self.now + self.hold_ps, done)

    def _err(self, node: int, err: Err) -> None:
        story = self.story(node, err.link, err.origin, err.create_id)
        story.errs.append(err)
        if err.sequence_low is not None and err.sequence_high is not None:
            span = (err.sequence_high - err.sequence_low) % SEQUENCE_MODULUS
            story.void |= {(err.sequence_low + n) % SEQUENCE_MODULUS for n in range(span + 1)}

    def _lend(self, node: int, qubit: int) -> None:
        assert qubit not in self.lent[node]
        assert qubit not in self.held[node]
        self.lent[node].add(qubit)
        self.egp(node).offer_qubit(qubit, self.now)

    def _take_back(self, node: int, qubit: int) -> None:
        """EGP says that it has the qubit no longer: then it must have had it."""
        self.lent[node].remove(qubit)

    def _renew(self, node: int, qubit: int) -> None:
        life = self.incarnations[node]

        def renewed() -> None:
            if self.incarnations[node] == life:
                self.renewing[node].remove(qubit)
                self._lend(node, released(qubit))

        self.renewing[node].add(qubit)
        self.at(self.now + ANSWER, renewed)

    # What must hold.

    def check(self, restarted: bool = False) -> None:
        """After the last event: requests have ended, pairs are pairs, no qubit is missing."""
        for node in self.nodes:
            egp = self.egp(node)
            assert sorted(egp.free_qubits()) == sorted(self.lent[node]), "a qubit is missing"
            assert not self.held[node]
            for way in self.ways.values():
                if node in (way.a, way.b):
                    assert egp.queue(way.number) == ()
        if restarted:
            return  # a node that has restarted gives its create ids again, and knows nothing of earlier pairs
        for story in self.stories.values():
            assert len({ok.link_sequence for ok in story.oks}) == len(story.oks)
            assert len([err for err in story.errs if err.sequence_low is None]) <= 1
        for asked in self.asked:
            self._check_request(*asked)

    def _check_request(self, node: int, link: int, create_id: int) -> None:
        way = self.ways[link]
        peer = way.b if node == way.a else way.a
        here = self.story(node, link, node, create_id)
        there = self.story(peer, link, node, create_id)
        good_here = {ok.link_sequence: ok for ok in here.oks if ok.link_sequence not in here.void}
        good_there = {ok.link_sequence: ok for ok in there.oks if ok.link_sequence not in there.void}
        assert good_here.keys() == good_there.keys()
        assert here.errs or here.oks, "neither OK nor ERR"
        for sequence, ok in good_here.items():
            other = good_there[sequence]
            assert ok.bell_index == other.bell_index
            truth = self.named[link, sequence]
            assert truth.alive(), "a pair that is none was delivered and never taken back"
            assert int(truth.outcome) + 1 == ok.bell_index
            for place, told in ((node, ok), (peer, other)):
                (train,) = (train for train in truth.trains if train.node == place)
                if isinstance(told, Ok):
                    assert train.spec.measure is None
                    assert (told.qubit, told.time_of_goodness) == (train.spec.qubit, truth.slot * SLOT)
                else:
                    assert train.spec.measure is not None
                    assert (told.outcome, told.basis) == (truth.bit, basis_at(train.spec.measure, truth.slot))

    def ended(self, node: int, link: int, origin: int, create_id: int, number: int) -> bool:
        """Has the node been told the end of a request for `number` pairs?"""
        story = self.story(node, link, origin, create_id)
        return bool(story.errs) or len(story.oks) == number

    def codes(self, node: int, link: int, origin: int, create_id: int) -> list[EgpError]:
        return [err.code for err in self.story(node, link, origin, create_id).errs]
