"""MHP, midpoint heralding with trains of attempts.  MHP-n: mhp.toml.

`node` plays one node of any number of links, `station` one station of any number of links; `trains` is what
both know of a train.

Theory of operation.  The two nodes of a link have agreed on a train (the link layer's business): `count`
attempts at the station's slots first_slot, first_slot + spacing, ...  Each tells the station in one Gen.  The
station looks at the slots only if both Gens are there, and are equal, before the first of them: an attempt in
a slot that the station does not look at cannot herald, so nothing of a train counts before both its Gens are
known.  The first success ends the train, or, where both nodes measure, as many as they have agreed on: the
station tells both nodes of each in a Reply, looks on behind its slot, and keeps the Replies for a while.  A
node that has heard nothing by the end of its train asks again (Gen INFO), for Replies get lost; so does one to
which their numbers show a gap.

A short train (at most SHORT attempts, `trains`) is told attempt by attempt, as published: Gen, Reply, and for another
attempt the next Gen.  It costs few messages more, and a lost one costs an attempt instead of the train.

A train is named by link, queue id and first slot.  Time does not run backwards, so a name does not come twice
even when a node has restarted and counts its queue ids from the beginning.
"""
