"""Tables of area `link` on stored pairs: decay, what is left when the heralds arrive, and what measuring them shows.

All of them go through the state engine: pairs are set, wait, are turned and measured there.
"""

from collections.abc import Callable
from math import pi, sqrt

import numpy as np

from testbed.keyed import keyed_generator
from testbed.plane.links import make_link
from testbed.plane.state import StateEngine, read_out, rotation
from testbed.validate.heralds import BELL, HERALDED, check, columns_of, link_parameters, mean_of, rate
from testbed.validate.table import Measurement, Parameter, Parameters, Table

_TRAJECTORIES = 5_000
_PAIRS = 10_000


def _of_both(values: Parameters, name: str) -> tuple[float, float]:
    """A column's value for half a, and for half b: NAME_s, NAME_b_s, or NAME, NAME_b."""
    stem, unit = (name[:-2], "_s") if name.endswith("_s") else (name, "")
    other = values[f"{stem}_b{unit}"]
    return float(values[name]), float(values[name] if isinstance(other, str) else other)


def _times(values: Parameters) -> tuple[tuple[int, int], tuple[int, int]]:
    """T1 and T2 of half a, and of half b, in ps."""
    (t1_a, t1_b), (t2_a, t2_b) = (_of_both(values, name) for name in ("t1_s", "t2_s"))
    return (round(t1_a * 1e12), round(t2_a * 1e12)), (round(t1_b * 1e12), round(t2_b * 1e12))


def check_time(values: Parameters, column: str) -> None:
    """Raise ValueError for a negative time, or for a T1 or T2 that would round to the 0 that stands for infinite."""
    if isinstance(value := values.get(column, 0), str):
        return  # as another column has it
    if value < 0:
        raise ValueError(f"{column}: {value} is negative")
    if column.startswith("t") and value and round(value * 1e12) == 0:
        raise ValueError(f"{column}: {value:g} is less than a picosecond; 0 is infinite")


def _check_times(values: Parameters) -> None:
    for name in ("t1_s", "t2_s", "wait_s"):
        for column in (name, f"{name[:-2]}_b_s"):
            check_time(values, column)
    for end, (t1, t2) in zip(("", "_b"), _times(values), strict=True):
        if t1 and t2 > 2 * t1:
            raise ValueError(f"t2{end}_s: {t2 * 1e-12:g} is more than twice t1{end}_s")
        if values.get("formalism") == "stabilizer" and t1 and not 0 < t2 <= t1:
            raise ValueError(f"t2{end}_s: a stabilizer state decays exactly only with T2 <= T1, not {t2 * 1e-12:g}")


