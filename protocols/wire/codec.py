"""GENERATED from protocols/declare by `python -m protocols.declare`: do not edit.

Every message of Bellwire as a NamedTuple. `pack()` gives its body; `unpack(body)` reads one and raises
WireError (reason `short`, `long`, `bound` or `value`) for anything that is not exactly one such message.
Reserved bits are sent as zero and ignored when received. What the fields mean stands in docs/wire.md.
"""

import struct
from enum import IntEnum
from typing import ClassVar, NamedTuple, Self

from protocols.wire.error import WireError


def _misfit(body: bytes, layout: struct.Struct, cls: type) -> WireError:
    return _misfit_tail(body, layout.size, cls)


def _misfit_tail(body: bytes, size: int, cls: type) -> WireError:
    reason = "short" if len(body) < size else "long"
    return WireError(reason, f"{cls.__name__}: {len(body)} bytes, not {size}")


class ProtocolId(IntEnum):
    """Protocol numbers."""

    ECHO = 0  # Echo
    REL = 1  # Reliable delivery
    MHP = 2  # Midpoint heralding
    EGP = 3  # Entanglement generation
    QNP = 4  # Quantum network protocol
    QTP = 5  # Quantum transport
    RGP = 6  # Remote gates
    LSR = 8  # Link-state routing
    TTP = 7  # Time transfer
    SRP = 9  # Switch reservation
    JOB = 12  # Circuits over many QPUs
    KEY = 13  # Keys
    DEVICE = 128  # Device programs


ON_UDP = frozenset({0, 1, 2, 3, 4, 5, 6, 8, 7, 9, 12, 13})
"""Protocols that travel in frames; the others stay on the device bus."""


_ECHO_PING = struct.Struct("!IHH")


class _EchoPing(NamedTuple):
    token: int
    hops: int
    padding: bytes


class EchoPing(_EchoPing):
    """Asks for a Pong that repeats token and padding."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 0
    MESSAGE: ClassVar[int] = 1

    def pack(self) -> bytes:
        length = len(self.padding)
        if length > 1000:
            raise ValueError(f"EchoPing.padding: {length} > 1000")
        head = _ECHO_PING.pack(self.token, self.hops, length)
        return head + self.padding

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) < _ECHO_PING.size:
            raise _misfit(body, _ECHO_PING, cls)
        token, hops, padding_length = _ECHO_PING.unpack_from(body)
        if padding_length > 1000:
            raise WireError("bound", f"EchoPing.padding: {padding_length} > 1000")
        if len(body) != _ECHO_PING.size + padding_length:
            raise _misfit_tail(body, _ECHO_PING.size + padding_length, cls)
        return tuple.__new__(cls, (token, hops, body[_ECHO_PING.size :]))


_ECHO_PONG = struct.Struct("!IHH")


class _EchoPong(NamedTuple):
    token: int
    hops: int
    padding: bytes


class EchoPong(_EchoPong):
    """Answers a Ping."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 0
    MESSAGE: ClassVar[int] = 2

    def pack(self) -> bytes:
        length = len(self.padding)
        if length > 1000:
            raise ValueError(f"EchoPong.padding: {length} > 1000")
        head = _ECHO_PONG.pack(self.token, self.hops, length)
        return head + self.padding

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) < _ECHO_PONG.size:
            raise _misfit(body, _ECHO_PONG, cls)
        token, hops, padding_length = _ECHO_PONG.unpack_from(body)
        if padding_length > 1000:
            raise WireError("bound", f"EchoPong.padding: {padding_length} > 1000")
        if len(body) != _ECHO_PONG.size + padding_length:
            raise _misfit_tail(body, _ECHO_PONG.size + padding_length, cls)
        return tuple.__new__(cls, (token, hops, body[_ECHO_PONG.size :]))


_REL_DATA = struct.Struct("!IIIBBBH")


class _RelData(NamedTuple):
    stream_epoch: int
    sequence: int
    acknowledged: int
    protocol: int
    message: int
    more: int
    payload: bytes


class RelData(_RelData):
    """Carries one message of another protocol, or a part of one."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 1
    MESSAGE: ClassVar[int] = 1

    def pack(self) -> bytes:
        length = len(self.payload)
        if length > 1100:
            raise ValueError(f"RelData.payload: {length} > 1100")
        head = _REL_DATA.pack(
            self.stream_epoch,
            self.sequence,
            self.acknowledged,
            self.protocol,
            self.message,
            self.more << 7,
            length,
        )
        return head + self.payload

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) < _REL_DATA.size:
            raise _misfit(body, _REL_DATA, cls)
        (
            stream_epoch,
            sequence,
            acknowledged,
            protocol,
            message,
            bits5,
            payload_length,
        ) = _REL_DATA.unpack_from(body)
        if payload_length > 1100:
            raise WireError("bound", f"RelData.payload: {payload_length} > 1100")
        if len(body) != _REL_DATA.size + payload_length:
            raise _misfit_tail(body, _REL_DATA.size + payload_length, cls)
        values = (stream_epoch, sequence, acknowledged, protocol, message, bits5 >> 7, body[_REL_DATA.size :])
        return tuple.__new__(cls, values)


_REL_ACK = struct.Struct("!II")


class _RelAck(NamedTuple):
    stream_epoch: int
    acknowledged: int


class RelAck(_RelAck):
    """Acknowledges when there is no Data to do it with."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 1
    MESSAGE: ClassVar[int] = 2

    def pack(self) -> bytes:
        return _REL_ACK.pack(self.stream_epoch, self.acknowledged)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _REL_ACK.size:
            raise _misfit(body, _REL_ACK, cls)
        return tuple.__new__(cls, _REL_ACK.unpack(body))


_REL_RESET = struct.Struct("!I")


class _RelReset(NamedTuple):
    stream_epoch: int


class RelReset(_RelReset):
    """Ends a stream: what was not acknowledged may be lost."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 1
    MESSAGE: ClassVar[int] = 3

    def pack(self) -> bytes:
        return _REL_RESET.pack(self.stream_epoch)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _REL_RESET.size:
            raise _misfit(body, _REL_RESET, cls)
        return tuple.__new__(cls, _REL_RESET.unpack(body))


class _RelProbe(NamedTuple):
    pass


class RelProbe(_RelProbe):
    """Asks for a sign of life, or tells of a new one. Carried in a Data, whose acknowledgement is the answer."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 1
    MESSAGE: ClassVar[int] = 4

    def pack(self) -> bytes:
        return b""

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if body:
            raise WireError("long", "RelProbe")
        return cls()


class MhpKind(IntEnum):
    """What a Gen says."""

    PRODUCE = 0  # the sender attempts entanglement in these slots
    ERR = 1  # the sender cannot: the station answers both nodes with an error
    INFO = 2  # nothing is attempted: what came of this train?


_MHP_KIND = {int(point): point for point in MhpKind}


class MhpOutcome(IntEnum):
    """What the station saw."""

    FAIL = 0  # no success in the slots of the train
    PSI_PLUS = 1  # the pair is in |Ψ+⟩
    PSI_MINUS = 2  # the pair is in |Ψ−⟩
    ERROR = 3  # the train was not run; the error field says why


_MHP_OUTCOME = {int(point): point for point in MhpOutcome}


class MhpError(IntEnum):
    """Why a train was not run."""

    NONE = 0  # no error
    QUEUE_MISMATCH = 1  # the two nodes named different queue ids
    TIME_MISMATCH = 2  # the trains of the two nodes do not overlap
    NO_CLASSICAL_OTHER = 3  # nothing was heard from the other node
    OUT_OF_WINDOW = 4  # the slots lie in the past or too far ahead
    GEN_FAIL = 5  # a node could not produce
    LOCAL = 6  # an error in the station
    GENERAL = 7  # any other error


_MHP_ERROR = {int(point): point for point in MhpError}


_MHP_GEN = struct.Struct("!BHIQIIIH")


class _MhpGen(NamedTuple):
    kind: MhpKind
    link: int
    queue_id: int
    first_slot: int
    spacing: int
    count: int  # type: ignore[assignment]
    alpha: int
    pairs: int


class MhpGen(_MhpGen):
    """Node to station: I attempt entanglement in this train of slots."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 2
    MESSAGE: ClassVar[int] = 1

    def pack(self) -> bytes:
        return _MHP_GEN.pack(
            self.kind,
            self.link,
            self.queue_id,
            self.first_slot,
            self.spacing,
            self.count,
            self.alpha,
            self.pairs,
        )

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _MHP_GEN.size:
            raise _misfit(body, _MHP_GEN, cls)
        kind, link, queue_id, first_slot, spacing, count, alpha, pairs = _MHP_GEN.unpack(body)
        try:
            values = (_MHP_KIND[kind], link, queue_id, first_slot, spacing, count, alpha, pairs)
            return tuple.__new__(cls, values)
        except KeyError as unknown:
            raise WireError("value", f"MhpGen: {unknown}") from None


_MHP_REPLY = struct.Struct("!BBHHIIQHB")


class _MhpReply(NamedTuple):
    outcome: MhpOutcome
    error: MhpError
    link: int
    mhp_sequence: int
    queue_id: int
    peer_queue_id: int
    slot: int
    number: int
    more: int


class MhpReply(_MhpReply):
    """Station to both nodes: what came of the train."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 2
    MESSAGE: ClassVar[int] = 2

    def pack(self) -> bytes:
        return _MHP_REPLY.pack(
            self.outcome,
            self.error,
            self.link,
            self.mhp_sequence,
            self.queue_id,
            self.peer_queue_id,
            self.slot,
            self.number,
            self.more,
        )

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _MHP_REPLY.size:
            raise _misfit(body, _MHP_REPLY, cls)
        (
            outcome,
            error,
            link,
            mhp_sequence,
            queue_id,
            peer_queue_id,
            slot,
            number,
            more,
        ) = _MHP_REPLY.unpack(body)
        try:
            values = (
                _MHP_OUTCOME[outcome],
                _MHP_ERROR[error],
                link,
                mhp_sequence,
                queue_id,
                peer_queue_id,
                slot,
                number,
                more,
            )
            return tuple.__new__(cls, values)
        except KeyError as unknown:
            raise WireError("value", f"MhpReply: {unknown}") from None


class EgpKind(IntEnum):
    """What is to become of a pair."""

    KEEP = 0  # kept in memory (K)
    MEASURE = 1  # measured directly (M)
    REMOTE = 2  # measured at the creator: remote state preparation (R)


_EGP_KIND = {int(point): point for point in EgpKind}


class EgpError(IntEnum):
    """Errors of the link layer."""

    UNSUPP = 0  # the minimum fidelity cannot be reached, even without load
    NOTIME = 1  # not within the maximum time, because of load
    NORES = 2  # no qubits, no place in the queue, or a link whose station is silent
    TIMEOUT = 3  # the maximum time has passed
    REJECTED = 4  # the other node has no rule to receive it
    OTHER = 5  # any other reason
    EXPIRE = 6  # a pair already delivered must be discarded
    CREATE = 7  # the request itself is faulty


_EGP_ERROR = {int(point): point for point in EgpError}


class EgpVerdict(IntEnum):
    """Answer to a proposed train."""

    READY = 0  # the node takes part
    BUSY = 1  # no qubit is free now; propose again
    UNKNOWN = 2  # no such request in the queue


_EGP_VERDICT = {int(point): point for point in EgpVerdict}


class EgpBases(IntEnum):
    """Among which bases a node measures at random, anew for every pair."""

    NONE = 0  # none: Z, after the rotation
    XZ = 1  # X, Z
    XYZ = 2  # X, Y, Z
    CHSH = 3  # (Z+X)/√2, (Z−X)/√2


_EGP_BASES = {int(point): point for point in EgpBases}


class EgpBasis(IntEnum):
    """The observable that was measured; after the request's rotation, if there is one."""

    Z = 0  # Z
    X = 1  # X
    Y = 2  # Y
    ZPLUSX = 3  # (Z+X)/√2
    ZMINUSX = 4  # (Z−X)/√2


_EGP_BASIS = {int(point): point for point in EgpBasis}


class EgpTest(IntEnum):
    """Whether the pair of a train is measured by both nodes to learn the link's fidelity."""

    NONE = 0  # no: it is a pair of the request
    ZZ = 1  # both measure Z
    XX = 2  # both measure X
    YY = 3  # both measure Y


_EGP_TEST = {int(point): point for point in EgpTest}


_EGP_MEASURING = struct.Struct("!BIIiii")


class _EgpMeasuring(NamedTuple):
    bases: EgpBases
    chance_1: int = 0
    chance_2: int = 0
    x_1: int = 0
    y: int = 0
    x_2: int = 0


class EgpMeasuring(_EgpMeasuring):
    """How one node measures: rotate about X, then Y, then X, then measure in a basis of the set."""

    __slots__ = ()

    def pack(self) -> bytes:
        return _EGP_MEASURING.pack(self.bases, self.chance_1, self.chance_2, self.x_1, self.y, self.x_2)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _EGP_MEASURING.size:
            raise _misfit(body, _EGP_MEASURING, cls)
        bases, chance_1, chance_2, x_1, y, x_2 = _EGP_MEASURING.unpack(body)
        try:
            return tuple.__new__(cls, (_EGP_BASES[bases], chance_1, chance_2, x_1, y, x_2))
        except KeyError as unknown:
            raise WireError("value", f"EgpMeasuring: {unknown}") from None


_EGP_ADD = struct.Struct("!HIHHIBBQBHQB")


class _EgpAdd(NamedTuple):
    link: int
    create_id: int
    purpose_id: int
    number: int
    minimum_fidelity: int
    priority: int
    kind: EgpKind
    max_time_ps: int
    flags: int
    queue_sequence: int
    virtual_finish: int
    measuring: tuple[EgpMeasuring, ...]


