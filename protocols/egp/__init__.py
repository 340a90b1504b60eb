"""EGP, the link layer: pairs with a neighbour, created and kept.

`node` is the machine of a node on all its links, `link` one end of one link, `queue` its requests, `states` the states
and tables, `service` what passes to and from the layers beside it; egp.toml has the requirements.
"""
