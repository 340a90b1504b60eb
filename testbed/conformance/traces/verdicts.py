"""What a trace shows of each requirement, as results like those of scripts.

What may live here: from a file to results; which keys its frames are likely to have.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from protocols.wire.keys import derive_key
from testbed.conformance.results import FAIL, INCONCLUSIVE, PASS, Result
from testbed.conformance.traces import load, looked
from testbed.conformance.traces.capture import read
from testbed.conformance.traces.trace import Key, Trace

_SHOWN: Final = 5
"""Places that a result names."""


def read_trace(path: Path, key: Key) -> Trace:
    """Raises BadInput."""
    return Trace(read(path), key)


def keys_of(path: Path, key: bytes | None, seed: int | None) -> Key:
    """One key for all, or those that follow from a seed: the one given, or that of the run whose folder this is."""
    if key is not None:
        return lambda a, b: key
    if seed is None:
        seed = _seed_of_run(path.parent)
    if seed is None:
        return lambda a, b: None
    return lambda a, b: derive_key(seed, a, b)


def _seed_of_run(folder: Path) -> int | None:
    """In wall time keys are drawn by chance."""
    try:
        seed = json.loads((folder / "report.json").read_text())["seed"]
        paced = json.loads((folder / "run.json").read_text()).get("clock") == "paced"
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return None if paced else int(seed)


def judged(trace: Trace, nodes: Iterable[int] = ()) -> list[Result]:
    """Every rule, for these nodes or for all."""
    results = []
    for rule in load().values():
        shown, broken = looked(rule, trace, nodes)
        if broken:
            verdict, why = FAIL, f"node {broken[0].node}: {broken[0].why} (frame {_numbers(broken[0].frames)})"
        elif shown:
            verdict, why = PASS, f"kept to {len(shown)} times"
        else:
            verdict, why = INCONCLUSIVE, "the trace shows nothing of it"
        evidence = [f"frame {_numbers(one.frames)}: node {one.node}: {one.why}" for one in broken[:_SHOWN]]
        evidence += [f"frame {_numbers(one.frames)}: node {one.node} keeps to it" for one in shown[:_SHOWN]]
        results.append(Result(rule.name, rule.decides, verdict, why, tuple(evidence)))
    return results


def _numbers(frames: tuple[int, ...]) -> str:
    return ", ".join(map(str, frames))
