"""QNP: the network layer's messages along a circuit (requests, tracking of pairs through swaps)."""

from typing import Any

from protocols.declare.family import Departure, Family
from protocols.declare.fields import (
    CodePoint,
    Message,
    NamedBits,
    Record,
    Reserved,
    enum8,
    in_order,
    records,
    u8,
    u16,
    u32,
    u64,
)


class BellIndex(CodePoint):
    """b = (x << 1) | z names |B_xz⟩ = (I ⊗ X^x Z^z)|Φ+⟩; composing pairs or corrections is XOR."""

    PHI_PLUS = 0, "|Φ+⟩ = (|00⟩ + |11⟩)/√2"
    PHI_MINUS = 1, "|Φ−⟩ = (|00⟩ − |11⟩)/√2"
    PSI_PLUS = 2, "|Ψ+⟩ = (|01⟩ + |10⟩)/√2"
    PSI_MINUS = 3, "|Ψ−⟩ = (|01⟩ − |10⟩)/√2"


class CircuitFate(CodePoint):
    """Why a circuit ended, or never came to be."""

    FINISHED = 0, "the head needs it no more"
    NOT_HERE = 1, "the route leads past this node, or over a link that it does not have"
    NO_REPEATER = 2, "this node has no memories to swap between its links"
    NO_MEMORY = 3, "every memory of a link is promised to circuits of the same or a higher priority"
    NO_RATE = 4, "a link cannot make so many pairs"
    FIDELITY = 5, "a link cannot make pairs so good"
    PREEMPTED = 6, "a circuit of a higher priority took its memories"
    PEER_LOST = 7, "a neighbour on the circuit is gone or has started anew"
    LINK_FAILED = 8, "a link layer makes no more pairs for it"
    SILENT = 9, "nothing was heard of it for its lifetime"
    IN_USE = 10, "the label is another circuit's, or none is free"


class PairFate(CodePoint):
    """Why a pair was given up."""

    EXPIRED = 0, "the link layer took it back"
    CUTOFF = 1, "it has waited too long for a swap"
    SURPLUS = 2, "nobody needs it"
    MISFIT = 3, "the two ends name different pairs or Bell states"
    IMPURE = 4, "purification failed"
    UNKNOWN = 5, "no circuit was found for it"
    CLOSED = 6, "its circuit or its request has ended"
    AGED = 7, "it has lain in a bank for too long"


class PairUse(CodePoint):
    """What both ends do with a pair."""

    DELIVER = 0, "hand it up"
    TEST_X = 1, "measure both halves in X: a test round"
    TEST_Y = 2, "measure both halves in Y: a test round"
    TEST_Z = 3, "measure both halves in Z: a test round"
    BANK = 4, "keep it until the head says for which request it is"


class PairKind(CodePoint):
    """What is to become of a request's pairs."""

    KEEP = 0, "handed up when both ends hold them"
    EARLY = 1, "each half is handed up as soon as it is there, and confirmed when both ends hold theirs"
    MEASURE = 2, "each half is measured as soon as it is there"


class Purification(CodePoint):
    """How two pairs become one."""

    NONE = 0, "not at all"
    BBPSSW = 1, "twirl, CNOT, compare (Bennett et al. 1996)"
    DEJMPS = 2, "local permutation, CNOT, compare (Deutsch et al. 1996)"
    EPL = 3, "CNOT, keep if both ends measured 1 (Campbell and Benjamin 2008)"


class PurifyScope(CodePoint):
    """Between which two nodes pairs are purified."""

    LINK = 0, "the two nodes of a link; pairs are named by link sequence"
    ENDS = 1, "head and tail; pairs are named by pair id"


def _errors(of: str) -> list[Any]:
    """Parts of a Bell-diagonal state, by the XOR with the Bell index that it is taken for."""
    return [
        u32("error_z", f"probability of a phase flip {of}", "of 2³² − 1"),
        u32("error_x", f"probability of a bit flip {of}", "of 2³² − 1"),
        u32("error_y", f"probability of both {of}", "of 2³² − 1"),
    ]


def _device() -> list[Any]:
    """What an end tells the other of its memories and readout."""
    return [
        u64("t1_ps", "T1 of the sender's memories; 0 = infinite", "ps", default=0),
        u64("t2_ps", "T2 of the sender's memories; 0 = infinite", "ps", default=0),
        u32("readout_0", "the sender's chance of reading 1 from |0⟩", "of 2³² − 1", default=0),
        u32("readout_1", "the sender's chance of reading 0 from |1⟩", "of 2³² − 1", default=0),
        u16("memories", "communication qubits that the sender has for circuits; 0 = it does not say", default=0),
    ]


