"""How alike two photons are: visibility M, the overlap of their wave packets squared.

`width_rad_per_s` is sigma, the spectral width of a Gaussian amplitude: M(tau) = e^(-sigma^2 tau^2 / 2).
Jitter is the rms *relative* arrival of the two photons; a detector's jitter does not reduce overlap.
Formulas: integrals of Gaussian wave packets, as in Rohde and Ralph, PRA 71, 032320 (2005).
"""

from dataclasses import dataclass
from math import cos, erf, erfc, exp, expm1, pi, sqrt


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


@dataclass(frozen=True, slots=True)
class Packets:
    """Two photons, as far as their overlap depends on it: Gaussian, or exponential if they have a lifetime.

    width_rad_per_s: sigma of the first photon; width_ratio: the second photon's sigma in units of that.
    A width of 0, and no lifetime, is a photon so long that no arrival matters.
    """

    width_rad_per_s: float = 0.0
    width_ratio: float = 1.0
    lifetime_s: float = 0.0
    detuning_rad_per_s: float = 0.0
    polarisation_rad: float = 0.0

    @property
    def timed(self) -> bool:
        """The overlap depends on arrival."""
        return self.width_rad_per_s > 0 or self.lifetime_s > 0

    @property
    def at_once(self) -> float:
        """M of photons that arrive together."""
        alike = polarisation(self.polarisation_rad)
        if self.lifetime_s:
            return alike / (1 + (self.detuning_rad_per_s * self.lifetime_s) ** 2)
        alike *= width_ratio(self.width_ratio)
        if self.width_rad_per_s:
            # Two widths: 2 sigma^2 becomes the sum of the squares.
            mean = sqrt((1 + self.width_ratio**2) / 2) * self.width_rad_per_s
            alike *= detuning(self.detuning_rad_per_s, mean)
        return alike

    @property
    def _width(self) -> float:
        """Of two equal photons that lose as much by arriving apart."""
        return self.width_rad_per_s * self.width_ratio * sqrt(2 / (1 + self.width_ratio**2))

    def visibility(self, offset_s: float) -> float:
        """M of photons that arrive so far apart."""
        if self.lifetime_s:
            return self.at_once * exponential(offset_s, self.lifetime_s)
        return self.at_once * arrival(offset_s, self._width)

    def in_gate(self, late_s: float, window_s: float, end: int) -> float:
        """Share of the photon of end 0 or 1 that a gate around its nominal arrival lets in, in units of that of one on
        time; at most 1, and 0 for one that is late or early by half a window or more if photons have no shape.

        Gaussian: arrival spreads by 1/(sqrt 2 sigma). Exponential: it begins at the nominal arrival.
        """
        half_s = window_s / 2
        if self.lifetime_s:
            full = -expm1(-half_s / self.lifetime_s)
            since, until = max(0.0, -half_s - late_s), max(0.0, half_s - late_s)
            return min(1.0, (exp(-since / self.lifetime_s) - exp(-until / self.lifetime_s)) / full)
        if self.width_rad_per_s:
            # In standard deviations of arrival, times sqrt 2 as the error function has it.
            scale = self.width_rad_per_s * (self.width_ratio if end else 1.0)
            return (erf((half_s - late_s) * scale) + erf((half_s + late_s) * scale)) / (2 * erf(half_s * scale))
        return float(abs(late_s) < half_s)

    def mean_visibility(self, offset_s: float, jitter_s: float) -> float:
        """<M> over Gaussian jitter around an offset."""
        if self.lifetime_s:
            return self.at_once * mean_exponential(offset_s, jitter_s, self.lifetime_s)
        return self.at_once * mean_visibility(offset_s, jitter_s, self._width)

    def mean_amplitude(self, offset_s: float, jitter_s: float) -> float:
        """<sqrt M> over Gaussian jitter around an offset."""
        if self.lifetime_s:
            return sqrt(self.at_once) * mean_exponential(offset_s, jitter_s, 2 * self.lifetime_s)
        return sqrt(self.at_once) * mean_amplitude(offset_s, jitter_s, self._width)


def mean_exponential(offset_s: float, jitter_s: float, lifetime_s: float) -> float:
    """<e^(-|tau|/T1)> over Gaussian tau: half of each side's e^(s^2/2T^2 -+ mu/T) erfc((s/T -+ mu/s)/sqrt 2)."""
    if jitter_s == 0:
        return exponential(offset_s, lifetime_s)
    mean, spread = offset_s / jitter_s, jitter_s / lifetime_s
    return sum(_side((spread - sign * mean) / sqrt(2), mean) for sign in (1.0, -1.0)) / 2


def _side(x: float, mean: float) -> float:
    """e^(x^2 - mean^2/2) erfc(x), where neither factor alone need be a number that a float can hold."""
    if x > 25:
        return exp(-(mean**2) / 2) * (1 - 1 / (2 * x**2)) / (x * sqrt(pi))
    return exp(x**2 - mean**2 / 2) * erfc(x)
