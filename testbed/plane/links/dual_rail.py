"""Dual rail: each emitter sends one photon in one of two rails (polarisation, time bin), both at once.

A herald is one click in each rail. A rail is to this link what a round is to Barrett-Kok, with detectors of
its own: the law is the double-click law, the attempt takes one window instead of two rounds.
"""

from dataclasses import replace
from typing import override

from testbed.plane.links.barrett_kok import BarrettKok
from testbed.plane.links.model import ALONE, Grade, LinkId, LinkParameters


class DualRail(BarrettKok):
    """p = (eta_s eta_d T(L/2))^2/2 without dark counts; one attempt per tau_l + tau_0."""

    rounds, rails = 1, 2

    def __init__(self, parameters: LinkParameters, grade: Grade = "sampled", ident: LinkId = ALONE) -> None:
        # Both rails of a photon arrive at once, and every rail has its own detectors: none is ever blind.
        known = replace(parameters, jitter_frozen=True, dead_time_ps=0.0)
        super().__init__(known, grade, ident)

    @property
    @override
    def attempt_ps(self) -> int:
        return self.parameters.window_ps
