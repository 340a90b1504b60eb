"""Area `link`: links, photons, transducers, timing and stored pairs against published laws and numbers.

The tables stand in modules by subject; their rows in link.yaml.
"""

from pathlib import Path

from testbed.validate import detection, heralds, sequence, stack, timing, transducers, waiting

ROWS = Path(__file__).with_name("link.yaml")
TABLES = (
    *heralds.TABLES,
    *detection.TABLES,
    *timing.TABLES,
    *transducers.TABLES,
    *waiting.TABLES,
    *sequence.TABLES,
    *stack.TABLES,
)
