"""Heralded links: each class one file, each in the grades `sampled` and `photonic`, found by name."""

from typing import Final

from testbed.plane.links.barrett_kok import BarrettKok
from testbed.plane.links.delivery import SenderReceiver, SourceMidpoint
from testbed.plane.links.dual_rail import DualRail
from testbed.plane.links.model import (
    ALONE,
    NEVER_ATTEMPT,
    ON_TIME,
    PSI_MINUS,
    PSI_PLUS,
    Arrivals,
    Brightness,
    Done,
    Grade,
    Herald,
    LinkId,
    LinkModel,
    LinkParameters,
)
from testbed.plane.links.modes import Modes
from testbed.plane.links.rounds import BarrettKokRounds
from testbed.plane.links.single_click import SingleClick
from testbed.plane.links.switched import Switched
from testbed.plane.links.upconversion import TransducerPair, TransducerUpconversion

LINKS: Final[dict[str, type[BarrettKok] | type[SingleClick] | type[SourceMidpoint]]] = {
    "barrett-kok": BarrettKok,
    "dual-rail": DualRail,
    "sender-receiver": SenderReceiver,
    "single-click": SingleClick,
    "source-midpoint": SourceMidpoint,
    "transducer-pair": TransducerPair,
    "transducer-upconversion": TransducerUpconversion,
}


def make_link(
    kind: str, parameters: LinkParameters, grade: Grade = "sampled", ident: LinkId = ALONE
) -> LinkModel:
    """A link by its name in LINKS; ValueError for an unknown kind or grade."""
    if kind not in LINKS:
        raise ValueError(f"link: {kind!r} is none of {', '.join(LINKS)}")
    if grade not in ("sampled", "photonic"):
        raise ValueError(f"grade: {grade!r} is none of sampled, photonic")
    if parameters.abort and (kind != "barrett-kok" or parameters.modes > 1):
        raise ValueError(f"abort: {kind} with {parameters.modes} modes has no second round to leave out")
    known = BarrettKokRounds if parameters.abort else LINKS[kind]
    link: LinkModel = known(parameters, grade, ident)
    # All modes of a link pass the switch alike.
    link = link if parameters.modes == 1 else Modes(link)
    return Switched(link) if parameters.fidelity_cost else link


__all__ = [
    "LINKS",
    "NEVER_ATTEMPT",
    "ON_TIME",
    "PSI_MINUS",
    "PSI_PLUS",
    "Arrivals",
    "BarrettKok",
    "BarrettKokRounds",
    "Brightness",
    "Done",
    "DualRail",
    "Grade",
    "Herald",
    "LinkId",
    "LinkModel",
    "LinkParameters",
    "Modes",
    "SenderReceiver",
    "SingleClick",
    "SourceMidpoint",
    "Switched",
    "TransducerPair",
    "TransducerUpconversion",
    "make_link",
]
