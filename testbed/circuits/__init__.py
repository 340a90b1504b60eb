"""Circuits over many QPUs: `compile_jobs(scenario)` turns its OpenQASM files into the steps of each node.

In this order: source.py reads the text, parse.py hands it to Qiskit, lower.py expands it to device gates
(gates.py), split.py deals these out to the nodes, ideal.py says what should come out, compiled.py puts it
together.
"""

from testbed.circuits.compiled import CompiledJob, compile_job, compile_jobs
from testbed.circuits.ideal import bit_string
from testbed.circuits.split import Step

__all__ = ["CompiledJob", "Step", "bit_string", "compile_job", "compile_jobs"]
