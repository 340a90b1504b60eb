"""QNP, the network layer: circuits, and pairs on them.

`node` is the machine of a node, `circuit` what an end (`end`, on `complete`, `needs` and `requests`) and a repeater
(`relay`) have in common, `states` the states and tables, `service` what passes to and from the layers beside it;
qnp.toml has the requirements.
"""
