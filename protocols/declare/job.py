"""JOB: what the QPUs of one circuit tell each other beside gates, and what a controller tells them."""

from protocols.declare.family import Family
from protocols.declare.fields import CodePoint, Message, byte_string, enum8, in_order, u8, u16, u32, u64

PIECE = 1024


class JobWhy(CodePoint):
    """Why a QPU has let go of a lease."""

    DONE = 0, "all shots have been tried"
    STOPPED = 1, "the controller said so, or is gone"
    UNKNOWN = 2, "there is no such lease here"
    BUSY = 3, "another lease holds the QPU"
    MALFORMED = 4, "the program is not whole, or none that this QPU could run"
    PEER_LOST = 5, "a node that the job needs is gone"
    NO_PAIRS = 6, "no more pairs could be had with a node"
    GIVEN_UP = 7, "another node of the job has given it up"
    IN_USE = 8, "programs there hold data qubits that this one needs; Here has just said so"


class Result(Message):
    """The result of a measurement, for a QPU that decides something by it."""

    name = "Result"
    code = 1
    fields_desc = in_order(
        u32("run", "number of the shot", key=True),
        u32("measurement", "number of the measurement in the circuit", key=True),
        u8("value", "0 or 1", key=True),
    )


class GivenUp(Message):
    """No more results come: the sender has given the shot up."""

    name = "GivenUp"
    code = 2
    fields_desc = in_order(u32("run", "number of the shot", key=True))


class Census(Message):
    """A controller asks a QPU whether it is there."""

    name = "Census"
    code = 3
    fields_desc = in_order()


class Here(Message):
    """A QPU tells its controller that it is there, what a lease can have of it, and which it holds."""

    name = "Here"
    code = 4
    fields_desc = in_order(
        u16("data_qubits", "that a lease can have: the lowest ones that no program there holds", key=True),
        u32("lease", "that it holds; 0 = none", key=True),
    )


class Load(Message):
    """A piece of a QPU's program in a job. From the first on the QPU is leased to it."""

    name = "Load"
    code = 5
    fields_desc = in_order(
        u32("lease", "number of the lease, from 1", key=True),
        u32("job", "number of the job", key=True),
        u16("part", "number of the piece, from 0", key=True),
        u16("parts", "how many there are", key=True),
        byte_string("piece", PIECE, "of the program: JSON, see stack/application/compiler/steps.py"),
    )


class Loaded(Message):
    """The program is whole, and this QPU can run it."""

    name = "Loaded"
    code = 6
    fields_desc = in_order(u32("lease", "number of the lease", key=True))


class Run(Message):
    """Do so many shots, from shot 0 on."""

    name = "Run"
    code = 7
    fields_desc = in_order(
        u32("lease", "number of the lease", key=True),
        u32("shots", "how many", key=True),
    )


class Outcome(Message):
    """What this QPU has measured in a row of shots."""

    name = "Outcome"
    code = 8
    fields_desc = in_order(
        u32("lease", "number of the lease", key=True),
        u32("first_shot", "number of the first of them", key=True),
        u16("shots", "how many", key=True),
        u32("pairs", "used so far by gates that this QPU controlled"),
        u64("elapsed_ps", "from the first shot to the last of these", "ps"),
        byte_string(
            "rows", PIECE,
            "each shot in the same number of bytes, a number: the classical bits that end here, the first the least"
            " significant; the bit above them is 1 if the shot was spoilt",
        ),
    )  # fmt: skip


class Stop(Message):
    """The lease ends now."""

    name = "Stop"
    code = 9
    fields_desc = in_order(u32("lease", "number of the lease", key=True))


class Released(Message):
    """The QPU has let go of everything that the lease held: its last word about it."""

    name = "Released"
    code = 10
    fields_desc = in_order(
        u32("lease", "number of the lease", key=True),
        enum8("why", JobWhy, "why", key=True),
        u16("node", "of PEER_LOST, NO_PAIRS and GIVEN_UP: which; else 0", key=True),
        u32("pairs", "used by gates that this QPU controlled"),
        u64("elapsed_ps", "from the first shot to the last", "ps"),
    )


FAMILY = Family(
    number=12,
    name="JOB",
    title="Circuits over many QPUs",
    about="Results of measurements on which QPUs other than the measuring one depend; a controller's leases of QPUs for"
    " jobs. All of it travels over the reliable sublayer.",
    messages=(Result, GivenUp, Census, Here, Load, Loaded, Run, Outcome, Stop, Released),
    points=(JobWhy,),
)
