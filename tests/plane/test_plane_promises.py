"""The quantum plane as a federate of emulated time, under any schedule of commands that nodes could think of.

What the clocks rest on: no answer before its promise, no command that hastens another node's answer by more
than `reach_ps` says, every command answered once, equal commands equal answers, the oracle without effect.
"""

from typing import Any, NamedTuple

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from plane_bench import ARM_A, ARM_B, FAR, NS, SLOT, STATION, A, B, Bench, ToldLink, bench, timed

from protocols.device import Program, pack_handle, parity
from protocols.wire import DeviceListen, DeviceStopListen, DeviceStopTrain, DeviceTrain
from testbed.plane import DeviceModel
from testbed.plane.links import LinkId, LinkParameters, make_link

NODES = (A, B, STATION, FAR)


class Deed(NamedTuple):
    """Something that happens `gap_ps` after what came before: a command, or (None) the death of the node."""

    gap_ps: int
    node: int
    message: Any
    ahead: bool
    """The clock submits it together with the one before, without executing anything in between."""


handles = st.builds(pack_handle, st.integers(0, 4), st.sampled_from([1, 1, 1, 2]))
communication = st.builds(pack_handle, st.sampled_from([2, 3]), st.sampled_from([1, 1, 1, 1, 2]))
slots = st.integers(0, 150)
spacings = st.sampled_from([0, 1, 1, 2, 3, 7, 30])
counts = st.sampled_from([0, 1, 2, 5, 60, 1000])


@st.composite
def programs(draw: st.DrawFn) -> Any:
    program = Program()
    for _ in range(draw(st.integers(0, 5))):
        qubit, other = draw(handles), draw(handles)
        when = parity(0) if program.measured and draw(st.booleans()) else parity(0)._replace(mask=0)
        kind = draw(st.sampled_from(["init", "h", "cx", "measure", "release", "idle"]))
        if kind == "cx":
            if qubit >> 16 != other >> 16:
                program.cx(qubit, other, when)
        elif kind == "idle":
            program.idle(qubit, draw(st.integers(0, 30 * SLOT)), when)
        else:
            getattr(program, kind)(qubit, when)
    return program.message()


messages = st.one_of(
    programs(),
    st.builds(DeviceTrain, st.just(1), communication, slots, spacings, counts, st.sampled_from([0, 0, 0, 1 << 30])),
    st.builds(DeviceTrain, st.just(1), communication, slots, spacings, counts, st.just(0)),
    st.builds(DeviceStopTrain, st.sampled_from([1, 1, 2]), communication),
    st.builds(DeviceListen, st.just(1), slots, spacings, counts),
    st.builds(DeviceListen, st.just(1), slots, st.just(1), st.just(1000)),
    st.builds(DeviceStopListen, st.just(1)),
)


def owner(message: Any) -> Any:
    """Mostly a node that may give the command."""
    if isinstance(message, DeviceListen | DeviceStopListen):
        return st.sampled_from([STATION] * 6 + [A])
    return st.sampled_from([A, A, A, B, B, B, FAR, STATION])


@st.composite
def schedules(draw: st.DrawFn) -> list[Deed]:
    gap = st.one_of(
        st.sampled_from([0, 1, NS, SLOT, SLOT - 1, 25_000, 25 * SLOT, ARM_A, ARM_B]),
        st.integers(0, 10 * SLOT),
    )
    deeds = []
    for _ in range(draw(st.integers(1, 20))):
        if draw(st.integers(0, 15)) == 0:
            deeds.append(Deed(draw(gap), draw(st.sampled_from(NODES)), None, False))
        else:
            message = draw(messages)
            deeds.append(Deed(draw(gap), draw(owner(message)), message, draw(st.booleans())))
    return deeds


def carry_out(lab: Bench, deeds: list[Deed]) -> list[Any]:
    """Run a schedule; what every event must obey is in Bench.step."""
    plane = lab.plane
    asked: dict[tuple[int, int], int] = {}
    mute: set[tuple[int, int]] = set()
    t = 0
    for deed in deeds:
        t += deed.gap_ps
        if not deed.ahead:
            lab.run(t)
        promised = {node: plane.promise(node) for node in NODES}
        if deed.message is None:
            plane.reset_node(deed.node, t)
            mute |= {key for key in asked if key[0] == deed.node and key not in lab.answers}
            reach = dict.fromkeys(NODES, promised[deed.node])
        else:
            asked[lab.command(deed.node, t, deed.message)] = t
            reach = {node: t + plane.reach_ps(deed.node, node) for node in NODES}
            reach[deed.node] = t + NS
        for node in NODES:
            if deed.message is not None or node != deed.node:
                assert plane.promise(node) >= min(promised[node], reach[node])
    lab.run()
    assert set(lab.answers) == set(asked) - mute
    for key, (due, _) in lab.answers.items():
        assert due >= asked[key] + NS
    return lab.raw


@settings(max_examples=400)
@given(schedules(), st.lists(st.integers(1, 30), max_size=6))
def test_no_answer_comes_before_its_promise(deeds: list[Deed], attempts: list[int]) -> None:
    carry_out(bench(ToldLink(*attempts), timed(parallel=True)), deeds)


def clicks(grade: Any) -> Any:
    parameters = LinkParameters(1000, 2400, efficiency_a=0.9, efficiency_b=0.9, alpha=0.5, window_ps=25_000)
    return make_link("single-click", parameters, grade, LinkId(seed=5))


@pytest.mark.parametrize("grade", ["sampled", "photonic"])
@settings(max_examples=60)
@given(deeds=schedules())
def test_real_links_keep_their_promises_and_the_oracle_has_no_effect(grade: Any, deeds: list[Deed]) -> None:
    model = DeviceModel(2, 2, 10**10, 10**10, 10**10, 10**10, readout_error_0=0.1, attempt_dephasing=0.01)
    first = carry_out(bench(clicks(grade), model, oracle=False), deeds)
    assert carry_out(bench(clicks(grade), model, oracle=True), deeds) == first


def test_schedules_of_this_file_do_reach_heralds() -> None:
    """A test that cannot fail is worse than none: the strategies must produce pairs, not only refusals."""

    def heralds(deeds: list[Deed]) -> bool:
        lab = bench(ToldLink(*[1] * 20))
        carry_out(lab, deeds)
        return bool(lab.plane.oracle.pairs)

    # Raises NoSuchExample if none is found.
    find(schedules(), heralds, settings=settings(max_examples=4000, phases=[Phase.generate]))
