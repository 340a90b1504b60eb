"""What a script holds: peers that say what it wants, devices that do as they are told, the user above, and the clock.

What may live here: sending, waiting for what must come, and for what must not.  What was seen is kept as evidence.

A peer answers reliable messages by the rules of REL by itself (`Peer.reliable`), unless a script takes that over.
"""

import hmac
from collections.abc import Callable
from itertools import count
from typing import Any, Final, NoReturn

from protocols.machine import Send
from protocols.reliable import Delivered, Reliable
from protocols.wire import (
    HEADER_BYTES,
    MESSAGES,
    DeviceBits,
    DeviceConnect,
    DeviceDone,
    DeviceHerald,
    DeviceListen,
    DeviceMeasuringTrain,
    DeviceOpcode,
    DeviceOutcome,
    DeviceProgram,
    DeviceRecall,
    DeviceRemembered,
    DeviceSteer,
    DeviceStopListen,
    DeviceStopTrain,
    DeviceTrain,
    DeviceTrainDone,
    EgpBasis,
    Message,
    ProtocolId,
    SrpReady,
    WireError,
    decode,
    parse,
    seal,
    verify,
)
from testbed.conformance.ground import Arrived, Commanded, Ground, Happening, NotSupported, Told
from testbed.conformance.scene import DELAY_PS, DEVICE_PS, MS, RECONFIGURE_PS, SLOT_PS, Scene

BARE: Final = frozenset(
    {ProtocolId.ECHO, ProtocolId.REL, ProtocolId.MHP, ProtocolId.SRP, ProtocolId.LSR, ProtocolId.TTP}
)
"""Protocols that travel in frames of their own; but for SRP's Ready."""

SAID: Final = 255
"""The protocol of what the user orders to `say`."""

SOON_PS: Final = 2 * DELAY_PS + 100 * MS
"""In which an answer must be there that is due at once: a round trip and what a host may need."""


class NotMet(Exception):
    """The implementation does not do what is required."""


class Undecided(Exception):
    """What a script needs to come to a verdict is not there."""


class Seen:
    """One message of the implementation, at one of the kit's peers."""

    __slots__ = ("at", "header", "message", "order", "reliable")
    _order = count()

    def __init__(self, at: int, header: Any, message: Any, reliable: bool) -> None:
        self.order = next(self._order)
        """Which came first."""
        self.at = at
        self.header = header
        self.message = message
        self.reliable = reliable


