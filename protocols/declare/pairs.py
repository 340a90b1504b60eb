"""By which of its fields a message names entangled pairs: how one ebit is followed through layers and over nodes.

What may live here: the table, once.  The Wireshark dissector and `bellwire trace` (`testbed.trace.pairs`) both read it.

Four things have names of their own on the wire, each part of the next:

    train (link, queue id) → ebits, a link's pairs (link, MHP sequence) → pair between two ends (head, pair id)
    errand: a gate of RGP (job, gate), a qubit of QTP (session, index), carried out over such a pair

A message that names two of them says that the first belongs to the second: an MHP Reply, that this train has made this
ebit; a QNP Track, that this ebit is a hop of this pair; an RGP Cat, that this gate uses it.
"""

from enum import StrEnum
from typing import NamedTuple

from protocols.declare import egp, mhp, qnp, qtp, rgp
from protocols.declare.fields import Message


class Names(StrEnum):
    """What a name stands for; in brackets what its fields hold."""

    TRAIN = "train"  # (link, queue id)
    EBIT = "ebit"  # (link, sequence)
    EBITS = "ebits"  # (link, first sequence, first sequence that is none of them)
    PAIR = "pair"  # (label of the circuit on this hop, pair id)
    HOP = "hop"  # (label of the circuit on this hop, sequence): an ebit of the link under that hop
    ENDS = "ends"  # (pair id): of a pair between sender and receiver
    ERRAND = "errand"  # (two numbers that sender and receiver share)


class Name(NamedTuple):
    """``kind`` of thing, named by ``fields``.  A ``stamp`` that differs says that an old number names a new thing.

    ``when`` is a field and the values with which the name counts; without values: any but 0.
    """

    kind: Names
    fields: tuple[str, ...]
    stamp: str = ""
    when: tuple[str, tuple[int, ...]] | None = None


class Naming(NamedTuple):
    """All the names in a message; ``joins``: the first thing belongs to the second from now on."""

    names: tuple[Name, ...]
    joins: bool = False


def _said(*names: Name) -> Naming:
    return Naming(names)


_HERALDED = ("outcome", (mhp.MhpOutcome.PSI_PLUS, mhp.MhpOutcome.PSI_MINUS))
_KNOWN: tuple[str, tuple[int, ...]] = ("pair_id", ())
_LINK, _ENDS = ("scope", (qnp.PurifyScope.LINK,)), ("scope", (qnp.PurifyScope.ENDS,))
_PURIFIED = _said(
    Name(Names.HOP, ("circuit", "kept"), when=_LINK),
    Name(Names.HOP, ("circuit", "measured"), when=_LINK),
    Name(Names.PAIR, ("circuit", "kept"), when=_ENDS),
    Name(Names.PAIR, ("circuit", "measured"), when=_ENDS),
)
_TRAIN = Name(Names.TRAIN, ("link", "queue_id"))
_HOP = Name(Names.EBIT, ("link", "link_sequence"))
_QUBIT = Name(Names.ERRAND, ("session", "index"))
_GATE = Name(Names.ERRAND, ("job", "gate"))

NAMING: dict[type[Message], Naming] = {
    egp.Train: _said(_TRAIN._replace(stamp="first_slot")),
    egp.TrainAck: _said(_TRAIN),
    egp.Expire: _said(Name(Names.EBITS, ("link", "old_sequence", "new_sequence"))),
    egp.Tested: _said(Name(Names.EBIT, ("link", "mhp_sequence"))),
    mhp.Gen: _said(_TRAIN._replace(stamp="first_slot")),
    mhp.Reply: Naming((_TRAIN, Name(Names.EBIT, ("link", "mhp_sequence"), "slot", _HERALDED)), joins=True),
    qnp.Track: Naming((_HOP, Name(Names.PAIR, ("circuit", "pair_id"), when=_KNOWN)), joins=True),
    qnp.Discard: Naming((_HOP, Name(Names.PAIR, ("circuit", "pair_id"), when=_KNOWN)), joins=True),
    qnp.Reach: _said(_HOP),
    qnp.Purify: _PURIFIED,
    qnp.PurifyAck: _PURIFIED,
    qnp.Outcome: _said(Name(Names.PAIR, ("circuit", "pair_id"))),
    qnp.Claim: _said(Name(Names.PAIR, ("circuit", "pair_id"))),
    qtp.Teleport: Naming((_QUBIT, Name(Names.ENDS, ("pair_id",))), joins=True),
    qtp.Delivered: _said(_QUBIT),
    rgp.Ready: _said(_GATE),
    rgp.Cat: Naming((_GATE, Name(Names.ENDS, ("pair_id",))), joins=True),
    rgp.Uncat: _said(_GATE),
    rgp.Refused: _said(_GATE),
}

__all__ = ["NAMING", "Name", "Names", "Naming"]
