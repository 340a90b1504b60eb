"""A circuit cut over QPUs: `compile_circuit` turns it into the steps of each node.

In this order: `circuit` is what comes in, `cut` chooses which QPU holds which qubit, `weave` finds the blocks of gates
that one pair can serve, `steps` writes what each node does.
"""
