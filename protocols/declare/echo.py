"""ECHO: the toy protocol that shows how a protocol is written, and measures a path."""

from protocols.declare.family import Family
from protocols.declare.fields import Message, byte_string, in_order, u16, u32


class Ping(Message):
    """Asks for a Pong that repeats token and padding."""

    name = "Ping"
    code = 1
    fields_desc = in_order(
        u32("token", "chosen by the asker, repeated in the answer", key=True),
        u16("hops", "how often the message has been passed on", key=True),
        byte_string("padding", 1000, "anything; makes the frame as long as wanted"),
    )


class Pong(Message):
    """Answers a Ping."""

    name = "Pong"
    code = 2
    fields_desc = in_order(
        u32("token", "the token of the Ping", key=True),
        u16("hops", "the hops of the Ping plus one", key=True),
        byte_string("padding", 1000, "the padding of the Ping"),
    )


FAMILY = Family(
    number=0,
    name="ECHO",
    title="Echo",
    about="A toy: shows the whole path of a message, and measures it.",
    messages=(Ping, Pong),
)
