"""QNP: the network layer's messages along a circuit (requests, tracking of pairs through swaps)."""

from protocols.declare.family import Departure, Family
from protocols.declare.fields import CodePoint, Message, bits, in_order, u8, u16, u32


class BellIndex(CodePoint):
    """b = (x << 1) | z names |B_xz⟩ = (I ⊗ X^x Z^z)|Φ+⟩; composing pairs or corrections is XOR."""

    PHI_PLUS = 0, "|Φ+⟩ = (|00⟩ + |11⟩)/√2"
    PHI_MINUS = 1, "|Φ−⟩ = (|00⟩ − |11⟩)/√2"
    PSI_PLUS = 2, "|Ψ+⟩ = (|01⟩ + |10⟩)/√2"
    PSI_MINUS = 3, "|Ψ−⟩ = (|01⟩ − |10⟩)/√2"


class Track(Message):
    """Follows a chain of pairs along the circuit, and gathers what its swaps did to the Bell state."""

    name = "Track"
    code = 1
    fields_desc = in_order(
        u16("circuit", "number of the circuit", key=True),
        u32("pair_id", "number of the end-to-end pair, given by the head end", key=True),
        u16("link", "link of the pair that ends at the receiver", key=True),
        u16("link_sequence", "MHP sequence of that link's pair", key=True),
        bits("bell_index", 2, "Bell state of the chain so far", BellIndex, key=True),
        u32("goodness", "estimate of the chain's fidelity so far", "of 2³² − 1"),
        u32("epoch", "epoch of the circuit, in which requests share its pairs"),
    )


class Discard(Message):
    """A pair of the chain was discarded: the end that receives this frees its half."""

    name = "Discard"
    code = 2
    fields_desc = in_order(
        u16("circuit", "number of the circuit", key=True),
        u32("pair_id", "number of the end-to-end pair", key=True),
        u16("link", "link of the pair that was discarded", key=True),
        u16("link_sequence", "MHP sequence of that pair", key=True),
    )


class Forward(Message):
    """Announces a request for end-to-end pairs along the circuit."""

    name = "Forward"
    code = 3
    fields_desc = in_order(
        u16("circuit", "number of the circuit", key=True),
        u32("request", "number of the request at the head end", key=True),
        u16("head", "number of the node that asks", key=True),
        u16("tail", "number of the node at the other end", key=True),
        u8("kind", "what is to become of the pairs, as in EgpKind"),
        u32("pairs", "pairs wanted; 0 = until Complete", key=True),
        u32("minimum_fidelity", "least end-to-end fidelity that serves", "of 2³² − 1"),
        u16("purpose", "what the pairs are for"),
    )


class ForwardAck(Message):
    """Answers a Forward."""

    name = "ForwardAck"
    code = 4
    fields_desc = in_order(
        u16("circuit", "number of the circuit", key=True),
        u32("request", "the request of the Forward", key=True),
        u8("accepted", "1 = the request is served, 0 = not", key=True),
        u8("error", "why not, as in EgpError; 0 if accepted"),
    )


class Complete(Message):
    """The request needs no more pairs."""

    name = "Complete"
    code = 5
    fields_desc = in_order(
        u16("circuit", "number of the circuit", key=True),
        u32("request", "the request that ends", key=True),
    )


FAMILY = Family(
    number=4,
    name="QNP",
    title="Quantum network protocol",
    about="Requests along a circuit, and the tracking of its pairs through the swaps.",
    messages=(Track, Discard, Forward, ForwardAck, Complete),
    points=(BellIndex,),
    departures=(
        Departure(
            "A published data plane has a 64-bit egp header (link label 16, pair sequence 16, Bell index "
            "2, reserved 30) before a 64-bit qnp header (circuit 16, pair 16, Bell index 2, reserved 30).",
            "Track joins both: circuit 16, pair 32, link 16, link sequence 16, Bell index 2, and adds "
            "goodness and epoch.",
            "A Track always needs both halves. 2¹⁶ pairs pass in minutes, so the pair number has 32 bits. "
            "The Bell index keeps its width, its coding and its place at the head of its byte.",
        ),
        Departure(
            "The published QNP has one TRACK per pair and direction with head, tail, origin and link "
            "correlators.",
            "circuit, pair_id, link and link_sequence take their place; EXPIRE is called Discard. Fields "
            "of that paper were not available bit for bit, so no compliance is claimed.",
            "Head and tail belong to the circuit and are known from Forward.",
        ),
    ),
)
