"""What scripts of links have in common: the way from a request to a train, with the implementation at either end.

What may live here: no script, and nothing that decides a requirement.
"""

from typing import Any, Final, NamedTuple

from protocols.mhp.trains import SUCCESSES
from protocols.wire import (
    DeviceTrain,
    EgpAdd,
    EgpAddAck,
    EgpKind,
    EgpTest,
    EgpTrain,
    EgpTrainAck,
    EgpVerdict,
    MhpError,
    MhpGen,
    MhpKind,
    MhpOutcome,
    MhpReply,
)
from testbed.conformance.scene import DELAY_PS, LINK, SLOT_PS
from testbed.conformance.stage import Stage

PURPOSE: Final = 0xFF07
UNSET: Final = 0xFFFF
"""An expected MHP sequence that is none."""
SPACING: Final = 4
STATION: Final = 3


class Running(NamedTuple):
    """A train that both ends have agreed on and the implementation has begun."""

    request: int
    queue_id: int
    gen: MhpGen
    train: DeviceTrain


def other(stage: Stage) -> int:
    """The other end of the link."""
    return 2 if stage.scene.node == 1 else 1


def add(create_id: int = 1, **fields: Any) -> EgpAdd:
    """A request of the peer."""
    row: dict[str, Any] = {
        "link": LINK,
        "create_id": create_id,
        "purpose_id": PURPOSE,
        "number": 1,
        "minimum_fidelity": 0,
        "priority": 0,
        "kind": EgpKind.KEEP,
        "max_time_ps": 0,
        "flags": 0,
        "queue_sequence": create_id,
        "virtual_finish": 0,
        "measuring": (),
    }
    return EgpAdd(**{**row, **fields})


async def asked(stage: Stage, **arguments: Any) -> EgpAdd:
    """The implementation is asked for pairs; its Add."""
    stage.user.order("create", link=LINK, purpose=PURPOSE, **arguments)
    await stage.user.expect("created", link=LINK)
    return await stage.peers[other(stage)].expect(EgpAdd, link=LINK, purpose_id=PURPOSE)


async def proposed(stage: Stage, **arguments: Any) -> tuple[EgpAdd, EgpTrain]:
    """At the master: a request of its own, acknowledged; the train that it proposes."""
    peer = stage.peers[other(stage)]
    request = await asked(stage, **arguments)
    peer.send(EgpAddAck(LINK, request.create_id, 0, 0))
    return request, await peer.expect(EgpTrain, origin=1, create_id=request.create_id)


def ready(train: EgpTrain, expected: int = UNSET) -> EgpTrainAck:
    return EgpTrainAck(LINK, train.queue_id, EgpVerdict.READY, expected)


async def begun(stage: Stage, request: int, train: EgpTrain) -> Running:
    """What the implementation does for a train that is agreed on: a Gen to the station, a command to its devices."""
    gen = await stage.peers[STATION].expect(
        MhpGen,
        kind=MhpKind.PRODUCE,
        link=LINK,
        queue_id=train.queue_id,
        first_slot=train.first_slot,
        spacing=train.spacing,
        count=train.count,
    )
    row: dict[str, Any] = {"link": LINK, "first_slot": train.first_slot, "spacing": train.spacing, "count": train.count}
    return Running(request, train.queue_id, gen, await stage.devices.expect(DeviceTrain, **row))


async def led(stage: Stage, **arguments: Any) -> Running:
    """At the master: from a request to its train."""
    request, train = await proposed(stage, **arguments)
    stage.peers[other(stage)].send(ready(train))
    return await begun(stage, request.create_id, train)


def proposal(stage: Stage, request: int, queue_id: int = 1, count: int = 2, **fields: Any) -> EgpTrain:
    """A train that a scripted master proposes, for a request of its own."""
    row: dict[str, Any] = {
        "link": LINK,
        "origin": 1,
        "create_id": request,
        "queue_id": queue_id,
        "first_slot": stage.slot(6 * DELAY_PS + 4 * SLOT_PS),
        "spacing": SPACING,
        "count": count,
        "alpha": 0,
        "expected_sequence": UNSET,
        "test": EgpTest.NONE,
        "pairs": 1,
        "each": 0,
    }
    return EgpTrain(**{**row, **fields})


async def followed(stage: Stage, request: int = 1, queue_id: int = 1, **fields: Any) -> Running:
    """At the other end: from the master's Add to its train."""
    master = stage.peers[other(stage)]
    stage.user.order("recv", remote=1, purpose=PURPOSE)
    master.send(add(request, **fields))
    await master.expect(EgpAddAck, create_id=request)
    train = proposal(stage, request, queue_id)
    master.send(train)
    await master.expect(EgpTrainAck, queue_id=queue_id, verdict=EgpVerdict.READY)
    return await begun(stage, request, train)


def reply(
    running: Running,
    outcome: MhpOutcome = MhpOutcome.PSI_PLUS,
    sequence: int = 0,
    slot: int | None = None,
    **fields: Any,
) -> MhpReply:
    """What the station tells of a train; of a success, at its first slot."""
    row: dict[str, Any] = {
        "outcome": outcome,
        "error": MhpError.NONE,
        "link": LINK,
        "mhp_sequence": sequence,
        "queue_id": running.queue_id,
        "peer_queue_id": running.queue_id,
        "slot": running.gen.first_slot if slot is None else slot,
        "number": int(outcome in SUCCESSES),
        "more": 0,
    }
    return MhpReply(**{**row, **fields})


async def heralded(stage: Stage, running: Running, sequence: int = 0, **fields: Any) -> None:
    """A success at the first slot of a train that is still to come, told at once."""
    gen = running.gen
    attempts_past = max(0, -(-(stage.now // SLOT_PS + 1 - gen.first_slot) // gen.spacing))
    slot = gen.first_slot + attempts_past * gen.spacing
    await stage.wait_slot(slot)
    stage.devices.heralded[LINK] = slot
    stage.peers[STATION].send(reply(running, sequence=sequence, slot=slot, **fields))
