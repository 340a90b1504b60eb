"""The link layer of a node: EGP on all its links, with the physical layer under it.

What may live here: the driver of ``protocols.egp`` and the facts of links that follow from the node's configuration.
"""

from collections import Counter
from typing import Any

from protocols.device import unpack_handle
from protocols.egp.facts import KEEPALIVE_PS, LinkFacts, Setting, least_spacing
from protocols.egp.node import Egp
from protocols.egp.service import (
    KEPT,
    AskStation,
    CutTrain,
    Err,
    Expectation,
    How,
    MeasureTest,
    Ok,
    OkAny,
    OkMeasured,
    OkPrepared,
    QubitsReady,
    Reserve,
    StartTrain,
    Stash,
    StopTrain,
    Unreserve,
)
from protocols.egp.states import UNSET
from protocols.ignored import Ignored
from protocols.machine import Send
from protocols.measuring import FULL
from protocols.pairs import ReleaseQubit
from protocols.srp.node import Granted, Refused
from protocols.wire import EgpExpireAck, EgpKind, ProtocolId, SrpReady
from stack.config import Link, NodeConfig
from stack.link.interface import APPLICATION_PURPOSES, LinkUser, MeasuringUser
from stack.link.reservations import Reservations
from stack.link.storage import Storage
from stack.physical.interface import Herald, PhysicalLayer
from stack.runtime.driver import Driver
from stack.runtime.kernel import Kernel
from stack.runtime.messenger import Messenger
from stack.runtime.times import S


