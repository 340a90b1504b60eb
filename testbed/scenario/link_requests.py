"""Load on links: requests that programs make of the link layer directly, at random times.

What may live here: the `link_requests:` section, and the published mixes of classes.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from protocols.wire.codec import EgpBases, EgpKind
from testbed.scenario import schema
from testbed.scenario.model import Link, LinkLoad, LoadClass, Node
from testbed.scenario.schema import Form, Section
from testbed.scenario.source import Item

MIXES: Final[dict[str, tuple[float, float, float]]] = {
    "uniform": (1 / 3, 1 / 3, 1 / 3),
    "more-nl": (4 / 6, 1 / 6, 1 / 6),
    "more-ck": (1 / 6, 4 / 6, 1 / 6),
    "more-md": (1 / 6, 1 / 6, 4 / 6),
    "no-nl-more-ck": (0.0, 4 / 5, 1 / 5),
    "no-nl-more-md": (0.0, 1 / 5, 4 / 5),
}
"""Shares of NL, CK and MD in the load: the usage patterns of Dahlberg et al., SIGCOMM 2019."""

_PAIRS: Final = {"NL": 2, "CK": 2, "MD": 10}
"""Pairs per request, as in the published comparison of schedulers."""

KINDS: Final = {"keep": EgpKind.KEEP, "measure": EgpKind.MEASURE, "prepare": EgpKind.REMOTE}
BASES: Final = {"none": EgpBases.NONE, "xz": EgpBases.XZ, "xyz": EgpBases.XYZ, "chsh": EgpBases.CHSH}

MOST_LOAD: Final = 100.0
MOST_CLASSES: Final = 16

_LOAD: Final = Form(
    "link_requests[]",
    "a load",
    ("link", "load", "for_s", "from", "mix", "minimum_fidelity", "classes"),
)
_CLASS: Final = Form(
    "link_requests[].classes[]",
    "a class",
    (
        "name", "kind", "share", "pairs", "minimum_fidelity", "priority", "atomic", "consecutive", "max_time_s",
        "bases", "remote_bases",
    ),
)  # fmt: skip


def read(item: Item | None, nodes: Mapping[str, Node], links: Sequence[Link]) -> list[LinkLoad]:
    """Loads, each on a link of its own."""
    read: dict[str, LinkLoad] = {}
    for entry in [] if item is None else schema.items(item, "link_requests"):
        load = _load(entry, links)
        if load.link in read:
            raise entry.bad(f"a second load on {load.link}", "put its classes into the first")
        read[load.link] = load
    return list(read.values())


def _load(item: Item, links: Sequence[Link]) -> LinkLoad:
    keys = Section(item, _LOAD)
    link = schema.choice(keys.need("link"), [link.name for link in links], "link")
    minimum = keys.probability("minimum_fidelity")
    if "classes" in keys:
        keys.refuse(["mix"], "the classes have their shares")
        entries = schema.items(keys.need("classes"), "classes")
        classes = [_class(entry, minimum, 1 / len(entries)) for entry in entries]
        if not 1 <= len(classes) <= MOST_CLASSES:
            raise keys.need("classes").bad(f"{len(classes)} classes", f"name 1 to {MOST_CLASSES}")
        if len({c.name for c in classes}) < len(classes):
            raise keys.need("classes").bad("two classes of one name", "give each its own")
    else:
        name = schema.choice(keys.need("mix"), MIXES, "mix") if "mix" in keys else "uniform"
        classes = list(mix(name, minimum))
    wanted = schema.choice(keys.need("from"), ("a", "b", "both"), "end") if "from" in keys else "both"
    return LinkLoad(
        link=link,
        load=keys.number("load", None, 1e-6, MOST_LOAD),
        for_ps=keys.seconds("for_s", None, 1e-9),
        ends=("a", "b") if wanted == "both" else (wanted,),
        classes=tuple(classes),
    )


def mix(name: str, minimum_fidelity: float = 0.0) -> list[LoadClass]:
    """NL, CK and MD in the shares of a published mix; a class without a share is left out."""
    classes = []
    for priority, (of, share) in enumerate(zip(_PAIRS, MIXES[name], strict=True)):
        kind, bases = (EgpKind.MEASURE, EgpBases.XYZ) if of == "MD" else (EgpKind.KEEP, EgpBases.NONE)
        if share:
            classes.append(LoadClass(of, kind, share, _PAIRS[of], minimum_fidelity, priority, bases, bases))
    return classes


def _class(item: Item, minimum: float, even: float) -> LoadClass:
    keys = Section(item, _CLASS)
    kind = KINDS[schema.choice(keys.need("kind"), KINDS, "kind of request") if "kind" in keys else "keep"]
    bases, remote = (
        BASES[schema.choice(keys.need(key), BASES, "set of bases")] if key in keys else EgpBases.NONE
        for key in ("bases", "remote_bases")
    )
    if kind == EgpKind.KEEP and bases:
        keys.refuse(["bases"], "the pairs are kept")
    if kind != EgpKind.MEASURE and remote:
        keys.refuse(["remote_bases"], "the other node keeps its half")
    return LoadClass(
        name=schema.name(keys.need("name"), "class"),
        kind=kind,
        share=keys.number("share", even, 1e-6, 1.0),
        pairs=keys.integer("pairs", 1, 1, 0xFFFF),
        minimum_fidelity=keys.probability("minimum_fidelity", minimum),
        priority=keys.integer("priority", 0, 0, 255),
        bases=bases,
        remote_bases=remote,
        atomic=schema.flag(keys.need("atomic")) if "atomic" in keys else False,
        consecutive=schema.flag(keys.need("consecutive")) if "consecutive" in keys else False,
        max_time_ps=keys.seconds("max_time_s"),
    )
