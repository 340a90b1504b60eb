"""EGP, the link layer: pairs with a neighbour, kept, measured directly or prepared remotely.

`node` is the machine of a node on all its links, `link` one end of one link with its parts beside it, `states` the
states and tables, `service` what passes to and from the layers beside it; egp.toml has the requirements.
"""
