"""EGP: the link layer's messages between the two nodes of a link (distributed queue, trains, expiry)."""

from protocols.declare.family import Departure, Family
from protocols.declare.fields import (
    CodePoint,
    Message,
    Record,
    bits,
    enum8,
    i32,
    in_order,
    records,
    u8,
    u16,
    u32,
    u64,
)


class EgpKind(CodePoint):
    """What is to become of a pair."""

    KEEP = 0, "kept in memory (K)"
    MEASURE = 1, "measured directly (M)"
    REMOTE = 2, "measured at the creator: remote state preparation (R)"


class EgpError(CodePoint):
    """Errors of the link layer."""

    UNSUPP = 0, "the minimum fidelity cannot be reached, even without load"
    NOTIME = 1, "not within the maximum time, because of load"
    NORES = 2, "no qubits, no place in the queue, or a link whose station is silent"
    TIMEOUT = 3, "the maximum time has passed"
    REJECTED = 4, "the other node has no rule to receive it"
    OTHER = 5, "any other reason"
    EXPIRE = 6, "a pair already delivered must be discarded"
    CREATE = 7, "the request itself is faulty"


class EgpVerdict(CodePoint):
    """Answer to a proposed train."""

    READY = 0, "the node takes part"
    BUSY = 1, "no qubit is free now; propose again"
    UNKNOWN = 2, "no such request in the queue"


class EgpBases(CodePoint):
    """Among which bases a node measures at random, anew for every pair."""

    NONE = 0, "none: Z, after the rotation"
    XZ = 1, "X, Z"
    XYZ = 2, "X, Y, Z"
    CHSH = 3, "(Z+X)/√2, (Z−X)/√2"


class EgpBasis(CodePoint):
    """The observable that was measured; after the request's rotation, if there is one."""

    Z = 0, "Z"
    X = 1, "X"
    Y = 2, "Y"
    ZPLUSX = 3, "(Z+X)/√2"
    ZMINUSX = 4, "(Z−X)/√2"


class EgpTest(CodePoint):
    """Whether the pair of a train is measured by both nodes to learn the link's fidelity."""

    NONE = 0, "no: it is a pair of the request"
    ZZ = 1, "both measure Z"
    XX = 2, "both measure X"
    YY = 3, "both measure Y"


class EgpMeasuring(Record):
    """How one node measures: rotate about X, then Y, then X, then measure in a basis of the set."""

    name = "Measuring"
    fields_desc = in_order(
        enum8("bases", EgpBases, "bases to choose from at random"),
        u32("chance_1", "probability of the first basis; both 0 = all alike", "of 2³² − 1", default=0),
        u32("chance_2", "probability of the second basis of three", "of 2³² − 1", default=0),
        i32("x_1", "first rotation, about X", "2π/2³²", default=0),
        i32("y", "second rotation, about Y", "2π/2³²", default=0),
        i32("x_2", "third rotation, about X", "2π/2³²", default=0),
    )


class Add(Message):
    """Puts a request into the queue that both nodes share."""

    name = "Add"
    code = 1
    fields_desc = in_order(
        u16("link", "number of the link", key=True),
        u32("create_id", "number of the request at its creator", key=True),
        u16("purpose_id", "what the pairs are for; the other node must have a rule for it", key=True),
        u16("number", "pairs wanted", key=True),
        u32("minimum_fidelity", "least fidelity that serves", "of 2³² − 1"),
        u8("priority", "queue of the scheduler, 0 first"),
        enum8("kind", EgpKind, "what is to become of the pairs", key=True),
        u64("max_time_ps", "time after which the pairs are of no use; 0 = no limit", "ps"),
        u8("flags", "1 = atomic: the pairs are told all at once; 2 = consecutive: no other request between them"),
        u16("queue_sequence", "place in the common order, from the master; the other node sends 0"),
        u64("virtual_finish", "of the scheduler, from the master; the other node sends 0", "slots/1000"),
        records(
            "measuring", EgpMeasuring, 2, "how the creator measures (M, R), then how the receiver does (M)"
        ),
    )


class AddAck(Message):
    """The request is in the queue."""

    name = "AddAck"
    code = 2
    fields_desc = in_order(
        u16("link", "number of the link", key=True),
        u32("create_id", "the request of the Add", key=True),
        u16("queue_sequence", "place in the common order, from the master; the other node sends 0", default=0),
        u64("virtual_finish", "of the scheduler, from the master; else 0", "slots/1000", default=0),
    )


class AddReject(Message):
    """The request is not in the queue."""

    name = "AddReject"
    code = 3
    fields_desc = in_order(
        u16("link", "number of the link", key=True),
        u32("create_id", "the request of the Add", key=True),
        enum8("error", EgpError, "why", key=True),
    )


