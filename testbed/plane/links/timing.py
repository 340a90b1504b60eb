"""What arriving early or late does to a link: photons overlap less, and part of one misses its gate.

What may live here: from two arrivals to the link model that goes with them, for every link class. A gate opens half a
window before the slot's time and closes half a window after it.
"""

from cmath import rect
from dataclasses import replace
from itertools import product
from math import pi
from typing import ClassVar, Self

import numpy as np

from testbed.plane.links.model import ALONE, ON_TIME, Arrivals, Brightness, Grade, LinkId, LinkParameters
from testbed.plane.state.gates import Complex


class Retimed:
    """Part of every link class."""

    meeting: ClassVar[bool] = True
    """Photons of both nodes interfere, so that their relative arrival matters."""

    def __init__(self, parameters: LinkParameters, grade: Grade = "sampled", ident: LinkId = ALONE) -> None:
        self.parameters, self.grade, self.ident = parameters, grade, ident

    def altered(self, **changes: float) -> Self:
        """The same link with other parameters, for its law."""
        return type(self)(replace(self.parameters, **changes), self.grade)  # type: ignore[arg-type]

    def gates(self, arrivals: Arrivals) -> tuple[float, float]:
        """Shares of what is detected on time that fall into the gate all the same."""
        known = self.parameters
        window_s = known.window_ps * 1e-12
        a, b = (known.packets.in_gate(late * 1e-12, window_s, end) for end, late in enumerate(arrivals))
        return a, b

    def arriving(self, arrivals: Arrivals) -> Self:
        """The link of an attempt whose photons come so late."""
        if arrivals == ON_TIME:
            return self
        known = self.parameters
        gate_a, gate_b = self.gates(arrivals)
        late_ps = arrivals.a_ps - arrivals.b_ps if self.meeting else 0
        return self.altered(
            offset_ps=known.offset_ps + late_ps, gate_a=known.gate_a * gate_a, gate_b=known.gate_b * gate_b
        )

    def success_probability(self, alpha: Brightness) -> float:
        raise NotImplementedError

    def ceiling(self, alpha: Brightness) -> float:
        """No arrivals make an attempt more likely to herald than this.

        The chance is linear in each of both gates and the visibility, so that it is largest in a corner.
        """
        known = self.parameters
        corners = product((0.0, known.gate_a), (0.0, known.gate_b), (0.0, known.visibility))
        return max(
            self.altered(gate_a=a, gate_b=b, visibility=visibility).success_probability(alpha)
            for a, b, visibility in corners
        )


def turned(state: Complex, frame_hz: float, arrivals: Arrivals) -> Complex:
    """A pair whose nodes made their halves in frames that were late: |1> of each has the phase 2 pi f dt.

    A frame is that of the qubit's frequency f, which the node's clock keeps. On Psi+-, with dt the relative
    arrival, F becomes F cos^2(pi f dt) where the pair was one of F.
    """
    a, b = (rect(1.0, 2 * pi * frame_hz * late * 1e-12) for late in arrivals)
    phases = np.array([1.0, b, a, a * b])
    rotated: Complex = state * np.outer(phases, phases.conj())
    return rotated
