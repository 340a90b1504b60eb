"""DEVICE: commands of a node to its quantum devices and their answers; on the device bus only, never in a
frame."""

from protocols.declare.egp import EgpBases, EgpBasis
from protocols.declare.family import Family
from protocols.declare.fields import (
    CodePoint,
    Message,
    Record,
    bits,
    byte_string,
    enum8,
    i32,
    i64,
    in_order,
    records,
    u8,
    u16,
    u32,
    u64,
)

MAX_OPS = 64


class DeviceOpcode(CodePoint):
    """Operations of a device program."""

    INIT = 0, "prepares |0⟩"
    X = 1, "Pauli X"
    Y = 2, "Pauli Y"
    Z = 3, "Pauli Z"
    H = 4, "Hadamard"
    S = 5, "phase π/2"
    SDG = 6, "phase −π/2"
    T = 7, "phase π/4"
    TDG = 8, "phase −π/4"
    SX = 9, "square root of X"
    RX = 10, "rotation about X by `angle`"
    RY = 11, "rotation about Y by `angle`"
    RZ = 12, "rotation about Z by `angle`"
    CX = 20, "controlled X, control `qubit`, target `other`"
    CZ = 21, "controlled Z"
    SWAP = 22, "exchanges the two"
    CP = 23, "controlled phase by `angle`"
    MEASURE = 30, "measures in the Z basis and appends the result bit"
    RELEASE = 40, "gives the qubit back: its handle becomes stale"
    IDLE = 41, "waits `angle` nanoseconds"


class DeviceOutcome(CodePoint):
    """What the station's detectors saw; same numbers as in MhpOutcome."""

    FAIL = 0, "no success in the slots listened to"
    PSI_PLUS = 1, "the pair is in |Ψ+⟩"
    PSI_MINUS = 2, "the pair is in |Ψ−⟩"


class DeviceError(CodePoint):
    """Why a command was not executed."""

    STALE = 1, "the handle's generation is not current"
    FOREIGN = 2, "the node has no such qubit"
    BUSY = 3, "the qubit is in a train"
    BAD = 4, "the command makes no sense"
    NO_LINK = 5, "the node has no such link"
    UNCONNECTED = 6, "the link is not connected to an analyser of the switch"


class DeviceOp(Record):
    """One operation of a program."""

    name = "Op"
    fields_desc = in_order(
        enum8("opcode", DeviceOpcode, "what is done"),
        u8("flags", "sent as zero", default=0),
        u32("qubit", "handle of the qubit: index << 16 | generation", default=0),
        u32("other", "handle of the second qubit of a two-qubit operation", default=0),
        i32("angle", "angle of a rotation (of IDLE: nanoseconds)", "2π/2³²", default=0),
        u32("condition", "mask of results (bit i = i-th measurement of the program); 0 = always", default=0),
        bits(
            "expect", 1, "the operation runs only if the parity of the masked results equals this", default=0
        ),
    )


class Program(Message):
    """Node to device: a program executed as one; answered by Bits or Failed."""

    name = "Program"
    code = 1
    fields_desc = in_order(records("ops", DeviceOp, MAX_OPS, "the operations, in order"))


class Train(Message):
    """Node to device: emit in the station's slots first_slot + j · spacing."""

    name = "Train"
    code = 2
    fields_desc = in_order(
        u16("link", "number of the link"),
        u32("qubit", "handle of the communication qubit"),
        u64("first_slot", "first slot, counted at the station"),
        u32("spacing", "distance between two emissions", "slots"),
        u32("count", "number of emissions"),
        u32("alpha", "bright-state population; 0 = the link's default", "of 2³² − 1"),
    )


class StopTrain(Message):
    """Node to device: emit no more; the qubit keeps what the last emission left."""

    name = "StopTrain"
    code = 3
    fields_desc = in_order(
        u16("link", "number of the link"), u32("qubit", "handle of the communication qubit")
    )