class Track(Message):
    """Follows a chain of pairs along the circuit, and gathers what its swaps did to the Bell state."""

    name = "Track"
    code = 1
    fields_desc = in_order(
        u16("circuit", "label of the circuit on this hop", key=True),
        u32("pair_id", "number of the end-to-end pair, given by the head end; 0 = not known yet", key=True),
        u16("link", "link of the pair that ends at the receiver", key=True),
        u16("link_sequence", "MHP sequence of that link's pair", key=True),
        [
            NamedBits("bell_index", 2, BellIndex, "Bell state of the chain so far, that link included", key=True),
            NamedBits("link_bell_index", 2, BellIndex, "Bell state of that link's pair, says the sender", key=False),
            Reserved(4),
        ],
        enum8("use", PairUse, "what becomes of the pair"),
        _errors("of the chain so far"),
        u64("age_ps", "how long the half of the end that began has been waiting when this arrives", "ps"),
        u32("request", "request that the pair is for, given by the head end; 0 from the tail"),
        u32("zero_begun", "chance that the half of the end that began is |0⟩ by itself", "of 2³² − 1", default=1 << 31),
        u32("zero_here", "the same of the half at the receiver", "of 2³² − 1", default=1 << 31),
    )


class Discard(Message):
    """A pair of a chain was given up, and with it the chain: who holds a part of it gives that up too."""

    name = "Discard"
    code = 2
    fields_desc = in_order(
        u16("circuit", "label of the circuit on this hop", key=True),
        u32("pair_id", "number of the end-to-end pair; 0 = not known"),
        u16("link", "link of the pair between sender and receiver", key=True),
        u16("link_sequence", "MHP sequence of that pair", key=True),
        enum8("fate", PairFate, "why", key=True),
    )


class Forward(Message):
    """Announces a request for end-to-end pairs on a circuit."""

    name = "Forward"
    code = 3
    fields_desc = in_order(
        u16("circuit", "label of the circuit on this hop", key=True),
        u32("request", "number of the request at the head end", key=True),
        u8("kind", "what is to become of the pairs, as in PairKind"),
        u32("pairs", "pairs wanted; 0 = until Complete", key=True),
        u32("minimum_fidelity", "least end-to-end fidelity that serves", "of 2³² − 1"),
        u16("purpose", "what the pairs are for", key=True),
        u8("bases", "from which the tail chooses at random, where pairs are measured; as in EgpBases", default=0),
        u32("chance", "of the first of them, the others alike; 0 = all alike", "of 2³² − 1", default=0),
        _device(),
    )


class ForwardAck(Message):
    """Answers a Forward."""

    name = "ForwardAck"
    code = 4
    fields_desc = in_order(
        u16("circuit", "label of the circuit on this hop", key=True),
        u32("request", "the request of the Forward", key=True),
        u8("accepted", "1 = the request is served, 0 = not", key=True),
        u8("error", "why not, as in EgpError; 0 if accepted"),
        _device(),
    )


class Complete(Message):
    """The request needs no more pairs."""

    name = "Complete"
    code = 5
    fields_desc = in_order(
        u16("circuit", "label of the circuit on this hop", key=True),
        u32("request", "the request that ends", key=True),
    )


class CircuitHop(Record):
    """One step of a circuit's route, from the head on."""

    name = "CircuitHop"
    fields_desc = in_order(
        u16("link", "number of the link"),
        u16("node", "node at the far end of the link"),
        u8("rank", "of that node's swaps: lower ranks swap first"),
        u8("rounds", "rounds of purification on the link"),
        u32("minimum_fidelity", "least fidelity of the link's pairs", "of 2³² − 1"),
    )


class Install(Message):
    """Sets up a circuit, hop by hop from the head: each node reserves what it needs and passes it on."""

    name = "Install"
    code = 6
    fields_desc = in_order(
        u16("circuit", "label of the circuit on this hop, the sender's choice", key=True),
        u16("head", "number of the node that asks", key=True),
        u32("number", "number of the circuit at its head: (head, number) names it everywhere", key=True),
        u8("priority", "higher ones may take the memories of lower ones"),
        u32("pairs_per_ks", "pairs that each link must make in 1,000 s; 0 = whatever there is"),
        u64("cutoff_ps", "how long a repeater keeps a half that waits for a swap; 0 = for ever", "ps"),
        u64("refresh_ps", "the head says Refresh so often; nodes forget the circuit after three of it", "ps"),
        enum8("method", Purification, "how pairs are purified"),
        u8("pumping", "1 = one pair is purified with fresh ones, 0 = with others of the same round"),
        u8("end_rounds", "rounds of purification between the ends"),
        u8("position", "which hop of the route leads to the receiver, from 0"),
        records("hops", CircuitHop, 64, "the whole route"),
    )


class Installed(Message):
    """The circuit is set up from here to its tail."""

    name = "Installed"
    code = 7
    fields_desc = in_order(u16("circuit", "label of the circuit on this hop", key=True))


class Teardown(Message):
    """The circuit has ended, or never came to be; passed on from either side."""

    name = "Teardown"
    code = 8
    fields_desc = in_order(
        u16("circuit", "label of the circuit on this hop", key=True),
        u16("node", "node that ended or refused it", key=True),
        enum8("fate", CircuitFate, "why", key=True),
    )


