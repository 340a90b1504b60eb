"""SeQUeNCe through the plane's door: quick to import, and whole when it is used."""

import subprocess
import sys

LEAN = """
import sys
from testbed.plane import Plane
print(*[m for m in ("qutip", "qutip_qip", "matplotlib", "scipy") if m in sys.modules])
"""

# SeQUeNCe's own managers: a Bell pair by QuTiP's product of gates; a lossy Fock state by SciPy's sparse matrices.
WHOLE = """
import numpy as np
from testbed.plane import Plane
from testbed.plane.simulator import Circuit
from sequence.kernel.quantum_manager import QuantumManagerKet, QuantumManagerDensityFock
kets = QuantumManagerKet()
keys = [kets.new(), kets.new()]
circuit = Circuit(2)
circuit.h(0)
circuit.cx(0, 1)
kets.run_circuit(circuit, keys)
print(*np.round(np.abs(kets.get(keys[0]).state) ** 2, 9))
fock = QuantumManagerDensityFock(truncation=1)
mode = fock.new()
create, destroy = fock.build_ladder()
print(*np.round(create.diagonal(-1).real, 9))
zero, one = np.diag([1, 0]), np.diag([0, 1])
print(fock.measure([mode], [zero, one], 0.5))
"""


def said(program: str) -> list[str]:
    command = [sys.executable, "-W", "ignore", "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_a_plane_comes_up_without_what_it_never_calls():
    assert said(LEAN) == [""]


def test_who_uses_sequences_own_managers_has_the_real_thing():
    assert said(WHOLE) == ["0.5 0.0 0.0 0.5", "1.0", "0"]
