"""The algebra of Bell indexes against exact state vectors."""

from itertools import product

import pytest
from ideal_qubits import CX, CZ, H, Qubits, X, Y, Z

from protocols import bell
from protocols.bell import Basis
from protocols.wire.codec import BellIndex

INDEXES = list(BellIndex)
BITS = (0, 1)


def pair(index: int) -> Qubits:
    qubits = Qubits()
    qubits.add_pair("a", "b", index)
    return qubits


def correct(qubits: Qubits, name: object, correction: int) -> None:
    """X^x, and then Z^z."""
    if bell.bit_flip(correction):
        qubits.run(X, name)
    if bell.phase_flip(correction):
        qubits.run(Z, name)


def test_the_index_is_two_bits() -> None:
    assert [bell.bell_index(x, z) for x, z in product(BITS, BITS)] == [0, 1, 2, 3]
    assert [(bell.bit_flip(b), bell.phase_flip(b)) for b in INDEXES] == list(product(BITS, BITS))
    names = [b.name for b in INDEXES]
    assert names == ["PHI_PLUS", "PHI_MINUS", "PSI_PLUS", "PSI_MINUS"]


@pytest.mark.parametrize("index", INDEXES)
@pytest.mark.parametrize("end", ["a", "b"])
def test_either_end_may_correct(index: int, end: str) -> None:
    qubits = pair(index)
    correct(qubits, end, index)
    assert qubits.overlap(pair(BellIndex.PHI_PLUS)) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(("index", "frame"), product(INDEXES, INDEXES))
def test_frames_compose_by_xor(index: int, frame: int) -> None:
    qubits = pair(index)
    correct(qubits, "a", frame)
    assert qubits.overlap(pair(bell.compose(index, frame))) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("index", INDEXES)
@pytest.mark.parametrize(("basis", "observable"), [(Basis.X, X), (Basis.Y, Y), (Basis.Z, Z)])
def test_signs_of_parities(index: int, basis: Basis, observable: object) -> None:
    mean = pair(index).expectation(observable, "a", "b")  # type: ignore[arg-type]
    assert mean == pytest.approx(bell.parity_sign(index, basis), abs=1e-12)
    assert bell.parity_sign(index, basis) == (-1) ** bell.parity_bit(index, basis)


@pytest.mark.parametrize(("left", "right"), product(INDEXES, INDEXES))
@pytest.mark.parametrize(("m1", "m2"), product(BITS, BITS))
@pytest.mark.parametrize("first", ["inner left", "inner right"])
def test_swapping_composes_both_pairs_and_the_outcome(
    left: int, right: int, m1: int, m2: int, first: str
) -> None:
    qubits = Qubits()
    qubits.add_pair("a", "inner left", left)
    qubits.add_pair("inner right", "b", right)
    second = "inner right" if first == "inner left" else "inner left"
    qubits.run(CX, first, second)
    qubits.run(H, first)
    assert qubits.measure(first, m1) == pytest.approx(1 / 2)
    assert qubits.measure(second, m2) == pytest.approx(1 / 2)
    assert qubits.overlap(pair(bell.swap(left, right, m1, m2))) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(("index", "m1", "m2"), product(INDEXES, BITS, BITS))
def test_teleportation_over_every_pair(index: int, m1: int, m2: int) -> None:
    # Half of a pair is teleported, so the test covers every state of the data qubit at once.
    qubits = Qubits()
    qubits.add_pair("a", "data")
    qubits.add_pair("here", "b", index)
    qubits.run(CX, "data", "here")
    qubits.run(H, "data")
    qubits.measure("data", m1)
    qubits.measure("here", m2)
    correct(qubits, "b", bell.teleport_correction(index, m1, m2))
    assert qubits.overlap(pair(BellIndex.PHI_PLUS)) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("gate", [CX, CZ], ids=["CNOT", "CZ"])
@pytest.mark.parametrize(("index", "m1", "m2"), product(INDEXES, BITS, BITS))
def test_telegate_over_every_pair(gate: object, index: int, m1: int, m2: int) -> None:
    wanted, qubits = Qubits(), Qubits()
    for register in (wanted, qubits):
        register.add_pair("reference c", "c")
        register.add_pair("reference t", "t")
    wanted.run(gate, "c", "t")  # type: ignore[arg-type]
    qubits.add_pair("e", "f", index)
    qubits.run(CX, "c", "e")
    assert qubits.measure("e", m1) == pytest.approx(1 / 2)
    if bell.cat_correction(index, m1):
        qubits.run(X, "f")
    qubits.run(gate, "f", "t")  # type: ignore[arg-type]
    qubits.run(H, "f")
    assert qubits.measure("f", m2) == pytest.approx(1 / 2)
    if bell.uncat_correction(index, m2):
        qubits.run(Z, "c")
    assert qubits.overlap(wanted) == pytest.approx(1, abs=1e-12)