class Refresh(Message):
    """The circuit is still in use; passed on from the head to the tail."""

    name = "Refresh"
    code = 9
    fields_desc = in_order(u16("circuit", "label of the circuit on this hop", key=True))


class Want(Message):
    """How many chains the head has asked for since the circuit was set up, those that failed at it included."""

    name = "Want"
    code = 10
    fields_desc = in_order(
        u16("circuit", "label of the circuit on this hop", key=True), u32("pairs", "in all", key=True)
    )


class Reach(Message):
    """A chain has grown: says to the node that holds its one end how far its other end is (nested swapping)."""

    name = "Reach"
    code = 11
    fields_desc = in_order(
        u16("circuit", "label of the circuit on this hop", key=True),
        u16("link", "link of the pair between sender and receiver", key=True),
        u16("link_sequence", "MHP sequence of that pair", key=True),
        u8("rank", "rank of the node at the chain's other end", key=True),
    )


class Purify(Message):
    """One end has done its part of a round of purification, and says what it measured."""

    name = "Purify"
    code = 12
    fields_desc = in_order(
        u16("circuit", "label of the circuit on this hop", key=True),
        enum8("scope", PurifyScope, "between which nodes", key=True),
        u32("kept", "name of the pair that is kept", key=True),
        u32("measured", "name of the pair that is measured", key=True),
        u8("kept_turn", "local Clifford on the kept pair, a number from 0 to 23"),
        u8("measured_turn", "the same on the measured one"),
        u8("outcome", "what the sender measured", key=True),
        u32("request", "request that the kept pair is for, between ends"),
        enum8("use", PairUse, "what becomes of the kept pair after the last round, between ends"),
        u64("age_ps", "how long ago the sender did its part when this arrives", "ps", default=0),
    )


class PurifyAck(Message):
    """The other end has done its part; both know now what came of it."""

    name = "PurifyAck"
    code = 13
    fields_desc = in_order(
        u16("circuit", "label of the circuit on this hop", key=True),
        enum8("scope", PurifyScope, "between which nodes", key=True),
        u32("kept", "name of the pair that is kept", key=True),
        u32("measured", "name of the pair that is measured", key=True),
        u8("outcome", "what the sender measured", key=True),
        u64("age_ps", "how long ago the sender did its part when this arrives", "ps", default=0),
    )


class Outcome(Message):
    """What the tail measured on its half of a test round."""

    name = "Outcome"
    code = 14
    fields_desc = in_order(
        u16("circuit", "label of the circuit on this hop", key=True),
        u32("pair_id", "number of the end-to-end pair", key=True),
        u8("outcome", "0 or 1", key=True),
    )


class Claim(Message):
    """A pair from the bank is for a request."""

    name = "Claim"
    code = 15
    fields_desc = in_order(
        u16("circuit", "label of the circuit on this hop", key=True),
        u32("pair_id", "number of the end-to-end pair", key=True),
        u32("request", "request that it is for", key=True),
    )


FAMILY = Family(
    number=4,
    name="QNP",
    title="Quantum network protocol",
    about="Circuits over many hops, requests on them, and the tracking of their pairs through the swaps.",
    messages=(
        Track,
        Discard,
        Forward,
        ForwardAck,
        Complete,
        Install,
        Installed,
        Teardown,
        Refresh,
        Want,
        Reach,
        Purify,
        PurifyAck,
        Outcome,
        Claim,
    ),
    points=(BellIndex, CircuitFate, PairFate, PairKind, PairUse, Purification, PurifyScope),
    departures=(
        Departure(
            "A published data plane has a 64-bit egp header (link label 16, pair sequence 16, Bell index "
            "2, reserved 30) before a 64-bit qnp header (circuit 16, pair 16, Bell index 2, reserved 30).",
            "Track joins both: circuit 16, pair 32, link 16, link sequence 16, Bell index 2, and adds "
            "an estimate of the chain's errors and of how its halves lean, the age of the half at its end, use, "
            "request, and the last link's own Bell index.",
            "A Track always needs both halves. 2¹⁶ pairs pass in minutes, so the pair number has 32 bits. "
            "The Bell index keeps its width, its coding and its place at the head of its byte.",
        ),
        Departure(
            "The published QNP has one TRACK per pair and direction with head, tail, origin and link correlators.",
            "circuit, pair_id, link and link_sequence take their place. EXPIRE is called Discard, and does not "
            "wait for a TRACK to meet a discard record: it starts where the chain broke and runs both ways. Fields "
            "of that paper were not available bit for bit, so no compliance is claimed.",
            "Head and tail belong to the circuit and are known from Install. A broken chain frees its memories one "
            "way of the news earlier, and a chain that no TRACK would ever reach is cleared as well.",
        ),
        Departure(
            "The published QNP tells requests on one circuit apart by epochs.",
            "The head writes the request into each Track.",
            "It needs no agreement on when an epoch begins, and a late pair cannot fall to the wrong request.",
        ),
    ),
)
