"""Scripts for KEY: a QPU that opens a session, or accepts one.  What it has measured it is told by its user, in
place of the network layer; which circuit it would have pairs of is seen by `keys_are_made_of_pairs`."""

import hashlib
from random import Random
from typing import Any, Final, NamedTuple

from protocols.key.amplification import key_length, seed_bits, toeplitz
from protocols.key.correction import Question, Reference
from protocols.key.sifting import pack, pack_bytes, unpack
from protocols.wire import (
    EgpBases,
    KeyAccept,
    KeyAsk,
    KeyBases,
    KeyClose,
    KeyCorrected,
    KeyEstimate,
    KeyGiveUp,
    KeyOpen,
    KeyParities,
    KeyProof,
    KeyQuestion,
    KeyRefuse,
    KeySeed,
    KeyTests,
    KeyVerified,
    KeyWhy,
    PairKind,
    QnpForwardAck,
    QnpInstall,
    QnpInstalled,
)
from testbed.conformance.scene import FULL, QPU
from testbed.conformance.scripts import decides
from testbed.conformance.scripts.circuits import Hop, forward, hop_row, install, label_of
from testbed.conformance.stage import SOON_PS, NotMet, Stage

FIRST_PURPOSE: Final = 0x1000
NUMBER: Final = 5
"""Of the peer's session."""
NONCE: Final = 77
HOLD_PS: Final = 1_000_000_000_000
BLOCK: Final = (KeyBases, KeyTests, KeyEstimate, KeyAsk, KeyParities, KeyCorrected, KeySeed, KeyProof, KeyVerified)


