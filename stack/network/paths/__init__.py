"""Path policies: which ways to a node are worth trying, the best first.

A policy is a function of what routing knows: the graph, this node, the destination, how many ways are wanted.
`k_shortest` in `search` does the walking; what remains of a policy is what makes one way better than another.  `policy`
finds one by its name, or in a user's own file.  docs/routing.md has one in ten lines.
"""

from stack.network.paths.policies import POLICIES, additive, end_to_end_rate, hops, policy, rate
from stack.network.paths.search import Cost, PathPolicy, k_shortest

__all__ = ["POLICIES", "Cost", "PathPolicy", "additive", "end_to_end_rate", "hops", "k_shortest", "policy", "rate"]
