"""Typed access to a tree of items: every key known, every value of its type and in its range, or BadInput.

What may live here: readers for one kind of value each (a name, a number, seconds, metres, a choice), and
Form and Section, the mapping whose keys are all accounted for. Nothing here knows a particular section of a scenario.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite
from typing import NoReturn

from testbed.errors import BadInput, listed, nearest, shown
from testbed.scenario.source import Item

PS_PER_S = 10**12
MAX_S = 1e6
"""Eleven days: longer than any run, and well inside the 106 days that 63 bits of picoseconds hold."""

# A name becomes a log file, an interface of the trace and part of an MQTT topic.
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")

_KINDS = {
    bool: "true or false", int: "a whole number", float: "a number", str: "text", list: "a list",
    dict: "a section of keys", type(None): "nothing",
}  # fmt: skip


def found(item: Item) -> str:
    """How an error message names what stands in place of something else."""
    value = item.value
    if isinstance(value, str):
        return f"the text {shown(value)}"
    if isinstance(value, list | dict) or value is None:
        return _KINDS[type(value)]
    if isinstance(value, bool):
        return str(value).lower()
    return shown(value)


def _wrong(item: Item, expected: str, remedy: str) -> BadInput:
    return item.bad(f"expected {expected}, found {found(item)}", remedy)


def text(item: Item, expected: str = "text") -> str:
    """Any text that is not empty."""
    if not isinstance(item.value, str) or not item.value.strip():
        raise _wrong(item, expected, "write it as text, in quotes if it looks like something else")
    return item.value


def name(item: Item, of: str) -> str:
    """A name: a letter, then letters, digits, `-` and `_`."""
    value = text(item, f"the name of a {of}")
    check_name(item, value)
    return value


def check_name(item: Item, value: str) -> None:
    """Raise BadInput unless `value` can name something."""
    if not _NAME.fullmatch(value):
        raise item.bad(
            f"{shown(value)} cannot be a name", "use a letter, then up to 31 letters, digits, `-` or `_`"
        )


def choice(item: Item, options: Collection[str], what: str) -> str:
    """One word of a given few."""
    value = text(item, f"one of {listed(list(options))}")
    if value not in options:
        unknown(item, value, options, what)
    return value


def unknown(item: Item, value: str, known: Collection[str], what: str) -> NoReturn:
    """Raise BadInput for a word that stands for nothing, with the word that was most likely meant."""
    meant = nearest(value, list(known))
    if meant:
        remedy = f"did you mean {shown(meant)}?"
    elif known:
        remedy = f"known: {listed(list(known))}"
    else:
        remedy = "there is none here yet"
    raise item.bad(f"unknown {what} {shown(value)}", remedy)


def flag(item: Item) -> bool:
    if not isinstance(item.value, bool):
        raise _wrong(item, "true or false", "write true or false, without quotes")
    return item.value


def integer(item: Item, least: int, most: int) -> int:
    value = item.value
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(item, "a whole number", f"write a whole number from {least} to {most}")
    if not least <= value <= most:
        raise item.bad(
            f"{shown(value)} is {'less than ' + str(least) if value < least else 'more than ' + str(most)}",
            f"write a whole number from {least} to {most}",
        )
    return value


def number(item: Item, least: float, most: float, too_little: Callable[[float], str] | None = None) -> float:
    """A finite number in a range, both ends included; ``too_little`` says what is wrong with one below it, if that
    takes more words."""
    value = item.value
    allowed = f"write a number from {least:g} to {most:g}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        # "2 m" and "5 ns" are the usual cause.
        raise _wrong(item, "a number", f"{allowed} (the unit stands in the key)")
    # An integer may lie beyond every float; it is compared as it is.
    if isinstance(value, float) and not isfinite(value):
        raise item.bad(f"{shown(value)} is not a finite number", allowed)
    if value < least and too_little is not None:
        raise item.bad(too_little(float(value)), allowed)
    if not least <= value <= most:
        raise item.bad(f"{shown(value)} is {'less' if value < least else 'more'} than "
                       f"{least if value < least else most:g}", allowed)  # fmt: skip
    return float(value)


def seconds(item: Item, least: float = 0.0, most: float = MAX_S) -> int:
    """Seconds as whole picoseconds, rounded from the decimal as written, not from its binary neighbour."""
    return int((Decimal(repr(number(item, least, most))) * PS_PER_S).to_integral_value())


def items(item: Item, of: str) -> list[Item]:
    if not isinstance(item.value, list):
        raise _wrong(item, f"a list of {of}", "write `- ` before each, or put them in [ ]")
    return item.value


def entries(item: Item, of: str) -> dict[str, Item]:
    """A mapping whose keys are names."""
    if not isinstance(item.value, dict):
        raise _wrong(item, f"{of} by name", "write `name:` and below it, indented, its keys")
    for key, value in item.value.items():
        check_name(value, key)
    return item.value


FORMS: dict[str, "Form"] = {}
"""Every form by its path. A test holds docs/scenarios.md against them: a key that it does not explain fails."""


@dataclass(frozen=True, slots=True)
class Form:
    """Which keys a kind of section may hold.

    `path` is where such sections stand, and the heading in docs/scenarios.md: `links.NAME`, `faults[]`, `` for the
    whole file. `what` names one in messages: "a link".
    """

    path: str
    what: str
    keys: tuple[str, ...]

    def __post_init__(self) -> None:
        FORMS[self.path] = self


class Section:
    """A mapping with the keys of a form. An unknown key is an error as soon as the section is opened."""

    def __init__(self, item: Item, form: Form) -> None:
        self.item = item
        self.what = form.what
        if not isinstance(item.value, dict):
            raise _wrong(item, self.what, f"its keys are {listed(list(form.keys), 30)}")
        self._values: Mapping[str, Item] = item.value
        for key, value in self._values.items():
            if key not in form.keys:
                unknown(value, key, form.keys, f"key of {self.what}")

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def get(self, key: str) -> Item | None:
        return self._values.get(key)

    def need(self, key: str) -> Item:
        if key not in self._values:
            raise self.item.bad(f"{self.what} without {shown(key)}", f"add the key {key}")
        return self._values[key]

    def refuse(self, keys: Collection[str], reason: str) -> None:
        """Raise BadInput if one of the keys is there though another value gives it no meaning."""
        for key in keys:
            if key in self._values:
                raise self._values[key].bad(f"{shown(key)} has no meaning here: {reason}", "remove it")

    def integer(self, key: str, default: int | None, least: int, most: int) -> int:
        """Without a default the key is needed; so below."""
        if default is not None and key not in self._values:
            return default
        return integer(self.need(key), least, most)

    def number(self, key: str, default: float | None, least: float, most: float) -> float:
        if default is not None and key not in self._values:
            return default
        return number(self.need(key), least, most)

    def probability(self, key: str, default: float | None = 0.0) -> float:
        return self.number(key, default, 0.0, 1.0)

    def seconds(self, key: str, default_ps: int | None = 0, least: float = 0.0, most: float = MAX_S) -> int:
        if default_ps is not None and key not in self._values:
            return default_ps
        return seconds(self.need(key), least, most)
