"""The network layer in a scenario: how circuits are made, and pairs that are asked for between two nodes.

What may live here: the `circuits:` and `requests:` sections.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Final

from protocols.measuring import FULL
from protocols.qnp.service import Delivery
from protocols.wire.codec import EgpBases, PairKind
from testbed.scenario import nodes as node_section
from testbed.scenario import schema
from testbed.scenario.link_requests import BASES
from testbed.scenario.model import PURIFICATIONS, CircuitPolicy, Link, Node, Requests, joined
from testbed.scenario.nodes import WITH_DEVICE
from testbed.scenario.schema import Form, Section
from testbed.scenario.source import Item

MAX_PAIRS: Final = 1_000_000
MAX_AHEAD: Final = 0xFFFF
MAX_ROUNDS: Final = 4
MOST_BANKED: Final = 1_000
KINDS: Final = {kind.name.lower(): kind for kind in PairKind}
PAULI_BASES: Final = ("none", "xz", "xyz")
_LEAST_REFRESH_S: Final = 1e-6
_MOST_PAIRS_PER_S: Final = 4e6

_CIRCUITS: Final = Form(
    "circuits",
    "the circuits section",
    ("cutoff_s", "swapping", "purification", "link_rounds", "end_rounds", "pumping", "refresh_s"),
)
_REQUEST: Final = Form(
    "requests[]",
    "a request",
    (
        "from", "to", "among", "pairs", "minimum_fidelity", "at_s", "priority", "pairs_per_s", "max_time_s", "ahead",
        "every_s", "deliver", "bases", "remote_bases", "test_share", "cutoff_s", "bank_pairs", "bank_age_s",
    ),
)  # fmt: skip


def read(item: Item | None) -> CircuitPolicy:
    """How circuits are made."""
    if item is None:
        return CircuitPolicy()
    keys = Section(item, _CIRCUITS)
    method = 0
    if "purification" in keys:
        method = PURIFICATIONS.index(schema.choice(keys.need("purification"), PURIFICATIONS, "purification"))
    if method == 0:
        keys.refuse(["link_rounds", "end_rounds", "pumping"], "nothing is purified: name a method under purification")
    swapping = "asap"
    if "swapping" in keys:
        swapping = schema.choice(keys.need("swapping"), ("asap", "nested"), "order of swapping")
    return CircuitPolicy(
        cutoff_ps=keys.seconds("cutoff_s") if "cutoff_s" in keys else None,
        nested=swapping == "nested",
        method=method,
        link_rounds=keys.integer("link_rounds", 0, 0, MAX_ROUNDS) if "link_rounds" in keys else None,
        end_rounds=keys.integer("end_rounds", 0, 0, MAX_ROUNDS) if "end_rounds" in keys else None,
        pumping=schema.flag(keys.need("pumping")) if "pumping" in keys else False,
        refresh_ps=keys.seconds("refresh_s", 1_000_000_000_000, _LEAST_REFRESH_S),
    )


def requests(item: Item | None, nodes: Mapping[str, Node], links: Sequence[Link]) -> list[Requests]:
    """Pairs that nodes ask for."""
    read = []
    for entry in [] if item is None else schema.items(item, "requests"):
        keys = Section(entry, _REQUEST)
        for source, destination in _between(keys, nodes):
            if not joined(nodes.values(), links, source, destination):
                problem = (
                    f"no quantum link joins {source} and {destination}, and no chain of links with repeaters between"
                )
                raise (keys.get("among") or keys.need("to")).bad(problem, "add one under links")
            read.append(
                Requests(
                    source=source,
                    destination=destination,
                    pairs=keys.integer("pairs", None, 1, MAX_PAIRS),
                    minimum_fidelity=keys.probability("minimum_fidelity"),
                    at_ps=keys.seconds("at_s"),
                    priority=keys.integer("priority", 0, 0, 255),
                    pairs_per_s=keys.number("pairs_per_s", 0.0, 0.0, _MOST_PAIRS_PER_S),
                    max_time_ps=keys.seconds("max_time_s"),
                    ahead=keys.integer("ahead", 1, 1, MAX_AHEAD),
                    every_ps=keys.seconds("every_s"),
                    delivery=_delivery(keys),
                )
            )
    return read


def _delivery(keys: Section) -> Delivery:
    """What becomes of the pairs of a request."""
    kind = PairKind.KEEP
    if "deliver" in keys:
        kind = KINDS[schema.choice(keys.need("deliver"), KINDS, "way to deliver pairs")]
    if kind is not PairKind.KEEP:
        keys.refuse(["test_share", "bank_pairs", "bank_age_s"], "only pairs that are kept can be tested or banked")
    if "every_s" in keys:
        keys.refuse(["ahead"], "one is wanted every so often")
    bank = keys.integer("bank_pairs", 0, 0, MOST_BANKED)
    if not bank:
        keys.refuse(["bank_age_s"], "nothing is banked: say bank_pairs")
    else:
        keys.refuse(["test_share"], "pairs from a bank are not tested")
    bases, remote = (
        BASES[schema.choice(keys.need(key), options, "set of bases")] if key in keys else EgpBases.NONE
        # The head folds the Pauli frame into its outcomes, and that takes Pauli bases.
        for key, options in (("bases", PAULI_BASES), ("remote_bases", tuple(BASES)))
    )
    for key, chosen in (("bases", bases), ("remote_bases", remote)):
        if chosen and kind is not PairKind.MEASURE:
            keys.refuse([key], "the pairs are not measured")
    return Delivery(
        kind=kind,
        bases=bases,
        peer_bases=remote,
        test_share=round(keys.probability("test_share") * FULL),
        cutoff_ps=keys.seconds("cutoff_s") if "cutoff_s" in keys else None,
        bank=bank,
        bank_age_ps=keys.seconds("bank_age_s", None, 1e-9) if bank else 0,
    )


def _between(keys: Section, nodes: Mapping[str, Node]) -> list[tuple[str, str]]:
    """Who asks whom: one pair of nodes, or each among several with each that stands behind it."""
    if "among" not in keys:
        return [node_section.two(keys, "from", "to", nodes, WITH_DEVICE)]
    keys.refuse(["from", "to"], "the request is among all that `among` names")
    among = keys.need("among")
    names: list[str] = []
    for item in schema.items(among, "nodes"):
        name = node_section.name(item, nodes, WITH_DEVICE)
        if name in names:
            raise item.bad(f"{name} stands here twice", "name each node once")
        names.append(name)
    if len(names) < 2:
        raise among.bad(f"a request among {len(names)}", "name at least two nodes")
    return list(combinations(names, 2))