class EntanglementLink:
    """Implements ``LinkLayer``."""

    def __init__(self, kernel: Kernel, config: NodeConfig, physical: PhysicalLayer, messenger: Messenger) -> None:
        self._kernel = kernel
        self._physical = physical
        self._messenger = messenger
        self._user: LinkUser | None = None
        self._users: dict[int, MeasuringUser] = {}
        own = [link for link in config.links if config.number in (link.a, link.b)]
        links = [_facts(config, link) for link in own]
        # At a repeater a chain waits at two links: were a qubit free for either, one could take all, and wait for ever.
        self._bound = [facts.number for facts in links] if config.kind == "repeater" else []
        rooms = Counter(map(self._link_of, _storage_places(config)))
        self._storage = Storage(physical, rooms.total(), self._link_of)
        schedulers = {link.number: link.scheduler for link in own}
        machine = Egp(config.number, links, seed=config.seed, rooms=rooms or None, schedulers=schedulers)
        self._driver = Driver(kernel, machine, messenger.send, self._on_event, config.allowance_ps)
        self._switches = Reservations(kernel, config, messenger, self._on_switch)
        self._peers = {facts.peer: facts.number for facts in links}
        self._asked: set[int] = set()
        messenger.register(ProtocolId.EGP, self._receive)
        messenger.on_broken(self._broken)
        messenger.when_restarted(self._lives)
        physical.when_heard(self._lives)
        physical.memory.when_freed(self._offer)
        physical.memory.when_room(self._offer_room)
        self._offer()

    def serve(self, user: LinkUser) -> None:
        self._user = user

    def serve_purpose(self, purpose: int, user: MeasuringUser) -> None:
        if purpose not in APPLICATION_PURPOSES:
            raise ValueError(f"purpose {purpose} is the network layer's")
        self._users[purpose] = user

    def create(
        self,
        link: int,
        purpose: int,
        number: int,
        minimum_fidelity: int,
        max_time_ps: int = 0,
        priority: int = 0,
        how: How = KEPT,
    ) -> int:
        row = (link, purpose, number, minimum_fidelity, priority, max_time_ps, self._kernel.now, how)
        create_id = self._driver.machine.create(*row)
        self._kernel.event("link", "create", link=link, create_id=create_id, purpose=purpose, number=number)
        # The answer may be an Err at once: the caller must know the create_id by then.
        self._kernel.after(0, self._driver.flush)
        return create_id

    def expects(self, link: int, kind: EgpKind, minimum_fidelity: int) -> Expectation:
        return self._driver.machine.expects(link, kind, minimum_fidelity)

    def withdraw(self, link: int, create_id: int) -> None:
        self._driver.machine.withdraw(link, create_id, self._kernel.now)
        self._driver.flush()

    def recv(self, remote: int, purpose: int) -> None:
        self._driver.machine.recv(remote, purpose)

    def stop_recv(self, remote: int, purpose: int) -> None:
        self._driver.machine.stop_recv(remote, purpose)

    def _link_of(self, index: int) -> int | None:
        """Which link the qubit with this index is for; None: any."""
        return self._bound[index % len(self._bound)] if self._bound else None

    def _offer(self) -> None:
        """Every free communication qubit is the link layer's to use: a repeater's for one link, others for any."""
        memory = self._physical.memory
        while (qubit := memory.take_communication()) is not None:
            self._driver.machine.offer_qubit(qubit, self._kernel.now, self._link_of(unpack_handle(qubit).qubit))
        self._driver.flush()

    def _offer_room(self, index: int) -> None:
        self._driver.machine.offer_room(self._kernel.now, self._link_of(index))
        self._driver.flush()

    def _receive(self, message: Any, source: int) -> None:
        self._asked.discard(source)
        self._driver.receive(message, source)

    def _broken(self, peer: int) -> None:
        """What was said between the nodes may be lost; a peer that lives must know it as well.

        It does as soon as the next stream to it begins.  If nothing else is to be said that may be never, while both
        wait for each other: so it is asked what it expects, once (EGP-17).
        """
        self._driver.machine.broken(peer, self._kernel.now)
        self._driver.flush()
        if peer in self._peers and peer not in self._asked:
            self._asked.add(peer)
            question = EgpExpireAck(self._peers[peer], UNSET)
            self._messenger.send(Send(peer, question, reliable=True))

    def _lives(self, station: int) -> None:
        self._driver.machine.lives(station, self._kernel.now)
        self._driver.flush()

    def shown(self) -> list[dict[str, Any]]:
        """Each link's queue of requests, for people who look."""
        return self._driver.machine.shown()

    def _on_event(self, event: Any) -> None:
        match event:
            case StartTrain():
                self._kernel.event(
                    "link",
                    "train",
                    link=event.link,
                    queue_id=event.queue_id,
                    qubit=event.qubit,
                    first_slot=event.first_slot,
                    count=event.count,
                )
                self._physical.start_train(event, lambda herald: self._herald(event, herald))
            case StopTrain(link=link, qubit=qubit):
                self._physical.give_up(link, qubit)
            case CutTrain(link=link):
                self._physical.cut(link)
            case AskStation(link=link):
                self._physical.ask(link)
            case Reserve():
                self._switches.reserve(event)
            case Unreserve(link=link):
                self._switches.release(link)
            case QubitsReady(station=station, qubits=qubits):
                self._messenger.send(Send(station, SrpReady(qubits), reliable=True))
            case Ok():
                self._storage.keep(event, self._ok)
            case OkMeasured() | OkPrepared():
                self._measured(event)
            case MeasureTest():
                self._storage.test(event, lambda bit: self._tested(event, bit))
            case Err():
                self._err(event)
            case Stash(qubit=qubit):
                self._storage.stash(qubit)
            case ReleaseQubit(qubit=qubit):
                self._storage.release(qubit)
            case Ignored(message=message):
                self._kernel.count(f"ignored {message}")
            case _:
                raise AssertionError(f"{event} is no event of Egp")

    def _on_switch(self, event: Granted | Refused) -> None:
        machine, now = self._driver.machine, self._kernel.now
        if isinstance(event, Granted):
            machine.granted(event.link, event.first_slot, event.slots, now)
        else:
            machine.refused(event.link, event.reason is None, now)
        self._driver.flush()

    def _herald(self, train: StartTrain, herald: Herald | None) -> None:
        machine = self._driver.machine
        if herald is None:
            machine.train_failed(train.link, train.queue_id, self._kernel.now)
        else:
            machine.train_result(herald.told, herald.last_emitted_slot, self._kernel.now, herald.remembered)
        self._driver.flush()

    def _tested(self, test: MeasureTest, bit: int) -> None:
        self._kernel.event("link", "test", link=test.link, sequence=test.sequence, test=test.test.name, outcome=bit)
        self._driver.machine.tested(test.link, test.sequence, bit, self._kernel.now)
        self._driver.flush()

    def _err(self, err: Err) -> None:
        void: dict[str, int] = {}
        if err.sequence_low is not None and err.sequence_high is not None:
            void = {"sequence_low": err.sequence_low, "sequence_high": err.sequence_high}
        self._kernel.event(
            "link", "err", link=err.link, create_id=err.create_id, origin=err.origin, code=err.code.name, **void
        )
        self._storage.expire(err)
        user = self._users.get(err.purpose_id, self._user)
        if user is not None:
            user.link_error(err)

    def _ok(self, ok: Ok) -> None:
        self._kernel.event(
            "link",
            "ok",
            link=ok.link,
            create_id=ok.create_id,
            sequence=ok.link_sequence,
            bell_index=int(ok.bell_index),
            goodness=ok.goodness,
            qubit=ok.qubit,
        )
        self._count(ok)
        user = self._users.get(ok.purpose_id, self._user)
        if user is not None:
            user.link_ok(ok)

    def _measured(self, ok: OkMeasured | OkPrepared) -> None:
        self._kernel.event(
            "link",
            "measured",
            link=ok.link,
            create_id=ok.create_id,
            sequence=ok.link_sequence,
            bell_index=int(ok.bell_index),
            goodness=ok.goodness,
            basis=ok.basis.name,
            outcome=ok.outcome,
        )
        self._count(ok)
        user = self._users.get(ok.purpose_id)
        if user is not None:
            user.link_measured(ok)

    def _count(self, ok: OkAny) -> None:
        """What the node believes of its pairs, for the report."""
        estimates = self._kernel.results.setdefault("estimates", {}).setdefault(str(ok.link), [0, 0.0])
        estimates[0] += 1
        estimates[1] += ok.goodness / FULL


