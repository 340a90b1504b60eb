"""A switch in the plane: which Connect and Listen are refused, and that no herald comes past it.  DEV-17, DEV-18."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plane_bench import IDEAL, NS, Bench, ToldLink

from protocols.wire import (
    DeviceConnect,
    DeviceDone,
    DeviceError,
    DeviceFailed,
    DeviceHerald,
    DeviceListen,
    DeviceOutcome,
    DeviceStopListen,
    DeviceTrain,
)
from testbed.plane import LinkConfig, Plane, PlaneConfig, SwitchModel
from testbed.plane.links import LinkId, LinkParameters, Switched, make_link
from testbed.plane.links.switched import werner_factor

SWITCH, STATION = 10, 11
SLOT, ARM, SETTLE = 1_000_000, 5_000, 20_000_000
LINKS = {1: (1, 2), 2: (3, 4), 3: (1, 3), 4: (2, 4)}


def bench(analysers: int = 2, settle: int = SETTLE) -> Bench:
    """Four nodes with one fibre each at the switch; link 9 joins 1 and 2 at a plain station."""
    arms = ARM, ARM
    links = {number: ToldLink(1, 1, 1, 1, arms=arms) for number in LINKS}
    ends = {number: LinkConfig(a, b, SWITCH, SLOT, *arms, links[number]) for number, (a, b) in LINKS.items()}
    ends[9] = LinkConfig(1, 2, STATION, SLOT, *arms, ToldLink(1, arms=arms))
    nodes: dict[int, Any] = dict.fromkeys(range(1, 5), IDEAL) | {SWITCH: None, STATION: None}
    return Bench(Plane(PlaneConfig(1, nodes, ends, {SWITCH: SwitchModel(analysers, settle)}), oracle=True))


def refused(error: DeviceError) -> DeviceFailed:
    return DeviceFailed(error, 0)


def emit(b: Bench, link: int, t: int, slot: int, count: int = 1) -> None:
    for node in LINKS[link]:
        b.command(node, t, DeviceTrain(link, b.communication(node), slot, 1, count, 0))


def test_light_passes_after_the_time_to_reconfigure() -> None:
    """DEV-17, DEV-18: a Listen before that is refused, one after it heralds."""
    b = bench()
    connecting = b.command(SWITCH, 0, DeviceConnect(1, 1))
    early = b.command(SWITCH, SETTLE - 1, DeviceListen(1, 30, 1, 1))
    emit(b, 1, SETTLE, 30)
    late = b.command(SWITCH, SETTLE, DeviceListen(1, 30, 1, 1))
    b.run()
    assert b.answers[connecting] == (SETTLE, DeviceDone())
    assert b.answers[early][1] == refused(DeviceError.UNCONNECTED)
    assert b.answers[late][1] == DeviceHerald(DeviceOutcome.PSI_PLUS, 30)


def test_a_link_that_is_set_already_takes_no_time() -> None:
    """DEV-18."""
    b = bench()
    assert b.ask(SWITCH, 0, DeviceConnect(1, 0))[0] == SETTLE
    assert b.ask(SWITCH, SETTLE + 5, DeviceConnect(1, 0)) == (SETTLE + 5 + NS, DeviceDone())


def test_what_cannot_be_connected() -> None:
    """DEV-18."""
    b = bench()
    assert b.ask(SWITCH, 0, DeviceConnect(1, 2))[1] == refused(DeviceError.BAD)
    assert b.ask(SWITCH, 0, DeviceConnect(9, 0))[1] == refused(DeviceError.NO_LINK)
    assert b.ask(STATION, 0, DeviceConnect(9, 0))[1] == refused(DeviceError.NO_LINK)
    assert b.ask(1, 0, DeviceConnect(1, 0))[1] == refused(DeviceError.NO_LINK)


def test_a_plain_station_needs_no_connection() -> None:
    """DEV-17."""
    b = bench()
    listening = b.command(STATION, 0, DeviceListen(9, 30, 1, 1))
    for node in (1, 2):
        b.command(node, 0, DeviceTrain(9, b.communication(node), 30, 1, 1, 0))
    b.run()
    assert b.answers[listening][1] == DeviceHerald(DeviceOutcome.PSI_PLUS, 30)


@pytest.mark.parametrize("analysers", [1, 2])
def test_two_pairs_at_one_time_only_with_two_analysers(analysers: int) -> None:
    """Both couples emit in slot 50; with one analyser the second link cannot be listened to."""
    b = bench(analysers)
    b.command(SWITCH, 0, DeviceConnect(1, 0))
    b.command(SWITCH, 0, DeviceConnect(2, analysers - 1))
    b.run(until=SETTLE + NS)
    listens = []
    for link in (1, 2):
        emit(b, link, SETTLE + NS, 50)
        listens.append(b.command(SWITCH, SETTLE + NS, DeviceListen(link, 50, 1, 1)))
    b.run()
    heard = [b.answers[key][1] for key in listens]
    success = DeviceHerald(DeviceOutcome.PSI_PLUS, 50)
    assert heard == ([success, success] if analysers == 2 else [refused(DeviceError.UNCONNECTED), success])
    assert [(pair.link, pair.slot) for pair in b.plane.oracle.pairs] == [(1, 50), (2, 50)][2 - analysers :]


@pytest.mark.parametrize("command", [DeviceConnect(2, 0), DeviceConnect(3, 1), DeviceConnect(1, 1)])
def test_what_is_listened_to_is_not_taken_off(command: DeviceConnect) -> None:
    """DEV-18: neither the analyser nor either port; after the listen all are free."""
    b = bench()
    b.ask(SWITCH, 0, DeviceConnect(1, 0))
    b.command(SWITCH, SETTLE, DeviceListen(1, 30, 1, 1_000))
    assert b.ask(SWITCH, SETTLE + 1, command)[1] == refused(DeviceError.BUSY)
    b.ask(SWITCH, SETTLE + 2, DeviceStopListen(1))
    assert b.ask(SWITCH, 2 * SETTLE, command)[1] == DeviceDone()
    if command.link != 1:
        assert b.ask(SWITCH, 4 * SETTLE, DeviceListen(1, 200, 1, 1))[1] == refused(DeviceError.UNCONNECTED)


def test_a_port_that_moves_leaves_its_link_in_the_dark() -> None:
    """DEV-18: node 1 has one fibre."""
    b = bench()
    b.ask(SWITCH, 0, DeviceConnect(1, 0))
    b.ask(SWITCH, SETTLE, DeviceConnect(3, 1))
    assert b.ask(SWITCH, 3 * SETTLE, DeviceListen(1, 200, 1, 1))[1] == refused(DeviceError.UNCONNECTED)
    assert b.ask(SWITCH, 3 * SETTLE, DeviceListen(3, 200, 1, 1))[1] == DeviceHerald(DeviceOutcome.FAIL, 200)


def test_a_dead_switch_forgets_what_was_set() -> None:
    """DEV-18."""
    b = bench()
    b.ask(SWITCH, 0, DeviceConnect(1, 0))
    b.plane.reset_node(SWITCH, 2 * SETTLE)
    assert b.ask(SWITCH, 3 * SETTLE, DeviceListen(1, 200, 1, 1))[1] == refused(DeviceError.UNCONNECTED)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.integers(0, 1), st.sampled_from(["connect", "listen", "stop"])), max_size=20
    )
)
def test_whatever_is_commanded_no_two_links_share_a_port_or_an_analyser(commands: list[tuple[int, int, str]]) -> None:
    """And every herald is of a link that was set, for the whole of its listen."""
    b = bench(settle=3 * SLOT)
    t = 0
    for turn, (link, analyser, what) in enumerate(commands):
        t = (2 * turn + 1) * SLOT
        if what == "connect":
            b.command(SWITCH, t, DeviceConnect(link, analyser))
        elif what == "listen":
            b.command(SWITCH, t, DeviceListen(link, 2 * turn + 2, 1, 5))
        else:
            b.command(SWITCH, t, DeviceStopListen(link))
        b.run(until=t + 1)
        heard = [number for number, link in b.plane._links.items() if link.listening is not None]
        ports = [end for number in heard for end in LINKS[number]]
        assert len(set(ports)) == len(ports)
        assert len(heard) <= 2
        for number in heard:
            assert b.plane._switches[SWITCH].passes(number, t)
    b.run()


# --------------------------------------------------------------------------------- what the light suffers


def herald_fidelity(link: Any, draws: int = 400) -> float:
    from testbed.plane import BELL_KETS

    rng = np.random.default_rng(5)
    found = []
    for _ in range(draws):
        outcome, state = link.draw_state(rng, 0.2)
        ket = BELL_KETS[outcome]
        found.append(float((ket.conj() @ state @ ket).real))
    return float(np.mean(found))


@pytest.mark.parametrize("kind", ["barrett-kok", "dual-rail", "single-click", "source-midpoint", "sender-receiver"])
def test_loss_stands_in_every_law(kind: str) -> None:
    """3 dB of a switch are 15 km of fibre at 0.2 dB/km, for both photons (for the one, where one travels)."""
    near = LinkParameters(7_500, 7_500, efficiency_a=0.5, efficiency_b=0.4)
    extra_m = 7_500 if kind == "sender-receiver" else 15_000
    lossy = make_link(kind, LinkParameters(7_500, 7_500, efficiency_a=0.5, efficiency_b=0.4, insertion_loss_db=3.0))
    fibre = make_link(kind, LinkParameters(7_500 + extra_m, 7_500 + extra_m, efficiency_a=0.5, efficiency_b=0.4))
    assert lossy.success_probability(0.2) == pytest.approx(fibre.success_probability(0.2), rel=1e-12)
    assert lossy.success_probability(0.2) < make_link(kind, near).success_probability(0.2)
    assert lossy.heralded_fidelity(0.2) == pytest.approx(fibre.heralded_fidelity(0.2), rel=1e-12)


@pytest.mark.parametrize("kind", ["barrett-kok", "single-click", "sender-receiver"])
def test_the_cost_shrinks_w(kind: str) -> None:
    """4 % of a perfect pair is w × .94667 for any."""
    known = LinkParameters(10, 10, visibility=0.9, dark_probability=1e-4, efficiency_a=0.3, efficiency_b=0.3)
    clean, switched = (
        make_link(kind, LinkParameters(**{f: getattr(known, f) for f in known.__slots__} | {"fidelity_cost": cost}))
        for cost in (0.0, 0.04)
    )
    assert isinstance(switched, Switched)
    w = [(4 * link.heralded_fidelity(0.2) - 1) / 3 for link in (clean, switched)]
    assert w[1] / w[0] == pytest.approx(0.9466666667, rel=1e-9)
    assert herald_fidelity(switched) == pytest.approx(switched.heralded_fidelity(0.2), abs=1e-9)
    assert switched.success_probability(0.2) == clean.success_probability(0.2)


def test_a_perfect_pair_loses_what_the_cost_says() -> None:
    link = make_link("barrett-kok", LinkParameters(10, 10, fidelity_cost=0.04))
    assert link.heralded_fidelity(0.5) == pytest.approx(0.96, abs=1e-12)
    assert werner_factor(0.75) == 0


def test_a_cost_beyond_all_is_refused() -> None:
    with pytest.raises(ValueError, match="fidelity_cost"):
        make_link("barrett-kok", LinkParameters(10, 10, fidelity_cost=0.8))


@pytest.mark.parametrize("kind", ["barrett-kok", "single-click"])
def test_photons_suffer_as_the_law_says(kind: str) -> None:
    """The photonic grade, against the sampled one, within 5 sigma."""
    from testbed.validate.heralds import photons

    known = LinkParameters(
        10, 10, efficiency_a=0.8, efficiency_b=0.8, visibility=0.95, insertion_loss_db=1.0, fidelity_cost=0.04
    )
    law = make_link(kind, known)
    seen = photons(make_link(kind, known, "photonic", LinkId(kind, 11)), 0.2)
    assert seen.p.stderr is not None
    assert abs(seen.p.value - law.success_probability(0.2)) < 5 * seen.p.stderr
    assert seen.fidelity.stderr is not None
    assert abs(seen.fidelity.value - law.heralded_fidelity(0.2)) < 5 * seen.fidelity.stderr
