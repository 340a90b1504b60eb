"""Circuits over many QPUs: `compile_job(scenario, job)` turns an OpenQASM file into the steps of each node.

In this order: source.py reads the text, parse.py hands it to Qiskit, lower.py expands it to device gates
(gates.py), split.py deals these out to the nodes, ideal.py says what should come out, compiled.py puts it
together.
"""

from testbed.circuits.compiled import CompiledJob, compile_job
from testbed.circuits.ideal import bit_string
from testbed.circuits.split import Step

__all__ = ["CompiledJob", "Step", "bit_string", "compile_job"]