def _decay(values: Parameters, seed: int) -> Measurement:
    """Both halves of a Bell pair left alone for a while, each for its own."""
    times = _times(values)
    waits = [round(wait * 1e12) for wait in _of_both(values, "wait_s")]
    ket = BELL[str(values["state"])].astype(complex)
    pair = np.multiply.outer(ket, ket.conj())

    def once(engine: StateEngine) -> float:
        keys = [engine.new_qubit(0, *both) for both in times]
        # A half that waits for less is born the later.
        last = max(waits)
        engine.set_pair(keys[0], keys[1], pair, *(last - wait for wait in waits))
        # Two touches: the wait is not one step, and trajectories draw their jumps.
        for share in (3, 1):
            for key, wait in zip(keys, waits, strict=True):
                engine.touch(key, last - wait + wait // share)
        return engine.fidelity(keys, ket, last)

    formalism = str(values["formalism"])
    if formalism == "density":
        return Measurement(once(StateEngine()))
    seeds = keyed_generator(seed, "validate decay", repr(sorted(values.items()))).integers(1 << 62, size=_TRAJECTORIES)
    return mean_of([once(StateEngine(int(s), formalism)) for s in seeds])  # type: ignore[arg-type]


def _at_herald(values: Parameters, seed: int) -> Measurement:
    """A heralded pair, each half decaying from its own emission until an end has its herald."""
    parameters, alpha = link_parameters(values)
    link = make_link("single-click", parameters)
    herald, state = link.draw_state(keyed_generator(seed, "validate herald"), alpha)
    engine = StateEngine()
    keys = [engine.new_qubit(0, *both) for both in _times(values)]
    slot = max(parameters.arm_a_ps, parameters.arm_b_ps)
    engine.set_pair(keys[0], keys[1], state, slot - parameters.arm_a_ps, slot - parameters.arm_b_ps)
    arms = parameters.arm_a_ps, parameters.arm_b_ps
    homes = [slot + link.attempt_ps + (arm if values["until"] == "own" else max(arms)) for arm in arms]
    for key, home in zip(keys, homes, strict=True):
        engine.touch(key, home)
    return Measurement(engine.fidelity(keys, HERALDED[herald].astype(complex), min(homes)))


def _check_at_herald(values: Parameters) -> None:
    if not check("single-click", values):
        raise ValueError("alpha: with these values the link never heralds")
    _check_times(values)


def _werner(values: Parameters, seed: int) -> Measurement:
    """Measured on drawn pairs: errors in the Z basis, or Bell's inequality in its four settings."""
    fidelity = float(values["fidelity"])
    w = (4 * fidelity - 1) / 3
    ket = BELL["phi+"]
    state = w * np.multiply.outer(ket, ket) + (1 - w) * np.eye(4) / 4
    rng = keyed_generator(seed, "validate werner", repr(sorted(values.items())))
    engine = StateEngine()
    keys = [engine.new_qubit(0) for _ in range(2)]

    def unequal(angle_a: float, angle_b: float, pairs: int) -> Measurement:
        """How often the bits differ, measured along axes at these angles from Z towards X."""
        turns = [rotation("y", -angle) for angle in (angle_a, angle_b)]
        count = 0
        for _ in range(pairs):
            engine.set_pair(keys[0], keys[1], state.astype(complex), 0, 0)
            bits = []
            for key, turn in zip(keys, turns, strict=True):
                engine.gate1(key, turn, 0)
                bits.append(engine.measure(key, 0, rng))
            count += bits[0] ^ bits[1]
        return rate(count, pairs)

    if values["shows"] == "qber":
        return unequal(0.0, 0.0, _PAIRS)
    total = variance = 0.0
    for angle_a, angle_b, sign in ((0, pi / 4, 1), (0, -pi / 4, 1), (pi / 2, pi / 4, 1), (pi / 2, -pi / 4, -1)):
        seen = unequal(angle_a, angle_b, _PAIRS // 2)
        total += sign * (1 - 2 * seen.value)
        variance += (2 * (seen.stderr or 0.0)) ** 2
    return Measurement(total, sqrt(variance), 2 * _PAIRS)


def _readout(values: Parameters, seed: int) -> Measurement:
    """<ZZ> of a perfect pair as its two readouts show it."""
    (zero_a, zero_b), (one_a, one_b) = (_of_both(values, name) for name in ("error_0", "error_1"))
    rng = keyed_generator(seed, "validate readout", repr(sorted(values.items())))
    odd = 0
    for _ in range(_PAIRS):
        bit = int(rng.random() < 0.5)
        odd += read_out(bit, zero_a, one_a, rng) ^ read_out(bit, zero_b, one_b, rng)
    seen = rate(odd, _PAIRS)
    return Measurement(1 - 2 * seen.value, 2 * (seen.stderr or 0.0) or None, _PAIRS)


def _check_within(*names: str, least: float = 0.0) -> Callable[[Parameters], None]:
    def checked(values: Parameters) -> None:
        for name in names:
            if not isinstance(values[name], str) and not least <= float(values[name]) <= 1:
                raise ValueError(f"{name}: {values[name]} is not within {least:g} and 1")

    return checked


_STORED = (
    Parameter("t1_s", "s", "T1 of half a; 0 is infinite", None, (), ("T1",)),
    Parameter("t2_s", "s", "T2 of half a; 0 is as long as T1 permits", None, (), ("T2",)),
    Parameter("t1_b_s", "s", "T1 of half b", "t1_s"),
    Parameter("t2_b_s", "s", "T2 of half b", "t2_s"),
)

TABLES = (
    Table(
        "pair-decay",
        "fidelity to its Bell state of a pair whose halves wait",
        (
            Parameter("state", "word", "Bell state at the start", "phi+", tuple(BELL)),
            *_STORED,
            Parameter("wait_s", "s", "how long half a waits", None, (), ("t",)),
            Parameter("wait_b_s", "s", "how long half b waits", "wait_s"),
            Parameter(
                "formalism",
                "word",
                "exact, or an average over sampled states",
                "density",
                ("density", "trajectory", "stabilizer"),
            ),
        ),
        _decay,
        _check_times,
    ),
    Table(
        "single-click-at-herald",
        "fidelity of a single-click pair when its heralds arrive, each half decaying from its own emission",
        (
            Parameter("until", "word", "its own end has its herald, or the later of both has", "own", ("own", "later")),
            *columns_of("single-click"),
            Parameter("window_ps", "ps", "how long the detectors are open", 25_000),
            *_STORED,
        ),
        _at_herald,
        _check_at_herald,
    ),
    Table(
        "werner",
        "what measuring Werner pairs shows: quantum bit error rate, or Bell's inequality (CHSH)",
        (
            Parameter("shows", "word", "which figure", None, ("qber", "chsh")),
            Parameter("fidelity", "F, .25 to 1", "of the pairs", None, (), ("F",)),
        ),
        _werner,
        _check_within("fidelity", least=0.25),
    ),
    Table(
        "readout",
        "<ZZ> of a perfect pair as two faulty readouts show it",
        (
            Parameter("error_0", "probability", "of reading 1 from |0>, at a"),
            Parameter("error_1", "probability", "of reading 0 from |1>, at a"),
            Parameter("error_0_b", "probability", "the same at b", "error_0"),
            Parameter("error_1_b", "probability", "the same at b", "error_1"),
        ),
        _readout,
        _check_within("error_0", "error_1", "error_0_b", "error_1_b"),
    ),
)
