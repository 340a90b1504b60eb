"""Two emitters, one beam splitter, two threshold detectors: what a click pattern does to the emitters' state.

Each node is in a superposition of dark |0> and bright |1>; bright has sent one photon. Order |ab>: dark-dark,
dark-bright, bright-dark, bright-bright. A photon of a (b) is detected with probability pa (pb); M is the
photons' visibility. Losing a photon, or catching two, tells the environment who was bright, so the only
coherence that survives a click is that between dark-bright and bright-dark: every pattern acts as an
elementwise factor (a "mask") on the 4x4 density matrix.

Kraus operators behind the masks, for one photon in detector ±: sqrt(pa/2)|10><10| ± sqrt(pb M/2)|01><01| for
the part of b's photon that overlaps a's, ± sqrt(pb (1-M)/2)|01><01| for the part that does not (Hong, Ou and
Mandel, PRL 59, 2044 (1987); Barrett and Kok, PRA 71, 060310 (2005)). Two photons leave by one port with
probability (1+M)/2.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np

from testbed.plane.state.gates import Complex, Real


@dataclass(frozen=True, slots=True)
class ClickMasks:
    """Masks of the photons' patterns: no click, only one detector, both; their diagonals sum to one."""

    none: Real
    only: tuple[Real, Real]
    both: Real

    def observed(self, detector: int, dark: float) -> Real:
        """Mask of "this detector clicked, the other did not"; `dark` is a dark count's chance in each."""
        mask: Real = (1.0 - dark) * (self.only[detector] + dark * self.none)
        return mask


def click_masks(pa: float, pb: float, visibility: float, coherence: float = 1.0) -> ClickMasks:
    """The masks for those detection probabilities; `coherence` (kappa) scales the coherence that survives."""
    none = np.diag([1.0, 1.0 - pb, 1.0 - pa, (1.0 - pa) * (1.0 - pb)])
    both = np.diag([0.0, 0.0, 0.0, pa * pb * (1.0 - visibility) / 2])
    single = (pa * (1.0 - pb) + pb * (1.0 - pa)) / 2 + pa * pb * (1.0 + visibility) / 4
    only = []
    for sign in (1.0, -1.0):
        mask = np.diag([0.0, pb / 2, pa / 2, single])
        mask[1, 2] = mask[2, 1] = sign * coherence * sqrt(visibility * pa * pb) / 2
        only.append(mask)
    return ClickMasks(none, (only[0], only[1]), both)


def heralded_state(unnormalised: Complex) -> Complex:
    """The state of trace one, read-only since one array serves every draw; ValueError if it never heralds."""
    weight = float(np.trace(unnormalised).real)
    if weight <= 0:
        raise ValueError("a link that never heralds has no heralded state")
    state: Complex = unnormalised / weight
    state.setflags(write=False)
    return state
