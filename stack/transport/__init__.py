"""The transport layer: sessions between nodes, pair streams, teleported qubits."""
