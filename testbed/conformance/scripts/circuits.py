"""What scripts of circuits have in common: link pairs made to order on any link, and circuits of one hop.

What may live here: no script, and nothing that decides a requirement.
"""

from typing import Any, Final, NamedTuple

from protocols.wire import (
    BellIndex,
    CircuitHop,
    DeviceProgram,
    DeviceTrain,
    EgpAdd,
    EgpAddAck,
    EgpTrain,
    EgpTrainAck,
    EgpVerdict,
    MhpError,
    MhpGen,
    MhpKind,
    MhpOutcome,
    MhpReply,
    PairKind,
    PairUse,
    Purification,
    QnpForward,
    QnpForwardAck,
    QnpInstall,
    QnpInstalled,
    QnpTrack,
)
from protocols.wire.codec import DeviceOpcode
from testbed.conformance.scene import FULL, LINK, REFRESH_PS, SLOT_PS
from testbed.conformance.scripts.pairs import add, proposal
from testbed.conformance.stage import SOON_PS, NotMet, Peer, Stage

PURPOSE: Final = 0x0707
"""What pairs are for, where the kit asks or listens."""
TRAIN_PS: Final = 60 * SLOT_PS
"""In which a train is over, and what follows has been said."""
LAST: Final = 0xFF
"""The rank of an end."""
ERROR: Final = round(0.1 * FULL / 3)


