"""Noise as formulas: how times, fidelities and error rates become channel parameters, and readout flips.

The state engine applies these channels; nothing here holds a state.
"""

from math import exp, inf

from numpy.random import Generator


def damping(elapsed_ps: int, t1_ps: int) -> float:
    """gamma = 1 - e^(-t/T1): the chance that |1> has fallen to |0>; t1_ps = 0 means an infinite T1.

    Amplitude damping: Nielsen and Chuang (2000), section 8.3.5.
    """
    return 1.0 - exp(-elapsed_ps / t1_ps) if t1_ps else 0.0


def coherence(elapsed_ps: int, t2_ps: int, t1_ps: int = 0) -> float:
    """e^(-t/T2): what remains of an off-diagonal element in all, damping included.

    t2_ps = 0 means a T2 as long as T1 permits: damping alone leaves e^(-t/(2 T1)).
    """
    if t2_ps:
        return exp(-elapsed_ps / t2_ps)
    return exp(-elapsed_ps / (2 * t1_ps)) if t1_ps else 1.0


def phase_flip(elapsed_ps: int, t1_ps: int, t2_ps: int) -> float:
    """Probability of Z that, after amplitude damping, brings the total coherence to e^(-t/T2).

    1 - 2p = e^(-t/T2 + t/(2 T1)): damping alone leaves e^(-t/(2 T1)) (Nielsen and Chuang
    2000, section 8.3.6).
    """
    if not t2_ps:
        return 0.0
    rate = 1.0 / t2_ps - (0.5 / t1_ps if t1_ps else 0.0)
    return max(0.0, 0.5 * (1.0 - exp(-elapsed_ps * rate)))


def check_times(t1_ps: int, t2_ps: int) -> None:
    """Raise ValueError unless 0 <= T1, 0 <= T2 and T2 <= 2 T1 (else not a channel); 0 stands for infinite."""
    if t1_ps < 0:
        raise ValueError(f"t1_ps: {t1_ps} is negative")
    if t2_ps < 0:
        raise ValueError(f"t2_ps: {t2_ps} is negative")
    if t2_ps > (2 * t1_ps if t1_ps else inf):
        raise ValueError(f"t2_ps: {t2_ps} is more than twice t1_ps {t1_ps}")


def depolarising1(average_fidelity: float) -> float:
    """Pauli probability of a one-qubit depolarising channel of that average gate fidelity: p = 1.5 (1 - F).

    With p the chance of X, Y or Z in equal parts, F_process = 1 - p and F = (2 F_process + 1)/3
    (Nielsen, Phys. Lett. A 303, 249 (2002), eq. 3).
    """
    return _probability(1.5 * (1.0 - average_fidelity), average_fidelity)


def depolarising2(average_fidelity: float) -> float:
    """Pauli probability of a two-qubit depolarising channel of that average gate fidelity: p = 1.25 (1 - F).

    With p the chance of one of the 15 non-identity Paulis, F = (4 (1 - p) + 1)/5 (Nielsen 2002, eq. 3).
    """
    return _probability(1.25 * (1.0 - average_fidelity), average_fidelity)


def _probability(p: float, fidelity: float) -> float:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"average gate fidelity {fidelity} is not that of a depolarising channel")
    return p


def read_out(bit: int, error_0: float, error_1: float, rng: Generator) -> int:
    """The bit that a readout with P(read 1 | 0) = error_0 and P(read 0 | 1) = error_1 reports.

    Exactly one draw, whatever the bit and the errors, so that changing an error rate shifts no later draw.
    """
    return bit ^ int(rng.random() < (error_1 if bit else error_0))
