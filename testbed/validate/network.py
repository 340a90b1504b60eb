"""Area `network`: swaps, waiting, purification and whole chains against what composing states must give, and
against SeQUeNCe's own repeaters.

The tables stand in modules by subject; their rows in network.yaml.
"""

from pathlib import Path

from testbed.validate import chains, sequence_chain, swaps

ROWS = Path(__file__).with_name("network.yaml")
TABLES = (*swaps.TABLES, *chains.TABLES, *sequence_chain.TABLES)
