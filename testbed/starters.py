"""What `bellwire new` writes: scenarios that run as they are, and say what may be changed.

What may live here: those texts.  A test runs each of them.
"""

from pathlib import Path
from typing import NamedTuple


class Starter(NamedTuple):
    """``about``: what it shows, in a few words."""

    about: str
    text: str


_HEAD = """# {title}
#
#   bellwire run {file}                    does the work at the end of this file, leaves trace and report in out/
#   bellwire up {file} --dilation 100      leaves the network up, without the work: status, ping, kill, restart, down
#
# Every key there is, with its default: docs/scenarios.md. Units stand in the keys.

seed: 1                          # every random draw follows from it: the same seed, the same bytes
speed_m_per_s: 2.0e8             # light in fibre

devices:                         # kinds of hardware; more of them, with sources, in testbed/devices
  module:
    data_qubits: 2               # hold what programs work on
    communication_qubits: 2      # hold halves of pairs
    t2_s: 1.0                    # how long a superposition lives; t1_s: for ever, if left out
    gate_1q_s: 10.0e-6
    gate_2q_s: 100.0e-6
    readout_s: 100.0e-6
    gate_2q_fidelity: 0.998
    readout_error_0: 0.002       # reads 1 from |0>
    readout_error_1: 0.002       # reads 0 from |1>
"""

_LINK_KEYS = (
    "model: barrett-kok, grade: sampled, slot_s: 20.0e-6, efficiency_a: 0.3, efficiency_b: 0.3, visibility: 0.97}"
)

_LINK = _HEAD + """
nodes:                           # numbered 1, 2, 3 in this order
  west: {{kind: qpu, device: module}}
  mid: {{kind: station}}           # a beam splitter and two detectors
  east: {{kind: qpu, device: module}}

links:                           # model: how pairs are made (docs/links.md); visibility: how alike the photons are
  west-east: {{a: west, b: east, station: mid, length_m: 100,
              {link}

channel: {{loss: 0.0}}             # of classical frames: loss, duplicate, corrupt, reorder, jitter_s

# faults:                        # what goes wrong, and when
#   - {{at_s: 0.05, kill: east}}
#   - {{at_s: 0.10, restart: east}}

# The work: pairs for whoever asks. Others: job (a circuit over QPUs), teleport, programs (your own), toy.
requests:
  - {{from: west, to: east, pairs: 20}}
"""

_CHAIN = _HEAD + """
nodes:
  west: {{kind: qpu, device: module}}
  repeater: {{kind: repeater, device: module}}     # swaps: what it shares with west and with east becomes one pair
  east: {{kind: qpu, device: module}}
  m1: {{kind: station}}
  m2: {{kind: station}}

links:
  l1: {{a: west, b: repeater, station: m1, length_m: 5000,
       {link}
  l2: {{a: repeater, b: east, station: m2, length_m: 5000,
       {link}

circuits:
  cutoff_s: 50.0e-3              # how long a half may wait for its partner; 0: for ever

# The work: pairs over the repeater.
requests:
  - {{from: west, to: east, pairs: 20}}
"""

STARTERS = {
    "link": Starter("two QPUs and a station midway", _LINK),
    "chain": Starter("two QPUs with a repeater between them", _CHAIN),
}


def starter(kind: str, file: Path) -> str:
    """The text of a scenario of that kind, for ``file``."""
    about, text = STARTERS[kind]
    return text.format(title=about[0].upper() + about[1:] + ".", file=file.name, link=_LINK_KEYS)


__all__ = ["STARTERS", "Starter", "starter"]
