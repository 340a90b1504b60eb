"""The application layer: what a node runs by itself, and what attached programs may call."""
