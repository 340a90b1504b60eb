"""TTP: two-way time transfer, by which a node sets its clock by a neighbour's."""

from protocols.declare.family import Departure, Family
from protocols.declare.fields import Message, in_order, u8, u32, u64


class Request(Message):
    """A node asks its time server for two timestamps; it keeps the time at which this left, t1."""

    name = "Request"
    code = 1
    fields_desc = in_order(u32("sequence", "number of the exchange at the node that asks", key=True))


class Response(Message):
    """The server's answer; the time at which it arrives is t4."""

    name = "Response"
    code = 2
    fields_desc = in_order(
        u32("sequence", "of the Request", key=True),
        u8("hops", "servers between this one's clock and the master's; 0: this is the master", key=True),
        u64("received", "t2: when the Request arrived, by the server's clock", "ps"),
        u64("sent", "t3: when this left, by the server's clock", "ps"),
    )


FAMILY = Family(
    number=7,
    name="TTP",
    title="Time transfer",
    about="Two timestamps each way give offset and delay; which way is longer it cannot see. Timestamps are the NIC's.",
    messages=(Request, Response),
    departures=(
        Departure(
            "IEEE 1588: Sync, Follow_Up, Delay_Req and Delay_Resp",
            "one exchange, begun by the node that is set",
            "the server keeps no state, and lost messages cost one exchange; the arithmetic is the same",
        ),
        Departure(
            "IEEE 1588: seconds and nanoseconds, corrections in 2⁻¹⁶ ns",
            "picoseconds in 64 bits",
            "the testbed's unit of time",
        ),
    ),
)
