"""What happened in a run: frames joined from sending to arrival, events between them, and what pair each is about.

What may live here: reading a trace into such steps, and choosing among them.  How they are shown is for `listing` and
`ladder`.
"""

import heapq
from collections.abc import Collection, Iterable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

from protocols.wire import HEADER_BYTES, ProtocolId, RelAck, RelData, WireError, decode, parse
from testbed.errors import BadInput
from testbed.trace.pairs import Pairs, Topics
from testbed.trace.reading import TracedFrame, read_events, read_trace
from testbed.trace.spans import time_text

_HIDDEN_FIELDS = {
    "link", "stream_epoch", "job", "circuit", "epoch", "goodness", "alpha", "purpose_id", "priority",
    "minimum_fidelity", "spacing", "peer_queue_id", "expected_sequence", "origin", "kind", "error", "accepted",
    "t1_ps", "t2_ps", "readout_0", "readout_1",
}  # fmt: skip
_SHOWN_FACTS = {"slot", "sequence", "pair_id", "bell_index", "gate", "role"}
_REMEDY = "name a run's folder or its trace.pcapng"
_NOT_SHOWN = ("t_ps", "node", "layer", "event")


class Arrow(NamedTuple):
    """One frame on its way; ``received_ps`` is None if it never arrived.

    ``note`` is what the emulator did to it, or why its receiver dropped it.  ``facts`` are the message's fields.
    """

    source: str
    destination: str
    sent_ps: int
    received_ps: int | None
    protocol: str
    kind: str
    facts: dict[str, object]
    note: str = ""
    acknowledges: bool = False
    about: Topics = Topics()

    @property
    def t_ps(self) -> int:
        return self.sent_ps

    @property
    def nodes(self) -> tuple[str, ...]:
        return self.source, self.destination


class Note(NamedTuple):
    """Something that a node knows from here on."""

    node: str
    t_ps: int
    layer: str
    kind: str
    facts: dict[str, object]
    about: Topics = Topics()

    @property
    def nodes(self) -> tuple[str, ...]:
        return (self.node,)


type Step = Arrow | Note


def brief(step: Step) -> str:
    """The step in a few words, for drawings."""
    if isinstance(step, Note):
        facts = [f"{k}={v}" for k, v in step.facts.items() if k in _SHOWN_FACTS]
        return f"{step.layer}: {step.kind} {' '.join(facts)}"
    known = {k: v for k, v in step.facts.items() if k not in _HIDDEN_FIELDS and not isinstance(v, bytes)}
    facts = [_fact(name, value) for name, value in known.items() if value or not name.endswith("_ps")]
    return f"{step.protocol} {step.kind} {' '.join(facts[:4])}"


def _fact(name: str, value: object) -> str:
    if isinstance(value, int) and name.endswith("_ps"):
        return f"{name.removesuffix('_ps')}={time_text(value).replace(' ', '')}"
    return f"{name}={value}"


class Choice(NamedTuple):
    """Which steps are wanted; an empty set stands for all.

    ``protocols``: a protocol of frames or a layer of events; ``kinds``: a message's or an event's name; both whatever
    the case.  ``pair``: an ebit or a pair (see `testbed.trace.pairs`).
    """

    nodes: Collection[str] = ()
    protocols: Collection[str] = ()
    kinds: Collection[str] = ()
    start_ps: int = 0
    end_ps: int | None = None
    pair: str = ""
    frames: bool = True
    events: bool = True
    acknowledgements: bool = False

    def takes(self, step: Step) -> bool:
        arrow = isinstance(step, Arrow)
        if not (self.frames if arrow else self.events):
            return False
        if step.t_ps < self.start_ps or (self.end_ps is not None and step.t_ps > self.end_ps):
            return False
        if isinstance(step, Arrow) and step.acknowledges and not (self.acknowledgements or self.kinds):
            return False
        if self.nodes and not any(node in self.nodes for node in step.nodes):
            return False
        spoken = step.protocol if isinstance(step, Arrow) else step.layer
        if self.protocols and spoken.casefold() not in {p.casefold() for p in self.protocols}:
            return False
        if self.kinds and step.kind.casefold() not in {k.casefold() for k in self.kinds}:
            return False
        return not self.pair or self.pair in step.about.names


