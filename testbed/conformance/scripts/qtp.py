"""Scripts for QTP: a QPU that sends teleported qubits, or receives them, with the network below it played."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from protocols.wire import (
    DeviceProgram,
    QtpAccept,
    QtpClose,
    QtpCredit,
    QtpDelivered,
    QtpFinish,
    QtpNote,
    QtpOpen,
    QtpRefuse,
    QtpReset,
    QtpService,
    QtpStatus,
    QtpTeleport,
)
from protocols.wire.codec import DeviceOpcode, PairFate, QnpDiscard, QtpCorrection
from testbed.conformance.scene import DELAY_PS, LINK, MS, QPU, SECOND_QPU, SLOT_PS
from testbed.conformance.scripts import decides
from testbed.conformance.scripts.circuits import Circuit, Hop, announced, label_of, released, served
from testbed.conformance.stage import SOON_PS, NotMet, Peer, Stage

PORT: Final = 7
QUBITS: Final = tuple(index << 16 | 1 for index in range(4))
"""The data qubits of the implementation."""
PLACES: Final = 4
"""Of an implementation with four communication qubits."""
SLOW_PS: Final = 2_000 * MS
"""Between two pairs, where the link is slower than what is wanted."""
ANY = (QtpOpen, QtpAccept, QtpRefuse, QtpTeleport, QtpDelivered, QtpClose, QtpCredit, QtpFinish, QtpReset)


class Session(NamedTuple):
    """Open, with the peer at its other end."""

    stage: Stage
    peer: Peer
    number: int

    @property
    def name(self) -> dict[str, Any]:
        return {"node": self.peer.number, "session": self.number}

    @property
    def purpose(self) -> int:
        """Of its pairs, in the network layer."""
        return 0x8000 | self.number & 0x7FFF

    def teleport(self, *qubits: int, frame: int = 0) -> None:
        """The user sends these."""
        for qubit in qubits:
            self.stage.user.order("teleport", **self.name, qubit=qubit, frame=frame)

    async def outcome(self, qubit: int, outcome: str) -> None:
        await self.stage.user.expect("teleported", where={"qubit": qubit}, **self.name, outcome=outcome)

    def delivered(self, index: int, limit: int, status: QtpStatus = QtpStatus.OK) -> None:
        self.peer.send(QtpDelivered(self.number, index, status, limit))


async def _sends(stage: Stage, places: int = 8, service: QtpService = QtpService.TELEPORT) -> Session:
    """A session that the implementation has opened."""
    hop_peer = next(iter(stage.peers.values()))
    stage.user.order("open", node=hop_peer.number, port=PORT, service=service.name)
    opened = await hop_peer.expect(QtpOpen, port=PORT, service=service)
    hop_peer.send(QtpAccept(opened.session, places))
    await stage.user.expect("session-opened", session=opened.session, port=PORT)
    return Session(stage, hop_peer, opened.session)


async def _receives(stage: Stage, number: int = 3, places: int = 8) -> Session:
    """A session that the peer has opened."""
    stage.user.order("accept", port=PORT, service="TELEPORT")
    await stage.wait(SOON_PS)
    peer = stage.peers[2]
    peer.send(QtpOpen(number, PORT, QtpService.TELEPORT, places))
    await peer.expect(QtpAccept, session=number, places=PLACES)
    await stage.user.expect("session-opened", session=number, port=PORT)
    return Session(stage, peer, number)


async def _pairs(session: Session, hop: Hop | None = None) -> Circuit:
    """The implementation asks for pairs for the session, and may have them."""
    return await announced(hop or Hop(session.stage), session.purpose)


async def _pool(session: Session, pairs: int) -> tuple[Circuit, list[int]]:
    """Pairs that the peer has asked for the session: their numbers."""
    circuit = await served(Hop(session.stage), session.purpose, pairs)
    numbers = [(await circuit.both())[0] for _ in range(pairs)]
    await session.stage.wait(SOON_PS)
    return circuit, numbers


def _touches(stage: Stage, qubit: int) -> bool:
    programs = [command for _, command in stage.devices.commands if isinstance(command, DeviceProgram)]
    return any(op.qubit == qubit for program in programs for op in program.ops)


def _reads(values: dict[int, int]) -> Callable[[DeviceProgram], bytes]:
    """Measurements of these qubits read so; of others, 0."""

    def bits(program: DeviceProgram) -> bytes:
        return bytes(values.get(op.qubit, 0) for op in program.ops if op.opcode == DeviceOpcode.MEASURE)

    return bits


async def _opens(stage: Stage, parity: int) -> None:
    numbers: list[int] = []
    for _ in range(3):
        number = (await _sends(stage)).number
        if number % 2 != parity or number in numbers:
            raise NotMet(f"session {number} is opened, after {numbers}, by node {stage.scene.node}")
        numbers.append(number)


@decides("QTP-1", scene=QPU)
async def the_lower_node_has_even_numbers(stage: Stage) -> None:
    """Three sessions of node 1 with node 2."""
    await _opens(stage, 0)


@decides("QTP-1", scene=SECOND_QPU)
async def the_higher_node_has_odd_numbers(stage: Stage) -> None:
    """Three sessions of node 2 with node 1."""
    await _opens(stage, 1)


@decides("QTP-2", scene=QPU)
async def what_is_listened_for_is_accepted(stage: Stage) -> None:
    """Nobody listens; somebody does, and then to another service; the same number again: one answer each."""
    peer = stage.peers[2]

    async def refused(number: int, port: int, service: QtpService = QtpService.TELEPORT) -> None:
        peer.send(QtpOpen(number, port, service, 4))
        await peer.expect(QtpRefuse, session=number)
        await peer.silence(QtpAccept, QtpRefuse)

    await refused(1, PORT)
    session = await _receives(stage)
    await peer.silence(QtpAccept, QtpRefuse)
    await refused(5, PORT, QtpService.PAIRS)
    await refused(7, PORT + 1)
    await refused(session.number, PORT)


@decides("QTP-3", "QTP-4", scene=QPU)
async def a_qubit_is_touched_when_a_pair_is_sure(stage: Stage) -> None:
    """Not before its half is here, nor before the other end has said that it has its own.  The correction joins what
    was measured with the pair's frame and the qubit's."""
    session = await _sends(stage)
    circuit = None
    for index, (qubit, frame, m1, m2) in enumerate(zip(QUBITS, (0, 3, 1, 2), (0, 1, 1, 0), (1, 1, 0, 0), strict=True)):
        session.teleport(qubit, frame=frame)
        circuit = circuit or await _pairs(session)
        its = await circuit.half()
        half = circuit.hop.qubits[its.link_sequence]
        stage.devices.bits = _reads({qubit: m1, half: m2})
        await stage.wait(SOON_PS)
        if _touches(stage, qubit):
            raise NotMet("the qubit is used before the other end is known to have its half")
        number = circuit.answer(its)
        wanted = QtpCorrection((m2 << 1 | m1) ^ int(its.bell_index) ^ frame)
        row: dict[str, Any] = {"session": session.number, "index": index, "pair_id": number}
        await session.peer.expect(QtpTeleport, **row, correction=wanted)
        session.delivered(index, 8)
        await session.outcome(qubit, "delivered")


@decides("QTP-5", "QTP-6", scene=QPU)
async def qubits_are_handed_up_in_order_and_once(stage: Stage) -> None:
    """Index 1 waits for 0; 0 comes again, with another pair, and is nothing.  Each has one Delivered."""
    session = await _receives(stage)
    _, (first, second, third) = await _pool(session, 3)
    session.peer.send(QtpTeleport(session.number, 1, first, QtpCorrection.X))
    await stage.user.silence("arrived")
    await session.peer.silence(QtpDelivered, during=0)
    session.peer.send(QtpTeleport(session.number, 0, second, QtpCorrection.Z))
    for index, (x, z) in enumerate(((0, 1), (1, 0))):
        await stage.user.expect("arrived", **session.name, index=index, x=x, z=z)
        await session.peer.expect(QtpDelivered, session=session.number, index=index, status=QtpStatus.OK)
    session.peer.send(QtpTeleport(session.number, 0, third, QtpCorrection.I))
    await stage.user.silence("arrived")
    await session.peer.silence(QtpDelivered)


@decides("QTP-6", scene=QPU)
async def a_qubit_without_its_pair_is_lost(stage: Stage) -> None:
    """Of a pair that is given up, and of one that does not come within the hold; the next one arrives."""
    session = await _receives(stage)
    circuit, (first, second) = await _pool(session, 2)
    circuit.peer.send(QnpDiscard(circuit.label, first, LINK, 0, PairFate.EXPIRED))
    for index, (pair, status) in enumerate(((first, QtpStatus.LOST), (999, QtpStatus.LOST), (second, QtpStatus.OK))):
        session.peer.send(QtpTeleport(session.number, index, pair, QtpCorrection.I))
        await session.peer.expect(QtpDelivered, session=session.number, index=index, status=status)
    await session.peer.silence(QtpDelivered)
    await stage.user.expect("arrived", index=2)


async def _three(stage: Stage) -> tuple[Session, Circuit]:
    """Three qubits to send: the first is under way, the others wait for pairs."""
    session = await _sends(stage)
    session.teleport(*QUBITS[:3])
    circuit = await _pairs(session)
    await circuit.both()
    await session.peer.expect(QtpTeleport, session=session.number, index=0)
    return session, circuit


@decides("QTP-7", "QTP-8", scene=QPU)
async def each_qubit_has_one_outcome(stage: Stage) -> None:
    """Delivered, said twice; lost; and returned when the user closes, which waits for what is under way.  All before
    the end, which is told to the peer."""
    session, circuit = await _three(stage)
    session.delivered(0, 8)
    session.delivered(0, 8)
    await session.outcome(QUBITS[0], "delivered")
    await circuit.both()
    await session.peer.expect(QtpTeleport, index=1)
    stage.user.order("close-session", **session.name)
    await session.peer.silence(QtpClose)
    session.delivered(1, 8, QtpStatus.LOST)
    await session.outcome(QUBITS[1], "lost")
    left = await circuit.both()
    await session.peer.expect(QtpTeleport, index=2, pair_id=left[0])
    session.delivered(2, 8)
    await session.peer.expect(QtpClose, session=session.number)
    await stage.user.expect("session-closed", **session.name)
    rest = [told for told in stage.user.told if told["event"] == "teleported"]
    if len(rest) != 1 or (rest[0]["qubit"], rest[0]["outcome"]) != (QUBITS[2], "delivered"):
        raise NotMet(f"of the last qubit the user was told {rest}")
    await stage.user.silence("session-closed")


@decides("QTP-8", scene=QPU)
async def unused_pairs_go_with_the_session(stage: Stage) -> None:
    """The peer closes a session for which a pair of its own is here."""
    session = await _receives(stage)
    circuit, _ = await _pool(session, 1)
    session.peer.send(QtpClose(session.number))
    await stage.user.expect("session-closed", **session.name)
    await released(stage, circuit.hop.qubits[0])


@decides("QTP-9", scene=QPU)
async def a_lost_peer_ends_its_sessions(stage: Stage) -> None:
    """It restarts: what is under way is lost, what waits is returned, and nothing is said."""
    session, _ = await _three(stage)
    session.peer.restart()
    session.peer.send(QtpOpen(31, PORT + 9, QtpService.TELEPORT, 1))
    await session.outcome(QUBITS[0], "lost")
    for qubit in QUBITS[1:3]:
        await session.outcome(qubit, "returned")
    await stage.user.expect("session-closed", **session.name)
    for qubit in QUBITS[1:3]:
        if _touches(stage, qubit):
            raise NotMet("a qubit is returned that was used")
    await session.peer.silence(*ANY, where=lambda message: message.session == session.number)


@decides("QTP-9", scene=QPU)
async def a_lost_peer_frees_its_pairs(stage: Stage) -> None:
    """It restarts, and a pair of its own is here for a session."""
    session = await _receives(stage)
    circuit, _ = await _pool(session, 1)
    session.peer.restart()
    session.peer.send(QtpOpen(31, PORT + 9, QtpService.TELEPORT, 1))
    await stage.user.expect("session-closed", **session.name)
    await released(stage, circuit.hop.qubits[0])


@decides("QTP-10", scene=QPU)
async def no_qubit_without_a_place(stage: Stage) -> None:
    """One place: the second waits for the limit in Delivered, the third for one in a Credit, with pairs at hand."""
    session = await _sends(stage, places=1)
    session.teleport(*QUBITS[:3])
    circuit = await _pairs(session)

    async def waits(index: int) -> None:
        await session.peer.silence(QtpTeleport)
        if _touches(stage, QUBITS[index]):
            raise NotMet(f"qubit {index} is used, and there is no place for it")

    async def pair() -> None:
        await stage.wait(SOON_PS)
        if circuit.hop.owed:  # it need not ask before there is a place
            await circuit.both()

    await circuit.both()
    await session.peer.expect(QtpTeleport, index=0)
    await pair()
    await waits(1)
    session.delivered(0, 2)
    await pair()
    await session.peer.expect(QtpTeleport, index=1)
    session.delivered(1, 2)
    await waits(2)
    session.peer.send(QtpCredit(session.number, 3))
    await pair()
    await session.peer.expect(QtpTeleport, index=2)


@decides("QTP-10", scene=QPU)
async def a_free_place_is_told(stage: Stage) -> None:
    """All places are taken, and the sender knows: no Credit before the user lets go of a qubit, one after it."""
    session = await _receives(stage)
    _, numbers = await _pool(session, PLACES)
    qubits = []
    for index, number in enumerate(numbers):
        session.peer.send(QtpTeleport(session.number, index, number, QtpCorrection.I))
        await session.peer.expect(QtpDelivered, index=index, limit=PLACES)
        qubits.append((await stage.user.expect("arrived", index=index))["qubit"])
    await session.peer.silence(QtpCredit)
    stage.user.order("release", qubit=qubits[1])
    await session.peer.expect(QtpCredit, session=session.number, limit=PLACES + 1)


@decides("QTP-11", scene=QPU)
async def half_a_session_goes_on(stage: Stage) -> None:
    """Finish waits for what is under way, and is said once; the peer's qubits still arrive."""
    session, circuit = await _three(stage)
    for _ in range(2):
        await circuit.both()
    for index in (1, 2):
        await session.peer.expect(QtpTeleport, index=index)
    stage.user.order("finish-session", **session.name)
    for index in range(3):
        await session.peer.silence(QtpFinish)
        session.delivered(index, 8)
    await session.peer.expect(QtpFinish, session=session.number, sent=3)
    label = label_of(stage, 2)
    theirs = await served(circuit.hop, session.purpose, 1)
    number, _ = await theirs.both()
    if theirs.label != label:
        raise NotMet("the circuit has another label")
    session.peer.send(QtpTeleport(session.number, 0, number, QtpCorrection.I))
    await session.peer.expect(QtpDelivered, session=session.number, index=0, status=QtpStatus.OK)
    await stage.user.expect("arrived", **session.name, index=0)
    await session.peer.silence(QtpFinish, QtpClose)


