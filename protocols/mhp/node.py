"""The node of MHP: tells the station of its trains, and asks what came of them.  MHP-n: mhp.toml."""


from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, NamedTuple

from protocols.asking import TRIES, interval_ps
from protocols.ignored import Ignored
from protocols.machine import Output, Send
from protocols.mhp.trains import SUCCESSES, names_slot
from protocols.timers import Timers
from protocols.wire.codec import MhpError, MhpGen, MhpKind, MhpOutcome, MhpReply


class Midpoint(NamedTuple):
    """What a node knows of the station of one of its links.

    slot_ps, lead_ps: the station's slots, and how long before one it must have a Gen (told attempt by attempt).
    """

    station: int
    round_trip_ps: int
    slot_ps: int = 0
    lead_ps: int = 0


class TrainOutcome(NamedTuple):
    """Event at a node: what came of its train.

    slot: of the success; of a failure the last one that was looked at; of an error the first.  error GENERAL:
    the station did not answer, so nobody knows.  more: the train goes on after this success.
    """

    link: int
    queue_id: int
    outcome: MhpOutcome
    error: MhpError
    mhp_sequence: int
    slot: int
    more: bool = False


class NodeState(Enum):
    """Of a train at a node."""

    NONE = auto()
    ATTEMPTING = auto()  # its Reply may come at any time
    ASKING = auto()  # its Reply should have come


class NodeInput(Enum):
    """What moves it."""

    START = auto()
    REPLY = auto()  # the last of its train
    MORE = auto()  # a Reply after which the train goes on, or the next attempt is told
    LATE = auto()  # the Reply should have been here by now
    SILENT = auto()  # the station has been asked often enough
    ABORT = auto()


_N, _I = NodeState, NodeInput
NODE_TABLE: dict[tuple[NodeState, NodeInput], NodeState] = {
    (_N.NONE, _I.START): _N.ATTEMPTING,
    (_N.ATTEMPTING, _I.START): _N.ATTEMPTING,  # superseded
    (_N.ATTEMPTING, _I.REPLY): _N.NONE,
    (_N.ATTEMPTING, _I.MORE): _N.ATTEMPTING,
    (_N.ATTEMPTING, _I.LATE): _N.ASKING,
    (_N.ATTEMPTING, _I.ABORT): _N.NONE,
    (_N.ASKING, _I.START): _N.ATTEMPTING,
    (_N.ASKING, _I.REPLY): _N.NONE,
    (_N.ASKING, _I.MORE): _N.ATTEMPTING,
    (_N.ASKING, _I.LATE): _N.ASKING,
    (_N.ASKING, _I.SILENT): _N.NONE,
    (_N.ASKING, _I.ABORT): _N.NONE,
}


_GOES_ON: Final = frozenset({MhpError.NONE, MhpError.NO_CLASSICAL_OTHER, MhpError.OUT_OF_WINDOW})
"""What costs one attempt, where attempts are told one by one: no click, or a lost or late Gen."""


@dataclass(slots=True)
class _NodeTrain:
    """`gen`: what the station was told of it; `last`: its last slot, when attempts are told one by one."""

    gen: MhpGen
    spacing: int
    last: int
    due: int
    """When the Reply to its last slot should be here."""
    each: bool
    twice: bool
    """Gens have been lost: each of this train is sent twice."""
    state: NodeState = NodeState.NONE
    asked: int = 0
    had: int = 0
    """Successes of which this node knows, in their order."""
    early: dict[int, MhpReply] = field(default_factory=dict)
    """Replies that came before one that is missing, by number; the last of the train under 0."""
    looked_at: MhpReply | None = None
    """Of attempts told one by one: the last that was looked at in vain."""


