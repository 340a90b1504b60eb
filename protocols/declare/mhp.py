"""MHP: midpoint heralding between a node and the station of a link."""

from protocols.declare.family import Departure, Family
from protocols.declare.fields import CodePoint, Message, enum8, in_order, u8, u16, u32, u64


class MhpKind(CodePoint):
    """What a Gen says."""

    PRODUCE = 0, "the sender attempts entanglement in these slots"
    ERR = 1, "the sender cannot: the station answers both nodes with an error"
    INFO = 2, "nothing is attempted: what came of this train?"


class MhpOutcome(CodePoint):
    """What the station saw."""

    FAIL = 0, "no success in the slots of the train"
    PSI_PLUS = 1, "the pair is in |Ψ+⟩"
    PSI_MINUS = 2, "the pair is in |Ψ−⟩"
    ERROR = 3, "the train was not run; the error field says why"


class MhpError(CodePoint):
    """Why a train was not run."""

    NONE = 0, "no error"
    QUEUE_MISMATCH = 1, "the two nodes named different queue ids"
    TIME_MISMATCH = 2, "the trains of the two nodes do not overlap"
    NO_CLASSICAL_OTHER = 3, "nothing was heard from the other node"
    OUT_OF_WINDOW = 4, "the slots lie in the past or too far ahead"
    GEN_FAIL = 5, "a node could not produce"
    LOCAL = 6, "an error in the station"
    GENERAL = 7, "any other error"


class Gen(Message):
    """Node to station: I attempt entanglement in this train of slots."""

    name = "Gen"
    code = 1
    fields_desc = in_order(
        enum8("kind", MhpKind, "what the message says", key=True),
        u16("link", "number of the link", key=True),
        u32("queue_id", "absolute queue id of the request the train serves", key=True),
        u64("first_slot", "first slot of the train, counted at the station", key=True),
        u32("spacing", "distance between two attempts", "slots"),
        u32("count", "number of attempts", key=True),
        u32("alpha", "bright-state population of every attempt; 0 = the link's default", "of 2³² − 1"),
        u16("pairs", "successes that end the train; of an INFO: those of which the sender knows"),
    )


class Reply(Message):
    """Station to both nodes: what came of the train."""

    name = "Reply"
    code = 2
    fields_desc = in_order(
        enum8("outcome", MhpOutcome, "what the station saw", key=True),
        enum8("error", MhpError, "why the train was not run, or NONE"),
        u16("link", "number of the link", key=True),
        u16("mhp_sequence", "grows with each success, modulo 2¹⁶ − 1; of other Replies without meaning", key=True),
        u32("queue_id", "queue id that the receiver had named, or, if it had named none, the other node's", key=True),
        u32("peer_queue_id", "queue id that the other node had named; 0 = none"),
        u64("slot", "slot of the success; else the last that was looked at; of an ERROR the first slot", key=True),
        u16("number", "of the success within its train, from 1; else: how many there were before"),
        u8("more", "1 = the train goes on"),
    )


FAMILY = Family(
    number=2,
    name="MHP",
    title="Midpoint heralding",
    about="Nodes tell the station of a link when they attempt; the station tells them what it saw.",
    messages=(Gen, Reply),
    points=(MhpKind, MhpOutcome, MhpError),
    departures=(
        Departure(
            "GEN carries a command and an absolute queue id, once per attempt.",
            "Gen also names the link and a train of attempts (first slot, spacing, count, alpha).",
            "One message per attempt would cost as many messages as photons. A station serves several links. A short "
            "train (at most 4 attempts) is told attempt by attempt, as published.",
        ),
        Departure(
            "REPLY has outcomes 0, 1, 2 and the MHP sequence, own and peer's queue id; errors are replies "
            "of their own kind.",
            "Outcomes 0, 1, 2 are kept; 3 says ERROR and an error field holds the published errors, "
            "numbered from 1 in their published order. Link and slot are added, and for trains that go on after a "
            "success its number within the train.",
            "One layout for success, failure and error. The slot says which attempt of the train succeeded; numbers "
            "show that a Reply before was lost.",
        ),
    ),
)
