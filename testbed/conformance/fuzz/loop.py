"""The work: frames by the thousand against one node after the other, guided by what they reach.

What may live here: episodes, and what counts as a finding.

An episode is the life of one node.  A part of its frames are forged: whoever sends them has no key, or repeats what was
sent, or means somebody else.  They must leave the node as it was, to the last field of every machine.  The others come
from a peer that has the key and means no good: nothing that it says may break the node.  A move that is not in a
machine's table breaks it (the tables are all there is), so it is found as well.
"""

import traceback
from collections import deque
from random import Random
from typing import Final

import trio

from protocols.reliable import Delivered
from protocols.wire import ProtocolId
from testbed.conformance.fuzz.coverage import Coverage
from testbed.conformance.fuzz.messages import Messages
from testbed.conformance.fuzz.report import Finding, Tally
from testbed.conformance.fuzz.snapshot import snapshot
from testbed.conformance.fuzz.subjects import PURPOSES, SUBJECTS, FuzzGround, Subject
from testbed.conformance.ground import Gone
from testbed.conformance.scene import LINK, MS, SLOT_PS
from testbed.conformance.stage import BARE, NotMet, Stage

EPISODE: Final = 5_000
"""Frames in the life of one node."""
BURST: Final = 50
"""Frames at one moment."""
FORGED: Final = 250
"""Of an episode's frames."""
WAITS_PS: Final = (0, MS, 20 * MS, 50 * MS, 200 * MS, 1_000 * MS, 20_000 * MS)


def fuzz_frames(protocol: int, frames: int, seed: int = 1) -> Tally:
    """So many frames of a protocol, shared alike by its subjects.  The same seed does the same."""
    subjects = [subject for subject in SUBJECTS if subject.protocol == protocol]
    random = Random(f"fuzz {seed} {protocol}")
    messages = Messages(protocol, random)
    findings: list[Finding] = []
    sent = forged = episode = 0
    with Coverage() as coverage:
        while sent < frames:
            subject = subjects[episode % len(subjects)]
            life = _Life(subject, messages, random, coverage, min(EPISODE, frames - sent))
            what = life.run()
            if what is not None:
                findings.append(Finding(subject.name, episode, life.sent, what, life.last))
            sent += max(1, life.sent)
            forged += life.forged
            episode += 1
        lines = coverage.lines
    return Tally(ProtocolId(protocol).name, sent, forged, lines, tuple(findings))