class Peer:
    """A node around the implementation."""

    def __init__(self, stage: "Stage", number: int) -> None:
        self.number = number
        self.seen: list[Seen] = []
        """What has come and no script has asked for yet."""
        self.reliable: Reliable | None = Reliable(1, 2 * DELAY_PS)
        self.incarnation = stage.ground.first_incarnation
        self.sequence = 0
        self.takers: list[Callable[[Any], bool]] = []
        """Who sees each message before the script does; one that says True has dealt with it."""
        self._stage = stage
        self._key = stage.scene.key(number, stage.scene.node)

    def frame(self, message: Message, /, **header: Any) -> bytes:
        """A frame that carries the message; ``header`` replaces what would stand there."""
        self.sequence += 1
        fields = {
            "protocol": message.PROTOCOL,
            "message": message.MESSAGE,
            "source": self.number,
            "destination": self._stage.scene.node,
            "incarnation": self.incarnation,
            "sequence": self.sequence,
            "body": message.pack(),
            "key": self._key,
        }
        return seal(**{**fields, **header})

    def tagged(self, frame: bytes) -> bytes:
        """The frame with the tag that its bytes ask for, whatever they are."""
        untagged = frame[:16] + bytes(16) + frame[32:]
        return frame[:16] + hmac.digest(self._key, untagged, "sha256")[:16] + frame[32:]

    def send_frame(self, frame: bytes, note: str = "") -> None:
        """Send bytes as they are."""
        stage = self._stage
        stage.log(stage.now, f"{self.number} → IUT  {note or frame.hex()}")
        stage.ground.send(self.number, self.incarnation, self.sequence, frame)

    def send(self, message: Message) -> None:
        """Send a message as its protocol travels: bare, or over the reliable sublayer."""
        if message.PROTOCOL in BARE and not isinstance(message, SrpReady):
            self.send_frame(self.frame(message), str(message))
            return
        if self.reliable is None:
            raise ValueError("this peer has no reliable sublayer; send its segments")
        self._stage.log(self._stage.now, f"{self.number} ⇒ IUT  {message}")
        self.reliable.send(self._stage.scene.node, message.PROTOCOL, message.MESSAGE, message.pack(), self._stage.now)
        self.flush()

    def restart(self) -> None:
        """The peer has died and lives again."""
        self.incarnation += 1
        self.sequence = 0
        self.reliable = Reliable(self.incarnation, 2 * DELAY_PS)
        self.seen.clear()

    def flush(self) -> None:
        """Send what the reliable sublayer wants; file what it delivers."""
        machine = self.reliable
        if machine is None:
            return
        for output in machine.poll(self._stage.now):
            if isinstance(output, Send):
                self._stage.ground.send(self.number, self.incarnation, self.sequence + 1, self.frame(output.message))
            elif isinstance(output, Delivered) and output.protocol != SAID:
                try:
                    message = MESSAGES[output.protocol, output.message].unpack(output.body)
                except (KeyError, WireError) as error:
                    raise NotMet(f"node {self.number} got {output} over REL, which is no message: {error}") from None
                self._stage.log(self._stage.now, f"IUT ⇒ {self.number}  {message}")
                self._came(Seen(self._stage.now, None, message, True))

    def take(self, at: int, frame: bytes) -> None:
        """A frame has come; raises NotMet if it is none."""
        try:
            header = parse(frame)
            message = decode(header, frame[HEADER_BYTES:])
        except WireError as error:
            raise NotMet(f"node {self.number} got what is no frame ({error.reason}): {frame.hex()}") from None
        if (header.source, header.destination) != (self._stage.scene.node, self.number):
            raise NotMet(f"node {self.number} got a frame from {header.source} for {header.destination}")
        if not verify(frame, self._key):
            raise NotMet(f"node {self.number} got a frame with a wrong tag: {frame.hex()}")
        self._stage.log(at, f"IUT → {self.number}  {message}")
        if header.protocol == ProtocolId.REL and self.reliable is not None:
            self.reliable.receive(message, header.source, at)
            self.flush()
            return
        self._came(Seen(at, header, message, False))

    def _came(self, seen: Seen) -> None:
        for taker in self.takers:
            if taker(seen.message):
                return
        self.seen.append(seen)

    async def expect[M](
        self, kind: type[M], /, within: int = SOON_PS, where: Callable[[M], bool] = lambda message: True, **fields: Any
    ) -> M:
        """The next message of a kind; NotMet if none comes in time, or one with other fields than these."""
        return (await self.expect_seen(kind, within, where, **fields)).message  # type: ignore[no-any-return]

    async def expect_seen[M](
        self, kind: type[M], /, within: int = SOON_PS, where: Callable[[M], bool] = lambda message: True, **fields: Any
    ) -> Seen:
        """As :meth:`expect`, with header and time."""
        deadline = self._stage.now + within + self._stage.ground.slack_ps
        while (seen := self._find(kind, where)) is None:
            if self._stage.now >= deadline:
                late = f"within {within / MS:.0f} ms{_wish(fields)}"
                raise NotMet(f"no {kind.__name__} came to node {self.number} {late}")
            await self._stage.step(deadline)
        self.seen.remove(seen)
        _compare(seen.message, fields)
        return seen

    async def silence(self, *kinds: type, during: int = SOON_PS, where: Callable[[Any], bool] = lambda m: True) -> None:
        """NotMet if a message of one of these kinds comes (of any kind, if none is named)."""
        deadline = self._stage.now + during
        while True:
            for seen in self.seen:
                if (not kinds or isinstance(seen.message, kinds)) and where(seen.message):
                    raise NotMet(f"{seen.message} came to node {self.number}, where none should have come")
            if self._stage.now >= deadline:
                return
            await self._stage.step(deadline)

    def forget(self) -> None:
        """What has come so far is of no interest."""
        self.seen.clear()

    def _find(self, kind: type, where: Callable[[Any], bool]) -> Seen | None:
        return next((s for s in self.seen if isinstance(s.message, kind) and where(s.message)), None)