@decides("QTP-12", scene=QPU)
async def no_more_pairs_are_owed_than_the_pipe_holds(stage: Stage) -> None:
    """Ten a second are wanted, and one comes every other second, each of which could have come in half a one: when that
    is known two are owed at most."""
    session = await _sends(stage, service=QtpService.PAIRS)
    stage.user.order("stream", **session.name, pairs_per_s=10)
    circuit = await _pairs(session)
    for _ in range(6):
        came = stage.now
        given = await circuit.given("session-pair")
        stage.user.order("release", qubit=given.qubit)
        await stage.wait_until(came + SLOW_PS)
    if not 0 < circuit.hop.owed < 3:
        raise NotMet(f"{circuit.hop.owed} pairs are owed, though they come apart and soon")


@decides("QTP-13", scene=QPU)
async def a_reset_ends_at_once(stage: Stage) -> None:
    """Of the peer: under way is lost, what waits is returned, with no word back.  Of the user: the same, and the peer
    hears of it."""
    hop = Hop(stage)
    for own in (False, True):
        session = await _sends(stage)
        first, second = QUBITS[:2] if own else QUBITS[2:]
        session.teleport(first, second)
        circuit = await _pairs(session, hop)
        await circuit.both()
        await session.peer.expect(QtpTeleport, session=session.number, index=0)
        if own:
            stage.user.order("reset-session", **session.name)
            await session.peer.expect(QtpReset, session=session.number)
        else:
            session.peer.send(QtpReset(session.number))
        await session.outcome(first, "lost")
        await session.outcome(second, "returned")
        await stage.user.expect("session-closed", **session.name)
        await session.peer.silence(QtpClose, QtpReset, QtpFinish)
        await stage.wait(20 * SLOT_PS + DELAY_PS)


