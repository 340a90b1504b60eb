"""docs/links.md, and the table of link keys in docs/scenarios.md, written from the records in link_types.py.

`python -m testbed.scenario.pages` writes both; a test compares them.
"""

from pathlib import Path
from typing import Final

from testbed.scenario.link_types import KEYS, LINK_TYPES, Key, LinkType

DOCS: Final = Path(__file__).parents[2] / "docs"
BEGIN: Final = "<!-- from here to the next such line: written by `python -m testbed.scenario.pages` -->\n"
END: Final = "<!-- end -->\n"
_EXAMPLE: Final = "barrett-kok"
"""The type of the example in scenarios.md, on which a test tries the defaults of its table."""


def links_page() -> str:
    """docs/links.md as a whole."""
    every = [key for key in KEYS if all(key in known.keys for known in LINK_TYPES.values())]
    parts = [_INTRODUCTION, "| model | what it is |\n|---|---|\n"]
    parts += [f"| [`{known.name}`](#{known.name}) | {known.summary} |\n" for known in LINK_TYPES.values()]
    parts += ["\n## Keys that every model knows\n\n", *_table(every), _AFTER_TABLE]
    parts += [_section(known, every) for known in LINK_TYPES.values()]
    return "".join(parts)


def keys_table() -> str:
    """The rows for scenarios.md: every key, with the models that know it."""
    rows = ["| key | default | meaning |\n|---|---|---|\n"]
    for key in KEYS.values():
        models = [known.name for known in LINK_TYPES.values() if key.name in known.keys]
        default = _default(key)
        if _EXAMPLE not in models and key.default is not None:
            default += " where it has a meaning"
        where = "" if len(models) == len(LINK_TYPES) else f". `{'`, `'.join(models)}` only"
        rows.append(f"| `{key.name}` | {default} | {key.doc}{where} |\n")
    return "".join(rows)


def scenarios_page(text: str) -> str:
    """docs/scenarios.md with its generated part renewed."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + "\n" + keys_table() + "\n" + END + after


def _section(known: LinkType, every: list[str]) -> str:
    lines = [
        f"\n## {known.name}\n\n{known.summary[0].upper()}{known.summary[1:]}. {known.attempt}\n\n",
        f"- p: {known.probability}\n- F: {known.fidelity}\n- interval: {known.interval}\n- source: {known.source}\n",
    ]
    own = [key for key in known.keys if key not in every]
    absent = [key for key in every if key not in known.keys]
    assert not absent
    refused = [f"`{key}` ({reason})" for key, reason in known.refusals.items()]
    lines += ["\n", *_table(own)] if own else []
    lines += [f"\nRefused: {'; '.join(refused)}.\n"] if refused else []
    return "".join(lines)


def _table(names: list[str]) -> list[str]:
    rows = ["| key | default | from the device | meaning |\n|---|---|---|---|\n"]
    for name in names:
        key = KEYS[name]
        network = f"`network.{key.network}`" if key.network else ""
        rows.append(f"| `{name}` | {_default(key)} | {network} | {key.doc} |\n")
    return rows


def _default(key: Key) -> str:
    if key.default is None:
        return "needed"
    if isinstance(key.default, bool):
        return str(key.default).lower()
    return key.default if isinstance(key.default, str) else f"{key.default:g}"


_INTRODUCTION: Final = """# Links

Every heralded link is of one of these models, in the grade `sampled` (the first success, its time and its state drawn
from the exact law) or `photonic` (every photon an event). Both are the same physics; `bellwire validate link` compares
them with each other and with published figures.

"""
_AFTER_TABLE: Final = """
A key that stands in the link counts; otherwise what the `network` section of the device at that end says (see
[devices.md](devices.md)), if the model's ends emit; otherwise the default.

In the formulas a, b (or pA, pB) are the probabilities that a photon of an end makes a detector click: efficiency ·
conversion · 10^(−dB/10) · detector efficiency. P (p_dc) is a dark count's per detector and window, noise of converters
and transducers included; M the photons' visibility; T the transmission; τ_l the delay of the whole link and τ_0 the
time of an emission. Fidelities are at emission; the report also has them when the heralds have arrived.
"""


def main() -> None:
    """Write both pages."""
    (DOCS / "links.md").write_text(links_page())
    scenarios = DOCS / "scenarios.md"
    scenarios.write_text(scenarios_page(scenarios.read_text()))


if __name__ == "__main__":
    main()
