"""RGP, remote gates between qubits of two QPUs, over one pair each.  RGP-n: rgp.toml.

The cat-entangler gives the target's QPU a copy (in the Z basis) of the control on its half of the pair, with
which it does the gate at home; the cat-disentangler takes the copy away again:

    target   <- Ready
    control  CX(data, ebit), measure ebit: m1         Cat(m1 + x) ->        ... Uncat(m2 + z): Z on data
    target        X on ebit if Cat says so, CX or CZ(ebit, data), H and measure ebit: m2      <- Uncat

In place of the one gate the target may do more with the copy (COPY).  A qubit moves (MOVE) in the same two messages:
the control measures the qubit, too, and the Uncat says only that it is there.

The sender of each outcome merges its bit of the pair's Bell index (x, z) into it, so the receiver just does
what the message says.  The control asks for the pair and so is its head.  What comes before the gate was
started here is kept.

The control asks only when the target has come to the gate and has said so (Ready).  A node that is ahead of
the others would take qubits of theirs otherwise: a QPU's only communication qubit would hold half of the pair
for a gate that comes later in its program than the one that needs that qubit now, and neither would ever be
done.  So no pair waits for anything but two devices that are ready for it, except for those that the layer above
has said to keep ready (`reserve`): it knows that there are qubits enough for all of them.

What passes between RGP and its neighbours in the stack stands in service.py, the states and their tables in
states.py; here are the rules.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from protocols import bell
from protocols.holds import Holds
from protocols.ignored import Ignored
from protocols.machine import Output, Send
from protocols.pairs import Pair, ReleaseQubit
from protocols.rgp.service import (
    ApplyZ,
    Done,
    GateRefused,
    NeedPair,
    NeedPairs,
    RefuseReason,
    Role,
    RunControl,
    RunTarget,
)
from protocols.rgp.states import CONTROL_TABLE, TARGET_TABLE, Do, GateInput, GateState
from protocols.wire.codec import RgpCat, RgpKind, RgpReady, RgpRefused, RgpUncat

HOLD_PS = 10_000_000_000  # 10 ms; the pair left the layer below before the Cat, only drivers can delay it
MAX_EARLY = 1024  # Readys of one peer kept for gates that have not been started here; refusals remembered


type _Message = RgpReady | RgpCat | RgpUncat | RgpRefused


class _GateName(NamedTuple):
    job: int
    gate: int


@dataclass(slots=True)
class _Reserve:
    """Pairs with one peer that are kept ready: `ahead` at a time, for `left` gates that are still to come."""

    ahead: int
    left: int


@dataclass(slots=True, eq=False)
class _Gate:
    name: _GateName
    role: Role
    kind: RgpKind
    qubit: int
    peer: int
    state: GateState
    pair: Pair | None = None
    cat: RgpCat | None = None
    outcome: int = 0  # what this end measured, or the Uncat it got: the bit to send or to apply
    phase: int = 0  # the other bit of a MOVE
    reason: RefuseReason = RefuseReason.CANCELLED


class Rgp:
    """Both ends of RGP for one node."""

    def __init__(self, node: int, hold_ps: int = HOLD_PS) -> None:
        self._node = node
        self._outputs: list[Output] = []
        self._gates: dict[_GateName, _Gate] = {}
        self._unpaired: dict[int, deque[_Gate]] = {}  # controls that wait for a pair, by peer
        self._spare: dict[int, deque[Pair]] = {}  # own pairs that came ahead of their gate, by peer
        self._asked: dict[int, int] = {}  # pairs that the layer below still owes, by peer
        self._reserves: dict[int, _Reserve] = {}
        self._pool: dict[tuple[int, int], Pair | None] = {}  # peers' pairs by (peer, pair id); None: it is gone
        self._seeking: dict[tuple[int, int], _Gate] = {}  # targets whose pair is not in the pool yet
        self._early: dict[int, dict[_GateName, RgpReady]] = {}  # by peer
        self._holds: Holds[_GateName] = Holds(hold_ps)
        self._told: dict[_GateName, RefuseReason] = {}  # what this end refused last: the peer may not have heard it

    # The service upward.

    def start(self, job: int, gate: int, role: Role, kind: RgpKind, qubit: int, peer: int, now: int) -> None:
        """Do this end's part of a gate; both ends must be told.  Ends in Done or in GateRefused.

        (job, gate) names the gate at both ends, whoever gives out the numbers.
        """
        name = _GateName(job, gate)
        if name in self._gates:
            raise ValueError(f"gate {gate} of job {job} has been started already")
        state = GateState.NEEDS_READY if role is Role.CONTROL else GateState.NEEDS_CAT
        new = self._gates[name] = _Gate(name, role, kind, qubit, peer, state)
        early = self._early.get(peer, {}).pop(name, None)
        if self._told.pop(name, None) is RefuseReason.TOO_EARLY:
            new.reason = RefuseReason.TOO_EARLY  # said already
            self._move(new, GateInput.REFUSED)
        elif early is not None:
            self._hear(new, early, now)
        elif role is Role.TARGET:
            self._send(peer, RgpReady(job, gate, kind, 0))  # RGP-10
        else:
            self._holds.put(name, now)

    def cancel(self, job: int, now: int, peer: int | None = None) -> None:
        """Give up every gate of a job that has not ended, with that peer or with any, and what came early for it."""
        for gate in [g for g in self._gates.values() if g.name.job == job and peer in (None, g.peer)]:
            self._fail(gate, RefuseReason.CANCELLED)
        for source, early in self._early.items():
            if peer not in (None, source):
                continue
            for name in [n for n in early if n.job == job]:
                del early[name]
                self._send(source, RgpRefused(*name, RefuseReason.CANCELLED))

    def decline(self, job: int, gate: int, peer: int, now: int) -> None:
        """This node will not do a gate that it has not started: the peer is told."""
        name = _GateName(job, gate)
        self._early.get(peer, {}).pop(name, None)
        self._refuse(peer, name, RefuseReason.CANCELLED)

    def reserve(self, peer: int, ahead: int, gates: int, now: int) -> None:
        """So many gates with this peer are to come that are controlled here: make `ahead` pairs ready at once, and
        make up for them while gates are left."""
        known = self._reserves.setdefault(peer, _Reserve(0, 0))
        known.ahead = max(known.ahead, ahead)
        known.left += gates
        self._refill(peer, known.ahead)

    def ready(self, peer: int) -> int:
        """Pairs with this peer that wait for gates controlled here."""
        return len(self._spare.get(peer, ()))

    def holds(self, peer: int, role: Role) -> bool:
        """Is a pair with this peer at hand that a gate in this role could use?"""
        if role is Role.CONTROL:
            return bool(self._spare.get(peer))
        return any(pair is not None and key[0] == peer for key, pair in self._pool.items())

    # From the device.

    def control_measured(self, job: int, gate: int, m1: int, now: int, m0: int = 0) -> None:
        """The program of RunControl read m1, and m0 for a MOVE.  For a gate that has ended meanwhile this is no
        news."""

        def correction(gate: _Gate, pair: Pair) -> int:
            gate.phase = bell.uncat_correction(pair.bell_index, m0) if gate.kind is RgpKind.MOVE else 0
            return bell.cat_correction(pair.bell_index, m1)

        self._measured(_GateName(job, gate), Role.CONTROL, correction)

    def target_measured(self, job: int, gate: int, m2: int, now: int) -> None:
        """The program of RunTarget read m2.  For a gate that has ended meanwhile this is no news."""

        def correction(gate: _Gate, pair: Pair) -> int:
            return 0 if gate.kind is RgpKind.MOVE else bell.uncat_correction(pair.bell_index, m2)

        self._measured(_GateName(job, gate), Role.TARGET, correction)

    # Pairs, from the layer below.

    def pair(self, peer: int, pair: Pair, now: int) -> None:
        """Both ends hold this pair.  One that this node asked for goes to the gate that waited longest."""
        if pair.head == self._node:
            self._asked[peer] = max(0, self._asked.get(peer, 0) - 1)
            waiting = self._unpaired.get(peer)
            if waiting:
                self._entangle(waiting.popleft(), pair)  # RGP-1
            else:
                self._spare.setdefault(peer, deque()).append(pair)
            return
        key = (peer, pair.pair_id)
        if self._pool.pop(key, pair) is None:  # it was given up before it came
            self._outputs.append(ReleaseQubit(pair.qubit))
        elif (gate := self._seeking.get(key)) is not None:
            self._give(gate, pair)
        else:
            self._pool[key] = pair

    def pair_lost(self, peer: int, pair: Pair, now: int) -> None:
        """A pair that was given here is a pair no more."""
        if pair.head == self._node:
            if pair in self._spare.get(peer, ()):
                self._spare[peer].remove(pair)
                self._outputs.append(ReleaseQubit(pair.qubit))
                self._refill(peer)
            # One in use goes on: the target, which lost it too, refuses.
        elif self._pool.get((peer, pair.pair_id)) is not None:
            self._void_pair(peer, pair.pair_id)

    def no_pairs(self, peer: int, now: int) -> None:
        """The layer below gave up: the gates that wait for a pair with this peer are refused."""
        self._asked.pop(peer, None)
        self._reserves.pop(peer, None)
        for gate in list(self._unpaired.get(peer, ())):
            self._fail(gate, RefuseReason.NO_PAIRS)

    def drop_pairs(self, peer: int, now: int, head: int | None = None) -> None:
        """Release every pair with this peer that no gate uses: those that `head` asked for, or all."""
        if head != peer:
            self._asked.pop(peer, None)
            self._reserves.pop(peer, None)
            for pair in self._spare.pop(peer, ()):
                self._outputs.append(ReleaseQubit(pair.qubit))
        if head == self._node:
            return
        for key in [k for k in self._pool if k[0] == peer]:
            if (unused := self._pool.pop(key)) is not None:
                self._outputs.append(ReleaseQubit(unused.qubit))

    def forget(self, peer: int) -> None:
        """No gate with this peer is to come: what it has said of such is not kept."""
        self._early.pop(peer, None)

    # The machine.

    def receive(self, message: NamedTuple, source: int, now: int) -> None:
        if not isinstance(message, RgpReady | RgpCat | RgpUncat | RgpRefused):
            raise TypeError(f"{type(message).__name__} is not a message of RGP")
        name = _GateName(message.job, message.gate)
        gate = self._gates.get(name)
        if gate is None and not isinstance(message, RgpUncat):
            self._keep(source, name, message)  # RGP-5
        elif gate is None or gate.peer != source:
            self._ignore(source, message, "no such gate with this node")
        else:
            self._hear(gate, message, now)

    def peer_lost(self, peer: int, now: int) -> None:
        """The node is gone, or has started anew: its gates are refused, its pairs released."""
        for gate in [g for g in self._gates.values() if g.peer == peer]:
            gate.reason = RefuseReason.PEER_LOST  # RGP-8
            self._move(gate, GateInput.PEER_LOST)
        self._early.pop(peer, None)
        self.drop_pairs(peer, now)

    def poll(self, now: int) -> list[Output]:
        for name in self._holds.take_due(now):
            gate = self._gates[name]
            if gate.state is GateState.NEEDS_READY:
                self._send(gate.peer, RgpReady(*name, gate.kind, 1))  # RGP-10
            else:
                self._fail(gate, RefuseReason.PAIR_LOST)
        outputs, self._outputs = self._outputs, []
        return outputs

    def next_timeout(self) -> int | None:
        return self._holds.next_due()

    # Small steps.

    def _hear(self, gate: _Gate, message: _Message, now: int) -> None:
        """What the peer says of a gate that has been started here."""
        match message:
            case RgpRefused():
                gate.reason = _reason(message.reason)
                self._move(gate, GateInput.REFUSED)
            case RgpReady() if gate.state is GateState.NEEDS_READY:
                if message.control or message.kind != gate.kind:
                    self._fail(gate, RefuseReason.KIND_MISMATCH)
                else:
                    self._move(gate, GateInput.READY)
            case RgpReady(control=1) if gate.role is Role.TARGET and message.kind == gate.kind:
                pass  # it waits for this end's, which is on its way
            case RgpReady() if gate.state is GateState.NEEDS_CAT:
                self._fail(gate, RefuseReason.KIND_MISMATCH)
            case RgpCat() if gate.state is GateState.NEEDS_CAT:
                self._take_cat(gate, message, now)
            case RgpUncat() if gate.state is GateState.NEEDS_UNCAT:
                gate.outcome = message.outcome
                self._move(gate, GateInput.UNCAT)
            case _:
                self._ignore(gate.peer, message, f"the gate is in state {gate.state.name}")

    def _ask(self, gate: _Gate) -> None:
        """For a pair.  One that came for a gate that was refused serves as well."""
        if self._spare.get(gate.peer):
            self._entangle(gate, self._spare[gate.peer].popleft())
        else:
            self._unpaired.setdefault(gate.peer, deque()).append(gate)
            reserve = self._reserves.get(gate.peer)
            if reserve is None or self._asked.get(gate.peer, 0) < len(self._unpaired[gate.peer]):
                self._asked[gate.peer] = self._asked.get(gate.peer, 0) + 1
                self._outputs.append(NeedPair(*gate.name, gate.peer))
        reserve = self._reserves.get(gate.peer)
        if reserve is not None:
            reserve.left = max(0, reserve.left - 1)
            self._refill(gate.peer)

    def _refill(self, peer: int, wanted: int | None = None) -> None:
        """Ask for the pairs that are to be ready: when half of them are missing, not one by one."""
        reserve = self._reserves.get(peer)
        if reserve is None:
            return
        if wanted is None:
            wanted = min(reserve.ahead, reserve.left)
        owed = self._asked.get(peer, 0) - len(self._unpaired.get(peer, ()))
        missing = wanted - len(self._spare.get(peer, ())) - owed
        if missing > 0 and 2 * missing >= wanted:
            self._asked[peer] = self._asked.get(peer, 0) + missing
            self._outputs.append(NeedPairs(peer, missing))

    def _entangle(self, gate: _Gate, pair: Pair) -> None:
        gate.pair = pair
        self._move(gate, GateInput.PAIR)

    def _take_cat(self, gate: _Gate, cat: RgpCat, now: int) -> None:
        gate.cat = cat
        self._move(gate, GateInput.CAT)
        key = (gate.peer, cat.pair_id)
        if key not in self._pool:
            self._seeking[key] = gate
            self._holds.put(gate.name, now)
        elif (pair := self._pool.pop(key)) is not None:
            self._give(gate, pair)
        else:
            self._fail(gate, RefuseReason.PAIR_LOST)

    def _give(self, gate: _Gate, pair: Pair) -> None:
        """The pair that the Cat named is here."""
        self._seeking.pop((gate.peer, pair.pair_id), None)
        self._holds.drop(gate.name)
        gate.pair = pair
        self._move(gate, GateInput.PAIR)

    def _measured(self, name: _GateName, role: Role, outcome: Callable[["_Gate", Pair], int]) -> None:
        gate = self._gates.get(name)
        if gate is None:
            return
        if gate.role is not role or gate.state is not GateState.RUNNING or gate.pair is None:
            raise ValueError(f"nothing was to be measured for {name}")
        gate.outcome = outcome(gate, gate.pair)  # RGP-3, RGP-4, RGP-11
        self._move(gate, GateInput.MEASURED)

    def _fail(self, gate: _Gate, reason: RefuseReason) -> None:
        gate.reason = reason
        self._move(gate, GateInput.FAIL)

    def _move(self, gate: _Gate, stimulus: GateInput) -> None:
        table = CONTROL_TABLE if gate.role is Role.CONTROL else TARGET_TABLE
        before = gate.state
        gate.state, actions = table[before, stimulus]
        if before is GateState.NEEDS_READY:
            self._holds.drop(gate.name)
        for action in actions:
            self._perform(gate, action)
        if gate.state is GateState.ENDED:
            del self._gates[gate.name]
            if before is GateState.NEEDS_PAIR:
                self._stop_waiting(gate)
            if gate.cat is not None and gate.pair is None:
                self._void_pair(gate.peer, gate.cat.pair_id)

    def _perform(self, gate: _Gate, action: Do) -> None:
        name = gate.name
        match action:
            case Do.ASK:
                self._ask(gate)
            case Do.RUN:  # RGP-2
                assert gate.pair is not None
                if gate.role is Role.CONTROL:
                    self._outputs.append(RunControl(*name, gate.qubit, gate.pair.qubit, gate.kind))
                else:
                    assert gate.cat is not None
                    cat = gate.cat
                    run = RunTarget(*name, gate.kind, gate.pair.qubit, gate.qubit, cat.outcome, cat.phase & 1)
                    self._outputs.append(run)
            case Do.CAT:
                assert gate.pair is not None
                self._send(gate.peer, RgpCat(*name, gate.kind, gate.pair.pair_id, gate.outcome, gate.phase))
            case Do.UNCAT:
                self._send(gate.peer, RgpUncat(*name, gate.outcome))
            case Do.APPLY_Z:
                self._outputs.append(ApplyZ(*name, gate.qubit, gate.outcome))
            case Do.DONE:  # RGP-7
                self._outputs.append(Done(*name, gate.role))
            case Do.TELL:  # RGP-6
                self._refuse(gate.peer, name, gate.reason)
            case Do.REFUSE | Do.REFUSE_TOUCHED:
                intact = action is Do.REFUSE
                self._outputs.append(GateRefused(*name, gate.role, gate.reason, intact))

    def _stop_waiting(self, gate: _Gate) -> None:
        if gate.role is Role.CONTROL:
            if gate in self._unpaired.get(gate.peer, ()):
                self._unpaired[gate.peer].remove(gate)
        elif gate.cat is not None:
            self._holds.drop(gate.name)
            self._seeking.pop((gate.peer, gate.cat.pair_id), None)

    def _void_pair(self, peer: int, pair_id: int) -> None:
        """The pair is gone, or the peer used its half for nothing: release this half, or when it comes."""
        pair = self._pool.get((peer, pair_id))
        self._pool[peer, pair_id] = None  # RGP-9
        if pair is not None:
            self._outputs.append(ReleaseQubit(pair.qubit))

    def _keep(self, source: int, name: _GateName, message: RgpReady | RgpCat | RgpRefused) -> None:
        """A message for a gate that is not here: not started yet, unless this end has refused it (RGP-5)."""
        early = self._early.setdefault(source, {})
        told = self._told.pop(name, None)
        if isinstance(message, RgpCat):  # early only by a mistake of the peer; or this end's Refused crosses it
            self._void_pair(source, message.pair_id)
        match message:
            case RgpRefused():  # kept no more than the Ready: whoever starts that gate says so, and is told again
                early.pop(name, None)
            case _ if told is not None:  # it may not have heard: the stream may have broken, or a life ended
                self._refuse(source, name, told)
            case RgpReady(control=1):
                pass  # should this end take itself for the control, too, it will say so in its turn
            case RgpReady() if len(early) < MAX_EARLY:
                early[name] = message
            case _:
                self._refuse(source, name, RefuseReason.TOO_EARLY)

    def _refuse(self, peer: int, name: _GateName, reason: RefuseReason) -> None:
        """Tell the peer, and remember it."""
        if len(self._told) == MAX_EARLY:
            del self._told[next(iter(self._told))]
        self._told[name] = reason
        self._send(peer, RgpRefused(*name, reason))

    def _send(self, destination: int, message: _Message) -> None:
        self._outputs.append(Send(destination, message, reliable=True))

    def _ignore(self, source: int, message: NamedTuple, reason: str) -> None:
        self._outputs.append(Ignored(source, type(message).__name__, reason))


def _reason(code: int) -> RefuseReason:
    return RefuseReason(code) if code in set(RefuseReason) else RefuseReason.CANCELLED
