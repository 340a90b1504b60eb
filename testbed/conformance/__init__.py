"""The conformance kit: scripted peers, devices and users around one implementation, and a verdict per requirement.

What may live here: `catalogue` (what is required), `scene` (who stands around whom), `stage` (what a script holds),
`simulated` and `sockets` (the two grounds it stands on), `devices` (the ground of the quantum plane),
`adaptor` and `iut` (our own node as one is tested), `scripts/` (a file per protocol), `mutants/` (nodes that are
wrong on purpose), `vectors` (golden bytes), `kit` (runs it all) and `report`.
"""
