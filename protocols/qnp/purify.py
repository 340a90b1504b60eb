"""Purification on paper: what two pairs become, which local rotations come first, and which outcomes are good.

What may live here: arithmetic of Bell indexes and of sketches (sketch.py); no state.

If one node turns its half by a Clifford and the other by its complex conjugate, Phi+ stays what it
is, and indexes and errors alike are permuted.  So nothing has to be corrected first: the permuted indexes say which
parity to expect (both nodes turn, CNOT from the kept to the measured half, measure; the bit flips must agree), and the
kept pair has their first bit flip and the XOR of their phase flips.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from protocols import bell
from protocols.device import Program
from protocols.qnp.sketch import LEAST, MIXED, Sketch, sketched
from protocols.wire.codec import Purification

_QUARTER: Final = 1.5707963267948966

_PERMUTATIONS: Final = ((0, 1, 2, 3), (0, 2, 1, 3), (0, 1, 3, 2), (0, 3, 2, 1), (0, 3, 1, 2), (0, 2, 3, 1))
"""Of the indexes, by turn: nothing, H, S, a quarter about X, H then S, S then H."""

_GATES: Final = ("", "h", "s", "x", "hs", "sh")
TEXTBOOK: Final = 3
"""The quarter turns about X of Deutsch et al. 1996: they exchange the errors Z and Y."""

_PHI_PLUS: Final = bell.bell_index(0, 0)
_CYCLES: Final = (0, 4, 5)
_PAULIS: Final = 4


def turned(index: int, turn: int) -> int:
    """The Bell index, or the error, after a local turn (0 to 23: permutation times 4, plus a Pauli on both halves)."""
    return _PERMUTATIONS[turn // _PAULIS][index]


class Imperfect(NamedTuple):
    """What the two nodes' gates and readouts do to a round; each is taken to be like the other."""

    gate_w: float = 1.0
    """What a CNOT leaves of every correlator of its two qubits."""
    outcome_w: float = 1.0
    """What a readout leaves of <Z>."""


FLAWLESS: Final = Imperfect()

type _Row = tuple[tuple[int, int, float], ...]
"""What a Pauli operator of the kept half becomes: operators of the kept and of the measured half, and weights."""

_I, _X, _Y, _Z = range(4)


def _before(outcome: int, imperfect: Imperfect) -> tuple[_Row, _Row, _Row, _Row]:
    """One node's part, backwards: I, X, Y, Z on the kept half, after a CNOT from it to the measured one and that
    outcome there, as they were before it."""
    w = imperfect.gate_w
    s = (1 - 2 * outcome) * imperfect.outcome_w * w
    return (
        ((_I, _I, 1.0), (_Z, _Z, s)),
        ((_X, _X, w), (_Y, _Y, -s)),
        ((_Y, _X, w), (_X, _Y, s)),
        ((_Z, _I, w), (_I, _Z, s)),
    )


type _Matrix = list[list[float]]
"""All sixteen correlators of a pair: rows I, X, Y, Z of the first half, columns of the second."""


def _turned(sketch: Sketch, turn: int, conjugate: tuple[bool, bool]) -> _Matrix:
    """After both halves were turned, the one by the conjugate of what turned the other."""
    xx, yy, zz, first, second = sketch
    new = [[1.0, 0.0, 0.0, second], [0.0, xx, 0.0, 0.0], [0.0, 0.0, yy, 0.0], [first, 0.0, 0.0, zz]]
    rows, columns = (_turn(turn, which) for which in conjugate)
    return [[a * b * new[i][j] for j, b in columns] for i, a in rows]


@lru_cache(maxsize=64)
def _turn(turn: int, conjugate: bool) -> tuple[tuple[int, int], ...]:
    """Which of I, X, Y, Z each of them was before the turn of `program`, and with which sign."""
    order, sign = [_I, _X, _Y, _Z], [1, 1, 1, 1]

    def exchange(one: int, other: int, minus: int) -> None:
        order[one], order[other] = order[other], order[one]
        sign[one], sign[other] = sign[other], sign[one]
        sign[minus] = -sign[minus]

    for gate in _GATES[turn // _PAULIS]:
        match gate:
            case "h":
                exchange(_X, _Z, _Y)
            case "s":
                exchange(_X, _Y, _Y if conjugate else _X)
            case _:
                exchange(_Y, _Z, _Z if conjugate else _Y)
    index = turn % _PAULIS
    for flipped, axes in ((bell.bit_flip(index), (_Y, _Z)), (bell.phase_flip(index), (_X, _Y))):
        for axis in axes if flipped else ():
            sign[axis] = -sign[axis]
    return tuple(zip(order, sign, strict=True))


def distilled(
    kept: Sketch,
    measured: Sketch,
    outcomes: tuple[int, int],
    turns: tuple[int, int] = (0, 0),
    conjugate: tuple[bool, bool] = (False, True),
    imperfect: Imperfect = FLAWLESS,
) -> tuple[float, Sketch]:
    """Probability of these outcomes, and what is kept then; the first halves of both pairs are at one node.

    `conjugate`: which node turns by the conjugates.  Of what is kept, correlators that are no part of a Sketch are let
    go of: there are none unless both pairs' halves lean along X or Y after the turns, and then they are the products.
    """
    one, other = (_turned(pair, turn, conjugate) for pair, turn in ((kept, turns[0]), (measured, turns[1])))
    rows, columns = (_before(outcome, imperfect) for outcome in outcomes)

    def after(p: int, q: int) -> float:
        return sum(a * b * one[i][j] * other[k][m] for i, k, a in rows[p] for j, m, b in columns[q])

    likely = after(_I, _I) / 4
    if likely < LEAST:
        return 0.0, MIXED
    found = (after(p, q) / (4 * likely) for p, q in ((_X, _X), (_Y, _Y), (_Z, _Z), (_Z, _I), (_I, _Z)))
    return likely, Sketch(*found)


def choose_turns(
    method: Purification, kept: tuple[Sketch, int], measured: tuple[Sketch, int], draw: Iterator[int]
) -> tuple[int, int]:
    """The turns that come first, on the kept and on the measured pair, each with the index that it is taken for.

    BBPSSW twirls: each pair is turned at random (`draw`), so that its errors become alike on average.  DEJMPS takes
    the one permutation, for both, after which most is kept.  EPL turns nothing.
    """
    if method is Purification.BBPSSW:
        one, two = (next(draw) % (len(_CYCLES) * _PAULIS) for _ in range(2))
        return tuple(_CYCLES[n // _PAULIS] * _PAULIS + n % _PAULIS for n in (one, two))  # type: ignore[return-value]
    if method is Purification.DEJMPS:
        # Of equals the textbook's: nodes that know nothing better do as published.
        options = [permutation * _PAULIS for permutation in (TEXTBOOK, 0, 1, 2, 4, 5)]
        pair, second = (sketched(sketch.errors(index), _PHI_PLUS) for sketch, index in (kept, measured))
        best = max(options, key=lambda t: round(distilled(pair, second, (0, 0), (t, t))[1].errors(_PHI_PLUS)[0], 12))
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