class EgpAdd(_EgpAdd):
    """Puts a request into the queue that both nodes share."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 3
    MESSAGE: ClassVar[int] = 1

    def pack(self) -> bytes:
        length = len(self.measuring)
        if length > 2:
            raise ValueError(f"EgpAdd.measuring: {length} > 2")
        head = _EGP_ADD.pack(
            self.link,
            self.create_id,
            self.purpose_id,
            self.number,
            self.minimum_fidelity,
            self.priority,
            self.kind,
            self.max_time_ps,
            self.flags,
            self.queue_sequence,
            self.virtual_finish,
            length,
        )
        return head + b"".join([record.pack() for record in self.measuring])

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) < _EGP_ADD.size:
            raise _misfit(body, _EGP_ADD, cls)
        (
            link,
            create_id,
            purpose_id,
            number,
            minimum_fidelity,
            priority,
            kind,
            max_time_ps,
            flags,
            queue_sequence,
            virtual_finish,
            measuring_count,
        ) = _EGP_ADD.unpack_from(body)
        if measuring_count > 2:
            raise WireError("bound", f"EgpAdd.measuring: {measuring_count} > 2")
        if len(body) != _EGP_ADD.size + measuring_count * _EGP_MEASURING.size:
            raise _misfit_tail(body, _EGP_ADD.size + measuring_count * _EGP_MEASURING.size, cls)
        starts = range(_EGP_ADD.size, len(body), _EGP_MEASURING.size)
        measuring = tuple([EgpMeasuring.unpack(body[start : start + _EGP_MEASURING.size]) for start in starts])
        try:
            values = (
                link,
                create_id,
                purpose_id,
                number,
                minimum_fidelity,
                priority,
                _EGP_KIND[kind],
                max_time_ps,
                flags,
                queue_sequence,
                virtual_finish,
                measuring,
            )
            return tuple.__new__(cls, values)
        except KeyError as unknown:
            raise WireError("value", f"EgpAdd: {unknown}") from None


_EGP_ADD_ACK = struct.Struct("!HIHQ")


class _EgpAddAck(NamedTuple):
    link: int
    create_id: int
    queue_sequence: int = 0
    virtual_finish: int = 0


class EgpAddAck(_EgpAddAck):
    """The request is in the queue."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 3
    MESSAGE: ClassVar[int] = 2

    def pack(self) -> bytes:
        return _EGP_ADD_ACK.pack(self.link, self.create_id, self.queue_sequence, self.virtual_finish)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _EGP_ADD_ACK.size:
            raise _misfit(body, _EGP_ADD_ACK, cls)
        return tuple.__new__(cls, _EGP_ADD_ACK.unpack(body))


_EGP_ADD_REJECT = struct.Struct("!HIB")


class _EgpAddReject(NamedTuple):
    link: int
    create_id: int
    error: EgpError


class EgpAddReject(_EgpAddReject):
    """The request is not in the queue."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 3
    MESSAGE: ClassVar[int] = 3

    def pack(self) -> bytes:
        return _EGP_ADD_REJECT.pack(self.link, self.create_id, self.error)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _EGP_ADD_REJECT.size:
            raise _misfit(body, _EGP_ADD_REJECT, cls)
        link, create_id, error = _EGP_ADD_REJECT.unpack(body)
        try:
            return tuple.__new__(cls, (link, create_id, _EGP_ERROR[error]))
        except KeyError as unknown:
            raise WireError("value", f"EgpAddReject: {unknown}") from None


_EGP_TRAIN = struct.Struct("!HBIIQIIIHBHB")


class _EgpTrain(NamedTuple):
    link: int
    origin: int
    create_id: int
    queue_id: int
    first_slot: int
    spacing: int
    count: int  # type: ignore[assignment]
    alpha: int
    expected_sequence: int
    test: EgpTest
    pairs: int
    each: int


class EgpTrain(_EgpTrain):
    """Proposes a train of attempts for the request at the head of the queue."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 3
    MESSAGE: ClassVar[int] = 4

    def pack(self) -> bytes:
        return _EGP_TRAIN.pack(
            self.link,
            self.origin,
            self.create_id,
            self.queue_id,
            self.first_slot,
            self.spacing,
            self.count,
            self.alpha,
            self.expected_sequence,
            self.test,
            self.pairs,
            self.each,
        )

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _EGP_TRAIN.size:
            raise _misfit(body, _EGP_TRAIN, cls)
        (
            link,
            origin,
            create_id,
            queue_id,
            first_slot,
            spacing,
            count,
            alpha,
            expected_sequence,
            test,
            pairs,
            each,
        ) = _EGP_TRAIN.unpack(body)
        try:
            values = (
                link,
                origin,
                create_id,
                queue_id,
                first_slot,
                spacing,
                count,
                alpha,
                expected_sequence,
                _EGP_TEST[test],
                pairs,
                each,
            )
            return tuple.__new__(cls, values)
        except KeyError as unknown:
            raise WireError("value", f"EgpTrain: {unknown}") from None


_EGP_TRAIN_ACK = struct.Struct("!HIBH")


class _EgpTrainAck(NamedTuple):
    link: int
    queue_id: int
    verdict: EgpVerdict
    expected_sequence: int


class EgpTrainAck(_EgpTrainAck):
    """Answers a Train."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 3
    MESSAGE: ClassVar[int] = 5

    def pack(self) -> bytes:
        return _EGP_TRAIN_ACK.pack(self.link, self.queue_id, self.verdict, self.expected_sequence)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _EGP_TRAIN_ACK.size:
            raise _misfit(body, _EGP_TRAIN_ACK, cls)
        link, queue_id, verdict, expected_sequence = _EGP_TRAIN_ACK.unpack(body)
        try:
            return tuple.__new__(cls, (link, queue_id, _EGP_VERDICT[verdict], expected_sequence))
        except KeyError as unknown:
            raise WireError("value", f"EgpTrainAck: {unknown}") from None


_EGP_EXPIRE = struct.Struct("!HBIHH")


class _EgpExpire(NamedTuple):
    link: int
    origin: int
    create_id: int
    old_sequence: int
    new_sequence: int


class EgpExpire(_EgpExpire):
    """The MHP sequence jumped: the pairs in between are lost to one side, both must discard them."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 3
    MESSAGE: ClassVar[int] = 6

    def pack(self) -> bytes:
        return _EGP_EXPIRE.pack(self.link, self.origin, self.create_id, self.old_sequence, self.new_sequence)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _EGP_EXPIRE.size:
            raise _misfit(body, _EGP_EXPIRE, cls)
        return tuple.__new__(cls, _EGP_EXPIRE.unpack(body))


_EGP_EXPIRE_ACK = struct.Struct("!HH")


class _EgpExpireAck(NamedTuple):
    link: int
    expected_sequence: int


class EgpExpireAck(_EgpExpireAck):
    """Answers an Expire."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 3
    MESSAGE: ClassVar[int] = 7

    def pack(self) -> bytes:
        return _EGP_EXPIRE_ACK.pack(self.link, self.expected_sequence)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _EGP_EXPIRE_ACK.size:
            raise _misfit(body, _EGP_EXPIRE_ACK, cls)
        return tuple.__new__(cls, _EGP_EXPIRE_ACK.unpack(body))


_EGP_TESTED = struct.Struct("!HHB")


class _EgpTested(NamedTuple):
    link: int
    mhp_sequence: int
    outcome: int


class EgpTested(_EgpTested):
    """What the sender measured of the pair of a test round."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 3
    MESSAGE: ClassVar[int] = 8

    def pack(self) -> bytes:
        return _EGP_TESTED.pack(self.link, self.mhp_sequence, self.outcome << 7)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _EGP_TESTED.size:
            raise _misfit(body, _EGP_TESTED, cls)
        link, mhp_sequence, bits2 = _EGP_TESTED.unpack(body)
        return tuple.__new__(cls, (link, mhp_sequence, bits2 >> 7))


class BellIndex(IntEnum):
    """b = (x << 1) | z names |B_xz⟩ = (I ⊗ X^x Z^z)|Φ+⟩; composing pairs or corrections is XOR."""

    PHI_PLUS = 0  # |Φ+⟩ = (|00⟩ + |11⟩)/√2
    PHI_MINUS = 1  # |Φ−⟩ = (|00⟩ − |11⟩)/√2
    PSI_PLUS = 2  # |Ψ+⟩ = (|01⟩ + |10⟩)/√2
    PSI_MINUS = 3  # |Ψ−⟩ = (|01⟩ − |10⟩)/√2


class CircuitFate(IntEnum):
    """Why a circuit ended, or never came to be."""

    FINISHED = 0  # the head needs it no more
    NOT_HERE = 1  # the route leads past this node, or over a link that it does not have
    NO_REPEATER = 2  # this node has no memories to swap between its links
    NO_MEMORY = 3  # every memory of a link is promised to circuits of the same or a higher priority
    NO_RATE = 4  # a link cannot make so many pairs
    FIDELITY = 5  # a link cannot make pairs so good
    PREEMPTED = 6  # a circuit of a higher priority took its memories
    PEER_LOST = 7  # a neighbour on the circuit is gone or has started anew
    LINK_FAILED = 8  # a link layer makes no more pairs for it
    SILENT = 9  # nothing was heard of it for its lifetime
    IN_USE = 10  # the label is another circuit's, or none is free


_CIRCUIT_FATE = {int(point): point for point in CircuitFate}


class PairFate(IntEnum):
    """Why a pair was given up."""

    EXPIRED = 0  # the link layer took it back
    CUTOFF = 1  # it has waited too long for a swap
    SURPLUS = 2  # nobody needs it
    MISFIT = 3  # the two ends name different pairs or Bell states
    IMPURE = 4  # purification failed
    UNKNOWN = 5  # no circuit was found for it
    CLOSED = 6  # its circuit or its request has ended
    AGED = 7  # it has lain in a bank for too long


_PAIR_FATE = {int(point): point for point in PairFate}


class PairKind(IntEnum):
    """What is to become of a request's pairs."""

    KEEP = 0  # handed up when both ends hold them
    EARLY = 1  # each half is handed up as soon as it is there, and confirmed when both ends hold theirs
    MEASURE = 2  # each half is measured as soon as it is there


class PairUse(IntEnum):
    """What both ends do with a pair."""

    DELIVER = 0  # hand it up
    TEST_X = 1  # measure both halves in X: a test round
    TEST_Y = 2  # measure both halves in Y: a test round
    TEST_Z = 3  # measure both halves in Z: a test round
    BANK = 4  # keep it until the head says for which request it is


_PAIR_USE = {int(point): point for point in PairUse}


class Purification(IntEnum):
    """How two pairs become one."""

    NONE = 0  # not at all
    BBPSSW = 1  # twirl, CNOT, compare (Bennett et al. 1996)
    DEJMPS = 2  # local permutation, CNOT, compare (Deutsch et al. 1996)
    EPL = 3  # CNOT, keep if both ends measured 1 (Campbell and Benjamin 2008)


_PURIFICATION = {int(point): point for point in Purification}


class PurifyScope(IntEnum):
    """Between which two nodes pairs are purified."""

    LINK = 0  # the two nodes of a link; pairs are named by link sequence
    ENDS = 1  # head and tail; pairs are named by pair id


_PURIFY_SCOPE = {int(point): point for point in PurifyScope}


_CIRCUIT_HOP = struct.Struct("!HHBBI")


class _CircuitHop(NamedTuple):
    link: int
    node: int
    rank: int
    rounds: int
    minimum_fidelity: int


class CircuitHop(_CircuitHop):
    """One step of a circuit's route, from the head on."""

    __slots__ = ()

    def pack(self) -> bytes:
        return _CIRCUIT_HOP.pack(self.link, self.node, self.rank, self.rounds, self.minimum_fidelity)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _CIRCUIT_HOP.size:
            raise _misfit(body, _CIRCUIT_HOP, cls)
        return tuple.__new__(cls, _CIRCUIT_HOP.unpack(body))


_QNP_TRACK = struct.Struct("!HIHHBBIIIQIII")


class _QnpTrack(NamedTuple):
    circuit: int
    pair_id: int
    link: int
    link_sequence: int
    bell_index: int
    link_bell_index: int
    use: PairUse
    error_z: int
    error_x: int
    error_y: int
    age_ps: int
    request: int
    zero_begun: int = 2147483648
    zero_here: int = 2147483648


class QnpTrack(_QnpTrack):
    """Follows a chain of pairs along the circuit, and gathers what its swaps did to the Bell state."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 4
    MESSAGE: ClassVar[int] = 1

    def pack(self) -> bytes:
        if self.link_bell_index >> 2:
            raise struct.error("link_bell_index: 2 bits")
        return _QNP_TRACK.pack(
            self.circuit,
            self.pair_id,
            self.link,
            self.link_sequence,
            self.bell_index << 6 | self.link_bell_index << 4,
            self.use,
            self.error_z,
            self.error_x,
            self.error_y,
            self.age_ps,
            self.request,
            self.zero_begun,
            self.zero_here,
        )

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _QNP_TRACK.size:
            raise _misfit(body, _QNP_TRACK, cls)
        (
            circuit,
            pair_id,
            link,
            link_sequence,
            bits4,
            use,
            error_z,
            error_x,
            error_y,
            age_ps,
            request,
            zero_begun,
            zero_here,
        ) = _QNP_TRACK.unpack(body)
        try:
            values = (
                circuit,
                pair_id,
                link,
                link_sequence,
                bits4 >> 6,
                (bits4 >> 4) & 3,
                _PAIR_USE[use],
                error_z,
                error_x,
                error_y,
                age_ps,
                request,
                zero_begun,
                zero_here,
            )
            return tuple.__new__(cls, values)
        except KeyError as unknown:
            raise WireError("value", f"QnpTrack: {unknown}") from None


_QNP_DISCARD = struct.Struct("!HIHHB")


class _QnpDiscard(NamedTuple):
    circuit: int
    pair_id: int
    link: int
    link_sequence: int
    fate: PairFate


class QnpDiscard(_QnpDiscard):
    """A pair of a chain was given up, and with it the chain: who holds a part of it gives that up too."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 4
    MESSAGE: ClassVar[int] = 2

    def pack(self) -> bytes:
        return _QNP_DISCARD.pack(self.circuit, self.pair_id, self.link, self.link_sequence, self.fate)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _QNP_DISCARD.size:
            raise _misfit(body, _QNP_DISCARD, cls)
        circuit, pair_id, link, link_sequence, fate = _QNP_DISCARD.unpack(body)
        try:
            return tuple.__new__(cls, (circuit, pair_id, link, link_sequence, _PAIR_FATE[fate]))
        except KeyError as unknown:
            raise WireError("value", f"QnpDiscard: {unknown}") from None


