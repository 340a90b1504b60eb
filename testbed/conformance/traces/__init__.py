"""Verdicts from traces: rules that look at what nodes said, and at nothing else.

What may live here: the register of rules, and how findings become verdicts.  `capture` reads files, `trace` puts frames
together; a file per layer holds the rules.

A rule is sound, not complete: what it calls wrong is wrong, whatever else was said; of what it does not see it says
nothing.  It yields what it found in order (`Shown`) and what it found wrong (`Broken`).  A requirement of which a trace
shows nothing is inconclusive, never met.
"""

from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from testbed.conformance.traces.trace import Trace

FILES: Final = ("frames", "streams", "links", "networks", "keys")


class Shown(NamedTuple):
    """One place where a node kept to a requirement; `frames` by their numbers in the file."""

    node: int
    frames: tuple[int, ...]


class Broken(NamedTuple):
    """One where it did not."""

    node: int
    why: str
    frames: tuple[int, ...]


Found = Iterator[Shown | Broken]
Look = Callable[["Trace"], Found]


class Rule(NamedTuple):
    """What a trace can show of some requirements."""

    name: str
    decides: tuple[str, ...]
    look: Look
    text: str


_found: dict[str, Rule] = {}


def shows(*requirements: str) -> Callable[[Look], Look]:
    """Register a rule for the requirements that it decides."""

    def register(look: Look) -> Look:
        name = f"{look.__module__.rpartition('.')[2]}.{look.__name__}"
        _found[name] = Rule(name, requirements, look, (look.__doc__ or "").strip())
        return look

    return register


def load() -> dict[str, Rule]:
    """Every rule, by name, in the order of its file."""
    for name in FILES:
        import_module(f"testbed.conformance.traces.{name}")
    return _found


def looked(rule: Rule, trace: "Trace", nodes: Iterable[int] = ()) -> tuple[list[Shown], list[Broken]]:
    """What a rule finds of these nodes, or of all."""
    chosen = set(nodes)
    shown: list[Shown] = []
    broken: list[Broken] = []
    for finding in rule.look(trace):
        if not chosen or finding.node in chosen:
            if isinstance(finding, Shown):
                shown.append(finding)
            else:
                broken.append(finding)
    return shown, broken
