"""Tables of area `link` on timing and overlap: measured by integrals of wave packets and by draws.

None of them evaluates the formula its expected figures come from.
"""

from math import pi

import numpy as np

from testbed.keyed import keyed_generator
from testbed.plane.links.overlap import arrival
from testbed.validate.table import Measurement, Parameter, Parameters, Table

_DRAWS = 200_000


def _overlap(values: Parameters, seed: int) -> Measurement:
    """|integral of f* g|^2 of two wave packets on a grid, widths and lifetimes being 1."""
    by, x = str(values["by"]), float(values["value"])
    if by == "polarisation":
        return Measurement(float(np.dot([1.0, 0.0], [np.cos(x), np.sin(x)])) ** 2)
    grid = np.linspace(0, 60, 2_000_001) if by == "exponential" else np.linspace(-60, 60, 200_001)
    if by == "exponential":
        # Beginning at the later one: before it the product is nought.
        first, second = np.exp(-(grid + abs(x)) / 2), np.exp(-grid / 2)
    else:
        # sigma is the standard deviation of |amplitude|^2 in the unit in which M(tau) = e^(-sigma^2 tau^2/2).
        spread = x if by == "width-ratio" else 1.0
        centre = x if by == "detuning" else 0.0
        first = np.exp(-(grid**2) / 2)
        second = np.exp(-((grid - centre) ** 2) / (2 * spread**2)) / np.sqrt(spread)
        if by == "arrival":
            second = second * np.exp(1j * grid * x)
        first, second = first / pi**0.25, second / pi**0.25
    return Measurement(float(abs(np.trapezoid(first * second, grid)) ** 2))


def _check_overlap(values: Parameters) -> None:
    by, x = str(values["by"]), float(values["value"])
    if by == "width-ratio" and not 0.01 <= x <= 100:
        raise ValueError(f"value: a ratio of {x} is not within .01 and 100")


def _check_not_negative(values: Parameters) -> None:
    for name in ("sigma_s", "frequency_hz", "rms_s"):
        if float(values.get(name, 0)) < 0:
            raise ValueError(f"{name}: {values[name]} is negative")


def _jitter(values: Parameters, seed: int) -> Measurement:
    """Mean over drawn relative arrivals, in units of 1/sigma, of what the link sees."""
    rng = keyed_generator(seed, "validate jitter", repr(sorted(values.items())))
    seen = np.array([arrival(x, 1.0) for x in rng.normal(0.0, float(values["sigma_s"]), _DRAWS)])
    kind = str(values["seen_by"])
    if kind != "frozen":
        seen = np.sqrt(seen)
    mean, error = float(seen.mean()), float(seen.std()) / _DRAWS**0.5
    return Measurement(mean**2, 2 * mean * error, _DRAWS) if kind == "independent" else Measurement(mean, error, _DRAWS)


def _frame(values: Parameters, seed: int) -> Measurement:
    """Fidelity of Psi+ whose one half is read in a frame turned by a random phase, averaged over draws."""
    rng = keyed_generator(seed, "validate frame", repr(sorted(values.items())))
    phase = 2 * pi * float(values["frequency_hz"]) * rng.normal(0.0, float(values["rms_s"]), _DRAWS)
    seen = np.abs((1 + np.exp(1j * phase)) / 2) ** 2
    return Measurement(float(seen.mean()), float(seen.std()) / _DRAWS**0.5, _DRAWS)


TABLES = (
    Table(
        "overlap",
        "visibility M of two photons, by integration of their wave packets",
        (
            Parameter(
                "by",
                "word",
                "what differs",
                None,
                ("arrival", "detuning", "width-ratio", "polarisation", "exponential"),
            ),
            Parameter("value", "sigma tau | domega/sigma | ratio | rad | tau/T1", "by how much"),
        ),
        _overlap,
        _check_overlap,
    ),
    Table(
        "jitter",
        "what is left of visibility (or of single click's coherence) under Gaussian relative arrival",
        (
            Parameter(
                "seen_by",
                "word",
                "two rounds frozen or independent, or one",
                None,
                ("frozen", "independent", "single-click"),
            ),
            Parameter("sigma_s", "sigma times rms arrival", "spectral width times rms relative arrival"),
        ),
        _jitter,
        _check_not_negative,
    ),
    Table(
        "qubit-frame",
        "fidelity left by an rms synchronisation error",
        (
            Parameter("frequency_hz", "Hz", "of the qubit"),
            Parameter("rms_s", "s", "rms synchronisation error"),
        ),
        _frame,
        _check_not_negative,
    ),
)
