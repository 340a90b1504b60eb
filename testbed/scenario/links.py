"""Links: quantum links with their heralding station, and classical ones.

What may live here: the `links:` section. What a link model does with its numbers is the quantum plane's
business.
"""

from collections.abc import Mapping
from typing import Final

from testbed.scenario import nodes as node_section
from testbed.scenario import schema
from testbed.scenario.model import LEAST_DELAY_PS, ClassicalLink, Link, Node
from testbed.scenario.nodes import WITH_DEVICE
from testbed.scenario.schema import PS_PER_S, Form, Section
from testbed.scenario.source import Item

MODELS: Final = ("barrett-kok", "single-click")
GRADES: Final = ("sampled", "photonic")

ROUND_GAP_PS: Final = 1_000_000
WINDOW_PS: Final = 25_000
"""How long the link models keep the detectors open: a second round begins after that."""
_LEAST_ALPHA: Final = 1e-9  # 0 on the wire means the link's own
MAX_LINKS: Final = 0xFFFF
MAX_LENGTH_M: Final = 1e8

_LINK: Final = Form("links.NAME", "a link", (
    "kind", "a", "b", "station", "length_m", "arm_a_m", "arm_b_m", "model", "grade", "slot_s",
    "attenuation_db_per_km", "efficiency_a", "efficiency_b", "detector_efficiency", "dark_probability",
    "visibility", "coherence", "alpha", "round_gap_s",
))  # fmt: skip
_CLASSICAL = ("kind", "a", "b", "length_m")
_ARMS = ("arm_a_m", "arm_b_m")


def read(
    item: Item | None, nodes: Mapping[str, Node], speed_m_per_s: float
) -> tuple[list[Link], list[ClassicalLink]]:
    """The quantum links, numbered from 1 in the order in which they are written, and the classical ones."""
    links: list[Link] = []
    classical: list[ClassicalLink] = []
    for name, body in ({} if item is None else schema.entries(item, "links")).items():
        # Opened twice: the kind decides which keys there may be.
        kind = Section(body, _LINK).get("kind")
        if kind is not None and schema.choice(kind, ("quantum", "classical"), "kind of link") == "classical":
            classical.append(_classical(body, name, nodes, speed_m_per_s))
        else:
            links.append(_quantum(body, name, len(links) + 1, nodes, speed_m_per_s))
    if item is not None and len(links) > MAX_LINKS:
        raise item.bad(f"{len(links)} links", f"a scenario has at most {MAX_LINKS}")
    return links, classical


def _classical(item: Item, name: str, nodes: Mapping[str, Node], speed_m_per_s: float) -> ClassicalLink:
    keys = Section(item, _LINK)
    keys.refuse([key for key in _LINK.keys if key not in _CLASSICAL], "the link is classical")
    a, b = node_section.two(keys, "a", "b", nodes, tuple({node.kind for node in nodes.values()}))
    length_m, delay_ps = _length(keys.need("length_m"), 1, speed_m_per_s)
    return ClassicalLink(name, a, b, length_m, delay_ps)


def _quantum(item: Item, name: str, number: int, nodes: Mapping[str, Node], speed_m_per_s: float) -> Link:
    keys = Section(item, _LINK)
    a, b = node_section.two(keys, "a", "b", nodes, WITH_DEVICE)
    for end in ("a", "b"):
        device = nodes[a if end == "a" else b].device
        if device is None or device.communication_qubits == 0:
            raise keys.need(end).bad(
                f"{a if end == 'a' else b} has no communication qubit", "give its device at least one"
            )
    station = node_section.name(keys.need("station"), nodes, ("station",))
    (arm_a_m, delay_a_ps), (arm_b_m, delay_b_ps) = _arms(keys, speed_m_per_s)
    model = schema.choice(keys.need("model"), MODELS, "link model")
    grade = schema.choice(keys.need("grade"), GRADES, "grade")
    slot_ps = keys.seconds("slot_s", None, 1e-9)
    alpha, round_gap_ps = 0.0, 0
    if model == "single-click":
        keys.refuse(["round_gap_s"], "a single-click attempt has one round")
        alpha = keys.number("alpha", None, _LEAST_ALPHA, 1.0)
    else:
        keys.refuse(["alpha"], f"{model} attempts have no bright state")
        round_gap_ps = _round_gap(keys, slot_ps)
    link = Link(
        name=name, number=number, a=a, b=b, station=station, arm_a_m=arm_a_m, arm_b_m=arm_b_m,
        delay_a_ps=delay_a_ps, delay_b_ps=delay_b_ps, model=model, grade=grade, slot_ps=slot_ps,
        attenuation_db_per_km=keys.number("attenuation_db_per_km", 0.2, 0.0, 1e4),
        efficiency_a=keys.probability("efficiency_a", 1.0),
        efficiency_b=keys.probability("efficiency_b", 1.0),
        detector_efficiency=keys.probability("detector_efficiency", 1.0),
        dark_probability=keys.probability("dark_probability"),
        visibility=keys.probability("visibility", 1.0),
        coherence=keys.probability("coherence", 1.0),
        alpha=alpha,
        round_gap_ps=round_gap_ps,
    )  # fmt: skip
    _check_heralds(keys, link)
    return link


