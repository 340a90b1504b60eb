"""LSR: link-state routing between the nodes of a network: who is there, what each one's links can deliver."""

from protocols.declare.family import Departure, Family
from protocols.declare.fields import Message, Record, in_order, records, u8, u16, u32, u64

MAX_LINKS = 40
MAX_VERSIONS = 120
MAX_WANTED = 240


class LsrLink(Record):
    """What one end says of one of its links that are up."""

    name = "Link"
    fields_desc = in_order(
        u16("link", "number of the link"),
        u16("neighbour", "number of the node at its other end"),
        u32("fidelity", "of a pair when both ends have heard of it", "of 2³² − 1"),
        u32("pairs_per_ks", "pairs that the link makes in 1,000 s if it does nothing else"),
        u64("latency_ps", "of a frame between its ends, one way", "ps"),
        u16("memories", "communication qubits that this end has for it"),
        u32("load", "the part of its rate that circuits have been promised", "of 2³² − 1"),
    )


class LsrVersion(Record):
    """Names one version of one advert."""

    name = "Version"
    fields_desc = in_order(
        u16("origin", "number of the node that the advert is about"),
        u8("part", "which part of what it says"),
        u16("incarnation", "life of the origin that said it"),
        u32("sequence", "grows with every version of that part in that life; wraps"),
    )


class LsrPart(Record):
    """Names an advert."""

    name = "Part"
    fields_desc = in_order(
        u16("origin", "number of the node that the advert is about"),
        u8("part", "which part of what it says"),
    )


class Hello(Message):
    """To a neighbour: I am here, this is what I hear of you and how much I know."""

    name = "Hello"
    code = 1
    fields_desc = in_order(
        u16("incarnation", "life of the sender", key=True),
        u16("heard", "life of the receiver that the sender hears; 0 = none", key=True),
        u32("number", "grows with every Hello to this neighbour: an older one that comes later tells nothing"),
        u8("answer", "1 = answer at once with a Hello, 0 = this is an answer", key=True),
        u64("digest", "of all adverts that the sender holds of nodes it can reach: equal if they are the same"),
    )


class Advert(Message):
    """What a node says of its links, passed on by every node to all its neighbours; acknowledged."""

    name = "Advert"
    code = 2
    fields_desc = in_order(
        u16("origin", "number of the node that it is about", key=True),
        u8("part", "which part of what that node says: links that do not fit into one advert go to the next", key=True),
        u16("incarnation", "life of the origin that said it", key=True),
        u32("sequence", "grows with every version of that part in that life; wraps", key=True),
        u8("transit", "1 = circuits may pass through the origin, 0 = they may only end there"),
        records("links", LsrLink, MAX_LINKS, "its links whose other end it hears, by neighbour, then number"),
    )


class Ack(Message):
    """These versions have been received, or newer ones are held."""

    name = "Ack"
    code = 3
    fields_desc = in_order(records("versions", LsrVersion, MAX_VERSIONS, "what is acknowledged"))


class Summary(Message):
    """All versions that the sender holds between two adverts: what is not named there, it does not hold."""

    name = "Summary"
    code = 4
    fields_desc = in_order(
        u16("first_origin", "where the range begins, inclusive"),
        u8("first_part", "likewise"),
        u16("last_origin", "where the range ends, inclusive", key=True),
        u8("last_part", "likewise"),
        records("versions", LsrVersion, MAX_VERSIONS, "in order of origin, then part"),
    )


class Request(Message):
    """Asks for adverts that a Summary has named; answered by Adverts."""

    name = "Request"
    code = 5
    fields_desc = in_order(records("parts", LsrPart, MAX_WANTED, "what is asked for"))


FAMILY = Family(
    number=8,
    name="LSR",
    title="Link-state routing",
    about="Every node tells all others what its links can deliver; each finds paths for itself.",
    messages=(Hello, Advert, Ack, Summary, Request),
    departures=(
        Departure(
            "draft-kaws-qirg-advent puts the entanglement capability of links into TLVs of OSPF and IS-IS.",
            "A protocol of its own, in the manner of those two.",
            "Neither runs over UDP between the nodes here; what a link advertises is the same kind of thing.",
        ),
        Departure(
            "OSPF and IS-IS repeat hellos and refresh adverts for ever; adverts age from the start.",
            "Neighbours ask each other only while somebody depends on the answer; an advert ages while its origin "
            "cannot be reached, and is not refreshed.",
            "What RFC 1793 does for demand circuits and RFC 7787 for home networks: an idle network is silent.",
        ),
    ),
)
