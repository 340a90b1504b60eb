"""QTP: the transport layer's sessions, and the teleported qubits within them."""

from protocols.declare.family import Departure, Family
from protocols.declare.fields import CodePoint, Message, bits, byte_string, enum8, in_order, u8, u16, u32

PIECE = 1024


class QtpService(CodePoint):
    """What a session delivers."""

    PAIRS = 0, "a stream of end-to-end pairs"
    TELEPORT = 1, "teleported qubits, each once or reported lost"
    MESSAGES = 2, "classical messages only"


class QtpStatus(CodePoint):
    """What became of a teleported qubit."""

    OK = 0, "delivered"
    LOST = 1, "lost; it cannot be sent again"


class QtpCorrection(CodePoint):
    """The Pauli operator that the receiver applies, (x << 1) | z."""

    I = 0, "nothing"  # noqa: E741 - the identity has no other name
    Z = 1, "Z"
    X = 2, "X"
    XZ = 3, "X, then Z"


class Open(Message):
    """Asks for a session on a port."""

    name = "Open"
    code = 1
    fields_desc = in_order(
        u32("session", "number of the session, chosen by the opener", key=True),
        u16("port", "port that the service listens on", key=True),
        enum8("service", QtpService, "what the session delivers", key=True),
        u16("places", "qubits that the opener can take before it lets go of any"),
    )


class Accept(Message):
    """The session is open."""

    name = "Accept"
    code = 2
    fields_desc = in_order(
        u32("session", "number of the session", key=True),
        u16("places", "qubits that the acceptor can take before it lets go of any"),
    )


class Refuse(Message):
    """The session is not opened."""

    name = "Refuse"
    code = 3
    fields_desc = in_order(u32("session", "number of the session", key=True), u8("reason", "why", key=True))


class Teleport(Message):
    """The classical half of a teleportation: which pair carried the qubit, and the correction it needs."""

    name = "Teleport"
    code = 4
    fields_desc = in_order(
        u32("session", "number of the session", key=True),
        u32("index", "number of the qubit in the session", key=True),
        u32("pair_id", "end-to-end pair it was teleported over", key=True),
        bits("correction", 2, "Pauli correction; bit 1 = x, bit 0 = z", QtpCorrection, key=True),
    )


class Delivered(Message):
    """What became of a qubit."""

    name = "Delivered"
    code = 5
    fields_desc = in_order(
        u32("session", "number of the session", key=True),
        u32("index", "number of the qubit in the session", key=True),
        enum8("status", QtpStatus, "what became of it", key=True),
        u32("limit", "indexes below this one may be sent: there is a place for each"),
    )


class Close(Message):
    """Ends a session."""

    name = "Close"
    code = 6
    fields_desc = in_order(u32("session", "number of the session", key=True))


class Credit(Message):
    """The receiver has let go of qubits: more may be sent."""

    name = "Credit"
    code = 7
    fields_desc = in_order(
        u32("session", "number of the session", key=True),
        u32("limit", "indexes below this one may be sent", key=True),
    )


class Finish(Message):
    """Half-close: the sender of this sends no more qubits; it still receives."""

    name = "Finish"
    code = 8
    fields_desc = in_order(
        u32("session", "number of the session", key=True), u32("sent", "how many qubits it sent", key=True)
    )


class Reset(Message):
    """Ends a session at once: what is on the way is lost."""

    name = "Reset"
    code = 9
    fields_desc = in_order(u32("session", "number of the session", key=True))


class Note(Message):
    """Classical words between the users of a session, in the order of sending."""

    name = "Note"
    code = 10
    fields_desc = in_order(
        u32("session", "number of the session", key=True),
        bits("more", 1, "1 = the next Note goes on with this one"),
        byte_string("text", PIECE, "a piece of what is said"),
    )


FAMILY = Family(
    number=5,
    name="QTP",
    title="Quantum transport",
    about="Sessions on ports; a qubit is delivered once or reported lost.",
    messages=(Open, Accept, Refuse, Teleport, Delivered, Close, Credit, Finish, Reset, Note),
    points=(QtpService, QtpStatus, QtpCorrection),
    departures=(
        Departure(
            "QTCP: a flow is named {source, destination, pairs, uuid}; a datagram is {flow, correction, "
            "sequence, start}.",
            "A session is a u32 of its opener; a Teleport is {session, index, pair, correction}.",
            "Source and destination stand in the header. The pair is named, because the receiver holds "
            "several.",
        ),
    ),
)
