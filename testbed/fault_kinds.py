"""What can be wrong with a network: the words for it, which scenario files, commands and the shell have in common.

What may live here: those words, for whoever need not know more; what each asks for is ``testbed.scenario.troubles``.
Deaths, births and freezes of nodes are commands of their own.
"""

from typing import Final

CHANCES: Final = ("loss", "duplicate", "corrupt", "reorder")
"""Probabilities per frame."""
SPANS: Final = ("delay", "jitter")
"""Picoseconds: by how much every frame is later, or by how much at most."""
DRIFT: Final = "drift"
"""Parts per billion: by how much faster than before a node's oscillator runs."""
AMOUNTS: Final = (*CHANCES, *SPANS, DRIFT)
"""Those that are of a size."""
BREAKS: Final = ("cut", "partition", "blind")
DISK: Final = "disk"
"""The disk of the run is full: nothing is written down any more."""
BROKER: Final = "broker"
"""None of the network's: the MQTT broker of its own is gone."""
KINDS: Final = (*AMOUNTS, *BREAKS, DISK, BROKER)

__all__ = ["AMOUNTS", "BREAKS", "BROKER", "CHANCES", "DISK", "DRIFT", "KINDS", "SPANS"]
