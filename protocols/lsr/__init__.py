"""LSR, routing: every node tells all others what its links can deliver, and finds paths for itself.

`node` is the machine of a node, `neighbour` what it knows of one neighbour, `database` the adverts it holds, `flooding`
how they spread, `saying` what the node says of itself, `damper` how often, `repeats` what is said again, `states` the
states and their table, `service` what passes to and from the layers beside it; lsr.toml has the requirements.
"""
