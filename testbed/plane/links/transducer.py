"""Microwave-optical transducers as formulas: efficiency, added noise, and what a link can make of them.

Efficiencies and noise: Han et al., Optica 8, 1050 (2021). Links: leading order in the efficiency; at finite
efficiency the exact single-click law with p_dc = eta N holds.
"""

from math import sqrt


def cooperativity(coupling: float, loss_a: float, loss_b: float) -> float:
    """C = 4 g^2/(kappa_a kappa_b), all three in one unit of rate."""
    return 4 * coupling**2 / (loss_a * loss_b)


def direct_efficiency(extraction_a: float, extraction_b: float, c: float) -> float:
    """eta_a eta_b 4C/(1 + C)^2."""
    return extraction_a * extraction_b * 4 * c / (1 + c) ** 2


def mediated_efficiency(extraction_a: float, extraction_b: float, c1: float, c2: float) -> float:
    """With an intermediary mode: eta_a eta_b 4 C1 C2/(1 + C1 + C2)^2."""
    return extraction_a * extraction_b * 4 * c1 * c2 / (1 + c1 + c2) ** 2


def direct_noise(bath: float, extraction: float) -> float:
    """Added noise of a direct electro-optic transducer at its input: n_b (1 - eta_e)/eta_e, whatever C."""
    return bath * (1 - extraction) / extraction


def mediated_noise(bath: float, extraction: float, c_electric: float) -> float:
    """Added noise with an intermediary mode, at the input: about n_m/(eta_e C_e)."""
    return bath / (extraction * c_electric)


def upconversion_fidelity(alpha: float, noise: float) -> float:
    """Single click over up-conversion, to leading order: alpha (1-alpha)(1+N)/(alpha+N)."""
    return alpha * (1 - alpha) * (1 + noise) / (alpha + noise)


def best_alpha(noise: float) -> float:
    """alpha* = sqrt(N^2 + N) - N, where `upconversion_fidelity` is largest."""
    return sqrt(noise**2 + noise) - noise


def best_fidelity(noise: float) -> float:
    """F_max = (1 + N)(sqrt(1 + N) - sqrt N)^2; one half at N = (sqrt 2 - 1)/2."""
    return (1 + noise) * (sqrt(1 + noise) - sqrt(noise)) ** 2


def pair_fidelity(thermal: float) -> float:
    """Blue-detuned pair generation, n thermal photons in the microwave mode: 1/(1 + n)^3."""
    return (1 + thermal) ** -3
