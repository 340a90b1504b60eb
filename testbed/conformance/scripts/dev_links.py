"""Scripts for devices at links: trains, listens, measuring, switches and clocks of the quantum plane."""

from typing import Any, Final

from protocols.device import Program
from protocols.measuring import PLAIN, TESTS, Measure, basis_at
from protocols.wire import (
    DeviceBits,
    DeviceConnect,
    DeviceDone,
    DeviceError,
    DeviceFailed,
    DeviceHerald,
    DeviceListen,
    DeviceMeasuringTrain,
    DeviceOutcome,
    DeviceRecall,
    DeviceRemembered,
    DeviceSteer,
    DeviceStopListen,
    DeviceStopTrain,
    DeviceTrain,
    DeviceTrainDone,
    EgpBases,
    EgpBasis,
    EgpMeasuring,
    EgpTest,
)
from testbed.conformance.devices import (
    ARMS_PS,
    ATTEMPT_PS,
    ENDS,
    LINK,
    MEASURE_PS,
    NS,
    ONE_PS,
    OTHER,
    PORTS,
    RECEIVED,
    SETTLE_PS,
    SLOT_PS,
    STATION,
    SWITCH,
    Bench,
)
from testbed.conformance.scene import CLOCKED_DEVICES, LINKED_DEVICES
from testbed.conformance.scripts import decides
from testbed.conformance.stage import NotMet

OFTEN: Final = 20
"""So often a coin would have to fall one way to deceive a script: once in a million."""
REMEMBERED: Final = 1_024
RATE_UNIT: Final = 10**15


def _train(bench: Bench, node: int = 1, first: int = 100, spacing: int = 1, count: int = 1, **fields: Any) -> Any:
    row = {"link": LINK, "qubit": bench.communication(node), "first_slot": first, "spacing": spacing, "count": count}
    return DeviceTrain(**{**row, "alpha": 0, **fields})


def _measuring(bench: Bench, node: int, how: EgpMeasuring, choice: int = 0, **row: Any) -> DeviceMeasuringTrain:
    train: DeviceTrain = _train(bench, node, **row)
    return DeviceMeasuringTrain(*train, choice, *how)


def _refused(error: DeviceError) -> DeviceFailed:
    return DeviceFailed(error, 0)


def _success(slot: int) -> DeviceHerald:
    return DeviceHerald(DeviceOutcome.PSI_PLUS, slot)


def _nothing(slot: int) -> DeviceHerald:
    return DeviceHerald(DeviceOutcome.FAIL, slot)


def _over(slot: int) -> int:
    """When the station tells of a slot."""
    return slot * SLOT_PS + ATTEMPT_PS + NS


@decides("DEV-9", scene=LINKED_DEVICES, emulated=True)
async def what_is_held_is_busy(bench: Bench) -> None:
    """By a program until its end, by a train until TrainDone; for programs and trains, each time for the last ps."""
    qubit = bench.communication()
    bench.command(Program().measure(qubit))
    other = bench.handles()[0]
    for when in (1, MEASURE_PS - 1):
        bench.at(when)
        refused = [bench.command(_train(bench)), bench.command(Program().x(other).x(qubit))]
        bench.run(when + 1)
        bench.require(refused[0], _refused(DeviceError.BUSY))
        bench.require(refused[1], DeviceFailed(DeviceError.BUSY, 1))
    bench.at(MEASURE_PS + 1_000)
    done = bench.command(_train(bench))
    end = 100 * SLOT_PS + ARMS_PS[0] + ATTEMPT_PS + 2 * NS
    for when in (bench.now + 1, 99 * SLOT_PS, end - NS - 1):
        bench.at(when)
        refused = [bench.command(Program().measure(qubit)), bench.command(_train(bench, first=500))]
        bench.run(when + 1)
        bench.require(refused[1], _refused(DeviceError.BUSY))
        bench.require(refused[0], DeviceFailed(DeviceError.BUSY, 0))
    bench.run(end)
    bench.require(done, DeviceTrainDone(1, 100), end)
    bench.now = end
    bench.expect(Program().init(qubit), DeviceBits(b""))