def _opening(number: int = NUMBER, **changed: int) -> KeyOpen:
    row = {"opener": 2, "session": number, "block_pairs": 12, "x_chance": FULL // 2, "key_bits": 8, "secrecy": 1}
    return KeyOpen(**{**row, "correctness": 4, "nonce": NONCE, **changed})


class _Half(NamedTuple):
    """What the implementation has of a block: pair ids, their bases, its bits."""

    first: int
    bases: str
    bits: bytearray

    @property
    def row(self) -> bytes:
        code = sum({"Z": 1, "X": 2}[basis] << 2 * at for at, basis in enumerate(self.bases))
        return code.to_bytes(-(-len(self.bases) // 4), "little")

    def of(self, basis: str) -> bytearray:
        return bytearray(bit for bit, known in zip(self.bits, self.bases, strict=True) if known == basis)


def _half(first: int, bases: str, seed: int = 1) -> _Half:
    draw = Random(seed)
    return _Half(first, bases, bytearray(draw.getrandbits(1) for _ in bases))


def _read(stage: Stage, opener: int, session: int, half: _Half, least: int = 0, most: int | None = None) -> None:
    """The implementation has measured these of them."""
    pairs = [[half.first + at, basis, half.bits[at]] for at, basis in enumerate(half.bases)][least:most]
    stage.user.order("read", node=2, opener=opener, session=session, pairs=pairs)


async def _row(stage: Stage, block: int, half: _Half) -> None:
    """The implementation says what it has measured, and in which bases."""
    peer = stage.peers[2]
    said = await peer.expect(KeyBases, block=block, first=half.first)
    whole = said.row
    while said.more:
        said = await peer.expect(KeyBases, block=block, first=half.first + 4 * len(whole))
        whole += said.row
    if whole != half.row:
        raise NotMet(f"it says {whole.hex()} of bases that are {half.row.hex()}")


async def _next(stage: Stage, *kinds: type) -> Any:
    """The next message of any of these kinds."""
    return await stage.peers[2].expect(tuple, where=lambda message: isinstance(message, kinds))


# -- the responder ----------------------------------------------------------------------------------------------------


async def _accepted(stage: Stage, **changed: int) -> None:
    """The peer has opened a session."""
    stage.peers[2].send(_opening(**changed))
    await stage.peers[2].expect(KeyAccept, opener=2, session=NUMBER)


async def _sifted(stage: Stage, block: int, half: _Half) -> None:
    """The peer has measured the same pairs in the same bases."""
    _read(stage, 2, NUMBER, half)
    stage.peers[2].send(KeyBases(2, NUMBER, block, half.first, 0, half.row))
    await _row(stage, block, half)
    said = await stage.peers[2].expect(KeyTests, block=block)
    if said.bits != pack_bytes(half.of("X")):
        raise NotMet(f"{said} has other outcomes than those in X, {pack_bytes(half.of('X')).hex()}")


@decides("KEY-1", scene=QPU)
async def an_open_is_answered(stage: Stage) -> None:
    """Terms that make sense, and the purpose is welcome then; those that do not; more sessions than are served; and one
    that the sender would have another node open."""
    peer = stage.peers[2]
    await _accepted(stage)
    label = label_of(stage, 2)
    peer.send(install(label, 2, hop_row(1, 1)))
    await peer.expect(QnpInstalled, circuit=label)
    peer.send(forward(label, 1, FIRST_PURPOSE + NUMBER, kind=PairKind.MEASURE, bases=EgpBases.XZ))
    await peer.expect(QnpForwardAck, circuit=label, request=1, accepted=1)
    wrong = {"block_pairs": 0, "x_chance": 0, "key_bits": 12, "secrecy": 0, "correctness": 0}
    for changed in (*({name: number} for name, number in wrong.items()), {"x_chance": FULL}):
        peer.send(_opening(99, **changed))
        await peer.expect(KeyRefuse, opener=2, session=99, why=KeyWhy.UNFIT)
    for number in range(100, 115):
        peer.send(_opening(number))
        await peer.expect(KeyAccept, opener=2, session=number)
    peer.send(_opening(115))
    await peer.expect(KeyRefuse, opener=2, session=115, why=KeyWhy.FULL)
    peer.send(_opening(6, opener=3))
    await peer.silence(KeyAccept)


@decides("KEY-2", "KEY-3", scene=QPU)
async def a_responder_measures_before_it_says_how(stage: Stage) -> None:
    """The peer says its bases when two pairs have still to be measured here: nothing is said before they are, or
    the hold is over.  The tests are those in X."""
    await _accepted(stage)
    peer, half = stage.peers[2], _half(10, "ZXXZXZXXZXZX")
    peer.send(KeyBases(2, NUMBER, 1, half.first, 0, half.row))
    _read(stage, 2, NUMBER, half, most=10)
    await peer.silence(KeyBases, KeyTests)
    _read(stage, 2, NUMBER, half, least=10)
    await _row(stage, 1, half)
    said = await peer.expect(KeyTests, block=1, more=0)
    if said.bits != pack_bytes(half.of("X")):
        raise NotMet(f"{said} has other outcomes than those in X, {pack_bytes(half.of('X')).hex()}")
    peer.send(KeyGiveUp(2, NUMBER, 1, KeyWhy.NOISY))
    await stage.user.expect("block", block=1, why="NOISY")
    later = _half(30, "ZXZX", seed=2)
    _read(stage, 2, NUMBER, later, most=3)
    peer.send(KeyBases(2, NUMBER, 2, later.first, 0, later.row))
    await peer.silence(KeyBases, KeyTests)
    reply = await peer.expect(KeyBases, HOLD_PS + SOON_PS, block=2)
    if reply.row != bytes([later.row[0] & 0x3F]):
        raise NotMet(f"{reply} of a pair that has not been measured here")


async def _corrects(stage: Stage, block: int, half: _Half, wrong: tuple[int, ...]) -> tuple[Reference, bytearray]:
    """The peer's bits differ from the implementation's in these places; what it has said, and its bits."""
    peer, bits = stage.peers[2], half.of("Z")
    for at in wrong:
        bits[at] ^= 1
    reference = Reference(bits, 9)
    peer.send(KeyEstimate(2, NUMBER, block, len(bits), len(half.of("X")), 0, 9))
    while True:
        said = await _next(stage, KeyAsk, KeyCorrected)
        if isinstance(said, KeyCorrected):
            break
        answers = bytearray(reference.answer(Question(*question)) for question in said.questions)
        peer.send(KeyParities(2, NUMBER, block, pack_bytes(answers)))
    if (said.errors, said.asked) != (len(wrong), reference.leak):
        raise NotMet(f"{said} of {len(wrong)} errors and {reference.leak} parities")
    return reference, bits


def _proof(stage: Stage, block: int, bits: bytearray, length: int, flip: int = 0) -> int:
    """The peer says the hash of its bits, or one that differs; the key that they make."""
    draw, peer = Random(block), stage.peers[2]
    verifying, amplifying = seed_bits(len(bits), 4), seed_bits(len(bits), length)
    seed = draw.getrandbits(verifying + amplifying)
    peer.send(KeySeed(2, NUMBER, block, seed.to_bytes(-(-(verifying + amplifying) // 8), "little")))
    tag = toeplitz(seed & (1 << verifying) - 1, pack(bits), len(bits), 4) ^ flip
    peer.send(KeyProof(2, NUMBER, block, length, bytes([tag])))
    return toeplitz(seed >> verifying, pack(bits), len(bits), length)


def _name(opener: int, session: int, nonce: int, number: int) -> str:
    """As KEY-7 says."""
    data = hashlib.blake2b(f"{opener}/{session}/{nonce}/{number}".encode(), digest_size=16).digest()
    value = int.from_bytes(data, "big") & ~(0xF << 76 | 3 << 62) | 8 << 76 | 2 << 62
    text = f"{value:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


MANY: Final = "ZX" * 200


@decides("KEY-4", "KEY-5", "KEY-6", "KEY-7", "KEY-9", "KEY-10", scene=QPU)
async def a_responder_makes_keys(stage: Stage) -> None:
    """Three bits differ, and are corrected.  A hash that differs, then a key that is too long: neither makes
    any.  Then keys: the user gets the first by its name, once, and at the peer's Close loses those that the peer
    has not handed out."""
    peer, keys = stage.peers[2], []
    await _accepted(stage, block_pairs=400)
    for block, why in enumerate((KeyWhy.UNLIKE, KeyWhy.MALFORMED, None), 1):
        half = _half(1_000 * block, MANY, seed=block)
        await _sifted(stage, block, half)
        reference, bits = await _corrects(stage, block, half, (5, 60, 131))
        length = key_length(200, 200, 0, reference.leak, 1, 4)
        secret = _proof(stage, block, bits, length + 9 * (why is KeyWhy.MALFORMED), flip=3 * (why is KeyWhy.UNLIKE))
        if why is not None:
            await peer.expect(KeyGiveUp, block=block, why=why)
            await stage.user.expect("block", opener=2, session=NUMBER, block=block, why=why.name)
            await peer.silence(KeyVerified)
        else:
            await peer.expect(KeyVerified, block=block, keys=length // 8)
            await stage.user.expect("block", opener=2, session=NUMBER, block=block, why="")
            keys = [(_name(2, NUMBER, NONCE, n), f"{secret >> 8 * n & 255:02x}") for n in range(length // 8)]
    if len(keys) < 2:
        raise AssertionError("the script's block is too short for two keys")
    await _dec(stage, keys[0], "which the session has made", there=True)
    await _dec(stage, keys[0], "which has been handed out", there=False)
    peer.send(KeyClose(2, NUMBER, KeyWhy.CLOSED, 1))
    await stage.user.expect("keys-over", opener=2, session=NUMBER, why="CLOSED")
    await _dec(stage, keys[1], "which the peer has not handed out", there=False)


@decides("KEY-9", scene=QPU)
async def keys_outlive_their_session(stage: Stage) -> None:
    """The peer has handed out one key and closed; then it is gone.  The user gets the key still."""
    await _accepted(stage, block_pairs=400)
    half = _half(1_000, MANY)
    await _sifted(stage, 1, half)
    reference, bits = await _corrects(stage, 1, half, ())
    secret = _proof(stage, 1, bits, key_length(200, 200, 0, reference.leak, 1, 4))
    await stage.peers[2].expect(KeyVerified, block=1)
    stage.peers[2].send(KeyClose(2, NUMBER, KeyWhy.CLOSED, 1))
    await stage.user.expect("keys-over", opener=2, session=NUMBER)
    await _dec(stage, (_name(2, NUMBER, NONCE, 0), f"{secret & 255:02x}"), "of a session that has ended", there=True)


async def _dec(stage: Stage, key: tuple[str, str], what: str, there: bool) -> None:
    stage.user.order("dec-keys", node=2, key_ids=[key[0]])
    told = (await stage.user.expect("keys"))["keys"]
    if told != ([list(key)] if there else []):
        raise NotMet(f"asked for key {key[0]}, {what}, the user is told {told}; the key is {key[1]}")


@decides("KEY-4", "KEY-10", scene=QPU)
async def a_costly_block_is_given_up(stage: Stage) -> None:
    """A fifth of the bits differ: before they are all corrected nothing is left."""
    await _accepted(stage, block_pairs=400)
    half = _half(1_000, MANY)
    await _sifted(stage, 1, half)
    peer, bits = stage.peers[2], half.of("Z")
    reference = Reference(bytearray(bit ^ (at % 5 == 0) for at, bit in enumerate(bits)), 9)
    peer.send(KeyEstimate(2, NUMBER, 1, 200, 200, 0, 9))
    while isinstance(said := await _next(stage, KeyAsk, KeyCorrected, KeyGiveUp), KeyAsk):
        answers = bytearray(reference.answer(Question(*question)) for question in said.questions)
        peer.send(KeyParities(2, NUMBER, 1, pack_bytes(answers)))
    if not isinstance(said, KeyGiveUp) or said.why != KeyWhy.COSTLY:
        raise NotMet(f"{said} after {reference.leak} parities, of {key_length(200, 200, 0, 0, 1, 4)} that are secret")
    await stage.user.expect("block", block=1, why="COSTLY")


# -- the opener -------------------------------------------------------------------------------------------------------


async def _opened(stage: Stage, block_pairs: int = 6, **terms: Any) -> KeyOpen:
    """The implementation has opened a session, which is accepted; it asks for pairs, and is told that there is a
    circuit."""
    row = {"block_pairs": block_pairs, "key_bits": 8, "secrecy": 1, "correctness": 4, "patience": 2}
    stage.user.order("open-keys", node=2, **{**row, **terms})
    told = await stage.user.expect("keys-opened", node=2)
    said = await stage.peers[2].expect(KeyOpen, opener=1, session=told["session"], block_pairs=block_pairs, key_bits=8)
    stage.peers[2].send(KeyAccept(1, said.session))
    await stage.wait(SOON_PS)
    return said


@decides("KEY-2", scene=QPU)
async def keys_are_made_of_pairs(stage: Stage) -> None:
    """Accepted, an opener asks for measured pairs in X and Z for the session's purpose, with the chance that it has
    said."""
    hop = Hop(stage)
    said = await _opened(stage)
    label = (await hop.peer.expect(QnpInstall)).circuit
    wanted = {"kind": PairKind.MEASURE, "bases": EgpBases.XZ, "chance": said.x_chance}
    announced = [s.message for s in hop.peer.seen if type(s.message).__name__ == "QnpForward"]
    for message in announced:
        if message.purpose != FIRST_PURPOSE + said.session or any(getattr(message, k) != v for k, v in wanted.items()):
            raise NotMet(f"{message} asks for other pairs than those of session {said.session}")
    if not announced or announced[0].circuit != label:
        raise NotMet("no pairs are asked for")


@decides("KEY-2", "KEY-3", "KEY-10", scene=QPU)
async def an_opener_gives_noisy_blocks_up(stage: Stage) -> None:
    """It says its bases when the block is whole.  All tests differ: NOISY.  None does, but six pairs make no key:
    SHORT.  After two such blocks the session ends."""
    peer = stage.peers[2]
    session = (await _opened(stage)).session
    for block, (flip, why) in enumerate(((1, KeyWhy.NOISY), (0, KeyWhy.SHORT)), 1):
        half = _half(100 * block, "XZXXZX", seed=block)
        _read(stage, 1, session, half, most=5)
        await peer.silence(KeyBases)
        _read(stage, 1, session, half, least=5)
        await _row(stage, block, half)
        peer.send(KeyBases(1, session, block, half.first, 0, half.row))
        peer.send(KeyTests(1, session, block, 0, pack_bytes(bytearray(bit ^ flip for bit in half.of("X")))))
        await peer.expect(KeyGiveUp, opener=1, session=session, block=block, why=why)
        await stage.user.expect("block", opener=1, session=session, block=block, why=why.name)
        peer.send(KeyAsk(1, session, block, ()))  # of a block that is no more
    await peer.expect(KeyClose, opener=1, session=session, why=KeyWhy.FRUITLESS)
    await stage.user.expect("keys-over", opener=1, session=session, why="FRUITLESS")
    await peer.silence(*BLOCK)


@decides("KEY-4", "KEY-5", "KEY-6", "KEY-7", "KEY-8", scene=QPU)
async def an_opener_makes_keys(stage: Stage) -> None:
    """Its parities, its hash and the length of its key are what they must be; it hands the key out when the peer
    has verified, and not before, and once."""
    peer = stage.peers[2]
    opening = await _opened(stage, 400)
    session, half = opening.session, _half(1_000, MANY)
    _read(stage, 1, session, half)
    await _row(stage, 1, half)
    peer.send(KeyBases(1, session, 1, half.first, 0, half.row))
    peer.send(KeyTests(1, session, 1, 0, pack_bytes(half.of("X"))))
    said = await peer.expect(KeyEstimate, session=session, block=1, sifted=200, tested=200, errors=0)
    bits = half.of("Z")
    reference = Reference(bits, said.shuffle)
    questions = [Question(0, 200), Question(3, 200), *(Question(n, 7 + 13 * n) for n in range(12))]
    expected = bytearray(reference.answer(question) for question in questions)
    peer.send(KeyAsk(1, session, 1, tuple(KeyQuestion(*question) for question in questions)))
    told = await peer.expect(KeyParities, session=session, block=1)
    if unpack(told.bits, len(questions)) != expected:
        raise NotMet(f"{told} to {questions}; the parities are {list(expected)}")
    peer.send(KeyCorrected(1, session, 1, 0, reference.leak))
    seeds = [await peer.expect(KeySeed, session=session, block=1)]
    proof = await _next(stage, KeyProof, KeySeed)
    while isinstance(proof, KeySeed):
        seeds.append(proof)
        proof = await _next(stage, KeyProof, KeySeed)
    most = key_length(200, 200, 0, reference.leak, 1, 4)
    if proof.length != most:
        raise NotMet(f"{proof} of {most} bits that are secret")
    seed = int.from_bytes(b"".join(part.bits for part in seeds), "little")
    verifying = seed_bits(200, 4)
    tag = toeplitz(seed & (1 << verifying) - 1, pack(bits), 200, 4)
    if proof.tag != bytes([tag]):
        raise NotMet(f"{proof} has another hash than {tag}")
    secret = toeplitz(seed >> verifying, pack(bits), 200, most)
    await _enc(stage, session, None, "before the peer has verified")
    peer.send(KeyVerified(1, session, 1, most // 8))
    await stage.user.expect("block", opener=1, session=session, block=1, why="")
    for number in range(2):
        key = [_name(1, session, opening.nonce, number), f"{secret >> 8 * number & 255:02x}"]
        await _enc(stage, session, key, "that the session has made")


async def _enc(stage: Stage, session: int, key: list[str] | None, what: str) -> None:
    stage.user.order("enc-keys", session=session, number=1)
    told = (await stage.user.expect("keys"))["keys"]
    if told != ([] if key is None else [key]):
        raise NotMet(f"asked for a key, {what}, the user is told {told}; expected {key}")


@decides("KEY-11", "KEY-8", scene=QPU)
async def a_lost_peer_ends_sessions(stage: Stage) -> None:
    """The peer has sessions of both kinds and starts anew: the user hears of both, and gets no key.  What the peer
    says of the old one is answered."""
    peer = stage.peers[2]
    await _accepted(stage)
    session = (await _opened(stage)).session
    peer.restart()
    peer.send(KeyAccept(1, session))
    await stage.user.expect("keys-over", where={"opener": 2}, session=NUMBER, why="PEER_LOST")
    await stage.user.expect("keys-over", where={"opener": 1}, session=session, why="PEER_LOST")
    await _enc(stage, session, None, "of a session whose other end is gone")
    peer.send(KeyEstimate(2, NUMBER, 1, 5, 5, 0, 1))
    await peer.expect(KeyClose, opener=2, session=NUMBER, why=KeyWhy.PEER_LOST)
    peer.send(KeyClose(2, 99, KeyWhy.CLOSED, 0))
    await peer.silence(KeyClose)
