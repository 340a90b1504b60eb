"""SRP, switch reservation: who may use which Bell-state analyser of a switch, and when.  SRP-n: srp.toml.

`node` asks on behalf of the links that a node leads, `switch` grants, `policy` says whose turn it is.

Theory of operation.  A switch has more links than analysers, and each of its ports (the fibre of one node) carries one
link at a time.  Before a train is proposed, the node that leads the link reserves: Reserve, answered by Queued while it
waits and by Grant when an analyser is being set on the link.  The grant names the first slot, far enough ahead for
the switch to reconfigure and for the two nodes to agree, and how many slots; one grant is for one train.  The
station sees the train itself, so the grant ends with the train's herald, without a word; a grant whose train does not
come is void at its first slot.

Everything is soft state under one name, (link, ticket).  A Reserve is repeated until it is answered, then at the pace
that the switch asks for, and forgotten when it is not repeated; a message about another ticket than the current one
changes nothing.  So loss, duplication, and the death of either side need no further rules.  Tickets grow, in every
life of a node: they are its time when it asked.
"""