_QNP_FORWARD = struct.Struct("!HIBIIHBIQQIIH")


class _QnpForward(NamedTuple):
    circuit: int
    request: int
    kind: int
    pairs: int
    minimum_fidelity: int
    purpose: int
    bases: int = 0
    chance: int = 0
    t1_ps: int = 0
    t2_ps: int = 0
    readout_0: int = 0
    readout_1: int = 0
    memories: int = 0


class QnpForward(_QnpForward):
    """Announces a request for end-to-end pairs on a circuit."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 4
    MESSAGE: ClassVar[int] = 3

    def pack(self) -> bytes:
        return _QNP_FORWARD.pack(
            self.circuit,
            self.request,
            self.kind,
            self.pairs,
            self.minimum_fidelity,
            self.purpose,
            self.bases,
            self.chance,
            self.t1_ps,
            self.t2_ps,
            self.readout_0,
            self.readout_1,
            self.memories,
        )

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _QNP_FORWARD.size:
            raise _misfit(body, _QNP_FORWARD, cls)
        return tuple.__new__(cls, _QNP_FORWARD.unpack(body))


_QNP_FORWARD_ACK = struct.Struct("!HIBBQQIIH")


class _QnpForwardAck(NamedTuple):
    circuit: int
    request: int
    accepted: int
    error: int
    t1_ps: int = 0
    t2_ps: int = 0
    readout_0: int = 0
    readout_1: int = 0
    memories: int = 0


class QnpForwardAck(_QnpForwardAck):
    """Answers a Forward."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 4
    MESSAGE: ClassVar[int] = 4

    def pack(self) -> bytes:
        return _QNP_FORWARD_ACK.pack(
            self.circuit,
            self.request,
            self.accepted,
            self.error,
            self.t1_ps,
            self.t2_ps,
            self.readout_0,
            self.readout_1,
            self.memories,
        )

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _QNP_FORWARD_ACK.size:
            raise _misfit(body, _QNP_FORWARD_ACK, cls)
        return tuple.__new__(cls, _QNP_FORWARD_ACK.unpack(body))


_QNP_COMPLETE = struct.Struct("!HI")


class _QnpComplete(NamedTuple):
    circuit: int
    request: int


class QnpComplete(_QnpComplete):
    """The request needs no more pairs."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 4
    MESSAGE: ClassVar[int] = 5

    def pack(self) -> bytes:
        return _QNP_COMPLETE.pack(self.circuit, self.request)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _QNP_COMPLETE.size:
            raise _misfit(body, _QNP_COMPLETE, cls)
        return tuple.__new__(cls, _QNP_COMPLETE.unpack(body))


_QNP_INSTALL = struct.Struct("!HHIBIQQBBBBB")


class _QnpInstall(NamedTuple):
    circuit: int
    head: int
    number: int
    priority: int
    pairs_per_ks: int
    cutoff_ps: int
    refresh_ps: int
    method: Purification
    pumping: int
    end_rounds: int
    position: int
    hops: tuple[CircuitHop, ...]


class QnpInstall(_QnpInstall):
    """Sets up a circuit, hop by hop from the head: each node reserves what it needs and passes it on."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 4
    MESSAGE: ClassVar[int] = 6

    def pack(self) -> bytes:
        length = len(self.hops)
        if length > 64:
            raise ValueError(f"QnpInstall.hops: {length} > 64")
        head = _QNP_INSTALL.pack(
            self.circuit,
            self.head,
            self.number,
            self.priority,
            self.pairs_per_ks,
            self.cutoff_ps,
            self.refresh_ps,
            self.method,
            self.pumping,
            self.end_rounds,
            self.position,
            length,
        )
        return head + b"".join([record.pack() for record in self.hops])

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) < _QNP_INSTALL.size:
            raise _misfit(body, _QNP_INSTALL, cls)
        (
            circuit,
            head,
            number,
            priority,
            pairs_per_ks,
            cutoff_ps,
            refresh_ps,
            method,
            pumping,
            end_rounds,
            position,
            hops_count,
        ) = _QNP_INSTALL.unpack_from(body)
        if hops_count > 64:
            raise WireError("bound", f"QnpInstall.hops: {hops_count} > 64")
        if len(body) != _QNP_INSTALL.size + hops_count * _CIRCUIT_HOP.size:
            raise _misfit_tail(body, _QNP_INSTALL.size + hops_count * _CIRCUIT_HOP.size, cls)
        starts = range(_QNP_INSTALL.size, len(body), _CIRCUIT_HOP.size)
        hops = tuple([CircuitHop.unpack(body[start : start + _CIRCUIT_HOP.size]) for start in starts])
        try:
            values = (
                circuit,
                head,
                number,
                priority,
                pairs_per_ks,
                cutoff_ps,
                refresh_ps,
                _PURIFICATION[method],
                pumping,
                end_rounds,
                position,
                hops,
            )
            return tuple.__new__(cls, values)
        except KeyError as unknown:
            raise WireError("value", f"QnpInstall: {unknown}") from None


_QNP_INSTALLED = struct.Struct("!H")


class _QnpInstalled(NamedTuple):
    circuit: int


class QnpInstalled(_QnpInstalled):
    """The circuit is set up from here to its tail."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 4
    MESSAGE: ClassVar[int] = 7

    def pack(self) -> bytes:
        return _QNP_INSTALLED.pack(self.circuit)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _QNP_INSTALLED.size:
            raise _misfit(body, _QNP_INSTALLED, cls)
        return tuple.__new__(cls, _QNP_INSTALLED.unpack(body))


_QNP_TEARDOWN = struct.Struct("!HHB")


class _QnpTeardown(NamedTuple):
    circuit: int
    node: int
    fate: CircuitFate


class QnpTeardown(_QnpTeardown):
    """The circuit has ended, or never came to be; passed on from either side."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 4
    MESSAGE: ClassVar[int] = 8

    def pack(self) -> bytes:
        return _QNP_TEARDOWN.pack(self.circuit, self.node, self.fate)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _QNP_TEARDOWN.size:
            raise _misfit(body, _QNP_TEARDOWN, cls)
        circuit, node, fate = _QNP_TEARDOWN.unpack(body)
        try:
            return tuple.__new__(cls, (circuit, node, _CIRCUIT_FATE[fate]))
        except KeyError as unknown:
            raise WireError("value", f"QnpTeardown: {unknown}") from None


_QNP_REFRESH = struct.Struct("!H")


class _QnpRefresh(NamedTuple):
    circuit: int


class QnpRefresh(_QnpRefresh):
    """The circuit is still in use; passed on from the head to the tail."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 4
    MESSAGE: ClassVar[int] = 9

    def pack(self) -> bytes:
        return _QNP_REFRESH.pack(self.circuit)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _QNP_REFRESH.size:
            raise _misfit(body, _QNP_REFRESH, cls)
        return tuple.__new__(cls, _QNP_REFRESH.unpack(body))


_QNP_WANT = struct.Struct("!HI")


class _QnpWant(NamedTuple):
    circuit: int
    pairs: int


class QnpWant(_QnpWant):
    """How many chains the head has asked for since the circuit was set up, those that failed at it included."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 4
    MESSAGE: ClassVar[int] = 10

    def pack(self) -> bytes:
        return _QNP_WANT.pack(self.circuit, self.pairs)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _QNP_WANT.size:
            raise _misfit(body, _QNP_WANT, cls)
        return tuple.__new__(cls, _QNP_WANT.unpack(body))


_QNP_REACH = struct.Struct("!HHHB")


class _QnpReach(NamedTuple):
    circuit: int
    link: int
    link_sequence: int
    rank: int


class QnpReach(_QnpReach):
    """A chain has grown: says to the node that holds its one end how far its other end is (nested swapping)."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 4
    MESSAGE: ClassVar[int] = 11

    def pack(self) -> bytes:
        return _QNP_REACH.pack(self.circuit, self.link, self.link_sequence, self.rank)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _QNP_REACH.size:
            raise _misfit(body, _QNP_REACH, cls)
        return tuple.__new__(cls, _QNP_REACH.unpack(body))


_QNP_PURIFY = struct.Struct("!HBIIBBBIBQ")


class _QnpPurify(NamedTuple):
    circuit: int
    scope: PurifyScope
    kept: int
    measured: int
    kept_turn: int
    measured_turn: int
    outcome: int
    request: int
    use: PairUse
    age_ps: int = 0


class QnpPurify(_QnpPurify):
    """One end has done its part of a round of purification, and says what it measured."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 4
    MESSAGE: ClassVar[int] = 12

    def pack(self) -> bytes:
        return _QNP_PURIFY.pack(
            self.circuit,
            self.scope,
            self.kept,
            self.measured,
            self.kept_turn,
            self.measured_turn,
            self.outcome,
            self.request,
            self.use,
            self.age_ps,
        )

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _QNP_PURIFY.size:
            raise _misfit(body, _QNP_PURIFY, cls)
        (
            circuit,
            scope,
            kept,
            measured,
            kept_turn,
            measured_turn,
            outcome,
            request,
            use,
            age_ps,
        ) = _QNP_PURIFY.unpack(body)
        try:
            values = (
                circuit,
                _PURIFY_SCOPE[scope],
                kept,
                measured,
                kept_turn,
                measured_turn,
                outcome,
                request,
                _PAIR_USE[use],
                age_ps,
            )
            return tuple.__new__(cls, values)
        except KeyError as unknown:
            raise WireError("value", f"QnpPurify: {unknown}") from None


_QNP_PURIFY_ACK = struct.Struct("!HBIIBQ")


class _QnpPurifyAck(NamedTuple):
    circuit: int
    scope: PurifyScope
    kept: int
    measured: int
    outcome: int
    age_ps: int = 0


class QnpPurifyAck(_QnpPurifyAck):
    """The other end has done its part; both know now what came of it."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 4
    MESSAGE: ClassVar[int] = 13

    def pack(self) -> bytes:
        return _QNP_PURIFY_ACK.pack(
            self.circuit,
            self.scope,
            self.kept,
            self.measured,
            self.outcome,
            self.age_ps,
        )

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _QNP_PURIFY_ACK.size:
            raise _misfit(body, _QNP_PURIFY_ACK, cls)
        circuit, scope, kept, measured, outcome, age_ps = _QNP_PURIFY_ACK.unpack(body)
        try:
            return tuple.__new__(cls, (circuit, _PURIFY_SCOPE[scope], kept, measured, outcome, age_ps))
        except KeyError as unknown:
            raise WireError("value", f"QnpPurifyAck: {unknown}") from None


_QNP_OUTCOME = struct.Struct("!HIB")


class _QnpOutcome(NamedTuple):
    circuit: int
    pair_id: int
    outcome: int


class QnpOutcome(_QnpOutcome):
    """What the tail measured on its half of a test round."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 4
    MESSAGE: ClassVar[int] = 14

    def pack(self) -> bytes:
        return _QNP_OUTCOME.pack(self.circuit, self.pair_id, self.outcome)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _QNP_OUTCOME.size:
            raise _misfit(body, _QNP_OUTCOME, cls)
        return tuple.__new__(cls, _QNP_OUTCOME.unpack(body))


_QNP_CLAIM = struct.Struct("!HII")


class _QnpClaim(NamedTuple):
    circuit: int
    pair_id: int
    request: int


class QnpClaim(_QnpClaim):
    """A pair from the bank is for a request."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 4
    MESSAGE: ClassVar[int] = 15

    def pack(self) -> bytes:
        return _QNP_CLAIM.pack(self.circuit, self.pair_id, self.request)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _QNP_CLAIM.size:
            raise _misfit(body, _QNP_CLAIM, cls)
        return tuple.__new__(cls, _QNP_CLAIM.unpack(body))


class QtpService(IntEnum):
    """What a session delivers."""

    PAIRS = 0  # a stream of end-to-end pairs
    TELEPORT = 1  # teleported qubits, each once or reported lost
    MESSAGES = 2  # classical messages only


_QTP_SERVICE = {int(point): point for point in QtpService}


class QtpStatus(IntEnum):
    """What became of a teleported qubit."""

    OK = 0  # delivered
    LOST = 1  # lost; it cannot be sent again


_QTP_STATUS = {int(point): point for point in QtpStatus}


class QtpCorrection(IntEnum):
    """The Pauli operator that the receiver applies, (x << 1) | z."""

    I = 0  # noqa: E741
    Z = 1  # Z
    X = 2  # X
    XZ = 3  # X, then Z


_QTP_OPEN = struct.Struct("!IHBH")


class _QtpOpen(NamedTuple):
    session: int
    port: int
    service: QtpService
    places: int


class QtpOpen(_QtpOpen):
    """Asks for a session on a port."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 5
    MESSAGE: ClassVar[int] = 1

    def pack(self) -> bytes:
        return _QTP_OPEN.pack(self.session, self.port, self.service, self.places)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _QTP_OPEN.size:
            raise _misfit(body, _QTP_OPEN, cls)
        session, port, service, places = _QTP_OPEN.unpack(body)
        try:
            return tuple.__new__(cls, (session, port, _QTP_SERVICE[service], places))
        except KeyError as unknown:
            raise WireError("value", f"QtpOpen: {unknown}") from None


_QTP_ACCEPT = struct.Struct("!IH")


class _QtpAccept(NamedTuple):
    session: int
    places: int


