"""RGP: remote gates between two QPUs, by the cat-entangler and the cat-disentangler."""

from protocols.declare.family import Departure, Family
from protocols.declare.fields import CodePoint, Message, bits, enum8, in_order, u8, u32


class RgpKind(CodePoint):
    """Which gate."""

    CNOT = 0, "controlled X, the control at the sender"
    CZ = 1, "controlled Z"
    COPY = 2, "whatever the target's QPU does with a copy of the control, in a program of its own"
    MOVE = 3, "the sender's qubit goes to the receiver (teledata)"


class Cat(Message):
    """Cat-entangler: the outcome at the control, with which the target's QPU corrects its half of a pair."""

    name = "Cat"
    code = 1
    fields_desc = in_order(
        u32("job", "number of the job", key=True),
        u32("gate", "number of the gate in the job", key=True),
        enum8("kind", RgpKind, "which gate", key=True),
        u32("pair_id", "end-to-end pair that the gate consumes", key=True),
        bits(
            "outcome", 1, "outcome of measuring the control's half; 1 = apply X to the other half", key=True
        ),
        u8("phase", "MOVE: outcome of measuring the qubit itself in X; 1 = apply Z to the other half", key=True),
    )


class Uncat(Message):
    """Cat-disentangler: the outcome at the target's QPU, with which the control is corrected; of a MOVE: it is here."""

    name = "Uncat"
    code = 2
    fields_desc = in_order(
        u32("job", "number of the job", key=True),
        u32("gate", "number of the gate in the job", key=True),
        bits(
            "outcome", 1, "outcome of measuring the target's half in X; 1 = apply Z to the control", key=True
        ),
    )


class Refused(Message):
    """The gate was not done."""

    name = "Refused"
    code = 3
    fields_desc = in_order(
        u32("job", "number of the job", key=True),
        u32("gate", "number of the gate in the job", key=True),
        u8("reason", "why", key=True),
    )


class Ready(Message):
    """The sender has come to this gate. Of the target: a pair for it can be made. Of the control: it waits for that."""

    name = "Ready"
    code = 4
    fields_desc = in_order(
        u32("job", "number of the job", key=True),
        u32("gate", "number of the gate in the job", key=True),
        enum8("kind", RgpKind, "which gate", key=True),
        bits("control", 1, "1 = the sender is the control", key=True),
    )


FAMILY = Family(
    number=6,
    name="RGP",
    title="Remote gates",
    about="Gates between QPUs, and qubits that move, each over one pair.",
    messages=(Cat, Uncat, Refused, Ready),
    points=(RgpKind,),
    departures=(
        Departure(
            "The remote CNOT is published as a circuit, without messages.",
            "Ready comes before it, Cat carries its first outcome, Uncat its second.",
            "There is no published layout to keep.",
        ),
    ),
)
