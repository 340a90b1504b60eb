"""REL: the sublayer that delivers messages in order, once, over a network that loses them."""

from protocols.declare.family import Family
from protocols.declare.fields import Message, bits, byte_string, in_order, u8, u32

MAX_PAYLOAD = 1100


class Data(Message):
    """Carries one message of another protocol, or a part of one."""

    name = "Data"
    code = 1
    fields_desc = in_order(
        u32("stream_epoch", "life of the stream; a Data of another epoch is not part of it"),
        u32("sequence", "number of this Data in the stream", key=True),
        u32(
            "acknowledged",
            "the sender has received every Data of the other direction below this number",
            key=True,
        ),
        u8("protocol", "protocol number of the message carried"),
        u8("message", "message number of the message carried"),
        bits("more", 1, "1 = the body goes on in the Data with the next sequence number"),
        byte_string("payload_", MAX_PAYLOAD, "the body of the message carried, or a part of it"),
    )


class Ack(Message):
    """Acknowledges when there is no Data to do it with."""

    name = "Ack"
    code = 2
    fields_desc = in_order(
        u32("stream_epoch", "life of the stream"),
        u32("acknowledged", "every Data below this number has been received", key=True),
    )


class Reset(Message):
    """Ends a stream: what was not acknowledged may be lost."""

    name = "Reset"
    code = 3
    fields_desc = in_order(u32("stream_epoch", "life of the stream that ends", key=True))


class Probe(Message):
    """Asks for a sign of life, or tells of a new one. Carried in a Data, whose acknowledgement is the answer."""

    name = "Probe"
    code = 4
    fields_desc = in_order()


FAMILY = Family(
    number=1,
    name="REL",
    title="Reliable delivery",
    about="Ordered delivery for all protocols that need it. A body of more than 1,100 bytes is split over "
    "several Data with consecutive sequence numbers, `more` = 1 on all but the last.",
    messages=(Data, Ack, Reset, Probe),
)
