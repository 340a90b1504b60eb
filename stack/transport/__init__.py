"""The transport layer: sessions between nodes, pair streams, teleported qubits.  ``interface`` is what the layers above
may use."""