class QtpAccept(_QtpAccept):
    """The session is open."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 5
    MESSAGE: ClassVar[int] = 2

    def pack(self) -> bytes:
        return _QTP_ACCEPT.pack(self.session, self.places)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _QTP_ACCEPT.size:
            raise _misfit(body, _QTP_ACCEPT, cls)
        return tuple.__new__(cls, _QTP_ACCEPT.unpack(body))


_QTP_REFUSE = struct.Struct("!IB")


class _QtpRefuse(NamedTuple):
    session: int
    reason: int


class QtpRefuse(_QtpRefuse):
    """The session is not opened."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 5
    MESSAGE: ClassVar[int] = 3

    def pack(self) -> bytes:
        return _QTP_REFUSE.pack(self.session, self.reason)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _QTP_REFUSE.size:
            raise _misfit(body, _QTP_REFUSE, cls)
        return tuple.__new__(cls, _QTP_REFUSE.unpack(body))


_QTP_TELEPORT = struct.Struct("!IIIB")


class _QtpTeleport(NamedTuple):
    session: int
    index: int  # type: ignore[assignment]
    pair_id: int
    correction: int


class QtpTeleport(_QtpTeleport):
    """The classical half of a teleportation: which pair carried the qubit, and the correction it needs."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 5
    MESSAGE: ClassVar[int] = 4

    def pack(self) -> bytes:
        return _QTP_TELEPORT.pack(self.session, self.index, self.pair_id, self.correction << 6)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _QTP_TELEPORT.size:
            raise _misfit(body, _QTP_TELEPORT, cls)
        session, index, pair_id, bits3 = _QTP_TELEPORT.unpack(body)
        return tuple.__new__(cls, (session, index, pair_id, bits3 >> 6))


_QTP_DELIVERED = struct.Struct("!IIBI")


class _QtpDelivered(NamedTuple):
    session: int
    index: int  # type: ignore[assignment]
    status: QtpStatus
    limit: int


class QtpDelivered(_QtpDelivered):
    """What became of a qubit."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 5
    MESSAGE: ClassVar[int] = 5

    def pack(self) -> bytes:
        return _QTP_DELIVERED.pack(self.session, self.index, self.status, self.limit)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _QTP_DELIVERED.size:
            raise _misfit(body, _QTP_DELIVERED, cls)
        session, index, status, limit = _QTP_DELIVERED.unpack(body)
        try:
            return tuple.__new__(cls, (session, index, _QTP_STATUS[status], limit))
        except KeyError as unknown:
            raise WireError("value", f"QtpDelivered: {unknown}") from None


_QTP_CLOSE = struct.Struct("!I")


class _QtpClose(NamedTuple):
    session: int


class QtpClose(_QtpClose):
    """Ends a session."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 5
    MESSAGE: ClassVar[int] = 6

    def pack(self) -> bytes:
        return _QTP_CLOSE.pack(self.session)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _QTP_CLOSE.size:
            raise _misfit(body, _QTP_CLOSE, cls)
        return tuple.__new__(cls, _QTP_CLOSE.unpack(body))


_QTP_CREDIT = struct.Struct("!II")


class _QtpCredit(NamedTuple):
    session: int
    limit: int


class QtpCredit(_QtpCredit):
    """The receiver has let go of qubits: more may be sent."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 5
    MESSAGE: ClassVar[int] = 7

    def pack(self) -> bytes:
        return _QTP_CREDIT.pack(self.session, self.limit)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _QTP_CREDIT.size:
            raise _misfit(body, _QTP_CREDIT, cls)
        return tuple.__new__(cls, _QTP_CREDIT.unpack(body))


_QTP_FINISH = struct.Struct("!II")


class _QtpFinish(NamedTuple):
    session: int
    sent: int


class QtpFinish(_QtpFinish):
    """Half-close: the sender of this sends no more qubits; it still receives."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 5
    MESSAGE: ClassVar[int] = 8

    def pack(self) -> bytes:
        return _QTP_FINISH.pack(self.session, self.sent)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _QTP_FINISH.size:
            raise _misfit(body, _QTP_FINISH, cls)
        return tuple.__new__(cls, _QTP_FINISH.unpack(body))


_QTP_RESET = struct.Struct("!I")


class _QtpReset(NamedTuple):
    session: int


class QtpReset(_QtpReset):
    """Ends a session at once: what is on the way is lost."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 5
    MESSAGE: ClassVar[int] = 9

    def pack(self) -> bytes:
        return _QTP_RESET.pack(self.session)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _QTP_RESET.size:
            raise _misfit(body, _QTP_RESET, cls)
        return tuple.__new__(cls, _QTP_RESET.unpack(body))


_QTP_NOTE = struct.Struct("!IBH")


class _QtpNote(NamedTuple):
    session: int
    more: int
    text: bytes


class QtpNote(_QtpNote):
    """Classical words between the users of a session, in the order of sending."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 5
    MESSAGE: ClassVar[int] = 10

    def pack(self) -> bytes:
        length = len(self.text)
        if length > 1024:
            raise ValueError(f"QtpNote.text: {length} > 1024")
        head = _QTP_NOTE.pack(self.session, self.more << 7, length)
        return head + self.text

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) < _QTP_NOTE.size:
            raise _misfit(body, _QTP_NOTE, cls)
        session, bits1, text_length = _QTP_NOTE.unpack_from(body)
        if text_length > 1024:
            raise WireError("bound", f"QtpNote.text: {text_length} > 1024")
        if len(body) != _QTP_NOTE.size + text_length:
            raise _misfit_tail(body, _QTP_NOTE.size + text_length, cls)
        return tuple.__new__(cls, (session, bits1 >> 7, body[_QTP_NOTE.size :]))


class RgpKind(IntEnum):
    """Which gate."""

    CNOT = 0  # controlled X, the control at the sender
    CZ = 1  # controlled Z
    COPY = 2  # whatever the target's QPU does with a copy of the control, in a program of its own
    MOVE = 3  # the sender's qubit goes to the receiver (teledata)


_RGP_KIND = {int(point): point for point in RgpKind}


_RGP_CAT = struct.Struct("!IIBIBB")


class _RgpCat(NamedTuple):
    job: int
    gate: int
    kind: RgpKind
    pair_id: int
    outcome: int
    phase: int


class RgpCat(_RgpCat):
    """Cat-entangler: the outcome at the control, with which the target's QPU corrects its half of a pair."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 6
    MESSAGE: ClassVar[int] = 1

    def pack(self) -> bytes:
        return _RGP_CAT.pack(self.job, self.gate, self.kind, self.pair_id, self.outcome << 7, self.phase)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _RGP_CAT.size:
            raise _misfit(body, _RGP_CAT, cls)
        job, gate, kind, pair_id, bits4, phase = _RGP_CAT.unpack(body)
        try:
            return tuple.__new__(cls, (job, gate, _RGP_KIND[kind], pair_id, bits4 >> 7, phase))
        except KeyError as unknown:
            raise WireError("value", f"RgpCat: {unknown}") from None


_RGP_UNCAT = struct.Struct("!IIB")


class _RgpUncat(NamedTuple):
    job: int
    gate: int
    outcome: int


class RgpUncat(_RgpUncat):
    """Cat-disentangler: the outcome at the target's QPU, with which the control is corrected; of a MOVE: it is here."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 6
    MESSAGE: ClassVar[int] = 2

    def pack(self) -> bytes:
        return _RGP_UNCAT.pack(self.job, self.gate, self.outcome << 7)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _RGP_UNCAT.size:
            raise _misfit(body, _RGP_UNCAT, cls)
        job, gate, bits2 = _RGP_UNCAT.unpack(body)
        return tuple.__new__(cls, (job, gate, bits2 >> 7))


_RGP_REFUSED = struct.Struct("!IIB")


class _RgpRefused(NamedTuple):
    job: int
    gate: int
    reason: int


class RgpRefused(_RgpRefused):
    """The gate was not done."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 6
    MESSAGE: ClassVar[int] = 3

    def pack(self) -> bytes:
        return _RGP_REFUSED.pack(self.job, self.gate, self.reason)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _RGP_REFUSED.size:
            raise _misfit(body, _RGP_REFUSED, cls)
        return tuple.__new__(cls, _RGP_REFUSED.unpack(body))


_RGP_READY = struct.Struct("!IIBB")


class _RgpReady(NamedTuple):
    job: int
    gate: int
    kind: RgpKind
    control: int


class RgpReady(_RgpReady):
    """The sender has come to this gate. Of the target: a pair for it can be made. Of the control: it waits for that."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 6
    MESSAGE: ClassVar[int] = 4

    def pack(self) -> bytes:
        return _RGP_READY.pack(self.job, self.gate, self.kind, self.control << 7)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _RGP_READY.size:
            raise _misfit(body, _RGP_READY, cls)
        job, gate, kind, bits3 = _RGP_READY.unpack(body)
        try:
            return tuple.__new__(cls, (job, gate, _RGP_KIND[kind], bits3 >> 7))
        except KeyError as unknown:
            raise WireError("value", f"RgpReady: {unknown}") from None


_LSR_LINK = struct.Struct("!HHIIQHI")


class _LsrLink(NamedTuple):
    link: int
    neighbour: int
    fidelity: int
    pairs_per_ks: int
    latency_ps: int
    memories: int
    load: int


class LsrLink(_LsrLink):
    """What one end says of one of its links that are up."""

    __slots__ = ()

    def pack(self) -> bytes:
        return _LSR_LINK.pack(
            self.link,
            self.neighbour,
            self.fidelity,
            self.pairs_per_ks,
            self.latency_ps,
            self.memories,
            self.load,
        )

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _LSR_LINK.size:
            raise _misfit(body, _LSR_LINK, cls)
        return tuple.__new__(cls, _LSR_LINK.unpack(body))


_LSR_VERSION = struct.Struct("!HBHI")


class _LsrVersion(NamedTuple):
    origin: int
    part: int
    incarnation: int
    sequence: int


class LsrVersion(_LsrVersion):
    """Names one version of one advert."""

    __slots__ = ()

    def pack(self) -> bytes:
        return _LSR_VERSION.pack(self.origin, self.part, self.incarnation, self.sequence)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _LSR_VERSION.size:
            raise _misfit(body, _LSR_VERSION, cls)
        return tuple.__new__(cls, _LSR_VERSION.unpack(body))


_LSR_PART = struct.Struct("!HB")


class _LsrPart(NamedTuple):
    origin: int
    part: int


class LsrPart(_LsrPart):
    """Names an advert."""

    __slots__ = ()

    def pack(self) -> bytes:
        return _LSR_PART.pack(self.origin, self.part)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _LSR_PART.size:
            raise _misfit(body, _LSR_PART, cls)
        return tuple.__new__(cls, _LSR_PART.unpack(body))


_LSR_HELLO = struct.Struct("!HHIBQ")


class _LsrHello(NamedTuple):
    incarnation: int
    heard: int
    number: int
    answer: int
    digest: int


class LsrHello(_LsrHello):
    """To a neighbour: I am here, this is what I hear of you and how much I know."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 8
    MESSAGE: ClassVar[int] = 1

    def pack(self) -> bytes:
        return _LSR_HELLO.pack(self.incarnation, self.heard, self.number, self.answer, self.digest)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _LSR_HELLO.size:
            raise _misfit(body, _LSR_HELLO, cls)
        return tuple.__new__(cls, _LSR_HELLO.unpack(body))


_LSR_ADVERT = struct.Struct("!HBHIBB")


class _LsrAdvert(NamedTuple):
    origin: int
    part: int
    incarnation: int
    sequence: int
    transit: int
    links: tuple[LsrLink, ...]


class LsrAdvert(_LsrAdvert):
    """What a node says of its links, passed on by every node to all its neighbours; acknowledged."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 8
    MESSAGE: ClassVar[int] = 2

    def pack(self) -> bytes:
        length = len(self.links)
        if length > 40:
            raise ValueError(f"LsrAdvert.links: {length} > 40")
        head = _LSR_ADVERT.pack(self.origin, self.part, self.incarnation, self.sequence, self.transit, length)
        return head + b"".join([record.pack() for record in self.links])

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) < _LSR_ADVERT.size:
            raise _misfit(body, _LSR_ADVERT, cls)
        origin, part, incarnation, sequence, transit, links_count = _LSR_ADVERT.unpack_from(body)
        if links_count > 40:
            raise WireError("bound", f"LsrAdvert.links: {links_count} > 40")
        if len(body) != _LSR_ADVERT.size + links_count * _LSR_LINK.size:
            raise _misfit_tail(body, _LSR_ADVERT.size + links_count * _LSR_LINK.size, cls)
        starts = range(_LSR_ADVERT.size, len(body), _LSR_LINK.size)
        links = tuple([LsrLink.unpack(body[start : start + _LSR_LINK.size]) for start in starts])
        return tuple.__new__(cls, (origin, part, incarnation, sequence, transit, links))


_LSR_ACK = struct.Struct("!B")


class _LsrAck(NamedTuple):
    versions: tuple[LsrVersion, ...]


class LsrAck(_LsrAck):
    """These versions have been received, or newer ones are held."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 8
    MESSAGE: ClassVar[int] = 3

    def pack(self) -> bytes:
        length = len(self.versions)
        if length > 120:
            raise ValueError(f"LsrAck.versions: {length} > 120")
        head = _LSR_ACK.pack(length)
        return head + b"".join([record.pack() for record in self.versions])

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) < _LSR_ACK.size:
            raise _misfit(body, _LSR_ACK, cls)
        (versions_count,) = _LSR_ACK.unpack_from(body)
        if versions_count > 120:
            raise WireError("bound", f"LsrAck.versions: {versions_count} > 120")
        if len(body) != _LSR_ACK.size + versions_count * _LSR_VERSION.size:
            raise _misfit_tail(body, _LSR_ACK.size + versions_count * _LSR_VERSION.size, cls)
        starts = range(_LSR_ACK.size, len(body), _LSR_VERSION.size)
        versions = tuple([LsrVersion.unpack(body[start : start + _LSR_VERSION.size]) for start in starts])
        return tuple.__new__(cls, (versions,))


_LSR_SUMMARY = struct.Struct("!HBHBB")