class _Life:
    """One episode."""

    def __init__(self, subject: Subject, messages: Messages, random: Random, coverage: Coverage, frames: int) -> None:
        self.sent = 0
        self.forged = 0
        self.last = ""
        self._ground = FuzzGround(subject)
        self._stage = Stage(subject.scene, self._ground)
        self._subject = subject
        self._messages = messages
        self._random = random
        self._coverage = coverage
        self._frames = frames
        self._qubits: list[int] = []
        self._heard: deque[bytes] = deque(maxlen=BURST)
        """Frames that the node has had, to be repeated."""
        self._changed = ""

    def run(self) -> str | None:
        """What was found, if anything was."""
        try:
            trio.run(self._ground.perform, self._act, clock=self._ground.trio_clock)
        except BaseExceptionGroup as group:
            error: BaseException = group
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            if isinstance(error, Gone):
                return f"{error}{_place(error)}"
            if isinstance(error, NotMet):
                return f"the node said what no node may say: {error}"
            raise
        return self._changed or None

    async def _act(self) -> None:
        stage, random, messages = self._stage, self._random, self._messages
        await stage.wait(0)
        self._ground.work()
        messages.know(link=LINK, node=stage.scene.node, incarnation=1)
        for row in stage.scene.links:
            messages.know(link=row.number, node=row.a)
        for purpose in PURPOSES:
            messages.know(purpose_id=purpose + 1, port=purpose)
        while self.sent < self._frames and not self._changed:
            messages.know(slot=stage.now // SLOT_PS + random.randrange(12), ticket=stage.now)
            self._order()
            if self.sent % (EPISODE // 5) == 0:
                self._forge(min(FORGED // 5, self._frames - self.sent))
            for _ in range(min(BURST, self._frames - self.sent)):
                self._say()
            await stage.wait(random.choice(WAITS_PS))
            self._overhear()

    def _say(self) -> None:
        """One message of a peer that has the key."""
        stage, random, messages = self._stage, self._random, self._messages
        peer = stage.peers[random.choice(stage.scene.peers)]
        message = messages.message()
        body = messages.body(message)
        self.last = f"{peer.number} {message} {body.hex()}"
        self.sent += 1
        before = self._coverage.lines
        kernel = self._ground.node.kernel
        kernel.true_now = max(kernel.true_now, stage.now)
        try:
            if message.PROTOCOL in BARE and random.random() < 0.98:
                frame = peer.frame(message, body=body)
                self._heard.append(frame)
                self._ground.node.nic._receive(frame)
            elif self._ground.has_services:
                # As the reliable sublayer delivers it; that itself is fuzzed as a protocol of its own.
                event = Delivered(peer.number, message.PROTOCOL, message.MESSAGE, body)
                self._ground.node.messenger._on_event(event)
        except Exception as error:
            raise Gone(f"{type(error).__name__}: {error}") from error
        if self._coverage.lines > before:
            messages.keep(message)

    def _forge(self, number: int) -> None:
        """Frames of somebody who has no key: nothing may change."""
        stage, random = self._stage, self._random
        node = self._ground.node
        before = snapshot(node)
        for _ in range(number):
            peer = stage.peers[random.choice(stage.scene.peers)]
            frame = bytearray(peer.frame(self._messages.message()))
            match random.randrange(7):
                case 0:
                    frame[random.randrange(len(frame))] ^= 1 << random.randrange(8)
                case 1:
                    del frame[random.randrange(len(frame)) :]
                case 2:
                    frame += random.randbytes(random.randrange(1, 20))
                case 3:
                    frame = bytearray(random.randbytes(random.randrange(1_300)))
                case 4 if self._heard:
                    frame = bytearray(random.choice(self._heard))
                case 5:
                    frame = bytearray(peer.frame(self._messages.message(), key=random.randbytes(32)))
                case _:
                    frame = bytearray(peer.frame(self._messages.message(), destination=random.randrange(10, 99)))
            self.last = frame.hex()
            node.nic._receive(bytes(frame))
            self.sent += 1
            self.forged += 1
        if snapshot(node) != before:
            self._changed = f"one of {number} forged frames has changed the node"

    def _order(self) -> None:
        """The user above is at work, too."""
        stage, random = self._stage, self._random
        if not self._ground.has_services or random.random() < 0.5:
            return
        peer = random.choice(stage.scene.peers)
        stage.user.order("say", node=peer, size=random.randrange(3_000))
        if stage.scene.role == "echo" and random.random() < 0.02:
            stage.user.order("ping", node=peer, timeout_ps=400 * MS)
        elif hasattr(self._ground.node, "link"):
            link = random.choice(stage.scene.links)
            stage.user.order("recv", remote=link.a + link.b - stage.scene.node, purpose=0xFF07)
            kind = random.choice("KKMR")
            bases = "NONE" if kind == "K" else "XZ"
            row = {"number": random.randrange(1, 4), "atomic": random.random() < 0.2, "kind": kind, "bases": bases}
            limit = random.choice((0, 0, 3_000 * MS))
            stage.user.order("create", link=link.number, purpose=0xFF07, max_time_ps=limit, **row)
            while self._qubits and random.random() < 0.7:
                stage.user.order("release", qubit=self._qubits.pop())

    def _overhear(self) -> None:
        stage, messages = self._stage, self._messages
        for peer in stage.peers.values():
            for seen in peer.seen:
                messages.overhear(seen.message)
            peer.seen.clear()
        for _, command in stage.devices.commands:
            messages.overhear(command)
        stage.devices.commands.clear()
        for facts in stage.user.told:
            messages.know(**{name: value for name, value in facts.items() if type(value) is int})
            if facts["event"] == "ok" and "qubit" in facts:
                self._qubits.append(facts["qubit"])
        stage.user.told.clear()
        stage.evidence.clear()


def _place(error: Gone) -> str:
    """Where the node broke."""
    steps = traceback.extract_tb(error.__cause__.__traceback__) if error.__cause__ is not None else []
    return f" at {steps[-1].filename.rpartition('/')[2]}:{steps[-1].lineno}" if steps else ""
