"""The node of MHP: tells the station of its trains, and asks what came of them.  MHP-n: mhp.toml."""


from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, NamedTuple

from protocols.ignored import Ignored
from protocols.machine import Output, Send
from protocols.mhp.trains import names_slot
from protocols.timers import Timers
from protocols.wire.codec import MhpError, MhpGen, MhpKind, MhpOutcome, MhpReply

TRIES: Final = 12
"""INFOs of a node before it gives a train up."""


class Midpoint(NamedTuple):
    """What a node knows of the station of one of its links."""

    station: int
    round_trip_ps: int


class TrainOutcome(NamedTuple):
    """Event at a node: what came of its train.

    slot: of the success; of a failure the last one that was looked at; of an error the first.  error GENERAL:
    the station did not answer, so nobody knows.
    """

    link: int
    queue_id: int
    outcome: MhpOutcome
    error: MhpError
    mhp_sequence: int
    slot: int


class NodeState(Enum):
    """Of a train at a node."""

    NONE = auto()
    ATTEMPTING = auto()  # its Reply may come at any time
    ASKING = auto()  # its Reply should have come


class NodeInput(Enum):
    """What moves it."""

    START = auto()
    REPLY = auto()
    LATE = auto()  # the Reply should have been here by now
    SILENT = auto()  # the station has been asked often enough
    ABORT = auto()


_N, _I = NodeState, NodeInput
NODE_TABLE: dict[tuple[NodeState, NodeInput], NodeState] = {
    (_N.NONE, _I.START): _N.ATTEMPTING,
    (_N.ATTEMPTING, _I.START): _N.ATTEMPTING,  # superseded
    (_N.ATTEMPTING, _I.REPLY): _N.NONE,
    (_N.ATTEMPTING, _I.LATE): _N.ASKING,
    (_N.ATTEMPTING, _I.ABORT): _N.NONE,
    (_N.ASKING, _I.START): _N.ATTEMPTING,
    (_N.ASKING, _I.REPLY): _N.NONE,
    (_N.ASKING, _I.LATE): _N.ASKING,
    (_N.ASKING, _I.SILENT): _N.NONE,
    (_N.ASKING, _I.ABORT): _N.NONE,
}


@dataclass(slots=True)
class _NodeTrain:
    gen: MhpGen
    state: NodeState = NodeState.NONE
    asked: int = 0
    wait_ps: int = 0


class NodeMhp:
    """The node's side on all its links; one train per link at a time."""

    def __init__(self, links: Mapping[int, Midpoint], tries: int = TRIES) -> None:
        self._links = dict(links)
        self._tries = tries
        self._trains: dict[int, _NodeTrain] = {}
        self._timers: Timers[int] = Timers()
        self._outputs: list[Output] = []

    def start_train(
        self, link: int, queue_id: int, first_slot: int, spacing: int, count: int, alpha: int, deadline: int
    ) -> None:
        """Tell the station of a train.  Its Reply should be here by `deadline`, in ps: the last slot and the
        way back.

        A train of this link that has not ended is superseded: no event comes of it.
        """
        if count < 1 or spacing < 1:
            raise ValueError(f"a train of {count} attempts, {spacing} slots apart")
        old = self._trains.get(link)
        train = _NodeTrain(MhpGen(MhpKind.PRODUCE, link, queue_id, first_slot, spacing, count, alpha))
        if old is not None:
            train.state = old.state
        self._move(train, NodeInput.START)
        self._trains[link] = train
        self._timers.set(link, deadline)
        self._send(train.gen)  # MHP-1

    def ask(self, link: int) -> None:
        """Ask for the outcome of the running train at once: there is reason to think that it has one."""
        train = self._trains.get(link)
        if train is not None:
            self._send(train.gen._replace(kind=MhpKind.INFO))

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
            self._move(train, NodeInput.REPLY)
            self._outputs.append(
                TrainOutcome(
                    message.link,
                    message.queue_id,
                    MhpOutcome(message.outcome),
                    MhpError(message.error),
                    message.mhp_sequence,
                    message.slot,
                )
            )

    def poll(self, now: int) -> list[Output]:
        for link in self._timers.take_due(now):
            train = self._trains[link]
            if train.asked < self._tries:  # MHP-3
                self._move(train, NodeInput.LATE)
                # As often as a Reply could come, then less often, for a station that is down.
                train.wait_ps = 2 * train.wait_ps or 3 * self._links[link].round_trip_ps
                train.asked += 1
                self._timers.set(link, now + train.wait_ps)
                self._send(train.gen._replace(kind=MhpKind.INFO))
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