class _LsrSummary(NamedTuple):
    first_origin: int
    first_part: int
    last_origin: int
    last_part: int
    versions: tuple[LsrVersion, ...]


class LsrSummary(_LsrSummary):
    """All versions that the sender holds between two adverts: what is not named there, it does not hold."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 8
    MESSAGE: ClassVar[int] = 4

    def pack(self) -> bytes:
        length = len(self.versions)
        if length > 120:
            raise ValueError(f"LsrSummary.versions: {length} > 120")
        head = _LSR_SUMMARY.pack(self.first_origin, self.first_part, self.last_origin, self.last_part, length)
        return head + b"".join([record.pack() for record in self.versions])

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) < _LSR_SUMMARY.size:
            raise _misfit(body, _LSR_SUMMARY, cls)
        first_origin, first_part, last_origin, last_part, versions_count = _LSR_SUMMARY.unpack_from(body)
        if versions_count > 120:
            raise WireError("bound", f"LsrSummary.versions: {versions_count} > 120")
        if len(body) != _LSR_SUMMARY.size + versions_count * _LSR_VERSION.size:
            raise _misfit_tail(body, _LSR_SUMMARY.size + versions_count * _LSR_VERSION.size, cls)
        starts = range(_LSR_SUMMARY.size, len(body), _LSR_VERSION.size)
        versions = tuple([LsrVersion.unpack(body[start : start + _LSR_VERSION.size]) for start in starts])
        return tuple.__new__(cls, (first_origin, first_part, last_origin, last_part, versions))


_LSR_REQUEST = struct.Struct("!B")


class _LsrRequest(NamedTuple):
    parts: tuple[LsrPart, ...]


class LsrRequest(_LsrRequest):
    """Asks for adverts that a Summary has named; answered by Adverts."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 8
    MESSAGE: ClassVar[int] = 5

    def pack(self) -> bytes:
        length = len(self.parts)
        if length > 240:
            raise ValueError(f"LsrRequest.parts: {length} > 240")
        head = _LSR_REQUEST.pack(length)
        return head + b"".join([record.pack() for record in self.parts])

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) < _LSR_REQUEST.size:
            raise _misfit(body, _LSR_REQUEST, cls)
        (parts_count,) = _LSR_REQUEST.unpack_from(body)
        if parts_count > 240:
            raise WireError("bound", f"LsrRequest.parts: {parts_count} > 240")
        if len(body) != _LSR_REQUEST.size + parts_count * _LSR_PART.size:
            raise _misfit_tail(body, _LSR_REQUEST.size + parts_count * _LSR_PART.size, cls)
        starts = range(_LSR_REQUEST.size, len(body), _LSR_PART.size)
        parts = tuple([LsrPart.unpack(body[start : start + _LSR_PART.size]) for start in starts])
        return tuple.__new__(cls, (parts,))


_TTP_REQUEST = struct.Struct("!I")


class _TtpRequest(NamedTuple):
    sequence: int


class TtpRequest(_TtpRequest):
    """A node asks its time server for two timestamps; it keeps the time at which this left, t1."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 7
    MESSAGE: ClassVar[int] = 1

    def pack(self) -> bytes:
        return _TTP_REQUEST.pack(self.sequence)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _TTP_REQUEST.size:
            raise _misfit(body, _TTP_REQUEST, cls)
        return tuple.__new__(cls, _TTP_REQUEST.unpack(body))


_TTP_RESPONSE = struct.Struct("!IBQQ")


class _TtpResponse(NamedTuple):
    sequence: int
    hops: int
    received: int
    sent: int


class TtpResponse(_TtpResponse):
    """The server's answer; the time at which it arrives is t4."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 7
    MESSAGE: ClassVar[int] = 2

    def pack(self) -> bytes:
        return _TTP_RESPONSE.pack(self.sequence, self.hops, self.received, self.sent)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _TTP_RESPONSE.size:
            raise _misfit(body, _TTP_RESPONSE, cls)
        return tuple.__new__(cls, _TTP_RESPONSE.unpack(body))


class SrpReason(IntEnum):
    """Why a reservation is none."""

    STRANGER = 0  # the switch has no such link, or the sender does not lead it
    OVER = 1  # this reservation has ended, or its grant was not used; reserve anew
    TOO_LATE = 2  # no grant can begin within the time given


_SRP_REASON = {int(point): point for point in SrpReason}


_SRP_RESERVE = struct.Struct("!HQIQQ")


class _SrpReserve(NamedTuple):
    link: int
    ticket: int
    slots: int
    notice_ps: int
    within_ps: int


class SrpReserve(_SrpReserve):
    """Asks for an analyser, once; repeated, with the same ticket, for as long as it is wanted."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 9
    MESSAGE: ClassVar[int] = 1

    def pack(self) -> bytes:
        return _SRP_RESERVE.pack(self.link, self.ticket, self.slots, self.notice_ps, self.within_ps)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _SRP_RESERVE.size:
            raise _misfit(body, _SRP_RESERVE, cls)
        return tuple.__new__(cls, _SRP_RESERVE.unpack(body))


_SRP_QUEUED = struct.Struct("!HQQ")


class _SrpQueued(NamedTuple):
    link: int
    ticket: int
    refresh_ps: int


class SrpQueued(_SrpQueued):
    """The reservation waits its turn; the switch forgets it unless it is repeated."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 9
    MESSAGE: ClassVar[int] = 2

    def pack(self) -> bytes:
        return _SRP_QUEUED.pack(self.link, self.ticket, self.refresh_ps)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _SRP_QUEUED.size:
            raise _misfit(body, _SRP_QUEUED, cls)
        return tuple.__new__(cls, _SRP_QUEUED.unpack(body))


_SRP_GRANT = struct.Struct("!HQQI")


class _SrpGrant(NamedTuple):
    link: int
    ticket: int
    first_slot: int
    slots: int


class SrpGrant(_SrpGrant):
    """The link has an analyser for these slots; the train must begin with the first of them."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 9
    MESSAGE: ClassVar[int] = 3

    def pack(self) -> bytes:
        return _SRP_GRANT.pack(self.link, self.ticket, self.first_slot, self.slots)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _SRP_GRANT.size:
            raise _misfit(body, _SRP_GRANT, cls)
        return tuple.__new__(cls, _SRP_GRANT.unpack(body))


_SRP_DENY = struct.Struct("!HQB")


class _SrpDeny(NamedTuple):
    link: int
    ticket: int
    reason: SrpReason


class SrpDeny(_SrpDeny):
    """There is no such reservation, or none any more."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 9
    MESSAGE: ClassVar[int] = 4

    def pack(self) -> bytes:
        return _SRP_DENY.pack(self.link, self.ticket, self.reason)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _SRP_DENY.size:
            raise _misfit(body, _SRP_DENY, cls)
        link, ticket, reason = _SRP_DENY.unpack(body)
        try:
            return tuple.__new__(cls, (link, ticket, _SRP_REASON[reason]))
        except KeyError as unknown:
            raise WireError("value", f"SrpDeny: {unknown}") from None


_SRP_RELEASE = struct.Struct("!HQ")


class _SrpRelease(NamedTuple):
    link: int
    ticket: int


class SrpRelease(_SrpRelease):
    """The sender does not need the reservation, or what is left of its grant, any more."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 9
    MESSAGE: ClassVar[int] = 5

    def pack(self) -> bytes:
        return _SRP_RELEASE.pack(self.link, self.ticket)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _SRP_RELEASE.size:
            raise _misfit(body, _SRP_RELEASE, cls)
        return tuple.__new__(cls, _SRP_RELEASE.unpack(body))


_SRP_READY = struct.Struct("!H")


class _SrpReady(NamedTuple):
    qubits: int


class SrpReady(_SrpReady):
    """So many communication qubits of the sender could take part in a train now; reliable, so the last one counts."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 9
    MESSAGE: ClassVar[int] = 6

    def pack(self) -> bytes:
        return _SRP_READY.pack(self.qubits)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _SRP_READY.size:
            raise _misfit(body, _SRP_READY, cls)
        return tuple.__new__(cls, _SRP_READY.unpack(body))


class JobWhy(IntEnum):
    """Why a QPU has let go of a lease."""

    DONE = 0  # all shots have been tried
    STOPPED = 1  # the controller said so, or is gone
    UNKNOWN = 2  # there is no such lease here
    BUSY = 3  # another lease holds the QPU
    MALFORMED = 4  # the program is not whole, or none that this QPU could run
    PEER_LOST = 5  # a node that the job needs is gone
    NO_PAIRS = 6  # no more pairs could be had with a node
    GIVEN_UP = 7  # another node of the job has given it up
    IN_USE = 8  # programs there hold data qubits that this one needs; Here has just said so


_JOB_WHY = {int(point): point for point in JobWhy}


_JOB_RESULT = struct.Struct("!IIB")


class _JobResult(NamedTuple):
    run: int
    measurement: int
    value: int


class JobResult(_JobResult):
    """The result of a measurement, for a QPU that decides something by it."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 12
    MESSAGE: ClassVar[int] = 1

    def pack(self) -> bytes:
        return _JOB_RESULT.pack(self.run, self.measurement, self.value)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _JOB_RESULT.size:
            raise _misfit(body, _JOB_RESULT, cls)
        return tuple.__new__(cls, _JOB_RESULT.unpack(body))


_JOB_GIVEN_UP = struct.Struct("!I")


class _JobGivenUp(NamedTuple):
    run: int


class JobGivenUp(_JobGivenUp):
    """No more results come: the sender has given the shot up."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 12
    MESSAGE: ClassVar[int] = 2

    def pack(self) -> bytes:
        return _JOB_GIVEN_UP.pack(self.run)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _JOB_GIVEN_UP.size:
            raise _misfit(body, _JOB_GIVEN_UP, cls)
        return tuple.__new__(cls, _JOB_GIVEN_UP.unpack(body))


class _JobCensus(NamedTuple):
    pass


class JobCensus(_JobCensus):
    """A controller asks a QPU whether it is there."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 12
    MESSAGE: ClassVar[int] = 3

    def pack(self) -> bytes:
        return b""

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if body:
            raise WireError("long", "JobCensus")
        return cls()


_JOB_HERE = struct.Struct("!HI")


class _JobHere(NamedTuple):
    data_qubits: int
    lease: int


class JobHere(_JobHere):
    """A QPU tells its controller that it is there, what a lease can have of it, and which it holds."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 12
    MESSAGE: ClassVar[int] = 4

    def pack(self) -> bytes:
        return _JOB_HERE.pack(self.data_qubits, self.lease)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _JOB_HERE.size:
            raise _misfit(body, _JOB_HERE, cls)
        return tuple.__new__(cls, _JOB_HERE.unpack(body))


_JOB_LOAD = struct.Struct("!IIHHH")


class _JobLoad(NamedTuple):
    lease: int
    job: int
    part: int
    parts: int
    piece: bytes


class JobLoad(_JobLoad):
    """A piece of a QPU's program in a job. From the first on the QPU is leased to it."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 12
    MESSAGE: ClassVar[int] = 5

    def pack(self) -> bytes:
        length = len(self.piece)
        if length > 1024:
            raise ValueError(f"JobLoad.piece: {length} > 1024")
        head = _JOB_LOAD.pack(self.lease, self.job, self.part, self.parts, length)
        return head + self.piece

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) < _JOB_LOAD.size:
            raise _misfit(body, _JOB_LOAD, cls)
        lease, job, part, parts, piece_length = _JOB_LOAD.unpack_from(body)
        if piece_length > 1024:
            raise WireError("bound", f"JobLoad.piece: {piece_length} > 1024")
        if len(body) != _JOB_LOAD.size + piece_length:
            raise _misfit_tail(body, _JOB_LOAD.size + piece_length, cls)
        return tuple.__new__(cls, (lease, job, part, parts, body[_JOB_LOAD.size :]))


_JOB_LOADED = struct.Struct("!I")


class _JobLoaded(NamedTuple):
    lease: int


class JobLoaded(_JobLoaded):
    """The program is whole, and this QPU can run it."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 12
    MESSAGE: ClassVar[int] = 6

    def pack(self) -> bytes:
        return _JOB_LOADED.pack(self.lease)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _JOB_LOADED.size:
            raise _misfit(body, _JOB_LOADED, cls)
        return tuple.__new__(cls, _JOB_LOADED.unpack(body))


_JOB_RUN = struct.Struct("!II")


class _JobRun(NamedTuple):
    lease: int
    shots: int


class JobRun(_JobRun):
    """Do so many shots, from shot 0 on."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 12
    MESSAGE: ClassVar[int] = 7

    def pack(self) -> bytes:
        return _JOB_RUN.pack(self.lease, self.shots)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _JOB_RUN.size:
            raise _misfit(body, _JOB_RUN, cls)
        return tuple.__new__(cls, _JOB_RUN.unpack(body))


_JOB_OUTCOME = struct.Struct("!IIHIQH")


class _JobOutcome(NamedTuple):
    lease: int
    first_shot: int
    shots: int
    pairs: int
    elapsed_ps: int
    rows: bytes


class JobOutcome(_JobOutcome):
    """What this QPU has measured in a row of shots."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 12
    MESSAGE: ClassVar[int] = 8

    def pack(self) -> bytes:
        length = len(self.rows)
        if length > 1024:
            raise ValueError(f"JobOutcome.rows: {length} > 1024")
        head = _JOB_OUTCOME.pack(self.lease, self.first_shot, self.shots, self.pairs, self.elapsed_ps, length)
        return head + self.rows

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) < _JOB_OUTCOME.size:
            raise _misfit(body, _JOB_OUTCOME, cls)
        lease, first_shot, shots, pairs, elapsed_ps, rows_length = _JOB_OUTCOME.unpack_from(body)
        if rows_length > 1024:
            raise WireError("bound", f"JobOutcome.rows: {rows_length} > 1024")
        if len(body) != _JOB_OUTCOME.size + rows_length:
            raise _misfit_tail(body, _JOB_OUTCOME.size + rows_length, cls)
        return tuple.__new__(cls, (lease, first_shot, shots, pairs, elapsed_ps, body[_JOB_OUTCOME.size :]))