class Story(NamedTuple):
    """A run's steps in order of time; ``nodes`` in the order of the trace."""

    nodes: tuple[str, ...]
    steps: tuple[Step, ...]

    def chosen(self, choice: Choice) -> "Story":
        """The part of it that ``choice`` takes, with the nodes that have a part in it."""
        steps = tuple(step for step in self.steps if choice.takes(step))
        present = {node for step in steps for node in step.nodes}
        return Story(tuple(node for node in self.nodes if node in present), steps)

    def along(self) -> "Story":
        """The same with its nodes in the order of the fibre, if that is a chain: stations speak MHP with their ends."""
        near: dict[str, set[str]] = {}
        for step in self.steps:
            if isinstance(step, Arrow) and step.protocol == "MHP":
                near.setdefault(step.source, set()).add(step.destination)
                near.setdefault(step.destination, set()).add(step.source)
        ends = [node for node in self.nodes if len(near.get(node, ())) == 1]
        chain = ends[:1]
        while chain and (onward := [node for node in near[chain[-1]] if node not in chain]):
            chain.append(onward[0])
        if len(ends) != 2 or len(chain) != len(near) or any(len(some) > 2 for some in near.values()):
            return self
        return self._replace(nodes=(*chain, *(node for node in self.nodes if node not in near)))

    @property
    def spoken(self) -> tuple[str, ...]:
        """The protocols of its frames and the layers of its events, sorted."""
        return tuple(sorted({step.protocol if isinstance(step, Arrow) else step.layer for step in self.steps}))

    @property
    def kinds(self) -> tuple[str, ...]:
        """The names of its messages and events, sorted."""
        return tuple(sorted({step.kind for step in self.steps}))

    @property
    def pair_names(self) -> tuple[str, ...]:
        """The names of all its ebits and pairs, pairs between two ends first."""
        names = dict.fromkeys(name for step in self.steps for name in step.about.names)
        return tuple(sorted(names, key=lambda name: "/" not in name))


def read_story(trace: Path, events: Path | None = None, end_ps: int | None = None) -> Story:
    """Every step of a trace, and of the events beside it if there are any.  Raises BadInput.

    ``end_ps``: the rest of the run, which may be long, is not read, once all that was sent by then has come to its end;
    pairs are then known as far as they were then.
    """
    try:
        frames = list(_until(read_trace(trace), end_ps))
        told = read_events(events) if events is not None and events.exists() else iter(())
        facts = list(told if end_ps is None else takewhile(lambda event: event["t_ps"] <= end_ps, told))
    except OSError as error:
        raise BadInput(trace, "trace", error.strerror or str(error), _REMEDY) from None
    except Exception as error:  # scapy's own, or what a file that is no trace does to its reader
        raise BadInput(trace, "trace", f"it cannot be read ({error})", _REMEDY) from None
    numbers = _numbers(frames)
    numbers |= {n: name for n, name in _spoken(frames).items() if n not in numbers}
    order = list(dict.fromkeys([*numbers.values(), *(str(event["node"]) for event in facts)]))
    of_name = {name: number for number, name in numbers.items()}
    pairs = Pairs()
    notes: list[Note] = []
    about: list[tuple[TracedFrame, _Read | None]] = []
    in_order = heapq.merge([(f.t_ps, 0, f) for f in frames], [(e["t_ps"], 1, e) for e in facts], key=lambda x: x[:2])
    what: Any
    for _, event, what in in_order:
        if not event:
            about.append((what, _read(what, pairs)))
        else:
            node = str(what["node"])
            topics = pairs.event(of_name.get(node, 0), what)
            more = {k: v for k, v in what.items() if k not in _NOT_SHOWN}
            notes.append(Note(node, what["t_ps"], what["layer"], what["event"], more, topics))
    steps: list[Step] = [*_joined(about, numbers), *notes]
    return Story(tuple(order), tuple(sorted(steps, key=lambda s: (s.t_ps, isinstance(s, Note)))))


