"""A logical Bell pair over a seam: its circuit, and a few shots of it through the whole stack."""

import numpy as np
import pytest

from testbed.circuits.surface import BASES, patches, stim_circuit
from testbed.validate.logical import TABLES, _outcomes

(TABLE,) = TABLES
PARAMETERS = {column.name: column.default for column in TABLE.parameters}


@pytest.mark.parametrize("distance", [3, 5])
def test_every_check_commutes_with_every_other_and_gates_of_a_step_keep_apart(distance):
    code = patches(distance)
    for checks in (code.joined, code.apart):
        for one in checks:
            for other in checks:
                assert one.kind == other.kind or len(set(one.data) & set(other.data)) % 2 == 0
        for step in range(4):
            used = [q for check in checks if (q := check.corners[step]) is not None]
            assert len(used) == len(set(used))
    assert len(code.joined) == code.data - 1, "one logical qubit is left"
    assert len(code.apart) == code.data - 2
    left = set(code.left())
    crossing = [1 for check in code.joined for q in check.data if (q in left) != (check.ancilla in left)]
    assert len(crossing) == 2 * distance - 1
    assert not [1 for check in code.apart for q in check.data if (q in left) != (check.ancilla in left)]


@pytest.mark.parametrize("basis", BASES)
def test_no_error_smaller_than_the_distance_goes_unnoticed(basis):
    circuit = stim_circuit(3, basis, 0.003, 0.03)
    model = circuit.detector_error_model(decompose_errors=True, approximate_disjoint_errors=True)
    assert len(model.shortest_graphlike_error()) == 3


@pytest.mark.parametrize("basis", BASES)
def test_the_stack_measures_what_the_circuit_says(basis):
    """Next to no noise: no detector fires, and the pair has the right parity, in every shot."""
    values = {**PARAMETERS, "distance": 3, "basis": basis, "bulk": 1e-9, "seam": 1e-9, "shots": 4}
    measured = np.array(_outcomes(values, 1))
    circuit = stim_circuit(3, basis, 1e-9, 1e-9)
    detected, flipped = circuit.compile_m2d_converter().convert(measurements=measured, separate_observables=True)
    assert not detected.any()
    assert not flipped.any()
    assert measured.any(axis=0).sum() > 10, "X checks come out at random at first"
