"""What a node is at a moment, as one value: to show that something has changed nothing.

What may live here: walking its services and machines.  Counters, traces and clocks are no state of a protocol.
"""

from collections import deque
from enum import Enum
from typing import Any, Final

from stack.runtime.kernel import Kernel

_ROOMS: Final = ("protocols.", "stack.")
_LEFT_OUT: Final = frozenset({"kernel", "_kernel", "counters", "results", "_outputs", "outputs"})


def snapshot(node: Any) -> Any:
    """Equal for a node in which nothing has changed; of nested tuples."""
    return _frozen(node, set())


def _frozen(value: Any, seen: set[int]) -> Any:
    if isinstance(value, int | str | bytes | float | Enum | type(None)):
        return value
    if isinstance(value, Kernel) or id(value) in seen:
        return None
    if isinstance(value, dict):
        seen.add(id(value))
        return tuple((_frozen(key, seen), _frozen(item, seen)) for key, item in value.items())
    if isinstance(value, tuple | list | deque):
        return tuple(_frozen(item, seen) for item in value)
    if isinstance(value, set | frozenset):
        return frozenset(_frozen(item, seen) for item in value)
    if type(value).__module__.startswith(_ROOMS):
        seen.add(id(value))
        names = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
        names += list(getattr(value, "__dict__", ()))
        return type(value).__name__, tuple(
            (name, _frozen(getattr(value, name, None), seen)) for name in names if name not in _LEFT_OUT
        )
    return None  # functions, generators, what trio has
