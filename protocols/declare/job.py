"""JOB: what the QPUs of one circuit tell each other beside gates, and what a controller tells them."""

from protocols.declare.family import Family
from protocols.declare.fields import Message, in_order, u8, u32


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


FAMILY = Family(
    number=12,
    name="JOB",
    title="Circuits over many QPUs",
    about="Results of measurements on which QPUs other than the measuring one depend.",
    messages=(Result, GivenUp),
)
