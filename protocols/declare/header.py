"""The common header of every frame."""

from scapy.packet import Packet

from protocols.declare.fields import Tag, in_order, u8, u16, u32

PORT = 57721
VERSION = 1
MAX_FRAME = 1200


class Header(Packet):
    """Stands before every message that travels over UDP."""

    name = "Header"
    fields_desc = in_order(
        u8("version", "version of this header, 1", default=VERSION),
        u8("protocol", "protocol number of the message that follows"),
        u8("message", "message number within the protocol"),
        u8("flags", "sent as zero, ignored when received"),
        u16(
            "length", "length of the whole frame; equal to the UDP payload, or the frame is dropped", "bytes"
        ),
        u16("source", "number of the node that sent the frame", key=True),
        u16("destination", "number of the node it is for", key=True),
        u16("incarnation", "life of the source: grows by one each time it is restarted"),
        u32("sequence", "grows with every frame of an incarnation, also with a retransmission; never wraps"),
        Tag("tag", 16, "authentication tag, see there"),
    )
