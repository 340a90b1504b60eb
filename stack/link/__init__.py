"""The link layer: pairs with a neighbour.  ``interface`` is what the network layer may use."""