@decides("QTP-13", scene=QPU)
async def a_reset_frees_pairs(stage: Stage) -> None:
    """A pair of the peer is here for the session that it resets."""
    session = await _receives(stage)
    circuit, _ = await _pool(session, 1)
    session.peer.send(QtpReset(session.number))
    await stage.user.expect("session-closed", **session.name)
    await released(stage, circuit.hop.qubits[0])


@decides("QTP-14", scene=QPU)
async def notes_are_whole_and_in_order(stage: Stage) -> None:
    """Two of the peer, the first in three pieces; two of the user, of which the pieces join to what was said."""
    session = await _sends(stage)
    long, short = bytes(range(250)) * 10, b"short"
    for piece, more in ((long[:1024], 1), (long[1024:2048], 1), (long[2048:], 0), (short, 0)):
        session.peer.send(QtpNote(session.number, more, piece))
    for text in (long, short):
        await stage.user.expect("note", **session.name, text=text.hex())
    await stage.user.silence("note")
    for text in (long, short):
        stage.user.order("note", **session.name, text=text.hex())
    for text in (long, short):
        said, more = b"", 1
        while more:
            note = await session.peer.expect(QtpNote, session=session.number)
            said, more = said + note.text, note.more
        if said != text:
            raise NotMet(f"a note of {len(text)} bytes is said as one of {len(said)}")
    await session.peer.silence(QtpNote)