_JOB_STOP = struct.Struct("!I")


class _JobStop(NamedTuple):
    lease: int


class JobStop(_JobStop):
    """The lease ends now."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 12
    MESSAGE: ClassVar[int] = 9

    def pack(self) -> bytes:
        return _JOB_STOP.pack(self.lease)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _JOB_STOP.size:
            raise _misfit(body, _JOB_STOP, cls)
        return tuple.__new__(cls, _JOB_STOP.unpack(body))


_JOB_RELEASED = struct.Struct("!IBHIQ")


class _JobReleased(NamedTuple):
    lease: int
    why: JobWhy
    node: int
    pairs: int
    elapsed_ps: int


class JobReleased(_JobReleased):
    """The QPU has let go of everything that the lease held: its last word about it."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 12
    MESSAGE: ClassVar[int] = 10

    def pack(self) -> bytes:
        return _JOB_RELEASED.pack(self.lease, self.why, self.node, self.pairs, self.elapsed_ps)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _JOB_RELEASED.size:
            raise _misfit(body, _JOB_RELEASED, cls)
        lease, why, node, pairs, elapsed_ps = _JOB_RELEASED.unpack(body)
        try:
            return tuple.__new__(cls, (lease, _JOB_WHY[why], node, pairs, elapsed_ps))
        except KeyError as unknown:
            raise WireError("value", f"JobReleased: {unknown}") from None


class KeyWhy(IntEnum):
    """Why a block makes no key, or a session ends."""

    CLOSED = 0  # its opener needs no more
    NOISY = 1  # more of the tested bits differ than is allowed: an eavesdropper, or a bad link
    SHORT = 2  # nothing of the block would be secret
    COSTLY = 3  # to correct it would take more bits than are secret: the bits in Z differ more than those in X
    UNLIKE = 4  # the corrected bits differ still
    MALFORMED = 5  # a message that contradicts what was said before
    FULL = 6  # there is no room: for more sessions, or for more keys
    UNFIT = 7  # no such session is served: its sizes make no sense
    NO_PAIRS = 8  # no more pairs can be had
    PEER_LOST = 9  # the other end is gone, or has started anew
    FRUITLESS = 10  # too many blocks in a row have made no key


_KEY_WHY = {int(point): point for point in KeyWhy}


_KEY_QUESTION = struct.Struct("!BI")


class _KeyQuestion(NamedTuple):
    order: int
    place: int


class KeyQuestion(_KeyQuestion):
    """A parity that is asked for."""

    __slots__ = ()

    def pack(self) -> bytes:
        return _KEY_QUESTION.pack(self.order, self.place)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _KEY_QUESTION.size:
            raise _misfit(body, _KEY_QUESTION, cls)
        return tuple.__new__(cls, _KEY_QUESTION.unpack(body))


_KEY_OPEN = struct.Struct("!HHIIHBBQ")


class _KeyOpen(NamedTuple):
    opener: int
    session: int
    block_pairs: int
    x_chance: int
    key_bits: int
    secrecy: int
    correctness: int
    nonce: int


class KeyOpen(_KeyOpen):
    """Opens a session: the sender wants keys with the receiver, and may hand them out."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 13
    MESSAGE: ClassVar[int] = 1

    def pack(self) -> bytes:
        return _KEY_OPEN.pack(
            self.opener,
            self.session,
            self.block_pairs,
            self.x_chance,
            self.key_bits,
            self.secrecy,
            self.correctness,
            self.nonce,
        )

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _KEY_OPEN.size:
            raise _misfit(body, _KEY_OPEN, cls)
        return tuple.__new__(cls, _KEY_OPEN.unpack(body))


_KEY_ACCEPT = struct.Struct("!HH")


class _KeyAccept(NamedTuple):
    opener: int
    session: int


class KeyAccept(_KeyAccept):
    """The session is served, and pairs for it are welcome."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 13
    MESSAGE: ClassVar[int] = 2

    def pack(self) -> bytes:
        return _KEY_ACCEPT.pack(self.opener, self.session)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _KEY_ACCEPT.size:
            raise _misfit(body, _KEY_ACCEPT, cls)
        return tuple.__new__(cls, _KEY_ACCEPT.unpack(body))


_KEY_REFUSE = struct.Struct("!HHB")


class _KeyRefuse(NamedTuple):
    opener: int
    session: int
    why: KeyWhy


class KeyRefuse(_KeyRefuse):
    """It is not."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 13
    MESSAGE: ClassVar[int] = 3

    def pack(self) -> bytes:
        return _KEY_REFUSE.pack(self.opener, self.session, self.why)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _KEY_REFUSE.size:
            raise _misfit(body, _KEY_REFUSE, cls)
        opener, session, why = _KEY_REFUSE.unpack(body)
        try:
            return tuple.__new__(cls, (opener, session, _KEY_WHY[why]))
        except KeyError as unknown:
            raise WireError("value", f"KeyRefuse: {unknown}") from None


_KEY_BASES = struct.Struct("!HHIIBH")


class _KeyBases(NamedTuple):
    opener: int
    session: int
    block: int
    first: int
    more: int
    row: bytes


class KeyBases(_KeyBases):
    """In which basis the sender has measured each pair of a block; the opener's comes first and says which pairs."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 13
    MESSAGE: ClassVar[int] = 4

    def pack(self) -> bytes:
        length = len(self.row)
        if length > 1000:
            raise ValueError(f"KeyBases.row: {length} > 1000")
        head = _KEY_BASES.pack(self.opener, self.session, self.block, self.first, self.more << 7, length)
        return head + self.row

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) < _KEY_BASES.size:
            raise _misfit(body, _KEY_BASES, cls)
        opener, session, block, first, bits4, row_length = _KEY_BASES.unpack_from(body)
        if row_length > 1000:
            raise WireError("bound", f"KeyBases.row: {row_length} > 1000")
        if len(body) != _KEY_BASES.size + row_length:
            raise _misfit_tail(body, _KEY_BASES.size + row_length, cls)
        return tuple.__new__(cls, (opener, session, block, first, bits4 >> 7, body[_KEY_BASES.size :]))


_KEY_TESTS = struct.Struct("!HHIBH")


class _KeyTests(NamedTuple):
    opener: int
    session: int
    block: int
    more: int
    bits: bytes


class KeyTests(_KeyTests):
    """What the responder has read of all pairs that both have measured in X: they make no key."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 13
    MESSAGE: ClassVar[int] = 5

    def pack(self) -> bytes:
        length = len(self.bits)
        if length > 1000:
            raise ValueError(f"KeyTests.bits: {length} > 1000")
        head = _KEY_TESTS.pack(self.opener, self.session, self.block, self.more << 7, length)
        return head + self.bits

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) < _KEY_TESTS.size:
            raise _misfit(body, _KEY_TESTS, cls)
        opener, session, block, bits3, bits_length = _KEY_TESTS.unpack_from(body)
        if bits_length > 1000:
            raise WireError("bound", f"KeyTests.bits: {bits_length} > 1000")
        if len(body) != _KEY_TESTS.size + bits_length:
            raise _misfit_tail(body, _KEY_TESTS.size + bits_length, cls)
        return tuple.__new__(cls, (opener, session, block, bits3 >> 7, body[_KEY_TESTS.size :]))


_KEY_ESTIMATE = struct.Struct("!HHIIIIQ")


class _KeyEstimate(NamedTuple):
    opener: int
    session: int
    block: int
    sifted: int
    tested: int
    errors: int
    shuffle: int


class KeyEstimate(_KeyEstimate):
    """The opener has compared them: how the block goes on."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 13
    MESSAGE: ClassVar[int] = 6

    def pack(self) -> bytes:
        return _KEY_ESTIMATE.pack(
            self.opener,
            self.session,
            self.block,
            self.sifted,
            self.tested,
            self.errors,
            self.shuffle,
        )

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _KEY_ESTIMATE.size:
            raise _misfit(body, _KEY_ESTIMATE, cls)
        return tuple.__new__(cls, _KEY_ESTIMATE.unpack(body))


_KEY_ASK = struct.Struct("!HHIB")


class _KeyAsk(NamedTuple):
    opener: int
    session: int
    block: int
    questions: tuple[KeyQuestion, ...]


class KeyAsk(_KeyAsk):
    """The responder asks for parities of the opener's bits."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 13
    MESSAGE: ClassVar[int] = 7

    def pack(self) -> bytes:
        length = len(self.questions)
        if length > 200:
            raise ValueError(f"KeyAsk.questions: {length} > 200")
        head = _KEY_ASK.pack(self.opener, self.session, self.block, length)
        return head + b"".join([record.pack() for record in self.questions])

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) < _KEY_ASK.size:
            raise _misfit(body, _KEY_ASK, cls)
        opener, session, block, questions_count = _KEY_ASK.unpack_from(body)
        if questions_count > 200:
            raise WireError("bound", f"KeyAsk.questions: {questions_count} > 200")
        if len(body) != _KEY_ASK.size + questions_count * _KEY_QUESTION.size:
            raise _misfit_tail(body, _KEY_ASK.size + questions_count * _KEY_QUESTION.size, cls)
        starts = range(_KEY_ASK.size, len(body), _KEY_QUESTION.size)
        questions = tuple([KeyQuestion.unpack(body[start : start + _KEY_QUESTION.size]) for start in starts])
        return tuple.__new__(cls, (opener, session, block, questions))


_KEY_PARITIES = struct.Struct("!HHIH")


class _KeyParities(NamedTuple):
    opener: int
    session: int
    block: int
    bits: bytes


class KeyParities(_KeyParities):
    """The opener answers an Ask."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 13
    MESSAGE: ClassVar[int] = 8

    def pack(self) -> bytes:
        length = len(self.bits)
        if length > 25:
            raise ValueError(f"KeyParities.bits: {length} > 25")
        head = _KEY_PARITIES.pack(self.opener, self.session, self.block, length)
        return head + self.bits

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) < _KEY_PARITIES.size:
            raise _misfit(body, _KEY_PARITIES, cls)
        opener, session, block, bits_length = _KEY_PARITIES.unpack_from(body)
        if bits_length > 25:
            raise WireError("bound", f"KeyParities.bits: {bits_length} > 25")
        if len(body) != _KEY_PARITIES.size + bits_length:
            raise _misfit_tail(body, _KEY_PARITIES.size + bits_length, cls)
        return tuple.__new__(cls, (opener, session, block, body[_KEY_PARITIES.size :]))


_KEY_CORRECTED = struct.Struct("!HHIII")


class _KeyCorrected(NamedTuple):
    opener: int
    session: int
    block: int
    errors: int
    asked: int


class KeyCorrected(_KeyCorrected):
    """The responder has nothing more to ask."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 13
    MESSAGE: ClassVar[int] = 9

    def pack(self) -> bytes:
        return _KEY_CORRECTED.pack(self.opener, self.session, self.block, self.errors, self.asked)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _KEY_CORRECTED.size:
            raise _misfit(body, _KEY_CORRECTED, cls)
        return tuple.__new__(cls, _KEY_CORRECTED.unpack(body))


_KEY_SEED = struct.Struct("!HHIH")


class _KeySeed(NamedTuple):
    opener: int
    session: int
    block: int
    bits: bytes


class KeySeed(_KeySeed):
    """Random bits: of the Toeplitz matrix that verifies, and then of the one that amplifies."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 13
    MESSAGE: ClassVar[int] = 10

    def pack(self) -> bytes:
        length = len(self.bits)
        if length > 1000:
            raise ValueError(f"KeySeed.bits: {length} > 1000")
        head = _KEY_SEED.pack(self.opener, self.session, self.block, length)
        return head + self.bits

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) < _KEY_SEED.size:
            raise _misfit(body, _KEY_SEED, cls)
        opener, session, block, bits_length = _KEY_SEED.unpack_from(body)
        if bits_length > 1000:
            raise WireError("bound", f"KeySeed.bits: {bits_length} > 1000")
        if len(body) != _KEY_SEED.size + bits_length:
            raise _misfit_tail(body, _KEY_SEED.size + bits_length, cls)
        return tuple.__new__(cls, (opener, session, block, body[_KEY_SEED.size :]))


_KEY_PROOF = struct.Struct("!HHIIH")


class _KeyProof(NamedTuple):
    opener: int
    session: int
    block: int
    length: int
    tag: bytes


class KeyProof(_KeyProof):
    """All random bits have been said; the hash of the opener's bits, and how long the key is."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 13
    MESSAGE: ClassVar[int] = 11

    def pack(self) -> bytes:
        length = len(self.tag)
        if length > 32:
            raise ValueError(f"KeyProof.tag: {length} > 32")
        head = _KEY_PROOF.pack(self.opener, self.session, self.block, self.length, length)
        return head + self.tag

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) < _KEY_PROOF.size:
            raise _misfit(body, _KEY_PROOF, cls)
        opener, session, block, length, tag_length = _KEY_PROOF.unpack_from(body)
        if tag_length > 32:
            raise WireError("bound", f"KeyProof.tag: {tag_length} > 32")
        if len(body) != _KEY_PROOF.size + tag_length:
            raise _misfit_tail(body, _KEY_PROOF.size + tag_length, cls)
        return tuple.__new__(cls, (opener, session, block, length, body[_KEY_PROOF.size :]))


_KEY_VERIFIED = struct.Struct("!HHII")


class _KeyVerified(NamedTuple):
    opener: int
    session: int
    block: int
    keys: int


class KeyVerified(_KeyVerified):
    """The responder has the same bits, and the keys that they make."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 13
    MESSAGE: ClassVar[int] = 12

    def pack(self) -> bytes:
        return _KEY_VERIFIED.pack(self.opener, self.session, self.block, self.keys)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _KEY_VERIFIED.size:
            raise _misfit(body, _KEY_VERIFIED, cls)
        return tuple.__new__(cls, _KEY_VERIFIED.unpack(body))


_KEY_GIVE_UP = struct.Struct("!HHIB")


