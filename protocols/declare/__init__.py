"""The one definition of every message, as scapy layers; nodes never import this package.

The run-time codec (`protocols/wire/codec.py`), the Wireshark dissector and `docs/wire.md` are generated
from it: `python -m protocols.declare` writes them anew. To add a message, add its layer to its family's
file and run that; to add a protocol, add a file and its family to FAMILIES here.
"""

from scapy.packet import Packet, bind_layers

from protocols.declare import (
    device,
    echo,
    egp,
    job,
    key,
    lsr,
    mhp,
    qnp,
    qtp,
    rel,
    rgp,
    srp,
    ttp,
)
from protocols.declare.family import Family
from protocols.declare.fields import Message
from protocols.declare.header import Header

FAMILIES: tuple[Family, ...] = (
    echo.FAMILY,
    rel.FAMILY,
    mhp.FAMILY,
    egp.FAMILY,
    qnp.FAMILY,
    qtp.FAMILY,
    rgp.FAMILY,
    lsr.FAMILY,
    ttp.FAMILY,
    srp.FAMILY,
    job.FAMILY,
    key.FAMILY,
    device.FAMILY,
)

LAYERS: dict[tuple[int, int], type[Message]] = {
    (family.number, layer.code): layer for family in FAMILIES for layer in family.messages
}

for _family in FAMILIES:
    for _layer in _family.messages if _family.on_udp else ():
        bind_layers(Header, _layer, protocol=_family.number, message=_layer.code)


def dissect(frame: bytes) -> Packet:
    """The whole frame, header and message, as scapy reads it."""
    return Header(frame)


__all__ = ["FAMILIES", "LAYERS", "Family", "Header", "Message", "dissect"]