def _round_gap(keys: Section, slot_ps: int) -> int:
    gap_ps = keys.seconds("round_gap_s", min(ROUND_GAP_PS, slot_ps // 2))
    if gap_ps <= WINDOW_PS:
        raise (keys.get("round_gap_s") or keys.need("slot_s")).bad(
            f"the detectors are still open for the first round, which takes {WINDOW_PS / PS_PER_S:g} s",
            "make it longer",
        )
    if gap_ps + WINDOW_PS > slot_ps:
        raise (keys.get("round_gap_s") or keys.need("slot_s")).bad(
            f"the second round, {gap_ps / PS_PER_S:g} s after the first, does not fit into the slot",
            "make slot_s longer, or round_gap_s shorter",
        )
    return gap_ps


def _check_heralds(keys: Section, link: Link) -> None:
    """A link without any chance of a herald would keep its nodes trying for ever."""
    if link.dark_probability == 1.0:
        raise keys.need("dark_probability").bad(
            "detectors that always click tell nothing", "make it less than 1"
        )
    detection = [
        efficiency * link.detector_efficiency * link.fibre_transmission(end)
        for end, efficiency in (("a", link.efficiency_a), ("b", link.efficiency_b))
    ]
    clicks = detection[0] * detection[1] if link.model == "barrett-kok" else sum(detection)
    if clicks == 0.0 and link.dark_probability == 0.0:
        raise keys.item.bad(
            "the link can never herald: no photon is detected", "raise its efficiencies, or lower its losses"
        )


def _arms(keys: Section, speed_m_per_s: float) -> tuple[tuple[float, int], tuple[float, int]]:
    """Length and delay of both arms: each on its own, or the station midway."""
    if "length_m" in keys:
        keys.refuse(_ARMS, "length_m already says that the station is midway")
        half_m, delay_ps = _length(keys.need("length_m"), 2, speed_m_per_s)
        return (half_m, delay_ps), (half_m, delay_ps)
    if not any(arm in keys for arm in _ARMS):
        raise keys.item.bad("a link without a length", "add length_m, or arm_a_m and arm_b_m")
    return _length(keys.need("arm_a_m"), 1, speed_m_per_s), _length(keys.need("arm_b_m"), 1, speed_m_per_s)


def _length(item: Item, parts: int, speed_m_per_s: float) -> tuple[float, int]:
    """Length and delay of one of so many equal parts; at least a nanosecond each."""
    length_m = schema.number(item, -MAX_LENGTH_M, MAX_LENGTH_M)
    if length_m < 0:
        raise item.bad(f"the length {length_m:g} m is negative", "write a length in metres")
    # As the link models reckon it, to the last bit: photons must arrive when frames say they do.
    delay_ps = round(length_m / parts / speed_m_per_s * PS_PER_S)
    if delay_ps < LEAST_DELAY_PS:
        least_m = parts * LEAST_DELAY_PS * speed_m_per_s / PS_PER_S
        raise item.bad(
            f"{length_m:g} m{', halved by the station,' if parts == 2 else ''} take {delay_ps / 1e3:g} ns,"
            " and no delay may be under 1 ns",
            f"make it at least {least_m:g} m",
        )
    return length_m / parts, delay_ps