class _KeyGiveUp(NamedTuple):
    opener: int
    session: int
    block: int
    why: KeyWhy


class KeyGiveUp(_KeyGiveUp):
    """The block makes no key."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 13
    MESSAGE: ClassVar[int] = 13

    def pack(self) -> bytes:
        return _KEY_GIVE_UP.pack(self.opener, self.session, self.block, self.why)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _KEY_GIVE_UP.size:
            raise _misfit(body, _KEY_GIVE_UP, cls)
        opener, session, block, why = _KEY_GIVE_UP.unpack(body)
        try:
            return tuple.__new__(cls, (opener, session, block, _KEY_WHY[why]))
        except KeyError as unknown:
            raise WireError("value", f"KeyGiveUp: {unknown}") from None


_KEY_CLOSE = struct.Struct("!HHBI")


class _KeyClose(NamedTuple):
    opener: int
    session: int
    why: KeyWhy
    handed_out: int


class KeyClose(_KeyClose):
    """The session is over. Of its keys those that the opener has handed out can still be had from the responder."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 13
    MESSAGE: ClassVar[int] = 14

    def pack(self) -> bytes:
        return _KEY_CLOSE.pack(self.opener, self.session, self.why, self.handed_out)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _KEY_CLOSE.size:
            raise _misfit(body, _KEY_CLOSE, cls)
        opener, session, why, handed_out = _KEY_CLOSE.unpack(body)
        try:
            return tuple.__new__(cls, (opener, session, _KEY_WHY[why], handed_out))
        except KeyError as unknown:
            raise WireError("value", f"KeyClose: {unknown}") from None


class DeviceOpcode(IntEnum):
    """Operations of a device program."""

    INIT = 0  # prepares |0⟩
    X = 1  # Pauli X
    Y = 2  # Pauli Y
    Z = 3  # Pauli Z
    H = 4  # Hadamard
    S = 5  # phase π/2
    SDG = 6  # phase −π/2
    T = 7  # phase π/4
    TDG = 8  # phase −π/4
    SX = 9  # square root of X
    RX = 10  # rotation about X by `angle`
    RY = 11  # rotation about Y by `angle`
    RZ = 12  # rotation about Z by `angle`
    CX = 20  # controlled X, control `qubit`, target `other`
    CZ = 21  # controlled Z
    SWAP = 22  # exchanges the two
    CP = 23  # controlled phase by `angle`
    MEASURE = 30  # measures in the Z basis and appends the result bit
    RELEASE = 40  # gives the qubit back: its handle becomes stale
    IDLE = 41  # waits `angle` nanoseconds


_DEVICE_OPCODE = {int(point): point for point in DeviceOpcode}


class DeviceOutcome(IntEnum):
    """What the station's detectors saw; same numbers as in MhpOutcome."""

    FAIL = 0  # no success in the slots listened to
    PSI_PLUS = 1  # the pair is in |Ψ+⟩
    PSI_MINUS = 2  # the pair is in |Ψ−⟩


_DEVICE_OUTCOME = {int(point): point for point in DeviceOutcome}


class DeviceError(IntEnum):
    """Why a command was not executed."""

    STALE = 1  # the handle's generation is not current
    FOREIGN = 2  # the node has no such qubit
    BUSY = 3  # the qubit is in a train
    BAD = 4  # the command makes no sense
    NO_LINK = 5  # the node has no such link
    UNCONNECTED = 6  # the link is not connected to an analyser of the switch


_DEVICE_ERROR = {int(point): point for point in DeviceError}


_DEVICE_OP = struct.Struct("!BBIIiIB")


class _DeviceOp(NamedTuple):
    opcode: DeviceOpcode
    flags: int = 0
    qubit: int = 0
    other: int = 0
    angle: int = 0
    condition: int = 0
    expect: int = 0


class DeviceOp(_DeviceOp):
    """One operation of a program."""

    __slots__ = ()

    def pack(self) -> bytes:
        return _DEVICE_OP.pack(
            self.opcode,
            self.flags,
            self.qubit,
            self.other,
            self.angle,
            self.condition,
            self.expect << 7,
        )

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _DEVICE_OP.size:
            raise _misfit(body, _DEVICE_OP, cls)
        opcode, flags, qubit, other, angle, condition, bits6 = _DEVICE_OP.unpack(body)
        try:
            values = (_DEVICE_OPCODE[opcode], flags, qubit, other, angle, condition, bits6 >> 7)
            return tuple.__new__(cls, values)
        except KeyError as unknown:
            raise WireError("value", f"DeviceOp: {unknown}") from None


_DEVICE_PROGRAM = struct.Struct("!B")


class _DeviceProgram(NamedTuple):
    ops: tuple[DeviceOp, ...]


class DeviceProgram(_DeviceProgram):
    """Node to device: a program executed as one; answered by Bits or Failed."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 128
    MESSAGE: ClassVar[int] = 1

    def pack(self) -> bytes:
        length = len(self.ops)
        if length > 64:
            raise ValueError(f"DeviceProgram.ops: {length} > 64")
        head = _DEVICE_PROGRAM.pack(length)
        return head + b"".join([record.pack() for record in self.ops])

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) < _DEVICE_PROGRAM.size:
            raise _misfit(body, _DEVICE_PROGRAM, cls)
        (ops_count,) = _DEVICE_PROGRAM.unpack_from(body)
        if ops_count > 64:
            raise WireError("bound", f"DeviceProgram.ops: {ops_count} > 64")
        if len(body) != _DEVICE_PROGRAM.size + ops_count * _DEVICE_OP.size:
            raise _misfit_tail(body, _DEVICE_PROGRAM.size + ops_count * _DEVICE_OP.size, cls)
        starts = range(_DEVICE_PROGRAM.size, len(body), _DEVICE_OP.size)
        ops = tuple([DeviceOp.unpack(body[start : start + _DEVICE_OP.size]) for start in starts])
        return tuple.__new__(cls, (ops,))


_DEVICE_TRAIN = struct.Struct("!HIQIII")


class _DeviceTrain(NamedTuple):
    link: int
    qubit: int
    first_slot: int
    spacing: int
    count: int  # type: ignore[assignment]
    alpha: int


class DeviceTrain(_DeviceTrain):
    """Node to device: emit in the station's slots first_slot + j · spacing."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 128
    MESSAGE: ClassVar[int] = 2

    def pack(self) -> bytes:
        return _DEVICE_TRAIN.pack(
            self.link,
            self.qubit,
            self.first_slot,
            self.spacing,
            self.count,
            self.alpha,
        )

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _DEVICE_TRAIN.size:
            raise _misfit(body, _DEVICE_TRAIN, cls)
        return tuple.__new__(cls, _DEVICE_TRAIN.unpack(body))


_DEVICE_STOP_TRAIN = struct.Struct("!HI")


class _DeviceStopTrain(NamedTuple):
    link: int
    qubit: int


class DeviceStopTrain(_DeviceStopTrain):
    """Node to device: emit no more; the qubit keeps what the last emission left."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 128
    MESSAGE: ClassVar[int] = 3

    def pack(self) -> bytes:
        return _DEVICE_STOP_TRAIN.pack(self.link, self.qubit)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _DEVICE_STOP_TRAIN.size:
            raise _misfit(body, _DEVICE_STOP_TRAIN, cls)
        return tuple.__new__(cls, _DEVICE_STOP_TRAIN.unpack(body))


_DEVICE_LISTEN = struct.Struct("!HQII")


class _DeviceListen(NamedTuple):
    link: int
    first_slot: int
    spacing: int
    count: int  # type: ignore[assignment]


class DeviceListen(_DeviceListen):
    """Station to device: look at these slots until one succeeds."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 128
    MESSAGE: ClassVar[int] = 4

    def pack(self) -> bytes:
        return _DEVICE_LISTEN.pack(self.link, self.first_slot, self.spacing, self.count)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _DEVICE_LISTEN.size:
            raise _misfit(body, _DEVICE_LISTEN, cls)
        return tuple.__new__(cls, _DEVICE_LISTEN.unpack(body))


_DEVICE_STOP_LISTEN = struct.Struct("!H")


class _DeviceStopListen(NamedTuple):
    link: int


class DeviceStopListen(_DeviceStopListen):
    """Station to device: look no more."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 128
    MESSAGE: ClassVar[int] = 5

    def pack(self) -> bytes:
        return _DEVICE_STOP_LISTEN.pack(self.link)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _DEVICE_STOP_LISTEN.size:
            raise _misfit(body, _DEVICE_STOP_LISTEN, cls)
        return tuple.__new__(cls, _DEVICE_STOP_LISTEN.unpack(body))


_DEVICE_CONNECT = struct.Struct("!HH")


class _DeviceConnect(NamedTuple):
    link: int
    analyser: int


class DeviceConnect(_DeviceConnect):
    """Switch to device: set the link's two fibres on an analyser; answered by Done when light can pass."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 128
    MESSAGE: ClassVar[int] = 6

    def pack(self) -> bytes:
        return _DEVICE_CONNECT.pack(self.link, self.analyser)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _DEVICE_CONNECT.size:
            raise _misfit(body, _DEVICE_CONNECT, cls)
        return tuple.__new__(cls, _DEVICE_CONNECT.unpack(body))


_DEVICE_MEASURING_TRAIN = struct.Struct("!HIQIIIQBIIiii")


class _DeviceMeasuringTrain(NamedTuple):
    link: int
    qubit: int
    first_slot: int
    spacing: int
    count: int  # type: ignore[assignment]
    alpha: int
    choice: int
    bases: EgpBases
    chance_1: int
    chance_2: int
    x_1: int
    y: int
    x_2: int


class DeviceMeasuringTrain(_DeviceMeasuringTrain):
    """Node to device: a Train that measures the qubit right after each emission."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 128
    MESSAGE: ClassVar[int] = 10

    def pack(self) -> bytes:
        return _DEVICE_MEASURING_TRAIN.pack(
            self.link,
            self.qubit,
            self.first_slot,
            self.spacing,
            self.count,
            self.alpha,
            self.choice,
            self.bases,
            self.chance_1,
            self.chance_2,
            self.x_1,
            self.y,
            self.x_2,
        )

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _DEVICE_MEASURING_TRAIN.size:
            raise _misfit(body, _DEVICE_MEASURING_TRAIN, cls)
        (
            link,
            qubit,
            first_slot,
            spacing,
            count,
            alpha,
            choice,
            bases,
            chance_1,
            chance_2,
            x_1,
            y,
            x_2,
        ) = _DEVICE_MEASURING_TRAIN.unpack(body)
        try:
            values = (
                link,
                qubit,
                first_slot,
                spacing,
                count,
                alpha,
                choice,
                _EGP_BASES[bases],
                chance_1,
                chance_2,
                x_1,
                y,
                x_2,
            )
            return tuple.__new__(cls, values)
        except KeyError as unknown:
            raise WireError("value", f"DeviceMeasuringTrain: {unknown}") from None


_DEVICE_RECALL = struct.Struct("!HQ")


class _DeviceRecall(NamedTuple):
    link: int
    slot: int


class DeviceRecall(_DeviceRecall):
    """Node to device: what was measured after the emission for this slot? Answered by Remembered."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 128
    MESSAGE: ClassVar[int] = 11

    def pack(self) -> bytes:
        return _DEVICE_RECALL.pack(self.link, self.slot)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _DEVICE_RECALL.size:
            raise _misfit(body, _DEVICE_RECALL, cls)
        return tuple.__new__(cls, _DEVICE_RECALL.unpack(body))


_DEVICE_STEER = struct.Struct("!qq")


class _DeviceSteer(NamedTuple):
    step: int
    rate: int


class DeviceSteer(_DeviceSteer):
    """Node to device: the clock that slots are counted by is set, and runs at another rate; answered by Done."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 128
    MESSAGE: ClassVar[int] = 7

    def pack(self) -> bytes:
        return _DEVICE_STEER.pack(self.step, self.rate)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _DEVICE_STEER.size:
            raise _misfit(body, _DEVICE_STEER, cls)
        return tuple.__new__(cls, _DEVICE_STEER.unpack(body))


_DEVICE_BITS = struct.Struct("!H")


class _DeviceBits(NamedTuple):
    bits: bytes


class DeviceBits(_DeviceBits):
    """Device to node: the results of a program."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 128
    MESSAGE: ClassVar[int] = 64

    def pack(self) -> bytes:
        length = len(self.bits)
        if length > 64:
            raise ValueError(f"DeviceBits.bits: {length} > 64")
        head = _DEVICE_BITS.pack(length)
        return head + self.bits

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) < _DEVICE_BITS.size:
            raise _misfit(body, _DEVICE_BITS, cls)
        (bits_length,) = _DEVICE_BITS.unpack_from(body)
        if bits_length > 64:
            raise WireError("bound", f"DeviceBits.bits: {bits_length} > 64")
        if len(body) != _DEVICE_BITS.size + bits_length:
            raise _misfit_tail(body, _DEVICE_BITS.size + bits_length, cls)
        return tuple.__new__(cls, (body[_DEVICE_BITS.size :],))


_DEVICE_TRAIN_DONE = struct.Struct("!IQ")


class _DeviceTrainDone(NamedTuple):
    emitted: int
    last_slot: int


class DeviceTrainDone(_DeviceTrainDone):
    """Device to node: the train is over."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 128
    MESSAGE: ClassVar[int] = 65

    def pack(self) -> bytes:
        return _DEVICE_TRAIN_DONE.pack(self.emitted, self.last_slot)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _DEVICE_TRAIN_DONE.size:
            raise _misfit(body, _DEVICE_TRAIN_DONE, cls)
        return tuple.__new__(cls, _DEVICE_TRAIN_DONE.unpack(body))


_DEVICE_HERALD = struct.Struct("!BQ")


class _DeviceHerald(NamedTuple):
    outcome: DeviceOutcome
    slot: int


class DeviceHerald(_DeviceHerald):
    """Device to station: what the detectors saw."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 128
    MESSAGE: ClassVar[int] = 66

    def pack(self) -> bytes:
        return _DEVICE_HERALD.pack(self.outcome, self.slot)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _DEVICE_HERALD.size:
            raise _misfit(body, _DEVICE_HERALD, cls)
        outcome, slot = _DEVICE_HERALD.unpack(body)
        try:
            return tuple.__new__(cls, (_DEVICE_OUTCOME[outcome], slot))
        except KeyError as unknown:
            raise WireError("value", f"DeviceHerald: {unknown}") from None


