"""The link layer in the terms of the `qlink-interface` package: its requests in, its answers out.

What may live here: the translation at that border.  No layer of a node needs it, so no node process imports it or the
package: a program that wants to speak it does.  What differs from the package's own words:

- A purpose id is 0 to 255 and means that one of `APPLICATION_PURPOSES`: the others belong to the network layer.
- The package's larger priority is more urgent; a scheduler here counts its queues from the strict one.  2 and more is
  the queue NL, 1 CK, 0 MD.
- `goodness` is the estimate alone; its error bar has no field there.  `time_of_goodness`, whose unit the package leaves
  open, is in picoseconds of the node's time.
- Of a remote state preparation the creator gets a ResRemoteStatePrep; the other node holds a qubit, for which that
  answer has no field, and gets a ResCreateAndKeep.
- Probabilities of bases (both 0: all alike) count in the order X, Y, Z; X, Z; Z+X, Z−X.
"""

from collections.abc import Callable, Mapping
from math import ceil
from typing import Final

from qlink_interface import (
    ErrorCode,
    MeasurementBasis,
    RandomBasis,
    ReqCreateAndKeep,
    ReqCreateBase,
    ReqMeasureDirectly,
    ReqReceive,
    ReqRemoteStatePrep,
    ReqStopReceive,
    ResCreateAndKeep,
    ResError,
    ResMeasureDirectly,
    ResRemoteStatePrep,
)

from protocols.device import turn
from protocols.egp.service import Err, How, Ok, OkMeasured, OkPrepared
from protocols.measuring import FULL
from protocols.wire import EgpBases, EgpKind, EgpMeasuring
from stack.link.interface import APPLICATION_PURPOSES, LinkLayer

type Request = ReqCreateBase | ReqReceive | ReqStopReceive
type Answer = ResCreateAndKeep | ResMeasureDirectly | ResRemoteStatePrep | ResError

UNITS_PS: Final = {0: 10**6, 1: 10**9, 2: 10**12}
"""Of the package's time_unit: microseconds, milliseconds, seconds."""

_LEAST_URGENT: Final = 2


class QlinkService:
    """One node's link layer for programs that speak qlink-interface; ``hear`` is called with every answer."""

    def __init__(self, link: LinkLayer, links: Mapping[int, int], hear: Callable[[Answer], None]) -> None:
        """``links``: the number of the link to each neighbour."""
        self._link = link
        self._links = dict(links)
        self._hear = hear

    def request(self, request: Request) -> int | None:
        """Make a request; the create_id of one that creates.  Raises ValueError for what no link layer could take."""
        purpose = self._purpose(request.purpose_id)
        remote = request.remote_node_id
        if remote not in self._links:
            raise ValueError(f"node {remote} is no neighbour")
        if isinstance(request, ReqReceive):
            self._link.recv(remote, purpose)
            return None
        if isinstance(request, ReqStopReceive):
            self._link.stop_recv(remote, purpose)
            return None
        if request.time_unit not in UNITS_PS:
            raise ValueError(f"time unit {request.time_unit} is none of 0, 1, 2")
        if not 0.0 <= request.minimum_fidelity <= 1.0:
            raise ValueError(f"a minimum fidelity of {request.minimum_fidelity}")
        return self._link.create(
            self._links[remote],
            purpose,
            request.number,
            ceil(request.minimum_fidelity * FULL),
            round(request.max_time * UNITS_PS[request.time_unit]),
            max(0, _LEAST_URGENT - request.priority),
            _how(request),
        )

    def _purpose(self, purpose_id: int) -> int:
        if not 0 <= purpose_id < len(APPLICATION_PURPOSES):
            raise ValueError(f"purpose id {purpose_id} is not within 0 and {len(APPLICATION_PURPOSES) - 1}")
        purpose = APPLICATION_PURPOSES[purpose_id]
        self._link.serve_purpose(purpose, self)
        return purpose

    # From the link layer.

    def link_ok(self, ok: Ok) -> None:
        row = _common(ok)
        self._hear(ResCreateAndKeep(**row, logical_qubit_id=ok.qubit, time_of_goodness=ok.time_of_goodness))

    def link_measured(self, ok: OkMeasured | OkPrepared) -> None:
        kind = ResMeasureDirectly if isinstance(ok, OkMeasured) else ResRemoteStatePrep
        basis = MeasurementBasis(int(ok.basis))
        self._hear(kind(**_common(ok), measurement_outcome=bool(ok.outcome), measurement_basis=basis))

    def link_error(self, err: Err) -> None:
        ranged = err.sequence_low is not None and err.sequence_high is not None
        self._hear(
            ResError(
                create_id=err.create_id,
                error_code=ErrorCode(int(err.code)),
                use_sequence_number_range=ranged,
                sequence_number_low=err.sequence_low or 0,
                sequence_number_high=err.sequence_high or 0,
                origin_node_id=err.origin,
            )
        )


def _common(ok: Ok | OkMeasured | OkPrepared) -> dict[str, int | float | bool]:
    return {
        "create_id": ok.create_id,
        "directionality_flag": bool(ok.directionality),
        "sequence_number": ok.link_sequence,
        "purpose_id": APPLICATION_PURPOSES.index(ok.purpose_id),
        "remote_node_id": ok.remote,
        "goodness": ok.goodness / FULL,
        "bell_state": int(ok.bell_index),
    }


def _how(request: ReqCreateBase) -> How:
    together = request.atomic, request.consecutive
    if isinstance(request, ReqMeasureDirectly):
        return How(EgpKind.MEASURE, *together, _measuring(request, "local"), _measuring(request, "remote"))
    if isinstance(request, ReqRemoteStatePrep):
        return How(EgpKind.REMOTE, *together, _measuring(request, "local"))
    if isinstance(request, ReqCreateAndKeep):
        return How(EgpKind.KEEP, *together)
    raise ValueError(f"{type(request).__name__} is no kind of request")


def _measuring(request: ReqMeasureDirectly | ReqRemoteStatePrep, side: str) -> EgpMeasuring:
    """How one side measures: fields of the request by the side's name."""
    chances = [getattr(request, f"probability_distribution_parameter_{side}_{n}") for n in (1, 2)]
    if min(chances) < 0 or sum(chances) > 1:
        raise ValueError(f"probabilities {chances} of bases")
    angles = (f"x_rotation_angle_{side}_1", f"y_rotation_angle_{side}", f"x_rotation_angle_{side}_2")
    bases: RandomBasis = getattr(request, f"random_basis_{side}")
    # Rounded down: two that add up to 1 must not come to more.
    return EgpMeasuring(
        EgpBases(bases.value), *(int(chance * FULL) for chance in chances), *(turn(getattr(request, a)) for a in angles)
    )
