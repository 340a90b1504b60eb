"""What came of keys: pairs, error rates, what their correction leaked, bits of key and how fast they came.

What may live here: figures of one entry of `keys:`, and the lines that a person reads.
"""

from math import sqrt
from typing import Any

from protocols.key.amplification import entropy
from testbed.report.outcome import Outcome
from testbed.rundir import Figure
from testbed.scenario import Scenario


def key_figures(scenario: Scenario, index: int, outcome: Outcome) -> tuple[list[Figure], list[str], list[str]]:
    """Figures for report.json, lines for people, and what is unfinished."""
    asked = scenario.keys[index]
    name, terms = f"{asked.source}-{asked.destination}-{index}", asked.terms
    here = outcome.results[asked.source].get(f"keys-{index}")
    if here is None:
        return [], [], [f"{asked.source}: its keys with {asked.destination} died with it"]
    there: dict[str, Any] = outcome.results.get(asked.destination, {}).get(f"keys-{index}", {"digests": {}})
    blocks = here["blocks"]
    good = [block for block in blocks if not block["why"]]
    keys = len(here["digests"])
    equal = sum(there["digests"].get(key_id) == digest for key_id, digest in here["digests"].items())
    figures = [
        Figure("keys_made", name, keys, "1", terms.total or keys),
        Figure("keys_equal", name, equal, "1", keys),
        Figure("blocks_given_up", name, len(blocks) - len(good), "1", len(blocks)),
        *_of_blocks(name, blocks, good),
    ]
    elapsed_s = (here["ended_ps"] - here["began_ps"]) * 1e-12
    if elapsed_s:
        rate = keys * terms.key_bits / elapsed_s
        figures.append(Figure("key_rate", name, rate, "bit/s", len(blocks)))
    unfinished = []
    if "failed" in here:
        unfinished.append(f"{asked.source}: keys with {asked.destination}: {here['failed']}: {here['why']}")
    elif keys and equal < keys:
        unfinished.append(f"{asked.destination}: {keys - equal} of {keys} keys with {asked.source} are not there")
    ways = f"keys {asked.source} -> {asked.destination}"
    wanted = f" of {terms.total}" if terms.total else ""
    lines = [f"{ways}: {keys}{wanted} keys of {terms.key_bits} bits, {equal} equal at both ends"]
    told = [figure for figure in figures if figure.name in _WORDS]
    lines += [f"  {_WORDS[figure.name]:47} {figure.value:.6g}{_bar(figure)}" for figure in told]
    return figures, lines, unfinished


_WORDS = {
    "key_pairs": "pairs measured by both",
    "key_sifted": "of these in Z by both, of which keys are made",
    "key_qber_z": "error rate in Z (corrected)",
    "key_qber_x": "error rate in X (tested)",
    "key_leak": "bits said to correct them",
    "key_efficiency": "f: these over n h(Q)",
    "key_bits": "bits of key after privacy amplification",
    "key_rate": "bits of key per second",
    "blocks_given_up": "blocks given up",
}


def _bar(figure: Figure) -> str:
    return "" if figure.stderr is None else f" +- {figure.stderr:.2g}"


def _of_blocks(name: str, blocks: list[dict[str, Any]], good: list[dict[str, Any]]) -> list[Figure]:
    """Of all blocks together; of those that made keys, what was corrected."""

    def over(which: list[dict[str, Any]], key: str) -> int:
        return sum(block[key] for block in which)

    figures = [
        Figure("key_pairs", name, over(blocks, "pairs"), "1", len(blocks)),
        Figure("key_sifted", name, over(blocks, "sifted"), "1", over(blocks, "pairs")),
    ]
    tested, sifted = over(blocks, "tested"), over(good, "sifted")
    if tested:
        figures.append(_share("key_qber_x", name, over(blocks, "x_errors"), tested))
    if sifted:
        leak, wrong = over(good, "leak"), over(good, "z_errors")
        figures.append(_share("key_qber_z", name, wrong, sifted))
        figures.append(Figure("key_leak", name, leak, "bit", sifted))
        if wrong:
            figures.append(Figure("key_efficiency", name, leak / (sifted * entropy(wrong / sifted)), "1", sifted))
    figures.append(Figure("key_bits", name, over(good, "length"), "bit", len(good)))
    return figures


def _share(figure: str, name: str, errors: int, n: int) -> Figure:
    """A rate, and its standard error; of none, as if there had been one."""
    share = errors / n
    return Figure(figure, name, share, "1", n, sqrt(max(share, 1 / n) * (1 - share) / n))
