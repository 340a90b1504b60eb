"""What programs outside the node can ask of its layers: qubits, sessions with other programs, pairs, remote gates."""

from stack.application.programs.service import Programs

__all__ = ["Programs"]
