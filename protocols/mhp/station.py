"""The station of MHP: looks at the slots on which both nodes of a link agree, and tells both what came of it.
MHP-n: mhp.toml.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, NamedTuple

from protocols.ignored import Ignored
from protocols.machine import Output, Send
from protocols.mhp.trains import SEQUENCE_MODULUS, STATION_LEAD_PS, SUCCESSES, last_slot, names_slot, same_train
from protocols.timers import Timers
from protocols.wire.codec import MhpError, MhpGen, MhpKind, MhpOutcome, MhpReply

KEPT: Final = 32
"""Trains of which a station keeps what it told a node, per link."""

REPEATED: Final = 16
"""Replies that one question brings, at most; whoever needs more asks again."""


class StationLink(NamedTuple):
    """What a station knows of one of its links.

    lead_ps: how long before the first slot the station must have both Gens, to have its device listen in
    time.
    """

    ends: tuple[int, int]
    slot_ps: int
    lead_ps: int = STATION_LEAD_PS


class Arm(NamedTuple):
    """Event at a station: its device must listen to these slots."""

    link: int
    first_slot: int
    spacing: int
    count: int  # type: ignore[assignment]


class Disarm(NamedTuple):
    """Event at a station: what its device listens to is of no use any more."""

    link: int


class StationState(Enum):
    """Of a link at its station."""

    EMPTY = auto()
    HALF = auto()  # one Gen is here
    ARMED = auto()


class StationInput(Enum):
    """What moves it."""

    MORE = auto()  # the device has a success, and the train goes on
    GEN = auto()  # a Gen of a node from which there is none, or another than the one there is
    MATCH = auto()  # the second Gen, equal to the first
    MISMATCH = auto()  # the second Gen, unequal to the first
    LATE = auto()  # the second Gen has not come before the first slot
    HERALD = auto()  # the device has a success, or has listened in vain
    ERR = auto()  # a node, or the device, cannot


class Do(Enum):
    """Actions of the table."""

    KEEP = auto()  # the Gen waits for the other node's
    ARM = auto()
    REARM = auto()  # behind the slot of the success
    DISARM = auto()
    ANSWER = auto()  # a Reply to both nodes


_S, _J = StationState, StationInput
STATION_TABLE: dict[tuple[StationState, StationInput], tuple[StationState, tuple[Do, ...]]] = {
    (_S.EMPTY, _J.GEN): (_S.HALF, (Do.KEEP,)),
    (_S.HALF, _J.GEN): (_S.HALF, (Do.KEEP,)),  # the same node has superseded its train
    (_S.HALF, _J.MATCH): (_S.ARMED, (Do.KEEP, Do.ARM)),
    (_S.HALF, _J.MISMATCH): (_S.EMPTY, (Do.KEEP, Do.ANSWER)),
    (_S.HALF, _J.LATE): (_S.EMPTY, (Do.ANSWER,)),
    (_S.HALF, _J.ERR): (_S.EMPTY, (Do.ANSWER,)),
    (_S.ARMED, _J.GEN): (_S.HALF, (Do.DISARM, Do.ANSWER, Do.KEEP)),  # superseded by one of its nodes
    (_S.ARMED, _J.HERALD): (_S.EMPTY, (Do.ANSWER,)),
    (_S.ARMED, _J.MORE): (_S.ARMED, (Do.ANSWER, Do.REARM)),
    (_S.ARMED, _J.ERR): (_S.EMPTY, (Do.DISARM, Do.ANSWER)),
}


class _Result(NamedTuple):
    outcome: MhpOutcome
    error: MhpError
    slot: int | None = None  # None: the first slot that each node named
    more: bool = False


@dataclass(slots=True)
class _Port:
    """One link at its station."""

    number: int
    link: StationLink
    state: StationState
    gens: dict[int, MhpGen]  # by node
    kept: dict[tuple[int, int, int], list[MhpReply]]  # by node, queue id and first slot, oldest first
    arm: Arm | None = None  # what the device listens to
    successes: int = 0  # of the train that runs


class StationMhp:
    """The station's side of all its links.

    born_ps: when this station started; of trains before that it remembers nothing.  first_sequence: where the
    MHP sequences begin; they live as long as this machine.
    """

    def __init__(self, links: Mapping[int, StationLink], first_sequence: int = 0, born_ps: int = 0) -> None:
        self._born_ps = born_ps
        self._ports = {n: _Port(n, link, StationState.EMPTY, {}, {}) for n, link in links.items()}
        self._sequences = dict.fromkeys(links, first_sequence % SEQUENCE_MODULUS)
        self._timers: Timers[int] = Timers()
        self._outputs: list[Output] = []

    def heralded(self, arm: Arm, outcome: MhpOutcome, slot: int, now: int) -> None:
        """What the device answered to `arm`: the first success and its slot, or FAIL and the last slot."""
        port, gen = self._armed(arm)
        if gen is None:
            return
        looked_at = slot if names_slot(gen, slot) else None  # of a listen that came too late: none
        success = outcome in SUCCESSES
        port.successes += success
        more = success and port.successes < gen.pairs and looked_at is not None and slot < last_slot(gen)  # MHP-13
        result = _Result(outcome, MhpError.NONE, looked_at, more)
        self._move(port, StationInput.MORE if more else StationInput.HERALD, gen, result=result)

    def failed(self, arm: Arm, now: int) -> None:
        """The device could not do what `arm` asked for."""
        port, gen = self._armed(arm)
        if gen is not None:
            self._move(port, StationInput.ERR, result=_Result(MhpOutcome.ERROR, MhpError.LOCAL))

    def receive(self, message: NamedTuple, source: int, now: int) -> None:
        if not isinstance(message, MhpGen):
            raise TypeError(f"{type(message).__name__} is not a message to an MHP station")
        port = self._ports.get(message.link)
        if port is None or source not in port.link.ends:
            self._outputs.append(Ignored(source, "MhpGen", "not an end of this link"))
        elif message.kind == MhpKind.PRODUCE:
            self._on_produce(port, message, source, now)
        elif message.kind == MhpKind.ERR and same_train(port.gens.get(source), message):
            self._move(port, StationInput.ERR, result=_Result(MhpOutcome.ERROR, MhpError.GEN_FAIL))  # MHP-5
        else:
            self._on_question(port, message, source)

    def poll(self, now: int) -> list[Output]:
        for link in self._timers.take_due(now):
            self._move(
                self._ports[link],
                StationInput.LATE,
                result=_Result(MhpOutcome.ERROR, MhpError.NO_CLASSICAL_OTHER),  # MHP-8
            )
        outputs, self._outputs = self._outputs, []
        return outputs

    def next_timeout(self) -> int | None:
        return self._timers.next()

    def _armed(self, arm: Arm) -> tuple[_Port, MhpGen | None]:
        """The train that the device listens to, if it is still this one: an answer may cross a Disarm."""
        port = self._ports[arm.link]
        gen = next(iter(port.gens.values()), None) if port.state is StationState.ARMED else None
        return port, gen if arm == port.arm else None

    def _on_produce(self, port: _Port, gen: MhpGen, source: int, now: int) -> None:
        if self._repeat(port, gen, source) or same_train(port.gens.get(source), gen):
            return  # a duplicate
        if now > self._closing_ps(port, gen) or not (gen.count and gen.spacing and gen.pairs):
            self._answer(port, source, gen, 0, _Result(MhpOutcome.ERROR, MhpError.OUT_OF_WINDOW))  # MHP-9
            return
        if port.state is StationState.ARMED:
            self._move(
                port, StationInput.GEN, gen, source, _Result(MhpOutcome.ERROR, MhpError.QUEUE_MISMATCH)
            )  # MHP-10
            return
        other = next((g for node, g in port.gens.items() if node != source), None)
        if other is None:
            self._move(port, StationInput.GEN, gen, source)
        elif other.queue_id != gen.queue_id:
            result = _Result(MhpOutcome.ERROR, MhpError.QUEUE_MISMATCH)
            self._move(port, StationInput.MISMATCH, gen, source, result)  # MHP-7
        elif other[3:6] != gen[3:6] or other.pairs != gen.pairs:
            result = _Result(MhpOutcome.ERROR, MhpError.TIME_MISMATCH)
            self._move(port, StationInput.MISMATCH, gen, source, result)  # MHP-7
        else:
            self._move(port, StationInput.MATCH, gen, source)  # MHP-6

    def _on_question(self, port: _Port, gen: MhpGen, source: int) -> None:
        known = gen.pairs if gen.kind == MhpKind.INFO else 0
        if self._repeat(port, gen, source, known) or same_train(port.gens.get(source), gen):
            return  # of a train that has not ended yet, its next Reply will tell
        # Neither running nor remembered: its Gen never came, and by now would not help; or came to an earlier
        # life.
        lived = self._born_ps <= self._closing_ps(port, gen)
        error = MhpError.GEN_FAIL if lived else MhpError.GENERAL
        self._answer(port, source, gen, 0, _Result(MhpOutcome.ERROR, error))  # MHP-11

    def _repeat(self, port: _Port, gen: MhpGen, source: int, known: int = 0) -> bool:
        """MHP-11: what was said of this train, but for the successes of which the node knows."""
        kept = port.kept.get((source, gen.queue_id, gen.first_slot), [])
        told = [reply for reply in kept if reply.outcome not in SUCCESSES or reply.number > known]
        self._outputs += [Send(source, reply) for reply in told[:REPEATED]]
        return bool(kept)

    @staticmethod
    def _closing_ps(port: _Port, gen: MhpGen) -> int:
        """The last moment at which the second Gen helps."""
        return gen.first_slot * port.link.slot_ps - port.link.lead_ps

    def _move(
        self,
        port: _Port,
        stimulus: StationInput,
        gen: MhpGen | None = None,
        source: int = 0,
        result: _Result | None = None,
    ) -> None:
        port.state, actions = STATION_TABLE[port.state, stimulus]
        for action in actions:
            match action:
                case Do.KEEP:
                    assert gen is not None
                    port.gens[source] = gen
                case Do.ARM:
                    assert gen is not None
                    port.successes = 0
                    self._arm(port, gen, gen.first_slot)
                case Do.REARM:
                    assert gen is not None
                    assert result is not None
                    assert result.slot is not None
                    self._arm(port, gen, result.slot + gen.spacing)
                case Do.DISARM:
                    self._outputs.append(Disarm(port.number))
                case Do.ANSWER:
                    assert result is not None
                    self._answer_all(port, result)
        if port.state is StationState.HALF:
            assert gen is not None
            self._timers.set(port.number, self._closing_ps(port, gen))
        else:
            self._timers.cancel(port.number)

    def _arm(self, port: _Port, gen: MhpGen, first_slot: int) -> None:
        left = (last_slot(gen) - first_slot) // gen.spacing + 1
        port.arm = Arm(port.number, first_slot, gen.spacing, left)
        self._outputs.append(port.arm)

    def _answer_all(self, port: _Port, result: _Result) -> None:
        """A Reply to both nodes, also to the one whose Gen is missing: it need not wait for the end of its
        train."""
        gens = port.gens
        sequence = self._sequences[port.number]
        if result.outcome in SUCCESSES:
            self._sequences[port.number] = (sequence + 1) % SEQUENCE_MODULUS  # MHP-12
        a, b = port.link.ends
        for node, other in ((a, b), (b, a)):
            own = gens.get(node) or gens[other]
            peer_queue_id = gens[other].queue_id if other in gens else 0
            self._answer(port, node, own, peer_queue_id, result, sequence, port.successes)
        if not result.more:
            gens.clear()
            port.successes = 0

    def _answer(
        self,
        port: _Port,
        node: int,
        gen: MhpGen,
        peer_queue_id: int,
        result: _Result,
        sequence: int = 0,
        number: int = 0,
    ) -> None:
        slot = gen.first_slot if result.slot is None else result.slot
        row = (port.number, sequence, gen.queue_id, peer_queue_id, slot, number, int(result.more))
        reply = MhpReply(result.outcome, result.error, *row)
        port.kept.setdefault((node, gen.queue_id, gen.first_slot), []).append(reply)
        if len(port.kept) > KEPT:
            del port.kept[next(iter(port.kept))]
        self._outputs.append(Send(node, reply))