@decides("DEV-10", scene=LINKED_DEVICES, emulated=True)
async def a_train_emits_an_arm_before_the_slot(bench: Bench) -> None:
    """To the picosecond, at both ends; where photons come, an arm after it.  What is past is left out."""
    for node, arm in zip(ENDS, ARMS_PS, strict=True):
        for link, lead in ((LINK, arm), (RECEIVED, -arm)):
            first = bench.now // SLOT_PS + 100
            bench.emits_at(_train(bench, node, first, count=5, link=link), first * SLOT_PS - lead, node)
    bench.at(bench.now // SLOT_PS * SLOT_PS + 10 * SLOT_PS)
    slot = (bench.now + ARMS_PS[0]) // SLOT_PS
    bench.expect(_train(bench, first=slot - 4, spacing=2, count=5), DeviceTrainDone(3, slot + 4))
    bench.expect(_train(bench, first=1, count=3), DeviceTrainDone(0, 0), after=NS)


@decides("DEV-10", scene=LINKED_DEVICES, emulated=True)
async def what_no_train_can_be_is_refused(bench: Bench) -> None:
    """No such link, or not one of the node; no slots, or a data qubit; a slot that another train has."""
    for node, link in ((1, 99), (OTHER, LINK)):
        bench.expect(_train(bench, node, link=link), _refused(DeviceError.NO_LINK), node)
    for fields in ({"count": 0}, {"count": 2, "spacing": 0}, {"qubit": bench.handles()[0]}):
        bench.expect(_train(bench, **fields), _refused(DeviceError.BAD))
    second = bench.communication(1, 1)
    trains = [bench.command(_train(bench, first=100, spacing=2, count=10))]
    bench.expect(_train(bench, first=101, spacing=3, count=5, qubit=second), _refused(DeviceError.BUSY))
    trains.append(bench.command(_train(bench, first=101, spacing=2, count=10, qubit=second)))
    bench.run()
    for key, last in zip(trains, (118, 119), strict=True):
        bench.require(key, DeviceTrainDone(10, last))


async def _pair(bench: Bench, count: int = 1) -> None:
    """A herald at the first of so many attempts, and what follows of the trains is over."""
    first = bench.now // SLOT_PS + 50
    for node in ENDS:
        bench.command(_train(bench, node, first, count=count), node)
    bench.links[LINK].successes = 1
    heard = bench.command(DeviceListen(LINK, first, 1, 1), STATION)
    bench.at((first + count + 50) * SLOT_PS)
    bench.require(heard, _success(first), _over(first))


def _read(bench: Bench, node: int) -> int:
    answer = bench.ask(Program().measure(bench.communication(node)), node).message
    if not isinstance(answer, DeviceBits):
        raise NotMet(f"{answer} answers a measurement")
    return answer.bits[0]


@decides("DEV-11", scene=LINKED_DEVICES, emulated=True)
async def an_emission_destroys_what_there_was(bench: Bench) -> None:
    """Of |1⟩ nothing is left; of a pair neither, if the same train emits once more; else its halves differ in Z."""
    read = []
    for _ in range(OFTEN):
        qubit = bench.communication()
        bench.ask(Program().init(qubit).x(qubit))
        bench.ask(_train(bench, first=bench.now // SLOT_PS + 50))
        read.append(_read(bench, 1))
    if all(read):
        raise NotMet("after an emission the qubit is still what it was before")
    for count, lasts in ((1, True), (2, False)):
        differ = []
        for _ in range(OFTEN):
            await _pair(bench, count)
            differ.append(_read(bench, 1) != _read(bench, 2))
        if all(differ) != lasts:
            raise NotMet(f"of {OFTEN} pairs of |Ψ+⟩ {sum(differ)} differ in Z, after trains of {count}")


@decides("DEV-12", scene=LINKED_DEVICES, emulated=True)
async def a_train_is_over_when_its_last_herald_could_be_back(bench: Bench) -> None:
    """At both ends; the same after a StopTrain, which is answered too; at once, if that is past."""
    for node, arm in zip(ENDS, ARMS_PS, strict=True):
        home = arm + ATTEMPT_PS + 2 * NS
        first = bench.now // SLOT_PS + 100
        begun = bench.now
        due = (first + 8) * SLOT_PS + home
        bench.expect(_train(bench, node, first, 2, 5), DeviceTrainDone(5, first + 8), node, due - begun)
        first += 100
        key = bench.command(_train(bench, node, first, 2, 50), node)
        bench.at((first + 5) * SLOT_PS - arm)
        stopped = bench.command(DeviceStopTrain(LINK, bench.communication(node)), node)
        bench.run()
        for each in (key, stopped):
            bench.require(each, DeviceTrainDone(3, first + 4), (first + 4) * SLOT_PS + home)
        first += 200
        bench.now = (first - 50) * SLOT_PS
        key = bench.command(_train(bench, node, first, 100, 5), node)
        bench.at((first + 60) * SLOT_PS)
        stopped = bench.command(DeviceStopTrain(LINK, bench.communication(node)), node)
        bench.run()
        for each in (key, stopped):
            bench.require(each, DeviceTrainDone(1, first), (first + 60) * SLOT_PS + NS)
        bench.now = (first + 100) * SLOT_PS
        bench.done(DeviceStopTrain(LINK, bench.communication(node)), node, NS)


@decides("DEV-13", scene=LINKED_DEVICES, emulated=True)
async def a_herald_needs_both_ends_and_the_station(bench: Bench) -> None:
    """One end alone: FAIL after the last slot.  Both, listened to late: the first slot that begins no earlier than the
    Listen, told 1 ns after its attempt.  A second success needs a second Listen."""
    bench.links[LINK].successes = 3
    bench.command(_train(bench, 1, 100, count=10))
    alone = bench.command(DeviceListen(LINK, 100, 1, 10), STATION)
    bench.at(200 * SLOT_PS)
    bench.require(alone, _nothing(109), _over(109))
    for node in ENDS:
        bench.command(_train(bench, node, 300, count=100), node)
    for begin, slot in ((310 * SLOT_PS + 1, 311), (320 * SLOT_PS, 320)):
        bench.at(begin)
        heard = bench.command(DeviceListen(LINK, 305, 1, 50), STATION)
        bench.at(begin + 5 * SLOT_PS)
        bench.require(heard, _success(slot), _over(slot))
    bench.at(450 * SLOT_PS)
    apart = bench.command(DeviceListen(LINK, 500, 2, 3), STATION)
    bench.command(_train(bench, 1, 501, 2, 10))
    bench.command(_train(bench, 2, 500, 2, 10), 2)
    bench.at(600 * SLOT_PS)
    bench.require(apart, _nothing(504), _over(504))


@decides("DEV-14", scene=LINKED_DEVICES, emulated=True)
async def who_may_listen_and_who_stops(bench: Bench) -> None:
    """A node that is not the station; no slots; twice.  StopListen: FAIL with the last slot that was over; Done."""
    bench.done(DeviceStopListen(LINK), STATION, NS)
    bench.expect(DeviceListen(LINK, 100, 1, 1), _refused(DeviceError.NO_LINK), 1)
    bench.expect(DeviceListen(LINK, 100, 1, 0), _refused(DeviceError.BAD), STATION)
    for ago, last in ((0, 104), (ATTEMPT_PS, 106)):
        first = bench.now // SLOT_PS + 100
        heard = bench.command(DeviceListen(LINK, first, 2, 50), STATION)
        bench.at(bench.now + 10)
        bench.expect(DeviceListen(LINK, first + 1, 2, 1), _refused(DeviceError.BUSY), STATION)
        bench.at((first + 6) * SLOT_PS + ago)
        bench.done(DeviceStopListen(LINK), STATION, NS)
        bench.require(heard, _nothing(first + last - 100), bench.now)
        bench.now += NS


@decides("DEV-15", scene=LINKED_DEVICES, emulated=True)
async def a_measuring_train_measures_each_half(bench: Bench) -> None:
    """It is over when the last half is measured, before its herald comes.  In Z both halves of |Ψ+⟩ differ, turned to X
    they are equal; the basis is that of choice and slot.  Without time to measure: BAD."""
    for test, equal in ((EgpTest.ZZ, False), (EgpTest.XX, True)):
        lasts = MEASURE_PS + (ONE_PS if equal else 0)
        for _ in range(OFTEN):
            first = bench.now // SLOT_PS + 100
            keys = [bench.command(_measuring(bench, node, TESTS[test], first=first), node) for node in ENDS]
            bench.links[LINK].successes = 1
            heard = bench.command(DeviceListen(LINK, first, 1, 1), STATION)
            bench.at((first + 50) * SLOT_PS)
            bench.require(heard, _success(first))
            for key, arm in zip(keys, ARMS_PS, strict=True):
                bench.require(key, DeviceTrainDone(1, first), first * SLOT_PS - arm + lasts + NS)
            told = [bench.ask(DeviceRecall(LINK, first), node).message for node in ENDS]
            if not all(answer.known for answer in told) or (told[0].outcome == told[1].outcome) != equal:
                raise NotMet(f"both halves of a |Ψ+⟩ have been measured by {test.name}: {told[0]}, {told[1]}")
    for spacing, enough in ((3, False), (4, True)):
        key = bench.command(_measuring(bench, 1, PLAIN, first=bench.now // SLOT_PS + 100, spacing=spacing, count=2))
        bench.at(bench.now + 200 * SLOT_PS)
        if isinstance(bench.answer(key).message, DeviceTrainDone) != enough:
            raise NotMet(f"a measurement takes {MEASURE_PS} ps, and {spacing} slots are answered {bench.answer(key)}")
    how = EgpMeasuring(EgpBases.XYZ)
    row: dict[str, Any] = {"first": bench.now // SLOT_PS + 100, "spacing": 4, "count": OFTEN}
    for node in ENDS:
        bench.command(_measuring(bench, node, how, choice=node, **row), node)
    bench.links[LINK].successes = OFTEN
    for slot in range(row["first"], row["first"] + 4 * OFTEN, 4):
        heard = bench.command(DeviceListen(LINK, slot, 1, 1), STATION)
        bench.at((slot + 1) * SLOT_PS)
        bench.require(heard, _success(slot))
        for node in ENDS:
            answer = bench.ask(DeviceRecall(LINK, slot), node).message
            if answer.basis != basis_at(Measure(node, how), slot):
                raise NotMet(f"{answer} of node {node} at slot {slot}, of choice {node}")


@decides("DEV-16", scene=LINKED_DEVICES, emulated=True)
async def what_heralded_is_remembered(bench: Bench) -> None:
    """The first of 1,024 heralds after the last; not a slot that did not herald; at no node but the ends."""
    for node in ENDS:
        bench.command(_measuring(bench, node, PLAIN, first=100, spacing=4, count=REMEMBERED + 1), node)
    bench.links[LINK].successes = REMEMBERED
    for slot in range(104, 104 + 4 * REMEMBERED, 4):
        bench.command(DeviceListen(LINK, slot, 1, 1), STATION)
        bench.at((slot + 1) * SLOT_PS)
    for node in ENDS:
        for slot, known in ((100, 0), (104, 1), (100 + 4 * REMEMBERED, 1), (105, 0)):
            answer = bench.ask(DeviceRecall(LINK, slot), node).message
            if not isinstance(answer, DeviceRemembered) or answer.known != known:
                raise NotMet(f"{answer} of slot {slot}; known should be {known}")
            if known and answer.basis != EgpBasis.Z:
                raise NotMet(f"{answer} of slot {slot}, which was measured in Z")


@decides("DEV-17", scene=LINKED_DEVICES, emulated=True)
async def a_switch_hears_only_what_it_has_connected(bench: Bench) -> None:
    """A link that is dark, or not lit yet, is UNCONNECTED; one that is lit heralds.  A station needs no Connect."""
    link, (one, two) = next(iter(PORTS.items()))
    dark = _refused(DeviceError.UNCONNECTED)
    bench.expect(DeviceListen(link, 100, 1, 1), dark, SWITCH)
    began = bench.now
    bench.command(DeviceConnect(link, 1), SWITCH)
    bench.at(began + SETTLE_PS - 1)
    bench.expect(DeviceListen(link, 100, 1, 1), dark, SWITCH)
    bench.at(bench.now + SETTLE_PS)
    for number, ends, station in ((link, (one, two), SWITCH), (LINK, ENDS, STATION)):
        first = bench.now // SLOT_PS + 100
        bench.links[number].successes = 1
        for node in ends:
            bench.command(_train(bench, node, first, link=number), node)
        heard = bench.command(DeviceListen(number, first, 1, 1), station)
        bench.at((first + 50) * SLOT_PS)
        bench.require(heard, _success(first))


@decides("DEV-18", scene=LINKED_DEVICES, emulated=True)
async def a_connect_takes_its_time_and_takes_others_off(bench: Bench) -> None:
    """Done when light passes, soon if it does.  The analyser's former link, and those of both ports, are dark then.
    Refused: at no switch, without such an analyser, over what is listened to.  A death leaves nothing."""
    (first, _), (second, _), (third, _) = PORTS.items()
    dark = _refused(DeviceError.UNCONNECTED)

    def lit(link: int) -> bool:
        slot = bench.now // SLOT_PS + 1
        return bool(bench.ask(DeviceListen(link, slot, 1, 1), SWITCH).message == _nothing(slot))

    bench.done(DeviceConnect(first, 0), SWITCH, SETTLE_PS)
    bench.done(DeviceConnect(first, 0), SWITCH, NS)
    bench.expect(DeviceConnect(first, 2), _refused(DeviceError.BAD), SWITCH)
    for node, link in ((STATION, LINK), (SWITCH, LINK), (1, first)):
        bench.expect(DeviceConnect(link, 0), _refused(DeviceError.NO_LINK), node)
    begin = bench.now
    listen = bench.command(DeviceListen(first, begin // SLOT_PS + 100, 1, 10), SWITCH)
    for link, analyser in ((second, 0), (third, 1)):
        bench.at(bench.now + NS)
        bench.expect(DeviceConnect(link, analyser), _refused(DeviceError.BUSY), SWITCH)
    bench.at(begin + 200 * SLOT_PS)
    bench.require(listen, _nothing(begin // SLOT_PS + 109))
    bench.done(DeviceConnect(second, 0), SWITCH, SETTLE_PS)
    if lit(first) or not lit(second):
        raise NotMet("the analyser has another link now, and the former one is not dark, or the new one is")
    bench.done(DeviceConnect(third, 1), SWITCH, SETTLE_PS)
    if lit(second) or not lit(third):
        raise NotMet("a fibre has gone to another analyser, and its former link is not dark, or the new one is")
    bench.plane.reset_node(SWITCH, bench.now)
    bench.expect(DeviceListen(third, bench.now // SLOT_PS + 9, 1, 1), dark, SWITCH)


@decides("DEV-20", scene=CLOCKED_DEVICES, emulated=True)
async def slots_are_counted_by_the_steered_clock(bench: Bench) -> None:
    """A step moves emissions at once, and a rate from then on.  After a restart there is the bare oscillator."""
    arm = ARMS_PS[1]
    step = 7 * SLOT_PS + 30
    bench.at(50 * SLOT_PS)
    bench.done(DeviceSteer(step, 0), 2, NS)
    bench.emits_at(_train(bench, 2, 200), 200 * SLOT_PS - arm - step, 2)
    bench.at(10_000 * SLOT_PS)
    bench.done(DeviceSteer(0, RATE_UNIT // 1_000), 2, NS)
    shown = 20_000 * SLOT_PS - arm
    gone = shown - (10_000 * SLOT_PS + step)
    bench.emits_at(_train(bench, 2, 20_000, spacing=1), 10_000 * SLOT_PS + -(-gone * 1_000 // 1_001), 2)
    bench.plane.reset_node(2, bench.now)
    first = bench.now // SLOT_PS + 100
    bench.emits_at(_train(bench, 2, first), first * SLOT_PS - arm, 2)


@decides("DEV-20", scene=CLOCKED_DEVICES, emulated=True)
async def a_step_ends_what_lasts(bench: Bench) -> None:
    """Trains of the node, and the station's listen, at once; not those of the other end.  A clock that is true, and a
    rate beyond 1 %, are BAD."""
    trains = [bench.command(_train(bench, node, 100, count=10_000), node) for node in ENDS]
    listen = bench.command(DeviceListen(LINK, 5_000, 1, 10), STATION)
    bench.expect(DeviceSteer(1, 0), _refused(DeviceError.BAD), 1)
    for rate in (RATE_UNIT // 100 + 1, -RATE_UNIT // 100 - 1):
        bench.expect(DeviceSteer(0, rate), _refused(DeviceError.BAD), 2)
    bench.at(500 * SLOT_PS)
    for node in (2, STATION):
        key = bench.command(DeviceSteer(-3 * SLOT_PS, 0), node)
        bench.run(bench.now + 1)
        bench.require(key, DeviceDone(), bench.now + NS)
    if bench.answer(trains[1]).due != bench.now + NS or bench.answer(listen).due != bench.now + NS:
        raise NotMet("a train, or a listen, goes on after its clock has been set")
    if trains[0] in bench.answered:
        raise NotMet("a train ends when the clock of the other end is set")