class Hop:
    """A link of the implementation, whose pairs the kit makes: the other end and the station are played.

    Every request of the implementation is accepted.  Where it leads, each train that it proposes is agreed on and goes
    on until :meth:`pair` has it herald, or fails.
    """

    def __init__(self, stage: Stage, link: int = LINK) -> None:
        row = next(row for row in stage.scene.links if row.number == link)
        self.stage, self.link = stage, link
        self.leads = row.a == stage.scene.node
        self.peer: Peer = stage.peers[row.b if self.leads else row.a]
        self.station: Peer = stage.peers[row.station]
        self.sequence = 0
        """Of the next pair."""
        self.qubits: dict[int, int] = {}
        """The implementation's half of each pair, by its sequence."""
        self._asked: list[list[int]] = []
        """[create id, whether the implementation asks, pairs left], the oldest first"""
        self._queue_id = 0
        self._gen: MhpGen | None = None
        self._told: dict[int, MhpReply] = {}
        self.peer.takers.append(self._at_peer)
        self.station.takers.append(self._at_station)

    async def asked(self, label: int, within: int = SOON_PS) -> EgpAdd:
        """The implementation asks for pairs of a circuit."""
        return await self.peer.expect(EgpAdd, within, lambda message: message.link == self.link, purpose_id=label)

    async def ask(self, label: int, number: int = 1) -> None:
        """The other end asks for pairs of a circuit, and may have them."""
        create_id = 100 + len(self._asked) + self.sequence
        self.peer.send(add(create_id, link=self.link, purpose_id=label, number=number, queue_sequence=self._queue_id))
        await self.peer.expect(EgpAddAck, link=self.link, create_id=create_id)
        self._asked.append([create_id, 0, number])

    async def pair(self, outcome: MhpOutcome = MhpOutcome.PSI_PLUS) -> int:
        """The next pair, of the oldest request; its link sequence.  The implementation hears of it one delay later."""
        if not self.leads:
            await self._propose()
        slot = None
        deadline = self.stage.now + TRAIN_PS + self.stage.ground.slack_ps
        while slot is None:
            slot = self._next_slot()
            if slot is None and self.stage.now >= deadline:
                raise NotMet(f"no train runs on link {self.link} within {TRAIN_PS // SLOT_PS} slots")
            if slot is None:
                await self.stage.step(deadline)
        gen = self._gen
        assert gen is not None
        mine = (self.link, gen.first_slot)
        train = await self.stage.devices.expect(
            DeviceTrain, where=lambda t: (t.link, t.first_slot) == mine, spacing=gen.spacing, count=gen.count
        )
        await self.stage.wait_slot(slot)
        sequence, self.sequence = self.sequence, self.sequence + 1
        self.qubits[sequence] = train.qubit
        self.stage.devices.heralded[self.link] = slot
        self._reply(gen, outcome, sequence, slot)
        if self._asked:
            self._asked[0][2] -= 1
            if not self._asked[0][2]:
                del self._asked[0]
        return sequence

    @property
    def owed(self) -> int:
        """Pairs that have been asked for and not been made."""
        return sum(left for _, _, left in self._asked)

    def _next_slot(self) -> int | None:
        """Of the train that runs, the first one that is to come."""
        gen = self._gen
        if gen is None:
            return None
        past = max(0, -(-(self.stage.now // SLOT_PS + 1 - gen.first_slot) // gen.spacing))
        return gen.first_slot + past * gen.spacing if past < gen.count else None

    def _reply(self, gen: MhpGen, outcome: MhpOutcome, sequence: int, slot: int) -> None:
        good = outcome in (MhpOutcome.PSI_PLUS, MhpOutcome.PSI_MINUS)
        ids = (sequence, gen.queue_id, gen.queue_id)
        reply = MhpReply(outcome, MhpError.NONE, self.link, *ids, slot, int(good), 0)
        self._told[gen.queue_id] = reply
        self._gen = None
        self.station.send(reply)

    def _at_station(self, message: Any) -> bool:
        if not isinstance(message, MhpGen) or message.link != self.link:
            return False
        told = self._told.get(message.queue_id)
        if told is not None:
            self.station.send(told)
        elif message.kind == MhpKind.PRODUCE:
            self._gen = message
            last = message.first_slot + (message.count - 1) * message.spacing
            self.stage.at((last + 1) * SLOT_PS, lambda: self._in_vain(message, last))
        elif self._gen is not None and self._gen.queue_id == message.queue_id and message.kind == MhpKind.ERR:
            self._reply(self._gen, MhpOutcome.FAIL, 0, self.stage.now // SLOT_PS)
        return True

    def _in_vain(self, gen: MhpGen, last: int) -> None:
        if self._gen is gen:
            self._reply(gen, MhpOutcome.FAIL, 0, last)

    def _at_peer(self, message: Any) -> bool:
        if getattr(message, "link", None) != self.link:
            return False
        match message:
            case EgpAdd():
                self._asked.append([message.create_id, 1, message.number])
                self.peer.send(EgpAddAck(self.link, message.create_id, message.queue_sequence, 0))
            case EgpTrain():
                ready = EgpTrainAck(self.link, message.queue_id, EgpVerdict.READY, message.expected_sequence)
                self.peer.send(ready)
                return True
        return False

    async def _propose(self) -> None:
        """The other end leads: it proposes a train for the oldest request, and the implementation agrees."""
        deadline = self.stage.now + TRAIN_PS + self.stage.ground.slack_ps
        while not self._asked:
            if self.stage.now >= deadline:
                raise NotMet(f"nobody asks for pairs on link {self.link}")
            await self.stage.step(deadline)
        create_id, own, _ = self._asked[0]
        self._queue_id += 1
        train = proposal(self.stage, create_id, self._queue_id, link=self.link, origin=1 - own)
        self.peer.send(train)
        await self.peer.expect(EgpTrainAck, queue_id=train.queue_id, verdict=EgpVerdict.READY)


def label_of(stage: Stage, peer: int, number: int = 1) -> int:
    """A label that this peer may give a circuit: even from the lower node, odd from the higher."""
    return 2 * number + int(peer > stage.scene.node)


def hop_row(link: int, node: int, rank: int = LAST, rounds: int = 0, minimum_fidelity: int = 0) -> CircuitHop:
    return CircuitHop(link, node, rank, rounds, minimum_fidelity)


def install(label: int, head: int, *hops: CircuitHop, number: int = 1, **fields: Any) -> QnpInstall:
    """An Install of a head, or of a repeater that passes it on."""
    row: dict[str, Any] = {
        "circuit": label,
        "head": head,
        "number": number,
        "priority": 0,
        "pairs_per_ks": 0,
        "cutoff_ps": 0,
        "refresh_ps": REFRESH_PS,
        "method": Purification.NONE,
        "pumping": 0,
        "end_rounds": 0,
        "position": 0,
        "hops": hops,
    }
    return QnpInstall(**{**row, **fields})


def forward(label: int, request: int = 1, purpose: int = PURPOSE, **fields: Any) -> QnpForward:
    row = {"circuit": label, "request": request, "kind": PairKind.KEEP, "pairs": 0, "minimum_fidelity": 0}
    return QnpForward(**{**row, "purpose": purpose, **fields})


def track(label: int, link: int, sequence: int, pair_id: int = 0, **fields: Any) -> QnpTrack:
    """Of |Ψ+⟩, if nothing else is said."""
    row: dict[str, Any] = {
        "circuit": label,
        "pair_id": pair_id,
        "link": link,
        "link_sequence": sequence,
        "bell_index": BellIndex.PSI_PLUS,
        "link_bell_index": BellIndex.PSI_PLUS,
        "use": PairUse.DELIVER,
        "error_z": ERROR,
        "error_x": ERROR,
        "error_y": ERROR,
        "age_ps": 0,
        "request": 0,
    }
    return QnpTrack(**{**row, **fields})


class Given(NamedTuple):
    """A pair that the implementation's user has been given."""

    pair_id: int
    qubit: int
    sequence: int
    bell_index: int


class Circuit:
    """Of one hop between the implementation and a neighbour, with one request."""

    def __init__(self, hop: Hop, label: int, request: int, headed: bool) -> None:
        self.hop, self.label, self.request, self.headed = hop, label, request, headed
        self.peer, self.stage = hop.peer, hop.stage
        self._pair_id = 70

    async def half(self, outcome: MhpOutcome = MhpOutcome.PSI_PLUS) -> QnpTrack:
        """The next link pair: the Track that the implementation sends of it."""
        sequence = await self.hop.pair(outcome)
        return await self.peer.expect(QnpTrack, circuit=self.label, link=self.hop.link, link_sequence=sequence)

    def answer(self, its: QnpTrack, **fields: Any) -> int:
        """The other end has its half, too; the pair's number."""
        self._pair_id += 1
        row: dict[str, Any] = {"pair_id": its.pair_id} if self.headed else {"pair_id": self._pair_id}
        row |= {"bell_index": its.bell_index, "link_bell_index": its.link_bell_index}
        row["request"] = 0 if self.headed else self.request
        row |= fields
        self.peer.send(track(self.label, self.hop.link, its.link_sequence, **row))
        return int(row["pair_id"])

    async def both(self, outcome: MhpOutcome = MhpOutcome.PSI_PLUS) -> tuple[int, QnpTrack]:
        """A pair that both ends hold; its number, and the Track of the implementation."""
        its = await self.half(outcome)
        return self.answer(its), its

    async def given(self, event: str = "pair", outcome: MhpOutcome = MhpOutcome.PSI_PLUS) -> Given:
        """A pair that both ends hold, given to the implementation's user."""
        number, its = await self.both(outcome)
        told = await self.stage.user.expect(event, pair_id=number, bell_index=int(its.bell_index))
        return Given(number, told["qubit"], its.link_sequence, its.bell_index)


async def announced(hop: Hop, purpose: int | None = None) -> Circuit:
    """The implementation, as head, sets a circuit up and announces a request; both are accepted."""
    label = (await hop.peer.expect(QnpInstall)).circuit
    announcement = await hop.peer.expect(QnpForward, circuit=label)
    if purpose not in (None, announcement.purpose):
        raise NotMet(f"{announcement} is for another purpose than {purpose}")
    hop.peer.send(QnpInstalled(label))
    hop.peer.send(QnpForwardAck(label, announcement.request, 1, 0))
    return Circuit(hop, label, announcement.request, True)


async def requested(stage: Stage, pairs: int = 1, **fields: Any) -> Circuit:
    """The user of the implementation, as head, asks for pairs of the neighbour, which accepts."""
    hop = Hop(stage)
    stage.user.order("request", node=hop.peer.number, purpose=PURPOSE, **fields)
    request = (await stage.user.expect("requested"))["request"]
    stage.user.order("want", request=request, number=pairs)
    circuit = await announced(hop, PURPOSE)
    if circuit.request != request:
        raise NotMet(f"request {request} is announced as {circuit.request}")
    return circuit


async def served(hop: Hop, purpose: int = PURPOSE, pairs: int = 1, number: int = 1, **fields: Any) -> Circuit:
    """The neighbour, as head, sets a circuit up and announces a request, and asks for pairs on the link."""
    stage = hop.stage
    label = label_of(stage, hop.peer.number, number)
    hop.peer.send(install(label, hop.peer.number, hop_row(LINK, stage.scene.node), number=number, **fields))
    await hop.peer.expect(QnpInstalled, circuit=label)
    hop.peer.send(forward(label, number, purpose))
    await hop.peer.expect(QnpForwardAck, circuit=label, request=number, accepted=1, error=0)
    if pairs:
        await hop.ask(label, pairs)
    return Circuit(hop, label, number, False)


async def released(stage: Stage, qubit: int, within: int = SOON_PS) -> None:
    """The implementation gives a qubit back."""
    deadline = stage.now + within + stage.ground.slack_ps
    while True:
        for _, command in stage.devices.commands:
            steps = command.ops if isinstance(command, DeviceProgram) else ()
            if any(op.opcode == DeviceOpcode.RELEASE and op.qubit == qubit for op in steps):
                return
        if stage.now >= deadline:
            raise NotMet(f"qubit {qubit:#x} is not released")
        await stage.step(deadline)


def ops(program: DeviceProgram) -> list[tuple[DeviceOpcode, int, int]]:
    """What a program does: (operation, qubit, other qubit of two)."""
    return [(DeviceOpcode(op.opcode), op.qubit, op.other) for op in program.ops]



