"""QNP, the network layer: circuits, and pairs on them.

`node` is the machine of a node, `circuit` one end of one circuit, `states` the states and tables, `service` what passes
to and from the layers beside it; qnp.toml has the requirements.
"""
