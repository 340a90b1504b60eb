"""Secret keys in a scenario: which nodes make some with each other, and of what.

What may live here: the `keys:` section.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from protocols.key.service import (
    FULL,
    LEAST_KEY_BITS,
    MOST_BLOCK,
    MOST_CORRECTNESS,
    MOST_KEY_BITS,
    MOST_KEYS,
    MOST_SECRECY,
    NAMED_SESSIONS,
    Terms,
)
from testbed.scenario import nodes as node_section
from testbed.scenario import schema
from testbed.scenario.model import KeyRequest, Link, Node, joined
from testbed.scenario.nodes import WITH_DEVICE
from testbed.scenario.schema import Form, Section
from testbed.scenario.source import Item

_USUAL: Final = Terms()
_LEAST_SHARE: Final = 1e-6

_KEYS: Final = Form(
    "keys[]",
    "an entry of keys",
    (
        "from", "to", "keys", "for_s", "key_bits", "block_pairs", "x_share", "secrecy_bits", "correctness_bits",
        "max_qber", "patience", "minimum_fidelity", "at_s",
    ),
)  # fmt: skip


def read(item: Item | None, nodes: Mapping[str, Node], links: Sequence[Link]) -> list[KeyRequest]:
    """Keys that nodes make."""
    entries = [] if item is None else schema.items(item, "keys")
    if len(entries) > NAMED_SESSIONS and item is not None:
        raise item.bad(f"{len(entries)} entries", f"write {NAMED_SESSIONS} at most")
    return [_entry(Section(entry, _KEYS), nodes, links) for entry in entries]


def _entry(keys: Section, nodes: Mapping[str, Node], links: Sequence[Link]) -> KeyRequest:
    source, destination = node_section.two(keys, "from", "to", nodes, WITH_DEVICE)
    if not joined(nodes.values(), links, source, destination):
        problem = f"no quantum link joins {source} and {destination}, and no chain of links with repeaters between"
        raise keys.need("to").bad(problem, "add one under links")
    for_ps = 0
    if "for_s" in keys:
        keys.refuse(["keys"], "as many are made as there are within for_s")
        for_ps = keys.seconds("for_s", None, 1e-9)
    total = 0 if for_ps else keys.integer("keys", None, 1, MOST_KEYS)
    key_bits = keys.integer("key_bits", _USUAL.key_bits, LEAST_KEY_BITS, MOST_KEY_BITS)
    if key_bits % 8:
        raise keys.need("key_bits").bad("keys are whole bytes", "write a multiple of 8")
    x_share = keys.number("x_share", 0.5, _LEAST_SHARE, 1 - _LEAST_SHARE)
    terms = Terms(
        block_pairs=keys.integer("block_pairs", _USUAL.block_pairs, 1, MOST_BLOCK),
        x_chance=round(x_share * FULL),
        key_bits=key_bits,
        secrecy=keys.integer("secrecy_bits", _USUAL.secrecy, 1, MOST_SECRECY),
        correctness=keys.integer("correctness_bits", _USUAL.correctness, 1, MOST_CORRECTNESS),
        most_errors=keys.number("max_qber", _USUAL.most_errors, 0.0, 1.0),
        total=total,
        patience=keys.integer("patience", _USUAL.patience, 1, 1_000),
    )
    return KeyRequest(source, destination, terms, keys.probability("minimum_fidelity"), keys.seconds("at_s"), for_ps)
