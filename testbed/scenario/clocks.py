"""Clocks: the keys of a node's oscillator, and the named ones that lie as files in testbed/oscillators/.

What may live here: everything that turns the text of a clock into a Clock. A clock is named, or written in place, or
both: what is written beside `oscillator` counts instead of what the file says.
"""

from pathlib import Path
from typing import Final

from testbed.scenario import schema
from testbed.scenario.model import Clock
from testbed.scenario.schema import Form, Section
from testbed.scenario.source import Item, load_yaml

FOLDER: Final = Path(__file__).parent.parent / "oscillators"

_FORM: Final = Form("nodes.NAME.clock", "a clock", (
    "oscillator", "offset_s", "rate_ppm", "offset_sigma_s", "accuracy_ppm", "drift_ppm_per_day", "allan_1s",
    "allan_floor", "wander_s", "knot_s",
))  # fmt: skip

_PERFECT: Final = Clock()
_MAX_OFFSET_S = 1e3
_MAX_RATE_PPM = 1e3
_MAX_DRIFT_PPM_PER_DAY = 10.0
_MAX_ALLAN = 1e-4
_LEAST_KNOT_S, _MAX_KNOT_S = 1e-4, 10.0
# A clock must run forward through every draw: eight sigma of its wander from knot to knot are far less than a knot.
_WANDER_OF_KNOT = 1e-2


def read(item: Item) -> Clock:
    """The clock that a node names or holds in place."""
    if isinstance(item.value, str):
        return _read(_named(item))
    keys = Section(item, _FORM)
    return _read(keys, _read(_named(keys.need("oscillator"))) if "oscillator" in keys else _PERFECT)


def names() -> list[str]:
    """The oscillators there are."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def _named(item: Item) -> Section:
    name = schema.text(item, "the name of an oscillator")
    if name not in names():
        schema.unknown(item, name, names(), "oscillator")
    keys = Section(load_yaml(FOLDER / f"{name}.yaml", "oscillator", item.place), _FORM)
    keys.refuse(["oscillator"], "this file is one")
    return keys


def _read(keys: Section, default: Clock = _PERFECT) -> Clock:
    rate_ppb = 1000 * keys.number("rate_ppm", default.rate_ppb / 1000, -_MAX_RATE_PPM, _MAX_RATE_PPM)
    # Node time is integer arithmetic on a rate in whole parts per billion.
    if abs(rate_ppb - round(rate_ppb)) > 1e-6:
        raise keys.need("rate_ppm").bad("finer than 0.001 ppm", "give at most three decimals")
    # What is known needs no draw.
    offset_sigma_ps = 0 if "offset_s" in keys else default.offset_sigma_ps
    accuracy_ppm = 0.0 if "rate_ppm" in keys else default.accuracy_ppm
    clock = Clock(
        offset_ps=keys.seconds("offset_s", default.offset_ps, -_MAX_OFFSET_S, _MAX_OFFSET_S),
        rate_ppb=round(rate_ppb),
        offset_sigma_ps=keys.seconds("offset_sigma_s", offset_sigma_ps, 0.0, 1.0),
        accuracy_ppm=keys.number("accuracy_ppm", accuracy_ppm, 0.0, _MAX_RATE_PPM),
        drift_ppm_per_day=keys.number(
            "drift_ppm_per_day", default.drift_ppm_per_day, -_MAX_DRIFT_PPM_PER_DAY, _MAX_DRIFT_PPM_PER_DAY
        ),
        allan_1s=keys.number("allan_1s", default.allan_1s, 0.0, _MAX_ALLAN),
        allan_floor=keys.number("allan_floor", default.allan_floor, 0.0, _MAX_ALLAN),
        wander_ps=keys.seconds("wander_s", default.wander_ps, 0.0, _MAX_KNOT_S),
        knot_ps=keys.seconds("knot_s", default.knot_ps, _LEAST_KNOT_S, _MAX_KNOT_S),
    )
    if clock.wander_ps > clock.knot_ps * _WANDER_OF_KNOT:
        raise (keys.get("wander_s") or keys.need("knot_s")).bad(
            f"wandering by {clock.wander_ps / 1e12:g} s within {clock.knot_ps / 1e12:g} s, a clock could run backwards",
            "make wander_s at most a hundredth of knot_s",
        )
    return clock