class Listen(Message):
    """Station to device: look at these slots until one succeeds."""

    name = "Listen"
    code = 4
    fields_desc = in_order(
        u16("link", "number of the link"),
        u64("first_slot", "first slot"),
        u32("spacing", "distance between two slots", "slots"),
        u32("count", "number of slots"),
    )


class StopListen(Message):
    """Station to device: look no more."""

    name = "StopListen"
    code = 5
    fields_desc = in_order(u16("link", "number of the link"))


class Connect(Message):
    """Switch to device: set the link's two fibres on an analyser; answered by Done when light can pass."""

    name = "Connect"
    code = 6
    fields_desc = in_order(u16("link", "number of the link"), u16("analyser", "number of the analyser, from 0"))


class MeasuringTrain(Message):
    """Node to device: a Train that measures the qubit right after each emission."""

    name = "MeasuringTrain"
    code = 10
    fields_desc = in_order(
        u16("link", "number of the link"),
        u32("qubit", "handle of the communication qubit"),
        u64("first_slot", "first slot, counted at the station"),
        u32("spacing", "distance between two emissions", "slots"),
        u32("count", "number of emissions"),
        u32("alpha", "bright-state population; 0 = the link's default", "of 2³² − 1"),
        u64("choice", "from which the basis at each slot follows"),
        enum8("bases", EgpBases, "bases to choose from"),
        u32("chance_1", "probability of the first basis; both 0 = all alike", "of 2³² − 1"),
        u32("chance_2", "probability of the second basis of three", "of 2³² − 1"),
        i32("x_1", "rotation before the measurement, about X", "2π/2³²"),
        i32("y", "then about Y", "2π/2³²"),
        i32("x_2", "then about X", "2π/2³²"),
    )


class Recall(Message):
    """Node to device: what was measured after the emission for this slot? Answered by Remembered."""

    name = "Recall"
    code = 11
    fields_desc = in_order(u16("link", "number of the link"), u64("slot", "the slot"))


class Steer(Message):
    """Node to device: the clock that slots are counted by is set, and runs at another rate; answered by Done."""

    name = "Steer"
    code = 7
    fields_desc = in_order(
        i64("step", "how far it is set forward", "ps"),
        i64("rate", "by how much it runs faster than its oscillator", "1e-15"),
    )


class Bits(Message):
    """Device to node: the results of a program."""

    name = "Bits"
    code = 64
    fields_desc = in_order(byte_string("bits", MAX_OPS, "one byte, 0 or 1, per measurement, in order"))


class TrainDone(Message):
    """Device to node: the train is over."""

    name = "TrainDone"
    code = 65
    fields_desc = in_order(u32("emitted", "emissions done"), u64("last_slot", "slot of the last emission"))


class Herald(Message):
    """Device to station: what the detectors saw."""

    name = "Herald"
    code = 66
    fields_desc = in_order(
        enum8("outcome", DeviceOutcome, "what was seen"),
        u64("slot", "slot of the success, or the last slot looked at"),
    )


class Failed(Message):
    """Device to node: the command was not executed."""

    name = "Failed"
    code = 67
    fields_desc = in_order(
        enum8("error", DeviceError, "why"), u8("op", "index of the operation at fault, in a Program")
    )


class Done(Message):
    """Device to node: a command that has no other answer is done."""

    name = "Done"
    code = 68
    fields_desc = in_order()


class Remembered(Message):
    """Device to node: what was measured after the emission for a slot."""

    name = "Remembered"
    code = 70
    fields_desc = in_order(
        u8("known", "1 = the device remembers it; only heralded slots are kept"),
        u8("outcome", "result, 0 or 1"),
        enum8("basis", EgpBasis, "what was measured, after the rotation"),
    )


FAMILY = Family(
    number=128,
    name="DEVICE",
    title="Device programs",
    about="Commands of a node to its own quantum devices, and answers matched by the command's bus sequence.",
    messages=(
        *(Program, Train, StopTrain, Listen, StopListen, Connect, MeasuringTrain, Recall, Steer),
        *(Bits, TrainDone, Herald, Failed, Done, Remembered),
    ),
    points=(DeviceOpcode, DeviceOutcome, DeviceError),
    on_udp=False,
)
