"""What a reader of a trace should not overlook: messages that say that something went wrong, or began anew.

What may live here: the table from which the dissector's expert information is generated.  What is malformed is no
matter of this table: the dissector sees that by itself.
"""

from enum import Enum
from typing import NamedTuple

from protocols.declare import egp, job, key, mhp, qnp, qtp, rel, rgp, srp
from protocols.declare.fields import Message


class Weight(Enum):
    """Wireshark's severities."""

    NOTE = "NOTE"
    WARN = "WARN"


class Remark(NamedTuple):
    """``text`` with ``weight``, about every such message, or about those whose ``field`` has one of ``values``."""

    weight: Weight
    text: str
    field: str = ""
    values: tuple[int, ...] = ()


_FATES = tuple(fate for fate in qnp.CircuitFate if fate is not qnp.CircuitFate.FINISHED)

REMARKS: dict[type[Message], Remark] = {
    rel.Reset: Remark(Weight.WARN, "the stream ends; what was not acknowledged may be lost"),
    mhp.Gen: Remark(Weight.WARN, "the node cannot attempt", "kind", (mhp.MhpKind.ERR,)),
    mhp.Reply: Remark(Weight.WARN, "the train was not run", "outcome", (mhp.MhpOutcome.ERROR,)),
    egp.AddReject: Remark(Weight.WARN, "the request is refused"),
    egp.TrainAck: Remark(
        Weight.NOTE, "the train does not take place", "verdict", (egp.EgpVerdict.BUSY, egp.EgpVerdict.UNKNOWN)
    ),
    egp.Expire: Remark(Weight.WARN, "pairs are known to one side only, and expire"),
    qnp.Discard: Remark(Weight.NOTE, "a chain of pairs was given up"),
    qnp.Teardown: Remark(Weight.WARN, "the circuit failed", "fate", _FATES),
    qtp.Reset: Remark(Weight.WARN, "the session is broken off"),
    qtp.Refuse: Remark(Weight.WARN, "the session is refused"),
    qtp.Delivered: Remark(Weight.WARN, "a qubit is lost", "status", (qtp.QtpStatus.LOST,)),
    rgp.Refused: Remark(Weight.WARN, "the gate is not done"),
    srp.Deny: Remark(Weight.NOTE, "no analyser is granted"),
    key.Refuse: Remark(Weight.WARN, "the session is refused"),
    key.GiveUp: Remark(Weight.WARN, "a block makes no key"),
    key.Close: Remark(
        Weight.WARN, "the session has failed", "why", tuple(why for why in key.KeyWhy if why is not key.KeyWhy.CLOSED)
    ),
    job.GivenUp: Remark(Weight.WARN, "a shot is given up"),
}

__all__ = ["REMARKS", "Remark", "Weight"]
