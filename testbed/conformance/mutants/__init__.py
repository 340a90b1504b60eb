"""Mutants: nodes that are wrong on purpose, to prove that the scripts can fail.  Each breaks one requirement.

What may live here: the register of mutants.  A file per protocol holds them; `means` has the ways to spoil a node.

A mutant patches our own node in this process, for one performance in emulated time.  It is caught when a script that
decides its requirement does not pass.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib import import_module
from typing import NamedTuple

from testbed.conformance.scripts import FAMILIES

Wrong = AbstractContextManager[object]
"""While it is entered, our node is wrong."""

Spoil = Callable[[], Wrong]


class Mutant(NamedTuple):
    """A node with one fault."""

    name: str
    breaks: str
    """The requirement that it does not keep."""
    text: str
    spoil: Spoil


_found: dict[str, Mutant] = {}


def breaks(requirement: str) -> Callable[[Spoil], Spoil]:
    """Register a mutant for the requirement that it breaks."""

    def register(spoil: Spoil) -> Spoil:
        name = f"{spoil.__module__.rpartition('.')[2]}.{spoil.__name__}"
        _found[name] = Mutant(name, requirement, (spoil.__doc__ or "").strip(), spoil)
        return spoil

    return register


def load() -> dict[str, Mutant]:
    """Every mutant, by name, in the order of its file."""
    for family in FAMILIES:
        import_module(f"testbed.conformance.mutants.{family}")
    return _found
