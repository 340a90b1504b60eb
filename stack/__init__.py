"""One node: its runtime, and five layers, each knowing only the interface of the layer below."""
