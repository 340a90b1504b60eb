"""One train of a link at one of its ends: the qubit, the device, and what its successes mean."""

import secrets
from collections import deque
from typing import TYPE_CHECKING, Any

from mhp import ERROR, GENERAL, MODULUS, PSI_PLUS, Heralding
from wire import (
    TOP,
    Add,
    DeviceTrain,
    Failed,
    Gen,
    Measuring,
    MeasuringTrain,
    Recall,
    Remembered,
    Reply,
    StopTrain,
    Tested,
    Train,
    TrainDone,
)

if TYPE_CHECKING:
    from egp import Link

NOBODY = MODULUS  # no sequence is expected
XYZ = 2
BASIS = ("Z", "X", "Y", "ZPLUSX", "ZMINUSX")
PLAIN = Measuring(0, 0, 0, 0, 0, 0)  # Z
IN_TEST = (PLAIN, PLAIN, PLAIN._replace(bases=XYZ, chance_1=TOP), PLAIN._replace(bases=XYZ, chance_2=TOP))  # by EgpTest


def ahead(a: int, b: int) -> int:
    """By how much a is ahead of b, of two MHP sequences; negative if it is behind."""
    distance = (a - b) % MODULUS
    return distance if distance <= MODULUS // 2 else distance - MODULUS


def larger(a: int, b: int) -> int:
    """The larger of two expectations."""
    if NOBODY in (a, b):
        return min(a, b)
    return a if ahead(a, b) >= 0 else b


class Attempt:
    """A train that is proposed, or runs."""

    def __init__(self, link: "Link", train: Train, key: tuple[int, int], add: Add, qubit: int) -> None:
        self.link, self.train, self.key, self.add, self.qubit = link, train, key, add, qubit
        self.world = link.world
        self.measuring = add.kind == 1 or (add.kind == 2 and key[0] == self.world.node and not train.test)
        self.proposed = True
        self.heralding: Heralding | None = None
        self.done = self.over = self.stopping = self.used = False
        self.silent = False
        self.last: int | None = None  # slot of the last emission
        self.void: int | None = None  # successes from here on do not count
        self.successes: deque[Reply] = deque()
        self.recalling = False

    def start(self) -> None:
        """Both nodes take part."""
        train, self.proposed = self.train, False
        number, first, spacing, count, alpha = train.link, train.first_slot, train.spacing, train.attempts, train.alpha
        slots = (number, self.qubit, first, spacing, count, alpha)
        if self.measuring:
            own = 0 if self.key[0] == self.world.node else 1
            how = self.add.measuring[own] if own < len(self.add.measuring) else PLAIN
            how = IN_TEST[train.test] if train.test else how
            self.world.command(MeasuringTrain(*slots, secrets.randbits(64), *how), self._emitted)
        else:
            self.world.command(DeviceTrain(*slots), self._emitted)
        gen = Gen(0, number, train.queue_id, first, spacing, count, alpha, train.pairs)
        self.heralding = Heralding(self.world, self.link.link, gen, bool(train.each), self._succeeded, self._ended)

    def reply(self, reply: Reply) -> None:
        """The station says something of the link."""
        if self.heralding is not None:
            self.heralding.receive(reply)

    def cut(self) -> None:
        """This node does not go on."""
        if self.heralding is not None:
            self.heralding.cannot()

    def abort(self) -> None:
        """Its request is gone: stop, and wait for the outcome only."""
        self.cut()
        self._stop()

    def _stop(self) -> None:
        if not self.done and not self.stopping:
            self.stopping = True
            self.world.command(StopTrain(self.train.link, self.qubit))

    def _emitted(self, answer: Any) -> None:
        """The device has done with the train."""
        self.done = True
        if isinstance(answer, TrainDone) and answer.emitted:
            self.last = answer.last_slot
        elif isinstance(answer, Failed):
            if self.measuring:  # it may be that the spacing is too small for this device
                self.link.measuring = self.train.spacing + 1
            self.cut()
        self._go_on()

    def _succeeded(self, reply: Reply) -> None:
        self.successes.append(reply)
        if not self.measuring:
            self._stop()
        self._go_on()

    def _ended(self, outcome: int, error: int | None) -> None:
        """The station has said all, or nobody knows."""
        self.over = True
        self.silent = error is None
        unknown = outcome == ERROR and error in (None, GENERAL)
        self._stop()
        dead = self.link.heralded(self.train.first_slot * self.link.slot, not self.silent)
        if unknown:
            self.link.lost(self.key, self.link.expected, self.link.expected, dead)
        if dead:
            self.link.dead()
        self._go_on()

    def _go_on(self) -> None:
        """Judge what can be judged; end if there is nothing left."""
        while self.successes and not self.recalling:
            if self.measuring:
                self.recalling = True
                self.world.command(Recall(self.train.link, self.successes[0].slot), self._remembered)
            elif self.done:
                reply = self.successes.popleft()
                self._judge(reply, {"qubit": self.qubit} if reply.slot == self.last else None)
            else:
                return
        if self.over and self.done and not self.successes and self.link.train is self:
            self.link.train = None
            if not self.used:
                self.link.qubits.release(self.qubit)
            self.link.trained()

    def _remembered(self, answer: Any) -> None:
        self.recalling = False
        known = isinstance(answer, Remembered) and answer.known
        got = {"outcome": answer.outcome, "basis": BASIS[answer.basis]} if known else None
        self._judge(self.successes.popleft(), got)
        self._go_on()

    def _judge(self, reply: Reply, got: dict[str, Any] | None) -> None:
        """What a success means (EGP-8 to EGP-12)."""
        link, sequence = self.link, reply.mhp_sequence
        expected, link.expected = link.expected, (sequence + 1) % MODULUS
        distance = 0 if expected == NOBODY else ahead(sequence, expected)
        void = self.void is not None and (self.void == NOBODY or ahead(sequence, self.void) >= 0)
        if distance < 0 or void or self.key not in link.requests:
            return
        if distance > 0 or got is None:
            link.lost(self.key, expected if distance > 0 else sequence, link.expected)
            self.cut()
        elif self.train.test:
            self._test(reply, got)
        else:
            self.used = "qubit" in got
            link.deliver(self.key, sequence, 2 if reply.outcome == PSI_PLUS else 3, got)

    def _test(self, reply: Reply, got: dict[str, Any]) -> None:
        """Measure the pair of a test round, and tell the result (EGP-23)."""

        def tell(outcome: int) -> None:
            self.link.layer.send(self.link.peer, Tested(self.train.link, reply.mhp_sequence, outcome))

        if "outcome" in got:
            tell(got["outcome"])
        else:
            self.used = True
            self.link.qubits.measure(self.qubit, self.train.test, tell)
