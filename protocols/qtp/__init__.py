"""QTP, the transport layer: sessions that teleport qubits or hand on pairs.

`node` is the machine of a node, `sending` and `receiving` the ends of one direction of a session, `states` the states
of a session and their table, `service` what passes to and from the layers beside it; qtp.toml has the requirements.
"""
