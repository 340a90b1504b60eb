"""MHP, midpoint heralding with trains of attempts.  MHP-n: mhp.toml.

`node` plays one node of any number of links, `station` one station of any number of links; `trains` is what
both know of a train.

Theory of operation.  The two nodes of a link have agreed on a train (the link layer's business): `count`
attempts at the station's slots first_slot, first_slot + spacing, ...  Each tells the station in one Gen.  The
station looks at the slots only if both Gens are there, and are equal, before the first of them: an attempt in
a slot that the station does not look at cannot herald, so nothing of a train counts before both its Gens are
known.  The first success ends the train.  What came of it the station tells both nodes in a Reply each, and
keeps for a while: a node that has heard nothing by the end of its train asks again (Gen INFO), for Replies
get lost.

A train is named by link, queue id and first slot.  Time does not run backwards, so a name does not come twice
even when a node has restarted and counts its queue ids from the beginning.
"""