def _until(frames: Iterator[TracedFrame], end_ps: int | None) -> Iterator[TracedFrame]:
    """Frames sent up to ``end_ps``, and what became of them."""
    on_the_way: set[bytes] = set()
    for traced in frames:
        if end_ps is not None:
            name = traced.frame[6:16]  # source, destination, incarnation, sequence
            if traced.t_ps > end_ps and not on_the_way:
                return
            if traced.direction == "received":
                on_the_way.discard(name)
            elif traced.t_ps <= end_ps and "lost" not in traced.note:
                on_the_way.add(name)
        yield traced


class _Read(NamedTuple):
    source: int
    destination: int
    key: tuple[int, int, int, int]
    protocol: str
    kind: str
    facts: dict[str, object]
    acknowledges: bool
    about: Topics


def _read(traced: TracedFrame, pairs: Pairs) -> _Read | None:
    """The frame's message, or None if it is none."""
    try:
        header = parse(traced.frame)
        message: Any = decode(header, traced.frame[HEADER_BYTES:])
        kind = (header.protocol, header.message)
        if isinstance(message, RelData) and not message.more:
            kind = (message.protocol, message.message)
            message = decode(message, message.payload)
    except WireError:
        return None
    protocol = ProtocolId(message.PROTOCOL).name
    facts = {name: getattr(value, "name", value) for name, value in message._asdict().items()}
    return _Read(
        header.source,
        header.destination,
        (header.source, header.destination, header.incarnation, header.sequence),
        protocol,
        type(message).__name__.removeprefix(protocol.capitalize()),
        facts,
        isinstance(message, RelAck),
        pairs.frame(header, message, kind) if "dropped" not in traced.note else Topics(),
    )


def _joined(about: Iterable[tuple[TracedFrame, _Read | None]], names: dict[int, str]) -> Iterator[Arrow]:
    """Each sent frame with its first arrival; and what arrived though nobody had sent it."""
    sent: dict[tuple[int, int, int, int], Arrow] = {}
    for traced, read in about:
        if read is None:
            where = (traced.node, "?") if traced.direction == "sent" else ("?", traced.node)
            arrived = None if traced.direction == "sent" else traced.t_ps
            facts: dict[str, object] = {"bytes": len(traced.frame)}
            yield Arrow(*where, traced.t_ps, arrived, "?", "no frame", facts, traced.note)
            continue
        source = names.get(read.source, str(read.source))
        destination = names.get(read.destination, str(read.destination))
        known = sent.get(read.key)
        more = (read.protocol, read.kind, read.facts, traced.note, read.acknowledges, read.about)
        if traced.direction == "sent":
            sent[read.key] = Arrow(source, destination, traced.t_ps, None, *more)
        elif known is None:
            yield Arrow(source, traced.node, traced.t_ps, traced.t_ps, *more)
        elif known.received_ps is None:
            note = "; ".join(filter(None, (known.note, traced.note)))
            sent[read.key] = known._replace(received_ps=traced.t_ps, note=note)
    yield from sent.values()


def _numbers(frames: Iterable[TracedFrame]) -> dict[int, str]:
    """Node numbers to names, from the frames that each node sent."""
    names: dict[int, str] = {}
    for traced in frames:
        if traced.direction == "sent" and len(traced.frame) >= HEADER_BYTES:
            names.setdefault(int.from_bytes(traced.frame[6:8], "big"), traced.node)
    return dict(sorted(names.items()))


def _spoken(frames: Iterable[TracedFrame]) -> dict[int, str]:
    """The same from what each node received: for those that only listened."""
    names: dict[int, str] = {}
    for traced in frames:
        if traced.direction == "received" and len(traced.frame) >= HEADER_BYTES and not traced.note:
            names.setdefault(int.from_bytes(traced.frame[8:10], "big"), traced.node)
    return dict(sorted(names.items()))


__all__ = ["Arrow", "Choice", "Note", "Step", "Story", "brief", "read_story"]
