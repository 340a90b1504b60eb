"""Purification on paper: what two pairs become, which local rotations come first, and which outcomes are good.

What may live here: arithmetic of Bell indexes and Bell-diagonal states (diagonal.py); no state.

If one node turns its half by a Clifford and the other by its complex conjugate, Phi+ stays what it
is, and indexes and errors alike are permuted.  So nothing has to be corrected first: the permuted indexes say which
parity to expect (both nodes turn, CNOT from the kept to the measured half, measure; the bit flips must agree), and the
kept pair has their first bit flip and the XOR of their phase flips.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from protocols import bell
from protocols.device import Program
from protocols.qnp.diagonal import Diagonal
from protocols.wire.codec import Purification

_QUARTER: Final = 1.5707963267948966

_PERMUTATIONS: Final = ((0, 1, 2, 3), (0, 2, 1, 3), (0, 1, 3, 2), (0, 3, 2, 1), (0, 3, 1, 2), (0, 2, 3, 1))
"""Of the indexes, by turn: nothing, H, S, a quarter about X, H then S, S then H."""

_GATES: Final = ("", "h", "s", "x", "hs", "sh")
TEXTBOOK: Final = 3
"""The quarter turns about X of Deutsch et al. 1996: they exchange the errors Z and Y."""

_CYCLES: Final = (0, 4, 5)
_PAULIS: Final = 4


def turned(index: int, turn: int) -> int:
    """The Bell index, or the error, after a local turn (0 to 23: permutation times 4, plus a Pauli on both halves)."""
    return _PERMUTATIONS[turn // _PAULIS][index]


def permuted(diagonal: Diagonal, turn: int) -> Diagonal:
    """The diagonal after a local turn."""
    new = [0.0] * 4
    for error, probability in enumerate(diagonal):
        new[turned(error, turn)] = probability
    return (new[0], new[1], new[2], new[3])


class Imperfect(NamedTuple):
    """What the two nodes' gates and readouts do to a round."""

    gates: float = 1.0
    """What both CNOTs leave of every correlator."""
    wrong: float = 0.0
    """Chance that their outcomes are said to agree although they differ, or the other way round."""


FLAWLESS: Final = Imperfect()


def distilled(
    kept: Diagonal, measured: Diagonal, filtered: bool = False, imperfect: Imperfect = FLAWLESS
) -> tuple[float, Diagonal]:
    """Probability that the parities agree, and what is kept then, of pairs that have been turned.

    `filtered`: by EPL, which lets no pair through whose bits are flipped.  A depolarising CNOT leaves its two qubits as
    they should be, or fully mixed; then the parities agree half the time, and what is kept is fully mixed, too.
    """
    new = [0.0] * 4
    for one, p in enumerate(kept):
        for two, q in enumerate(measured):
            agree = bell.bit_flip(one) == bell.bit_flip(two) and not (filtered and bell.bit_flip(one))
            seen = (1 - imperfect.wrong if agree else imperfect.wrong) * imperfect.gates
            if seen:
                new[bell.bell_index(bell.bit_flip(one), bell.phase_flip(one) ^ bell.phase_flip(two))] += p * q * seen
    for index in range(4):
        new[index] += (1 - imperfect.gates) / 8
    total = sum(new)
    if total <= 0:
        return 0.0, (0.25, 0.25, 0.25, 0.25)
    return total, (new[0] / total, new[1] / total, new[2] / total, new[3] / total)


def choose_turns(method: Purification, kept: Diagonal, measured: Diagonal, draw: Iterator[int]) -> tuple[int, int]:
    """The turns that come first, on the kept and on the measured pair.

    BBPSSW twirls: each pair is turned at random (`draw`), so that its errors become alike on average.  DEJMPS takes
    the one permutation, for both, after which most is kept.  EPL turns nothing.
    """
    if method is Purification.BBPSSW:
        one, two = (next(draw) % (len(_CYCLES) * _PAULIS) for _ in range(2))
        return tuple(_CYCLES[n // _PAULIS] * _PAULIS + n % _PAULIS for n in (one, two))  # type: ignore[return-value]
    if method is Purification.DEJMPS:
        # Of equals the textbook's: nodes that know nothing better do as published.
        options = [permutation * _PAULIS for permutation in (TEXTBOOK, 0, 1, 2, 4, 5)]
        best = max(options, key=lambda t: round(distilled(permuted(kept, t), permuted(measured, t))[1][0], 12))
        return best, best
    return 0, 0


def program(kept: int, measured: int, kept_turn: int, measured_turn: int, conjugate: bool) -> Program:
    """One node's part: turns, CNOT, measurement; the measured qubit is released."""
    steps = Program()
    for qubit, turn in ((kept, kept_turn), (measured, measured_turn)):
        for gate in _GATES[turn // _PAULIS]:
            match gate:
                case "h":
                    steps.h(qubit)
                case "s":
                    steps.sdg(qubit) if conjugate else steps.s(qubit)
                case _:
                    steps.rx(qubit, -_QUARTER if conjugate else _QUARTER)
        steps.pauli(qubit, turn % _PAULIS)
    return steps.cx(kept, measured).measure(measured).release(measured)


def verdict(method: Purification, kept: int, measured: int, outcomes: tuple[int, int]) -> int | None:
    """The Bell index of the kept pair, given the turned indexes of both and what was measured; None: it failed."""
    here, there = outcomes
    if method is Purification.EPL:
        good = bool(here and there)
    else:
        good = here ^ there == bell.bit_flip(kept) ^ bell.bit_flip(measured)
    if not good:
        return None
    return bell.bell_index(bell.bit_flip(kept), bell.phase_flip(kept) ^ bell.phase_flip(measured))


def draws(seed: int) -> Iterator[int]:
    """Numbers that look random (a 64-bit congruential generator, Knuth's constants): any will do for a twirl."""
    state = seed
    while True:
        state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        yield state >> 33