_MOST_KEEPALIVE_PS = 60 * S


def _facts(config: NodeConfig, link: Link) -> LinkFacts:
    a_is_here = link.a == config.number
    peer = link.b if a_is_here else link.a
    own_arm, peer_arm = (link.arm_a_ps, link.arm_b_ps) if a_is_here else (link.arm_b_ps, link.arm_a_ps)
    to_peer, to_station = config.paths[peer], config.paths[link.station]
    jitter = max(to_peer.faults.jitter_ps, to_station.faults.jitter_ps)
    margin = 10_000 + jitter + 2 * config.allowance_ps
    # From a qubit's first use until its herald is there: flights of photon and herald, the attempt comes on top.
    own_lead, peer_lead = link.leads_ps if a_is_here else link.leads_ps[::-1]
    longest = max(own_lead + to_station.delay_ps, peer_lead + peer_arm)
    slack = jitter + config.allowance_ps
    spacing = least_spacing(link.slot_ps, longest, link.attempt_ps, link.emission_ps, slack)
    p = link.success_probability
    return LinkFacts(
        number=link.number,
        peer=peer,
        station=link.station,
        slot_ps=link.slot_ps,
        arm_ps=own_arm,
        peer_arm_ps=peer_arm,
        delay_to_peer_ps=to_peer.delay_ps,
        delay_to_station_ps=to_station.delay_ps,
        delay_peer_to_station_ps=peer_arm,
        attempt_ps=link.attempt_ps,
        spacing_slots=spacing,
        own=_setting(0.0, link.success_probability, link.estimate, link.measured_estimate, link.formula_error),
        settings=tuple(_setting(*row) for row in link.settings),
        measuring_slots=max(1, -(-(link.emission_ps + link.measuring_ps) // link.slot_ps)),
        error=round(link.estimate_error * FULL),
        readout=link.readout_a if a_is_here else link.readout_b,
        peer_readout=link.readout_b if a_is_here else link.readout_a,
        test_share=link.test_share,
        capacity=_capacity(config),
        margin_ps=margin,
        # Asking a peer more often than pairs come would cost more than the pairs do.
        keepalive_ps=max(KEEPALIVE_PS, min(round(spacing * link.slot_ps / p), _MOST_KEEPALIVE_PS) if p > 0 else 0),
        switched=link.switched,
    )


def _setting(alpha: float, success_probability: float, kept: float, measured: float, error: float) -> Setting:
    figures = (round(figure * FULL) for figure in (kept, measured, error))
    return Setting(round(alpha * FULL), success_probability, *figures)


def _storage_places(config: NodeConfig) -> range:
    """Indexes of the node's storage qubits."""
    device = config.device
    if device is None:
        return range(0)
    first = device.data_qubits + device.communication_qubits
    return range(first, first + device.storage_qubits)


def _capacity(config: NodeConfig) -> int:
    """Pairs that the node can keep at a time."""
    device = config.device
    return 0 if device is None else device.keeps
