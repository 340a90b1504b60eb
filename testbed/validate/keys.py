"""Area `keys`: error rates of whole sessions of keys against what composing states must give, and lengths of keys
against the formula as published.

A row of errors is a run of the real stack under the `local` clock: a chain of repeaters, and one block of a session.
"""

import tempfile
from dataclasses import replace
from math import sqrt
from pathlib import Path
from typing import Any, Final

from protocols.key.amplification import key_length
from protocols.key.service import FULL, Terms
from testbed.lab.local import run_local
from testbed.plan.compose import compose
from testbed.scenario.model import KeyRequest
from testbed.validate import chains
from testbed.validate.table import Measurement, Parameter, Parameters, Table

ROWS: Final = Path(__file__).with_name("keys.yaml")
_MOST_BITS: Final = 1_000_000
_USED: Final = ("hops", "pairs", "link_fidelity", "visibility", "gate_2q_fidelity", "readout_error")


def _block(values: Parameters, seed: int) -> dict[str, Any]:
    """The figures of one block; its terms are the weakest, so that few pairs make a key."""
    with tempfile.TemporaryDirectory(prefix="bellwire-validate-") as folder:
        scenario = chains.scenario({name: values[name] for name in _USED}, seed, Path(folder))
    terms = Terms(
        block_pairs=chains.whole(values, "pairs", 10_000),
        x_chance=round(float(values["x_share"]) * FULL),
        key_bits=8,
        secrecy=1,
        correctness=1,
        most_errors=1.0,
        total=1,
        patience=1,
    )
    ends = scenario.requests[0]
    wanted = KeyRequest(ends.source, ends.destination, terms)
    outcome = run_local(compose(replace(scenario, requests=(), keys=(wanted,)), "local", []), None, {})
    blocks = outcome.results[ends.source]["keys-0"]["blocks"]
    if not blocks:
        raise ValueError("there are no pairs")
    found: dict[str, Any] = blocks[0]
    return found


def _x(values: Parameters, seed: int) -> Measurement:
    found = _block(values, seed)
    return _share(found["x_errors"], found["tested"])


def _z(values: Parameters, seed: int) -> Measurement:
    found = _block(values, seed)
    if found["why"]:
        raise ValueError(f"nothing was corrected: {found['why']}; ask for more pairs, or better ones")
    return _share(found["z_errors"], found["sifted"])


def _share(wrong: int, n: int) -> Measurement:
    """Exact, if there is nothing to count."""
    share = wrong / n
    return Measurement(share, sqrt(share * (1 - share) / n) if wrong else None, n, 1.0 if wrong else None)


def _length(values: Parameters, seed: int) -> Measurement:
    """What the machines make of such figures."""
    n, k, errors, leak, secrecy, correctness = (int(values[p.name]) for p in _LENGTH)
    return Measurement(key_length(n, k, errors, leak, secrecy, correctness))


def _check_length(values: Parameters) -> None:
    for name in ("n", "k"):
        chains.whole(values, name, _MOST_BITS)
    for name in ("errors", "leak"):
        chains.whole(values, name, _MOST_BITS, 0)
    for name in ("secrecy_bits", "correctness_bits"):
        chains.whole(values, name, 255)
    if int(values["errors"]) > int(values["k"]):
        raise ValueError("errors: more than are tested")


def _check_block(values: Parameters) -> None:
    if not 0 < float(values["x_share"]) < 1:
        raise ValueError("x_share: it lies between 0 and 1")
    chains.check_chain({name: values[name] for name in _USED} | {"end_rounds": 0})


_PAIRS: Final = Parameter("pairs", "pairs", "in the block", 1_500)
_CHAIN: Final = (
    *(_PAIRS if column.name == "pairs" else column for column in chains.COLUMNS if column.name in _USED),
    Parameter("x_share", "probability", "of a measurement to be in X", 0.5),
)
_LENGTH: Final = (
    Parameter("n", "bits", "measured in Z by both ends"),
    Parameter("k", "bits", "measured in X by both ends"),
    Parameter("errors", "bits", "of these that differ", 0),
    Parameter("leak", "bits", "said to correct those in Z", 0),
    Parameter("secrecy_bits", "bits", "s: e_sec = 2^-s", 33),
    Parameter("correctness_bits", "bits", "c: e_cor = 2^-c", 50),
)

TABLES: Final = (
    Table("key-qber-x", "share of tested bits, in X, that differ", _CHAIN, _x, _check_block),
    Table("key-qber-z", "share of corrected bits, in Z, that differed", _CHAIN, _z, _check_block),
    Table("key-length", "bits of key in a block", _LENGTH, _length, _check_length),
)
