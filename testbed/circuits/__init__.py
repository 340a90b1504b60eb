"""Circuits as people write them: `compile_jobs(scenario)` turns its OpenQASM files into the steps of each node.

In this order: source.py reads the text, parse.py hands it to Qiskit, lower.py expands it to device operations
(gates.py, conditions.py), the stack's compiler deals these out to the QPUs, ideal.py says what should come out,
compiled.py puts it together.
"""

from testbed.circuits.compiled import CompiledJob, compile_job, compile_jobs, read_job
from testbed.circuits.ideal import bit_string

__all__ = ["CompiledJob", "bit_string", "compile_job", "compile_jobs", "read_job"]
