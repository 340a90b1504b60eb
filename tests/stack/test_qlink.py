"""The link layer in the words of the qlink-interface package."""

from math import pi
from typing import Any

import pytest
from qlink_interface import (
    BellState,
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
    get_creator_node_id,
)

from protocols.egp.service import KEPT, Err, How, Ok, OkMeasured, OkPrepared
from protocols.measuring import FULL
from protocols.wire import BellIndex, EgpBases, EgpBasis, EgpError, EgpKind, EgpMeasuring
from stack.link.interface import APPLICATION_PURPOSES
from stack.link.qlink import QlinkService

HERE, THERE, LINK = 1, 3, 5
FIRST = APPLICATION_PURPOSES[0]


class Recorder:
    """A link layer that writes down what it is asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.users: dict[int, Any] = {}

    def serve_purpose(self, purpose: int, user: Any) -> None:
        self.users[purpose] = user

    def create(self, *row: Any) -> int:
        self.calls.append(row)
        return 17

    def recv(self, remote: int, purpose: int) -> None:
        self.calls.append(("recv", remote, purpose))

    def stop_recv(self, remote: int, purpose: int) -> None:
        self.calls.append(("stop_recv", remote, purpose))


def service() -> tuple[QlinkService, Recorder, list[Any]]:
    link: Any = Recorder()
    heard: list[Any] = []
    return QlinkService(link, {THERE: LINK}, heard.append), link, heard


def test_create_and_keep() -> None:
    """Fidelity is rounded up, time goes by its unit, priority is turned round."""
    qlink, link, _ = service()
    request = ReqCreateAndKeep(THERE, 0.8, 1, 30, 7, 4, 2, True, False)
    assert qlink.request(request) == 17
    assert link.calls == [(LINK, FIRST + 7, 4, -(-8 * FULL // 10), 30_000_000_000, 0, KEPT._replace(atomic=True))]
    assert link.users == {FIRST + 7: qlink}
    qlink.request(ReqCreateAndKeep(THERE))
    assert link.calls[1] == (LINK, FIRST, 1, 0, 0, 2, KEPT)


def test_measure_directly_and_prepare() -> None:
    qlink, link, _ = service()
    request = ReqMeasureDirectly(
        THERE,
        number=3,
        priority=1,
        random_basis_local=RandomBasis.XZ,
        random_basis_remote=RandomBasis.CHSH,
        x_rotation_angle_local_1=pi / 2,
        y_rotation_angle_remote=-pi / 4,
        x_rotation_angle_remote_2=pi,
        probability_distribution_parameter_local_1=0.25,
        probability_distribution_parameter_remote_1=1,
    )
    qlink.request(request)
    local = EgpMeasuring(EgpBases.XZ, int(0.25 * FULL), 0, 1 << 30, 0, 0)
    remote = EgpMeasuring(EgpBases.CHSH, FULL, 0, 0, -(1 << 29), -(1 << 31))
    assert link.calls[0][-2:] == (1, How(EgpKind.MEASURE, local=local, remote=remote))
    prepare = ReqRemoteStatePrep(THERE, consecutive=True, random_basis_local=RandomBasis.XYZ)
    qlink.request(prepare)
    assert link.calls[1][-1] == How(EgpKind.REMOTE, consecutive=True, local=EgpMeasuring(EgpBases.XYZ))


def test_rules() -> None:
    qlink, link, _ = service()
    assert qlink.request(ReqReceive(THERE, 2)) is None
    assert qlink.request(ReqStopReceive(THERE, 2)) is None
    assert link.calls == [("recv", THERE, FIRST + 2), ("stop_recv", THERE, FIRST + 2)]


def test_answers() -> None:
    qlink, _, heard = service()
    row = (LINK, 17, 1, 9, FIRST + 2, THERE, FULL // 2, BellIndex.PSI_MINUS)
    qlink.link_ok(Ok(*row, 0x20001, 123_000, 5))
    qlink.link_measured(OkMeasured(*row, 1, EgpBasis.ZMINUSX, 123_000, 5))
    qlink.link_measured(OkPrepared(*row, 0, EgpBasis.Y, 123_000, 5))
    qlink.link_error(Err(LINK, 17, THERE, FIRST + 2, THERE, EgpError.EXPIRE, 3, 4))
    qlink.link_error(Err(LINK, 18, HERE, FIRST + 2, THERE, EgpError.NOTIME, None, None))
    common = (17, True, 9, 2, THERE, pytest.approx(0.5), BellState.PSI_MINUS.value)
    kept, measured, prepared, expired, late = heard
    assert kept == ResCreateAndKeep(*common, 0x20001, 123_000)
    assert measured == ResMeasureDirectly(*common, True, MeasurementBasis.ZMINUSX)
    assert prepared == ResRemoteStatePrep(*common, False, MeasurementBasis.Y)
    assert expired == ResError(17, ErrorCode.EXPIRE, True, 3, 4, THERE)
    assert late == ResError(18, ErrorCode.NOTIME, False, 0, 0, HERE)
    assert get_creator_node_id(HERE, kept) == THERE


def test_code_points_are_the_packages() -> None:
    assert [(b.name, b.value) for b in BellState] == [(b.name, int(b)) for b in BellIndex]
    assert [(b.name, b.value) for b in RandomBasis] == [(b.name, int(b)) for b in EgpBases]
    assert [(b.name, b.value) for b in MeasurementBasis] == [(b.name, int(b)) for b in EgpBasis]
    assert [(e.name, e.value) for e in ErrorCode] == [(e.name, int(e)) for e in EgpError]


@pytest.mark.parametrize(
    "request_",
    [
        ReqCreateAndKeep(HERE),
        ReqCreateAndKeep(THERE, purpose_id=256),
        ReqCreateAndKeep(THERE, time_unit=3),
        ReqCreateAndKeep(THERE, minimum_fidelity=1.1),
        ReqCreateBase(THERE),
        ReqMeasureDirectly(THERE, probability_distribution_parameter_local_1=1.5),
        ReqMeasureDirectly(THERE, probability_distribution_parameter_remote_1=-0.5),
    ],
)
def test_what_no_link_layer_could_take(request_: Any) -> None:
    qlink, link, _ = service()
    with pytest.raises(ValueError):
        qlink.request(request_)
    assert not link.calls
