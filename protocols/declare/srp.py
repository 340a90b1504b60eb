"""SRP: how nodes reserve one of a switch's Bell-state analysers for a train of attempts."""

from protocols.declare.family import Family
from protocols.declare.fields import CodePoint, Message, enum8, in_order, u16, u32, u64


class SrpReason(CodePoint):
    """Why a reservation is none."""

    STRANGER = 0, "the switch has no such link, or the sender does not lead it"
    OVER = 1, "this reservation has ended, or its grant was not used; reserve anew"
    TOO_LATE = 2, "no grant can begin within the time given"


class Reserve(Message):
    """Asks for an analyser, once; repeated, with the same ticket, for as long as it is wanted."""

    name = "Reserve"
    code = 1
    fields_desc = in_order(
        u16("link", "number of the link", key=True),
        u64("ticket", "names the reservation; grows from each of a link to the next", key=True),
        u32("slots", "slots wanted, from the first to the last", "slots", key=True),
        u64("notice_ps", "least time between the sending of a grant and its first slot", "ps"),
        u64("within_ps", "time after which a grant is of no use; 0 = no limit", "ps"),
    )


class Queued(Message):
    """The reservation waits its turn; the switch forgets it unless it is repeated."""

    name = "Queued"
    code = 2
    fields_desc = in_order(
        u16("link", "number of the link", key=True),
        u64("ticket", "ticket of the Reserve", key=True),
        u64("refresh_ps", "when the Reserve is to be repeated", "ps"),
    )


class Grant(Message):
    """The link has an analyser for these slots; the train must begin with the first of them."""

    name = "Grant"
    code = 3
    fields_desc = in_order(
        u16("link", "number of the link", key=True),
        u64("ticket", "ticket of the Reserve", key=True),
        u64("first_slot", "first slot, counted at the station", key=True),
        u32("slots", "slots granted, from the first to the last", "slots", key=True),
    )


class Deny(Message):
    """There is no such reservation, or none any more."""

    name = "Deny"
    code = 4
    fields_desc = in_order(
        u16("link", "number of the link", key=True),
        u64("ticket", "ticket of the Reserve", key=True),
        enum8("reason", SrpReason, "why", key=True),
    )


class Release(Message):
    """The sender does not need the reservation, or what is left of its grant, any more."""

    name = "Release"
    code = 5
    fields_desc = in_order(
        u16("link", "number of the link", key=True), u64("ticket", "ticket of the Reserve", key=True)
    )


class Ready(Message):
    """So many communication qubits of the sender could take part in a train now; reliable, so the last one counts."""

    name = "Ready"
    code = 6
    fields_desc = in_order(u16("qubits", "how many; those in trains are among them", key=True))


FAMILY = Family(
    number=9,
    name="SRP",
    title="Switch reservation",
    about="The node that leads a link reserves one of a switch's analysers; the switch grants slots, fairly.",
    messages=(Reserve, Queued, Grant, Deny, Release, Ready),
    points=(SrpReason,),
)