_DEVICE_FAILED = struct.Struct("!BB")


class _DeviceFailed(NamedTuple):
    error: DeviceError
    op: int


class DeviceFailed(_DeviceFailed):
    """Device to node: the command was not executed."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 128
    MESSAGE: ClassVar[int] = 67

    def pack(self) -> bytes:
        return _DEVICE_FAILED.pack(self.error, self.op)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _DEVICE_FAILED.size:
            raise _misfit(body, _DEVICE_FAILED, cls)
        error, op = _DEVICE_FAILED.unpack(body)
        try:
            return tuple.__new__(cls, (_DEVICE_ERROR[error], op))
        except KeyError as unknown:
            raise WireError("value", f"DeviceFailed: {unknown}") from None


class _DeviceDone(NamedTuple):
    pass


class DeviceDone(_DeviceDone):
    """Device to node: a command that has no other answer is done."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 128
    MESSAGE: ClassVar[int] = 68

    def pack(self) -> bytes:
        return b""

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if body:
            raise WireError("long", "DeviceDone")
        return cls()


_DEVICE_REMEMBERED = struct.Struct("!BBB")


class _DeviceRemembered(NamedTuple):
    known: int
    outcome: int
    basis: EgpBasis


class DeviceRemembered(_DeviceRemembered):
    """Device to node: what was measured after the emission for a slot."""

    __slots__ = ()

    PROTOCOL: ClassVar[int] = 128
    MESSAGE: ClassVar[int] = 70

    def pack(self) -> bytes:
        return _DEVICE_REMEMBERED.pack(self.known, self.outcome, self.basis)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        if len(body) != _DEVICE_REMEMBERED.size:
            raise _misfit(body, _DEVICE_REMEMBERED, cls)
        known, outcome, basis = _DEVICE_REMEMBERED.unpack(body)
        try:
            return tuple.__new__(cls, (known, outcome, _EGP_BASIS[basis]))
        except KeyError as unknown:
            raise WireError("value", f"DeviceRemembered: {unknown}") from None


type Message = (
    EchoPing
    | EchoPong
    | RelData
    | RelAck
    | RelReset
    | RelProbe
    | MhpGen
    | MhpReply
    | EgpAdd
    | EgpAddAck
    | EgpAddReject
    | EgpTrain
    | EgpTrainAck
    | EgpExpire
    | EgpExpireAck
    | EgpTested
    | QnpTrack
    | QnpDiscard
    | QnpForward
    | QnpForwardAck
    | QnpComplete
    | QnpInstall
    | QnpInstalled
    | QnpTeardown
    | QnpRefresh
    | QnpWant
    | QnpReach
    | QnpPurify
    | QnpPurifyAck
    | QnpOutcome
    | QnpClaim
    | QtpOpen
    | QtpAccept
    | QtpRefuse
    | QtpTeleport
    | QtpDelivered
    | QtpClose
    | QtpCredit
    | QtpFinish
    | QtpReset
    | QtpNote
    | RgpCat
    | RgpUncat
    | RgpRefused
    | RgpReady
    | LsrHello
    | LsrAdvert
    | LsrAck
    | LsrSummary
    | LsrRequest
    | TtpRequest
    | TtpResponse
    | SrpReserve
    | SrpQueued
    | SrpGrant
    | SrpDeny
    | SrpRelease
    | SrpReady
    | JobResult
    | JobGivenUp
    | JobCensus
    | JobHere
    | JobLoad
    | JobLoaded
    | JobRun
    | JobOutcome
    | JobStop
    | JobReleased
    | KeyOpen
    | KeyAccept
    | KeyRefuse
    | KeyBases
    | KeyTests
    | KeyEstimate
    | KeyAsk
    | KeyParities
    | KeyCorrected
    | KeySeed
    | KeyProof
    | KeyVerified
    | KeyGiveUp
    | KeyClose
    | DeviceProgram
    | DeviceTrain
    | DeviceStopTrain
    | DeviceListen
    | DeviceStopListen
    | DeviceConnect
    | DeviceMeasuringTrain
    | DeviceRecall
    | DeviceSteer
    | DeviceBits
    | DeviceTrainDone
    | DeviceHerald
    | DeviceFailed
    | DeviceDone
    | DeviceRemembered
)


MESSAGES: dict[tuple[int, int], type[Message]] = {
    (EchoPing.PROTOCOL, EchoPing.MESSAGE): EchoPing,
    (EchoPong.PROTOCOL, EchoPong.MESSAGE): EchoPong,
    (RelData.PROTOCOL, RelData.MESSAGE): RelData,
    (RelAck.PROTOCOL, RelAck.MESSAGE): RelAck,
    (RelReset.PROTOCOL, RelReset.MESSAGE): RelReset,
    (RelProbe.PROTOCOL, RelProbe.MESSAGE): RelProbe,
    (MhpGen.PROTOCOL, MhpGen.MESSAGE): MhpGen,
    (MhpReply.PROTOCOL, MhpReply.MESSAGE): MhpReply,
    (EgpAdd.PROTOCOL, EgpAdd.MESSAGE): EgpAdd,
    (EgpAddAck.PROTOCOL, EgpAddAck.MESSAGE): EgpAddAck,
    (EgpAddReject.PROTOCOL, EgpAddReject.MESSAGE): EgpAddReject,
    (EgpTrain.PROTOCOL, EgpTrain.MESSAGE): EgpTrain,
    (EgpTrainAck.PROTOCOL, EgpTrainAck.MESSAGE): EgpTrainAck,
    (EgpExpire.PROTOCOL, EgpExpire.MESSAGE): EgpExpire,
    (EgpExpireAck.PROTOCOL, EgpExpireAck.MESSAGE): EgpExpireAck,
    (EgpTested.PROTOCOL, EgpTested.MESSAGE): EgpTested,
    (QnpTrack.PROTOCOL, QnpTrack.MESSAGE): QnpTrack,
    (QnpDiscard.PROTOCOL, QnpDiscard.MESSAGE): QnpDiscard,
    (QnpForward.PROTOCOL, QnpForward.MESSAGE): QnpForward,
    (QnpForwardAck.PROTOCOL, QnpForwardAck.MESSAGE): QnpForwardAck,
    (QnpComplete.PROTOCOL, QnpComplete.MESSAGE): QnpComplete,
    (QnpInstall.PROTOCOL, QnpInstall.MESSAGE): QnpInstall,
    (QnpInstalled.PROTOCOL, QnpInstalled.MESSAGE): QnpInstalled,
    (QnpTeardown.PROTOCOL, QnpTeardown.MESSAGE): QnpTeardown,
    (QnpRefresh.PROTOCOL, QnpRefresh.MESSAGE): QnpRefresh,
    (QnpWant.PROTOCOL, QnpWant.MESSAGE): QnpWant,
    (QnpReach.PROTOCOL, QnpReach.MESSAGE): QnpReach,
    (QnpPurify.PROTOCOL, QnpPurify.MESSAGE): QnpPurify,
    (QnpPurifyAck.PROTOCOL, QnpPurifyAck.MESSAGE): QnpPurifyAck,
    (QnpOutcome.PROTOCOL, QnpOutcome.MESSAGE): QnpOutcome,
    (QnpClaim.PROTOCOL, QnpClaim.MESSAGE): QnpClaim,
    (QtpOpen.PROTOCOL, QtpOpen.MESSAGE): QtpOpen,
    (QtpAccept.PROTOCOL, QtpAccept.MESSAGE): QtpAccept,
    (QtpRefuse.PROTOCOL, QtpRefuse.MESSAGE): QtpRefuse,
    (QtpTeleport.PROTOCOL, QtpTeleport.MESSAGE): QtpTeleport,
    (QtpDelivered.PROTOCOL, QtpDelivered.MESSAGE): QtpDelivered,
    (QtpClose.PROTOCOL, QtpClose.MESSAGE): QtpClose,
    (QtpCredit.PROTOCOL, QtpCredit.MESSAGE): QtpCredit,
    (QtpFinish.PROTOCOL, QtpFinish.MESSAGE): QtpFinish,
    (QtpReset.PROTOCOL, QtpReset.MESSAGE): QtpReset,
    (QtpNote.PROTOCOL, QtpNote.MESSAGE): QtpNote,
    (RgpCat.PROTOCOL, RgpCat.MESSAGE): RgpCat,
    (RgpUncat.PROTOCOL, RgpUncat.MESSAGE): RgpUncat,
    (RgpRefused.PROTOCOL, RgpRefused.MESSAGE): RgpRefused,
    (RgpReady.PROTOCOL, RgpReady.MESSAGE): RgpReady,
    (LsrHello.PROTOCOL, LsrHello.MESSAGE): LsrHello,
    (LsrAdvert.PROTOCOL, LsrAdvert.MESSAGE): LsrAdvert,
    (LsrAck.PROTOCOL, LsrAck.MESSAGE): LsrAck,
    (LsrSummary.PROTOCOL, LsrSummary.MESSAGE): LsrSummary,
    (LsrRequest.PROTOCOL, LsrRequest.MESSAGE): LsrRequest,
    (TtpRequest.PROTOCOL, TtpRequest.MESSAGE): TtpRequest,
    (TtpResponse.PROTOCOL, TtpResponse.MESSAGE): TtpResponse,
    (SrpReserve.PROTOCOL, SrpReserve.MESSAGE): SrpReserve,
    (SrpQueued.PROTOCOL, SrpQueued.MESSAGE): SrpQueued,
    (SrpGrant.PROTOCOL, SrpGrant.MESSAGE): SrpGrant,
    (SrpDeny.PROTOCOL, SrpDeny.MESSAGE): SrpDeny,
    (SrpRelease.PROTOCOL, SrpRelease.MESSAGE): SrpRelease,
    (SrpReady.PROTOCOL, SrpReady.MESSAGE): SrpReady,
    (JobResult.PROTOCOL, JobResult.MESSAGE): JobResult,
    (JobGivenUp.PROTOCOL, JobGivenUp.MESSAGE): JobGivenUp,
    (JobCensus.PROTOCOL, JobCensus.MESSAGE): JobCensus,
    (JobHere.PROTOCOL, JobHere.MESSAGE): JobHere,
    (JobLoad.PROTOCOL, JobLoad.MESSAGE): JobLoad,
    (JobLoaded.PROTOCOL, JobLoaded.MESSAGE): JobLoaded,
    (JobRun.PROTOCOL, JobRun.MESSAGE): JobRun,
    (JobOutcome.PROTOCOL, JobOutcome.MESSAGE): JobOutcome,
    (JobStop.PROTOCOL, JobStop.MESSAGE): JobStop,
    (JobReleased.PROTOCOL, JobReleased.MESSAGE): JobReleased,
    (KeyOpen.PROTOCOL, KeyOpen.MESSAGE): KeyOpen,
    (KeyAccept.PROTOCOL, KeyAccept.MESSAGE): KeyAccept,
    (KeyRefuse.PROTOCOL, KeyRefuse.MESSAGE): KeyRefuse,
    (KeyBases.PROTOCOL, KeyBases.MESSAGE): KeyBases,
    (KeyTests.PROTOCOL, KeyTests.MESSAGE): KeyTests,
    (KeyEstimate.PROTOCOL, KeyEstimate.MESSAGE): KeyEstimate,
    (KeyAsk.PROTOCOL, KeyAsk.MESSAGE): KeyAsk,
    (KeyParities.PROTOCOL, KeyParities.MESSAGE): KeyParities,
    (KeyCorrected.PROTOCOL, KeyCorrected.MESSAGE): KeyCorrected,
    (KeySeed.PROTOCOL, KeySeed.MESSAGE): KeySeed,
    (KeyProof.PROTOCOL, KeyProof.MESSAGE): KeyProof,
    (KeyVerified.PROTOCOL, KeyVerified.MESSAGE): KeyVerified,
    (KeyGiveUp.PROTOCOL, KeyGiveUp.MESSAGE): KeyGiveUp,
    (KeyClose.PROTOCOL, KeyClose.MESSAGE): KeyClose,
    (DeviceProgram.PROTOCOL, DeviceProgram.MESSAGE): DeviceProgram,
    (DeviceTrain.PROTOCOL, DeviceTrain.MESSAGE): DeviceTrain,
    (DeviceStopTrain.PROTOCOL, DeviceStopTrain.MESSAGE): DeviceStopTrain,
    (DeviceListen.PROTOCOL, DeviceListen.MESSAGE): DeviceListen,
    (DeviceStopListen.PROTOCOL, DeviceStopListen.MESSAGE): DeviceStopListen,
    (DeviceConnect.PROTOCOL, DeviceConnect.MESSAGE): DeviceConnect,
    (DeviceMeasuringTrain.PROTOCOL, DeviceMeasuringTrain.MESSAGE): DeviceMeasuringTrain,
    (DeviceRecall.PROTOCOL, DeviceRecall.MESSAGE): DeviceRecall,
    (DeviceSteer.PROTOCOL, DeviceSteer.MESSAGE): DeviceSteer,
    (DeviceBits.PROTOCOL, DeviceBits.MESSAGE): DeviceBits,
    (DeviceTrainDone.PROTOCOL, DeviceTrainDone.MESSAGE): DeviceTrainDone,
    (DeviceHerald.PROTOCOL, DeviceHerald.MESSAGE): DeviceHerald,
    (DeviceFailed.PROTOCOL, DeviceFailed.MESSAGE): DeviceFailed,
    (DeviceDone.PROTOCOL, DeviceDone.MESSAGE): DeviceDone,
    (DeviceRemembered.PROTOCOL, DeviceRemembered.MESSAGE): DeviceRemembered,
}
