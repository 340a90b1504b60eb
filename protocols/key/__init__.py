"""KEY, keys of two nodes from pairs that both have measured: BBM92 (Bennett, Brassard, Mermin, PRL 68, 557, 1992).

`node` is the machine of a node, `opener` and `responder` are the two ends of a session, `states` their tables,
`service` what passes to and from the layers beside it.  By step: `sifting` (who measured what), `correction`
(Cascade), `amplification` (Toeplitz matrices, the length of a key), `store` (keys and their names).  key.toml has the
requirements.
"""
