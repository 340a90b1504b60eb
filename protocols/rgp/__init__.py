"""RGP, remote gates: one gate over one pair.

`node` is the machine of a node, `states` the states of a gate and their tables, `service` what passes to and from the
layers beside it; rgp.toml has the requirements.
"""