class Devices:
    """The implementation's own devices: they do at once what they are asked to, and keep what they were asked."""

    def __init__(self, stage: "Stage") -> None:
        self.commands: list[tuple[int, Any]] = []
        self.bits: Callable[[DeviceProgram], bytes] = _all_zero
        """What the measurements of a program read."""
        self.remembered = DeviceRemembered(1, 0, EgpBasis.Z)
        self.heralded: dict[int, int] = {}
        """By link, a slot in which the train that runs has its last emission: whoever hears of a success in time stops
        the train before the next, and a host may be too busy to pass that on in time."""
        self._stage = stage
        self._trains: dict[int, tuple[int, Any]] = {}
        self._listens: dict[int, tuple[int, DeviceListen]] = {}

    def take(self, commanded: Commanded) -> None:
        """Carry a command out; raises NotMet if it is none."""
        kind = MESSAGES.get((ProtocolId.DEVICE, commanded.message))
        if kind is None:
            raise NotMet(f"there is no device command {commanded.message}")
        try:
            command: Any = kind.unpack(commanded.body)
        except WireError as error:
            raise NotMet(f"what the devices got is no {kind.__name__} ({error.reason})") from None
        self._stage.log(commanded.at, f"IUT → devices  {command}")
        self.commands.append((commanded.at, command))
        sequence, now = commanded.sequence, commanded.at
        match command:
            case DeviceProgram():
                self._answer(sequence, DeviceBits(self.bits(command)), now + DEVICE_PS)
            case DeviceTrain() | DeviceMeasuringTrain():
                self._trains[command.link] = (sequence, command)
                last = command.first_slot + (command.count - 1) * command.spacing
                self._stage.at(last * SLOT_PS - DELAY_PS + DEVICE_PS, lambda: self._train_over(sequence, command))
            case DeviceStopTrain(link=link):
                running = self._trains.get(link)
                if running is not None:
                    self._train_over(*running)
                self._answer(sequence, DeviceDone(), now + DEVICE_PS)
            case DeviceListen(link=link):
                self._listens[link] = (sequence, command)
                last = command.first_slot + (command.count - 1) * command.spacing
                self._stage.at(last * SLOT_PS + SLOT_PS // 2, lambda: self._listen_over(sequence, command, last))
            case DeviceStopListen(link=link):
                listening = self._listens.get(link)
                if listening is not None:
                    self._listen_over(*listening, 0)
                self._answer(sequence, DeviceDone(), now + DEVICE_PS)
            case DeviceRecall():
                self._answer(sequence, self.remembered, now + DEVICE_PS)
            case DeviceConnect():
                self._answer(sequence, DeviceDone(), now + RECONFIGURE_PS)
            case DeviceSteer():
                self._answer(sequence, DeviceDone(), now + DEVICE_PS)
            case _:
                raise NotMet(f"{command} is an answer of devices, no command to them")

    def herald(self, link: int, outcome: DeviceOutcome, slot: int) -> None:
        """What the detectors see at a station that listens."""
        listening = self._listens.pop(link, None)
        if listening is None:
            raise NotMet(f"the station does not listen on link {link}")
        self._answer(listening[0], DeviceHerald(outcome, slot), self._stage.now + 1_000)

    def listens(self, link: int) -> DeviceListen | None:
        """What the station listens to now."""
        listening = self._listens.get(link)
        return None if listening is None else listening[1]

    async def expect[M](
        self, kind: type[M], /, within: int = SOON_PS, where: Callable[[M], bool] = lambda command: True, **fields: Any
    ) -> M:
        """The next command of a kind, which is then forgotten."""
        deadline = self._stage.now + within + self._stage.ground.slack_ps
        while True:
            for index, (_, command) in enumerate(self.commands):
                if isinstance(command, kind) and where(command):
                    del self.commands[index]
                    _compare(command, fields)
                    return command
            if self._stage.now >= deadline:
                raise NotMet(f"no {kind.__name__} came to the devices within {within / MS:.0f} ms{_wish(fields)}")
            await self._stage.step(deadline)

    def _train_over(self, sequence: int, train: DeviceTrain | DeviceMeasuringTrain) -> None:
        if self._trains.get(train.link, (0, None))[0] != sequence:
            return
        del self._trains[train.link]
        last_slot = (self._stage.now + DELAY_PS) // SLOT_PS
        last_slot = min(last_slot, self.heralded.pop(train.link, last_slot))
        attempts = last_slot - train.first_slot
        emitted = min(max(0, attempts // train.spacing + 1), train.count) if attempts >= 0 else 0
        last = train.first_slot + (emitted - 1) * train.spacing if emitted else 0
        self._answer(sequence, DeviceTrainDone(emitted, last), self._stage.now + DEVICE_PS)

    def _listen_over(self, sequence: int, listen: DeviceListen, last: int) -> None:
        if self._listens.get(listen.link, (0, None))[0] == sequence:
            del self._listens[listen.link]
            self._answer(sequence, DeviceHerald(DeviceOutcome.FAIL, last), self._stage.now + 1_000)

    def _answer(self, sequence: int, answer: Message, due: int) -> None:
        self._stage.log(due, f"devices → IUT  {answer}")
        self._stage.ground.answer(sequence, answer.MESSAGE, answer.pack(), due)


class User:
    """The user above the implementation."""

    def __init__(self, stage: "Stage") -> None:
        self.told: list[dict[str, Any]] = []
        self._stage = stage

    def order(self, do: str, **arguments: Any) -> None:
        """One line of the upper tester; raises Undecided if the implementation has none."""
        if not self._stage.ground.has_user:
            raise Undecided("the implementation cannot be told what to do")
        self._stage.log(self._stage.now, f"user → IUT  {do} {arguments}")
        self._stage.ground.order({"do": do, **arguments})

    async def expect(
        self, event: str, within: int = SOON_PS, where: dict[str, Any] | None = None, **fields: Any
    ) -> dict[str, Any]:
        """The next event of this name (and with what `where` says); NotMet as with a peer's message."""
        deadline = self._stage.now + within + self._stage.ground.slack_ps
        while True:
            for facts in self.told:
                if facts["event"] == event and (where or {}).items() <= facts.items():
                    self.told.remove(facts)
                    wrong = {key: facts.get(key) for key, value in fields.items() if facts.get(key) != value}
                    if wrong:
                        raise NotMet(f"the user was told {facts}; expected {fields}")
                    return facts
            if self._stage.now >= deadline:
                raise NotMet(f"the user was not told '{event}' within {within / MS:.0f} ms{_wish(fields)}")
            await self._stage.step(deadline)

    async def silence(self, *events: str, during: int = SOON_PS) -> None:
        """NotMet if one of these events is told."""
        deadline = self._stage.now + during
        while True:
            for facts in self.told:
                if facts["event"] in events:
                    raise NotMet(f"the user was told {facts}, where nothing should have been told")
            if self._stage.now >= deadline:
                return
            await self._stage.step(deadline)


class Stage:
    """All of it."""

    def __init__(self, scene: Scene, ground: Ground) -> None:
        self.scene = scene
        self.ground = ground
        self.peers = {number: Peer(self, number) for number in scene.peers}
        self.devices = Devices(self)
        self.user = User(self)
        self.evidence: list[str] = []
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._made = 0

    @property
    def now(self) -> int:
        return self.ground.now()

    def log(self, at: int, line: str) -> None:
        self.evidence.append(f"{at / MS:10.3f} ms  {line}")

    def at(self, when: int, action: Callable[[], None]) -> None:
        """Do something at a time, while a script waits."""
        self._made += 1
        self._due.append((when, self._made, action))
        self._due.sort()

    def slot(self, ahead_ps: int) -> int:
        """The first slot that begins no earlier than this from now."""
        return -(-(self.now + ahead_ps) // SLOT_PS)

    async def wait(self, duration: int) -> None:
        await self.wait_until(self.now + duration)

    async def wait_until(self, when: int) -> None:
        while self.now < when:
            await self.step(when)

    async def wait_slot(self, slot: int) -> None:
        """Until a slot's time at the station."""
        await self.wait_until(slot * SLOT_PS)

    async def step(self, until: int) -> None:
        """Let time pass until something happens; what has happened is filed."""
        timers = [p.reliable.next_timeout() for p in self.peers.values() if p.reliable is not None]
        due = min([t for t in timers if t is not None] + [when for when, _, _ in self._due[:1]] + [until])
        for happening in await self.ground.advance(max(due, self.now)):
            self._file(happening)
        while self._due and self._due[0][0] <= self.now:
            self._due.pop(0)[2]()
        for peer in self.peers.values():
            peer.flush()

    def _file(self, happening: Happening) -> None:
        match happening:
            case Arrived():
                self.peers[happening.peer].take(happening.at, happening.frame)
            case Commanded():
                self.devices.take(happening)
            case Told():
                self.log(happening.at, f"IUT → user  {happening.facts}")
                if happening.facts["event"] == "unsupported":
                    raise NotSupported(f"it does not carry out '{happening.facts.get('do')}'")
                self.user.told.append(happening.facts)


def _all_zero(program: DeviceProgram) -> bytes:
    return bytes(sum(1 for op in program.ops if op.opcode == DeviceOpcode.MEASURE))


def _compare(message: Any, fields: dict[str, Any]) -> None:
    wrong = {name: getattr(message, name) for name, value in fields.items() if getattr(message, name) != value}
    if wrong:
        _refuse(message, {name: fields[name] for name in wrong})


def _refuse(message: Any, wanted: dict[str, Any]) -> NoReturn:
    raise NotMet(f"{message} came; expected{_wish(wanted)[5:] or ' another'}")


def _wish(fields: dict[str, Any]) -> str:
    return " with " + ", ".join(f"{name} = {value}" for name, value in fields.items()) if fields else ""


__all__ = ["SOON_PS", "Devices", "NotMet", "Peer", "Seen", "Stage", "Undecided", "User"]