class Train(Message):
    """Proposes a train of attempts for the request at the head of the queue."""

    name = "Train"
    code = 4
    fields_desc = in_order(
        u16("link", "number of the link", key=True),
        u8("origin", "1 = the sender of this message created the request, 0 = its receiver did"),
        u32("create_id", "number of the request at its creator", key=True),
        u32("queue_id", "absolute queue id of the train", key=True),
        u64("first_slot", "first slot of the train, counted at the station", key=True),
        u32("spacing", "distance between two attempts", "slots"),
        u32("count", "number of attempts", key=True),
        u32("alpha", "bright-state population; 0 = the link's default", "of 2³² − 1"),
        u16("expected_sequence", "MHP sequence that the sender expects next"),
        enum8("test", EgpTest, "whether its pair is a test round"),
        u16("pairs", "successes that end the train"),
        u8("each", "1 = every attempt has a Gen and a Reply of its own"),
    )


class TrainAck(Message):
    """Answers a Train."""

    name = "TrainAck"
    code = 5
    fields_desc = in_order(
        u16("link", "number of the link", key=True),
        u32("queue_id", "queue id of the Train", key=True),
        enum8("verdict", EgpVerdict, "whether the sender takes part", key=True),
        u16("expected_sequence", "MHP sequence that the sender expects next"),
    )


class Expire(Message):
    """The MHP sequence jumped: the pairs in between are lost to one side, both must discard them."""

    name = "Expire"
    code = 6
    fields_desc = in_order(
        u16("link", "number of the link", key=True),
        u8("origin", "1 = the sender of this message created the request, 0 = its receiver did"),
        u32("create_id", "request whose pairs expire", key=True),
        u16("old_sequence", "first MHP sequence that expires", key=True),
        u16("new_sequence", "first MHP sequence that does not", key=True),
    )


class ExpireAck(Message):
    """Answers an Expire."""

    name = "ExpireAck"
    code = 7
    fields_desc = in_order(
        u16("link", "number of the link", key=True),
        u16("expected_sequence", "MHP sequence that the sender expects next", key=True),
    )


class Tested(Message):
    """What the sender measured of the pair of a test round."""

    name = "Tested"
    code = 8
    fields_desc = in_order(
        u16("link", "number of the link", key=True),
        u16("mhp_sequence", "the pair", key=True),
        bits("outcome", 1, "result", key=True),
    )


FAMILY = Family(
    number=3,
    name="EGP",
    title="Entanglement generation",
    about="The two nodes of a link keep one queue of requests and agree on trains of attempts, all of it over REL.",
    messages=(Add, AddAck, AddReject, Train, TrainAck, Expire, ExpireAck, Tested),
    points=(EgpKind, EgpError, EgpVerdict, EgpBases, EgpBasis, EgpTest),
    departures=(
        Departure(
            "The distributed queue has frames (command, data, communication sequence, expected sequence) "
            "with twelve commands.",
            "Add, AddAck and AddReject, each with the creator's create_id; order and uniqueness come from "
            "the node that leads the link and from create_id. The commands for lost and doubled sequence "
            "numbers do not exist.",
            "A request is identified by (creator, create_id), so a repeated Add is recognised without a "
            "second sequence.",
        ),
        Departure(
            "Both nodes derive the cycle of an attempt from the queue and a common schedule.",
            "The leading node proposes each train (Train) and the other agrees (TrainAck).",
            "Both know that a qubit is free on both sides before photons are spent.",
        ),
        Departure(
            "EXPIRE {aid, create_id, origin, old_seq, new_seq}, EXPIRE_ACK {aid, expected_seq}.",
            "The absolute queue id (aid) is replaced by the link's number.",
            "The sequence belongs to the link, and the request is named by create_id and origin.",
        ),
        Departure(
            "The request record has flags store, atomic and measure-directly, and estimated cycles per pair.",
            "Add has the kind (K, M, R), flags atomic and consecutive, and one Measuring record per side that "
            "measures. Estimated cycles follow from the device data that both nodes have.",
            "The service interface of the draft has R, rotations and random bases; a K request carries none of them.",
        ),
        Departure(
            "qseq from the lower node id; initial virtual finish in the request.",
            "queue_sequence and virtual_finish of Add (from the master) and AddAck (to it: zero).",
            "Both queues can be compared, whatever the scheduler.",
        ),
        Departure(
            "Memory request and acknowledgement (free communication and storage qubits).",
            "READY says that a qubit, and a place in storage where halves are moved, is set aside; BUSY that not, "
            "and a second READY that now.",
            "What is advertised may be gone when it is used; what is set aside is not.",
        ),
        Departure(
            "The scheduler decides anew in every MHP cycle.",
            "It decides before every train; a train is cut short (MHP Gen ERR) for a request of a stricter queue.",
            "Attempts have no memory, so shares are the same, for one exchange per train instead of one per cycle.",
        ),
        Departure(
            "Test rounds of the fidelity estimation unit are not described by messages.",
            "Train says which pair is one, and in which basis; Tested carries a node's result.",
            "Both nodes estimate from the same rounds.",
        ),
        Departure(
            "For Psi-, the side that asked corrects, and its peer suspends until that must be done.",
            "Both nodes are told the Bell index, and nobody corrects.",
            "A frame costs nothing, and a gate on one half costs fidelity; layers above keep frames by XOR.",
        ),
        Departure(
            "Minimum fidelity f32, time with a unit field.",
            "Fidelity u32 over 2³² − 1, time u64 in picoseconds.",
            "No floats on the wire: they do not compare, and languages round them differently.",
        ),
    ),
)
