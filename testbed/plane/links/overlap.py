"""How alike two photons are: visibility M, the overlap of their wave packets squared.

`width_rad_per_s` is sigma, the spectral width of a Gaussian amplitude: M(tau) = e^(-sigma^2 tau^2 / 2).
Jitter is the rms *relative* arrival of the two photons; a detector's jitter does not reduce overlap.
Formulas: integrals of Gaussian wave packets, as in Rohde and Ralph, PRA 71, 032320 (2005).
"""

from math import cos, exp, pi, sqrt


def arrival(offset_s: float, width_rad_per_s: float) -> float:
    """M of two equal Gaussian photons that arrive `offset_s` apart: e^(-sigma^2 tau^2/2)."""
    return exp(-((width_rad_per_s * offset_s) ** 2) / 2)


def detuning(detuning_rad_per_s: float, width_rad_per_s: float) -> float:
    """M of two equal Gaussian photons whose centres differ by that much: e^(-domega^2 / 2 sigma^2)."""
    return exp(-((detuning_rad_per_s / width_rad_per_s) ** 2) / 2)


def width_ratio(ratio: float) -> float:
    """M of two Gaussian photons whose widths have that ratio: 2r/(1 + r^2)."""
    return 2 * ratio / (1 + ratio**2)


def polarisation(angle_rad: float) -> float:
    """M of two linear polarisations at that angle: cos^2 theta."""
    return cos(angle_rad) ** 2


def exponential(offset_s: float, lifetime_s: float) -> float:
    """M of two exponential wave packets of one lifetime T1: e^(-|tau|/T1)."""
    return exp(-abs(offset_s) / lifetime_s)


def mean_visibility(offset_s: float, jitter_s: float, width_rad_per_s: float) -> float:
    """<M> over Gaussian jitter around an offset; 1/sqrt(1 + sigma^2 s^2) without offset.

    What Barrett-Kok sees when the offset is frozen over both rounds.
    """
    s2 = (width_rad_per_s * jitter_s) ** 2
    return exp(-((width_rad_per_s * offset_s) ** 2) / (2 * (1 + s2))) / sqrt(1 + s2)


def mean_amplitude(offset_s: float, jitter_s: float, width_rad_per_s: float) -> float:
    """<sqrt M>; 1/sqrt(1 + sigma^2 s^2/2) without offset. Single click sees it; two free rounds, its square."""
    s2 = (width_rad_per_s * jitter_s) ** 2 / 2
    return exp(-((width_rad_per_s * offset_s) ** 2) / (4 * (1 + s2))) / sqrt(1 + s2)


def frame_fidelity(frequency_hz: float, offset_s: float, rms: bool = True) -> float:
    """What a qubit frame read at the wrong time leaves of F.

    The phase is phi = 2 pi f dt; (1 + e^(-phi^2/2))/2 if dt is an rms, (1 + cos phi)/2 if it is one offset.
    """
    phase = 2 * pi * frequency_hz * offset_s
    return (1 + (exp(-(phase**2) / 2) if rms else cos(phase))) / 2
