"""Tables of area `link` on microwave-optical transducers: conversion, added noise, and the best a link makes of them.

Conversion and noise are measured by solving the coupled modes' equations of motion, the best emission by a search on
the exact law of the link; none of them evaluates the formula its expected figures come from.
"""

from collections.abc import Callable

import numpy as np

from testbed.plane.links.model import Optics
from testbed.plane.links.single_click import heralded_fidelity
from testbed.validate.table import Measurement, Parameter, Parameters, Table

_LOW_EFFICIENCY = 1e-8


def _peak(law: Callable[[float], float]) -> tuple[float, float]:
    """(argument, maximum) on 0..1/2 by golden section."""
    low, high, golden = 0.0, 0.5, (5**0.5 - 1) / 2
    for _ in range(60):
        left, right = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, right) if law(left) > law(right) else (left, high)
    return (low + high) / 2, law((low + high) / 2)


def _best(values: Parameters) -> tuple[float, float]:
    noise, efficiency = float(values["noise_photons"]), float(values["efficiency"])
    optics = Optics(efficiency, efficiency, efficiency * noise)
    return _peak(lambda alpha: heralded_fidelity(alpha, alpha, optics))


def _check_best(values: Parameters) -> None:
    noise, efficiency = float(values["noise_photons"]), float(values["efficiency"])
    if noise <= 0:
        raise ValueError(f"noise_photons: {noise} is not positive")
    if not 0 < efficiency <= 1:
        raise ValueError(f"efficiency: {efficiency} is not within 0 and 1")
    if efficiency * noise >= 1:
        raise ValueError(f"noise_photons: {noise} times efficiency {efficiency} is not less than 1")


def _scattering(values: Parameters) -> tuple[np.ndarray, list[str]]:
    """|S|^2 from every bath into the optical output on resonance, and the baths' names.

    Modes: microwave, then the intermediary if there is one, then optical, each with loss rate 1; beam-splitter
    couplings g = sqrt(C)/2 between neighbours. Each mode obeys 0 = -a/2 - i sum g a' + sqrt(loss) a_in over its baths,
    and the output is a_in - sqrt(eta) a (Gardiner and Collett, PRA 31, 3761 (1985)).
    """
    extraction_e, extraction_o = float(values["extraction_e"]), float(values["extraction_o"])
    c, c_optical = float(values["cooperativity"]), float(values["cooperativity_optical"])
    couplings = [np.sqrt(c) / 2] if c_optical == 0 else [np.sqrt(c) / 2, np.sqrt(c_optical) / 2]
    count = len(couplings) + 1
    motion = -0.5 * np.eye(count, dtype=complex)
    for i, g in enumerate(couplings):
        motion[i, i + 1] = motion[i + 1, i] = -1j * g
    ports = [("in", 0, extraction_e), ("microwave bath", 0, 1 - extraction_e)]
    ports += [("intermediary bath", 1, 1.0)] if count == 3 else []
    ports += [("out", count - 1, extraction_o), ("optical bath", count - 1, 1 - extraction_o)]
    drive = np.zeros((count, len(ports)), complex)
    for column, (_, mode, rate) in enumerate(ports):
        drive[mode, column] = np.sqrt(rate)
    inside = np.linalg.solve(motion, -drive)
    out = -np.sqrt(extraction_o) * inside[-1]
    out[len(ports) - 2] += 1.0
    return np.abs(out) ** 2, [name for name, _, _ in ports]


def _check_modes(values: Parameters) -> None:
    for name in ("extraction_e", "extraction_o"):
        if not 0 < float(values[name]) <= 1:
            raise ValueError(f"{name}: {values[name]} is not within 0 and 1")
    if float(values["cooperativity"]) <= 0:
        raise ValueError(f"cooperativity: {values['cooperativity']} is not positive")
    for name in ("cooperativity_optical", "bath_photons"):
        if float(values.get(name, 0)) < 0:
            raise ValueError(f"{name}: {values[name]} is negative")


def _efficiency(values: Parameters, seed: int) -> Measurement:
    return Measurement(float(_scattering(values)[0][0]))


def _added_noise(values: Parameters, seed: int) -> Measurement:
    """Photons at the output from the thermal bath, divided by the efficiency: of the intermediary if there is one."""
    power, names = _scattering(values)
    bath = names.index("intermediary bath" if "intermediary bath" in names else "microwave bath")
    return Measurement(float(values["bath_photons"]) * float(power[bath] / power[0]))


_NOISE = (
    Parameter("noise_photons", "photons", "thermal noise in the photon's mode", None, (), ("N",)),
    Parameter(
        "efficiency", "probability", "of the whole chain; small is leading order", _LOW_EFFICIENCY, (), ("eta", "η")
    ),
)
_ETA_E, _ETA_O = ("eta_e", "η_e", "eta_a", "ηa"), ("eta_o", "η_o", "eta_b", "ηb")
_BATH = Parameter("bath_photons", "photons", "of the microwave bath, or the intermediary's", 1.0, (), ("n_b", "n_m"))
_MODES = (
    Parameter("cooperativity", "C", "4 g^2/(kappa_a kappa_b), microwave side", None, (), ("C", "C1", "C_e")),
    Parameter("cooperativity_optical", "C", "optical side of an intermediary mode; 0: there is none", 0.0, (), ("C2",)),
    Parameter("extraction_e", "probability", "from the microwave mode to its port", 1.0, (), _ETA_E),
    Parameter("extraction_o", "probability", "from the optical mode to its port", 1.0, (), _ETA_O),
)

TABLES = (
    Table(
        "transducer-fmax",
        "best fidelity of up-conversion single click, searched on the exact law",
        _NOISE,
        lambda values, seed: Measurement(_best(values)[1]),
        _check_best,
    ),
    Table(
        "transducer-alpha",
        "the bright-state population with the best fidelity",
        _NOISE,
        lambda values, seed: Measurement(_best(values)[0]),
        _check_best,
    ),
    Table(
        "transducer-efficiency",
        "conversion efficiency on resonance, from the modes' equations of motion",
        _MODES,
        _efficiency,
        _check_modes,
    ),
    Table(
        "transducer-noise",
        "photons added by a thermal bath, referred to the input, from the modes' equations of motion",
        (*_MODES, _BATH),
        _added_noise,
        _check_modes,
    ),
)
