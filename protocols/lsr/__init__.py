"""LSR, routing: every node tells all others what its links can deliver, and finds paths for itself.

`node` is the machine of a node, `neighbour` what it knows of one neighbour, `database` the adverts it holds, `damper`
when it says something new, `states` the states and their table, `service` what passes to and from the layers beside
it; lsr.toml has the requirements.
"""
