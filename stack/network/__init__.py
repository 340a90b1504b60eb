"""The network layer: pairs between any two nodes, on circuits.  ``interface`` is what the layers above may use."""