class NodeMhp:
    """The node's side on all its links; one train per link at a time."""

    def __init__(self, links: Mapping[int, Midpoint], tries: int = TRIES) -> None:
        self._links = dict(links)
        self._tries = tries
        self._trains: dict[int, _NodeTrain] = {}
        self._timers: Timers[int] = Timers()
        self._outputs: list[Output] = []

    def start_train(
        self,
        link: int,
        queue_id: int,
        first_slot: int,
        spacing: int,
        count: int,
        alpha: int,
        deadline: int,
        pairs: int = 1,
        each: bool = False,
        twice: bool = False,
    ) -> None:
        """Tell the station of a train.  Its Reply should be here by `deadline`, in ps: the last slot and the
        way back.

        `pairs` successes end it.  `each`: its attempts are told one by one, each when the Reply to the one before is
        here (MHP-14).  `twice`: Gens have been lost lately; each is sent twice, for one that comes late is of no use.
        A train of this link that has not ended is superseded: no event comes of it.
        """
        if count < 1 or spacing < 1 or pairs < 1 or (each and pairs > 1):
            raise ValueError(f"a train of {count} attempts, {spacing} slots apart, for {pairs} pairs")
        old = self._trains.get(link)
        gen = MhpGen(MhpKind.PRODUCE, link, queue_id, first_slot, spacing, 1 if each else count, alpha, pairs)
        train = _NodeTrain(gen, spacing, first_slot + (count - 1) * spacing, deadline, each, twice)
        if old is not None:
            train.state = old.state
        self._move(train, NodeInput.START)
        self._trains[link] = train
        self._expect(train)
        self._produce(train)

    def ask(self, link: int) -> None:
        """Ask for the outcome of the running train at once: there is reason to think that it has one."""
        train = self._trains.get(link)
        if train is not None:
            self._ask(train)

    def cut(self, link: int) -> None:
        """Have the station end the running train; what comes of it is told as ever."""
        train = self._trains.get(link)
        if train is not None:
            self._send(train.gen._replace(kind=MhpKind.ERR))  # MHP-5

    def abort(self, link: int) -> None:
        """This node cannot go on with the running train, and wants to hear no more of it."""
        train = self._trains.get(link)
        if train is not None:
            self._send(train.gen._replace(kind=MhpKind.ERR))  # MHP-5
            self._move(train, NodeInput.ABORT)

    def receive(self, message: NamedTuple, source: int, now: int) -> None:
        if not isinstance(message, MhpReply):
            raise TypeError(f"{type(message).__name__} is not a message to an MHP node")
        train = self._trains.get(message.link)
        if train is None or train.gen.queue_id != message.queue_id:
            return  # MHP-4: a repeated Reply about a train that has ended here
        if source != self._links[message.link].station:
            self._outputs.append(Ignored(source, "MhpReply", "not the station of this link"))
        elif names_slot(train.gen, message.slot):
            if message.outcome in SUCCESSES and message.number > train.had:
                train.early[message.number] = message
            elif message.outcome not in SUCCESSES:
                train.early[0] = message
            self._take(train, now)

    def _take(self, train: _NodeTrain, now: int) -> None:
        """What can be told of the Replies that are here: successes in their order, then the end."""
        while (success := train.early.pop(train.had + 1, None)) is not None:
            train.had += 1
            self._tell(train, success)
            if not success.more:
                self._move(train, NodeInput.REPLY)
                return
            self._again(train)
        end = train.early.get(0)
        if end is not None and end.number <= train.had:
            if train.each and end.error in _GOES_ON and self._next_attempt(train, end, now):
                return
            self._tell(train, train.looked_at if train.looked_at is not None and end.error in _GOES_ON else end)
            self._move(train, NodeInput.REPLY)
        elif train.early:
            self._ask(train)  # MHP-13: a Reply before these is missing

    def _next_attempt(self, train: _NodeTrain, end: MhpReply, now: int) -> bool:
        """Tell of the first attempt that is left, and of which the station can hear in time; False if there is none."""
        midpoint = self._links[train.gen.link]
        if end.outcome == MhpOutcome.FAIL:
            train.looked_at = end
        earliest = -(-(now + midpoint.round_trip_ps // 2 + midpoint.lead_ps) // midpoint.slot_ps)
        behind = max(1, -(-(earliest - train.gen.first_slot) // train.spacing))
        slot = train.gen.first_slot + behind * train.spacing
        if slot > train.last:
            return False
        train.gen = train.gen._replace(first_slot=slot)
        train.early.clear()
        self._again(train)
        self._produce(train)  # MHP-14
        return True

    def _produce(self, train: _NodeTrain) -> None:
        for _ in range(1 + train.twice):
            self._send(train.gen)  # MHP-1

    def _again(self, train: _NodeTrain) -> None:
        """More is to come of it."""
        self._move(train, NodeInput.MORE)
        train.asked = 0
        self._expect(train)

    def _expect(self, train: _NodeTrain) -> None:
        last = train.gen.first_slot if train.each else train.last
        self._timers.set(train.gen.link, train.due - (train.last - last) * self._links[train.gen.link].slot_ps)

    def _tell(self, train: _NodeTrain, reply: MhpReply) -> None:
        row = (reply.link, reply.queue_id, MhpOutcome(reply.outcome), MhpError(reply.error))
        self._outputs.append(TrainOutcome(*row, reply.mhp_sequence, reply.slot, bool(reply.more)))

    def _ask(self, train: _NodeTrain) -> None:
        self._send(train.gen._replace(kind=MhpKind.INFO, pairs=train.had))

    def poll(self, now: int) -> list[Output]:
        for link in self._timers.take_due(now):
            train = self._trains[link]
            if train.asked < self._tries:  # MHP-3
                self._move(train, NodeInput.LATE)
                # As often as a Reply could come, then less often, for a station that is down.
                self._timers.set(link, now + interval_ps(self._links[link].round_trip_ps, train.asked))
                train.asked += 1
                self._ask(train)
            else:
                self._move(train, NodeInput.SILENT)
                gen = train.gen
                self._outputs.append(
                    TrainOutcome(link, gen.queue_id, MhpOutcome.ERROR, MhpError.GENERAL, 0, gen.first_slot)
                )
        outputs, self._outputs = self._outputs, []
        return outputs

    def next_timeout(self) -> int | None:
        return self._timers.next()

    def _move(self, train: _NodeTrain, stimulus: NodeInput) -> None:
        train.state = NODE_TABLE[train.state, stimulus]
        if train.state is NodeState.NONE:
            del self._trains[train.gen.link]
            self._timers.cancel(train.gen.link)

    def _send(self, gen: MhpGen) -> None:
        self._outputs.append(Send(self._links[gen.link].station, gen))
