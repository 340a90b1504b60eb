"""Scripts: each plays one short story around an implementation and decides one or more requirements.

What may live here: the register of scripts.  A file per protocol holds them.
"""

from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any, Final, NamedTuple

from testbed.conformance.scene import Scene

FAMILIES: Final = (
    *("frame", "echo", "reliable", "mhp", "egp", "srp", "ttp", "lsr", "dev", "dev_links"),
    *("qnp", "qnp_relay", "qtp", "rgp", "job", "job_lease", "job_control", "key"),
)
"""Files of scripts, and of the mutants that they catch."""

Act = Callable[[Any], Awaitable[None]]
"""It takes what it stands on: a `Stage`, or for devices a `Bench`."""


class Script(NamedTuple):
    """One story; it passes, or raises NotMet."""

    name: str
    decides: tuple[str, ...]
    scene: Scene
    act: Act
    text: str
    outside: bool
    """It needs neither user nor devices of the implementation."""
    patient: bool
    """It takes many minutes; in emulated time, nothing."""
    emulated: bool = False
    """Its times are finer than any host keeps them: it is for emulated time only."""


class ScriptError(Exception):
    """A script that decides nothing, or does not say what it does."""


_found: dict[str, Script] = {}


def decides(
    *requirements: str, scene: Scene, outside: bool = False, patient: bool = False, emulated: bool = False
) -> Callable[[Act], Act]:
    """Register a script for the requirements that it decides; raises ScriptError."""

    def register(act: Act) -> Act:
        name = f"{act.__module__.rpartition('.')[2]}.{act.__name__}"
        if not requirements:
            raise ScriptError(f"{name} decides nothing")
        if not act.__doc__:
            raise ScriptError(f"{name} does not say what it does")
        _found[name] = Script(name, requirements, scene, act, (act.__doc__ or "").strip(), outside, patient, emulated)
        return act

    return register


def load() -> dict[str, Script]:
    """Every script, by name, in the order of its file."""
    for family in FAMILIES:
        import_module(f"testbed.conformance.scripts.{family}")
    return _found
