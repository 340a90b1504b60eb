"""The whole stack in `local` where nothing dies: circuits, teleports, kinds of links, bad channels.

What may live here: runs of variants of the shipped two-QPU scenarios, and what must hold of each.  Every statistical
test states its σ; each fails beyond 5σ, by chance one in 1.7 million times were its seed not fixed.
"""

import random
from math import sqrt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slice_lab import IDEAL, PERFECT, QPUS, ended_well, header, inverse, job, run_slice, teleport, two_qpus

from protocols.machine import Send
from protocols.reliable import Reliable
from protocols.rgp.service import Role
from protocols.wire import EgpAdd, EgpKind, MhpError, MhpGen, MhpKind, MhpOutcome, MhpReply, QtpService, RgpKind
from stack.application.gates import GateFailed
from stack.node import Node
from stack.runtime.times import MS, NEVER
from stack.transport.interface import SessionClosed, SessionRefused

# ------------------------------------------------------------------------------------------- (a) ideal devices


def clifford(seed: int, length: int = 14) -> list[str]:
    """Random one-qubit gates, and two-qubit gates of which most cross over, controls on either side."""
    rng = random.Random(seed)
    gates = []
    for _ in range(length):
        a, b = rng.sample(range(4), 2)
        name = rng.choice(["h", "s", "x", "cx", "cx", "cz"])
        gates.append(f"{name} q[{a}],q[{b}];" if name.startswith("c") else f"{name} q[{a}];")
    return gates


CIRCUITS = {
    "ghz": ["h q[0];", "cx q[0],q[1];", "cx q[1],q[2];", "cx q[2],q[3];"],
    "bell": ["h q[0];", "cx q[0],q[2];"],
    "bell from the other side": ["h q[3];", "cx q[3],q[1];"],
    "swap": ["x q[0];", "swap q[0],q[3];"],
    **{f"clifford {seed}": clifford(seed) for seed in (1, 2, 3)},
    **{f"clifford {seed} and back": clifford(seed) + inverse(clifford(seed)) for seed in (4, 5)},
}


@pytest.mark.parametrize("name", CIRCUITS)
@pytest.mark.parametrize("communication_qubits", [1, 2])
def test_ideal_devices_give_ideal_results(tmp_path, name, communication_qubits):
    qasm = header(4) + "\n".join(CIRCUITS[name]) + "\nmeasure q -> c;\n"
    device = {**IDEAL, "communication_qubits": communication_qubits}
    ran = run_slice(two_qpus(job("circuit.qasm", 8), device, PERFECT), tmp_path, qasm=qasm)
    ended_well(ran)
    counts, spoilt = ran.shots()
    assert spoilt == 0
    assert sum(counts.values()) == 8
    assert set(counts) <= set(ran.jobs[0].ideal)
    if "back" in name:
        assert set(counts) == {"0000"}
    assert sum(ran.result(node, "job-0")["pairs"] for node in QPUS) == 8 * ran.jobs[0].gates


@pytest.mark.parametrize("communication_qubits", [1, 2])
def test_six_states_arrive_as_they_were_sent(tmp_path, communication_qubits):
    device = {**IDEAL, "communication_qubits": communication_qubits}
    ran = run_slice(two_qpus(teleport(5), device, PERFECT), tmp_path)
    ended_well(ran)
    assert ran.result("west", "teleport") == {"sent": 30, "delivered": 30}
    assert ran.result("east", "teleport")["lost"] == 0
    assert set(map(tuple, ran.result("east", "teleport")["states"].values())) == {(5, 5)}


# ---------------------------------------------------------------------------------------- (b) the noise budget

VISIBILITY = 0.6
FIDELITY = (1 + VISIBILITY) / 2  # of Barrett-Kok pairs at emission; what is lost is all phase


def within(right: int, n: int, p: float) -> None:
    """`right` of `n` within 5σ of p, σ = √(p(1-p)/n)."""
    sigma = sqrt(p * (1 - p) / n)
    assert abs(right / n - p) < 5 * sigma, f"{right / n:.4f} is {abs(right / n - p) / sigma:.1f}σ from {p:.4f}"


def test_teleported_states_are_as_good_as_their_pairs(tmp_path):
    """(2F + 1)/3 on average (Horodecki et al. 1999): here phase flips alone, so Z eigenstates never suffer and the
    others have fidelity F.  σ = .016 for the four, .0094 for all six."""
    rounds = 150
    ran = run_slice(two_qpus(teleport(rounds), IDEAL, {**PERFECT, "visibility": VISIBILITY}), tmp_path)
    states = ran.result("east", "teleport")["states"]
    assert states["zero"] == states["one"] == [rounds, rounds]
    suffering = sum(states[state][1] for state in ("plus", "minus", "plus-i", "minus-i"))
    within(suffering, 4 * rounds, FIDELITY)
    within(suffering + 2 * rounds, 6 * rounds, (2 * FIDELITY + 1) / 3)


@pytest.mark.parametrize("control", [0, 2])
def test_a_telegate_is_as_good_as_its_pair(tmp_path, control):
    """A phase flip of the pair is one of the control, whichever QPU has that: of a Bell pair made by one telegate the
    X parity is even with probability F (σ = .02), the Z parity always."""
    other = 2 - control
    bell = [f"h q[{control}];", f"cx q[{control}],q[{other}];"]
    x_parity = header(4) + "\n".join([*bell, "h q[0];", "h q[2];", "measure q -> c;"])
    link = {**PERFECT, "visibility": VISIBILITY}
    shots = 400
    ran = run_slice(two_qpus(job("circuit.qasm", shots), IDEAL, link), tmp_path / "x", qasm=x_parity)
    counts, _ = ran.shots()
    within(counts["0000"] + counts["0101"], shots, FIDELITY)
    ran = run_slice(two_qpus(job("ghz-4.qasm", 40), IDEAL, link), tmp_path / "z")
    counts, _ = ran.shots()
    assert set(counts) == {"0000", "1111"}


# --------------------------------------------------------------------------------- (c), (d) links of other kinds

SINGLE_CLICK = {"model": "single-click", "alpha": 0.1, "round_gap_s": None, "efficiency_a": 1.0, "efficiency_b": 1.0}
UNEQUAL = {"length_m": None, "arm_a_m": 1, "arm_b_m": 3000}


@pytest.mark.parametrize("work", [job(shots=3), teleport(1)], ids=["job", "teleport"])
@pytest.mark.parametrize(
    "link",
    [
        {**PERFECT, "grade": "photonic"},
        SINGLE_CLICK,
        {**SINGLE_CLICK, "grade": "sampled", "efficiency_a": 0.5, "dark_probability": 1e-4},
        {**PERFECT, **UNEQUAL},
        {**PERFECT, **UNEQUAL, "slot_s": 200e-6},
        {**PERFECT, **UNEQUAL, "grade": "photonic"},
        {**SINGLE_CLICK, **UNEQUAL},
    ],
    ids=["photonic", "single click", "lossy single click", "unequal", "long slots", "unequal photonic", "all at once"],
)
def test_every_kind_of_link_carries_the_work(tmp_path, work, link):
    ran = run_slice(two_qpus(work, {**IDEAL, "communication_qubits": 1}, link), tmp_path)
    ended_well(ran)
    if "job" in work:
        counts, spoilt = ran.shots()
        assert (sum(counts.values()), spoilt) == (3, 0)
        if "model" not in link:
            assert set(counts) <= {"0000", "1111"}
    else:
        assert ran.result("west", "teleport") == {"sent": 6, "delivered": 6}
        if "model" not in link:
            assert all(n == right for n, right in ran.result("east", "teleport")["states"].values())


# ------------------------------------------------------------------------------------------- (e) bad channels

RATE = st.one_of(st.just(0.0), st.floats(0.0, 0.2).map(lambda rate: round(rate, 3)))


@settings(max_examples=60)
@given(
    seed=st.integers(0, 1 << 32),
    loss=RATE,
    duplicate=RATE,
    reorder=RATE,
    corrupt=st.sampled_from([0.0, 0.02, 0.1]),
    jitter_s=st.sampled_from([0.0, 1e-8, 1e-6, 2e-5]),
    communication_qubits=st.sampled_from([1, 2]),
    link=st.sampled_from([PERFECT, {**PERFECT, "efficiency_a": 0.5}, {**PERFECT, **UNEQUAL}]),
    sends=st.booleans(),
)
def test_bad_channels_delay_and_never_spoil(
    tmp_path_factory, seed, communication_qubits, link, sends, loss, duplicate, reorder, corrupt, jitter_s
):
    """Unless a stream between the nodes breaks, nothing is lost; if one does, both say so.  What counts is right."""
    channel = {
        "loss": loss, "duplicate": duplicate, "reorder": reorder, "corrupt": corrupt, "jitter_s": jitter_s,
    }  # fmt: skip
    work = teleport(2) if sends else job(shots=5)
    device = {**IDEAL, "communication_qubits": communication_qubits}
    text = two_qpus(work, device, link, channel=channel, seed=seed, linger_s=0.05, duration_s=60)
    ran = run_slice(text, tmp_path_factory.mktemp("slice"))
    ended_well(ran)
    results = [ran.result(node, "teleport" if sends else "job-0") for node in QPUS]
    broken = any(counters.get("streams_broken") for counters in ran.outcome.counters.values())
    assert ["failed" in result for result in results] == [broken, broken]
    if sends:
        sent, arrived = results
        tally = arrived["states"].values()
        assert all(n == right for n, right in tally)
        if not broken:
            assert sent == {"sent": 12, "delivered": 12}
            assert (sum(n for n, _ in tally), arrived["lost"]) == (12, 0)
    else:
        counts, spoilt = ran.shots()
        assert set(counts) <= {"0000", "1111"}
        assert all(result["bits"].count(None) == result["spoilt"] for result in results)
        if not broken:
            assert (sum(counts.values()), spoilt) == (5, 0)


def test_a_stream_that_breaks_ends_both_ends_of_the_work(tmp_path, monkeypatch):
    """So many frames are lost that streams break, given up early, mostly one way alone: the other end learns
    of it."""
    monkeypatch.setitem(Reliable.__init__.__kwdefaults__, "tries", 12)
    broken = 0
    for seed in range(20, 44):
        work = [job(shots=12), teleport(4)][seed % 2]
        device = {**IDEAL, "communication_qubits": 1 + seed // 2 % 2}
        channel = {"pairs": [{"between": ["west", "east"], "loss": 0.45}]}
        link = {**PERFECT, "efficiency_a": 0.3}
        text = two_qpus(work, device, link, channel=channel, seed=seed, linger_s=0.05, duration_s=100)
        ran = run_slice(text, tmp_path / str(seed))
        ended_well(ran)
        app = "job-0" if "job" in work else "teleport"
        failed = ["failed" in ran.result(node, app) for node in QPUS]
        assert failed in ([True, True], [False, False])
        broken += failed[0]
    assert broken


# ------------------------------------------------------------------------------- what cannot be, and what is wrong


def test_more_fidelity_than_there_is_spoils_every_shot(tmp_path):
    ran = run_slice(two_qpus(job(shots=3, minimum_fidelity=0.999)), tmp_path)
    ended_well(ran)
    assert ran.shots() == ({}, 3)
    assert ran.result("west", "job-0")["pairs"] == 0


def test_more_fidelity_than_there_is_ends_a_teleport_with_its_qubit_untouched(tmp_path):
    ran = run_slice(two_qpus(teleport(1, minimum_fidelity=0.999)), tmp_path)
    ended_well(ran)
    assert ran.result("west", "teleport")["sent"] == 0
    assert "failed" in ran.result("west", "teleport")


def test_a_node_without_a_way_is_refused_by_word(tmp_path):
    """A classical way alone: sessions open, but there are no pairs; no way at all: not even those."""
    told = []

    async def lonely(node: Node) -> None:
        node.transport.listen(5, QtpService.TELEPORT)
        session = await node.transport.open(4, 5, QtpService.TELEPORT)
        for attempt in (1, 2):
            with pytest.raises(SessionClosed):
                await session.teleport(node.physical.memory.data(0))
            told.append(f"no pairs {attempt}")
        with pytest.raises(SessionRefused):
            await node.transport.open(99, 5, QtpService.TELEPORT)
        for gate, peer in enumerate((4, 4, 99)):
            with pytest.raises(GateFailed) as failed:
                await gated(node, gate, peer)
            assert failed.value.intact
            told.append(f"no gate with {peer}")

    async def gated(node: Node, gate: int, peer: int, role: Role = Role.CONTROL) -> None:
        await node.gates.gate(7, gate, role, RgpKind.CNOT, node.physical.memory.data(0), peer)

    async def far(node: Node) -> None:
        node.transport.listen(5, QtpService.TELEPORT)
        for gate in (0, 1):
            with pytest.raises(GateFailed):
                await gated(node, gate, 1, Role.TARGET)

    text = two_qpus({}, IDEAL, PERFECT)
    text["nodes"]["far"] = {"kind": "qpu", "device": "ion"}
    text["links"]["hall"] = {"kind": "classical", "a": "west", "b": "far", "length_m": 5}
    run_slice(text, tmp_path, programs={("west", 1): lonely, ("far", 1): far})
    assert told == ["no pairs 1", "no pairs 2", "no gate with 4", "no gate with 4", "no gate with 99"]


def test_nonsense_of_peers_is_counted(tmp_path):
    """Messages with good tags that no node of ours would send."""

    async def rogue_station(node: Node) -> None:
        gen = MhpGen(MhpKind.PRODUCE, 1, 1, (1 << 64) - 1, 1, 1, 0, 1)
        node.messenger.send(Send(1, gen))
        node.messenger.send(Send(3, EgpAdd(1, 1, 1, 1, 0, 0, EgpKind.KEEP, (1 << 64) - 1, 0, 0, 0, ()), reliable=True))

    async def rogue_qpu(node: Node) -> None:
        reply = MhpReply(MhpOutcome.FAIL, MhpError.NONE, 1, 0, 1, 1, 1, 0, 0)
        far_gen = MhpGen(MhpKind.PRODUCE, 1, 77, (1 << 64) - 1, 1, 1, 0, 1)
        add = EgpAdd(1, 77, 2, 1, 0, 0, EgpKind.KEEP, (1 << 64) - 1, 0, 0, 0, ())
        for message in (reply, far_gen):
            node.messenger.send(Send(2, message))
        node.messenger.send(Send(3, add, reliable=True))
        await node.kernel.sleep(MS)

    text = two_qpus(job(shots=3), IDEAL, PERFECT, duration_s=1)
    ran = run_slice(text, tmp_path, programs={("mid", 1): rogue_station, ("west", 1): rogue_qpu})
    counters = ran.outcome.counters
    assert counters["west"]["ignored MhpGen"] == 1
    assert counters["mid"]["ignored MhpReply"] == 1
    assert counters["east"]["ignored EgpAdd"] == 1
    counts, spoilt = ran.shots()
    assert (sum(counts.values()), spoilt) == (3, 0)
    assert all(entry[0] <= NEVER for node in ran.lives.values() for entry in node[-1].kernel.host.heap)


def test_an_ebit_can_be_followed_from_herald_to_gate(tmp_path):
    """events.jsonl joins: slot and sequence, link pair, pair id, qubit, gate."""
    ran = run_slice(two_qpus(job(shots=4), IDEAL, PERFECT), tmp_path, record=True)
    assert len(ran.events("began")) == 2 * 4 * ran.jobs[0].gates
    made: dict[tuple[str, int], dict[str, Any]] = {}
    for event in ran.all_events():
        if event["event"] == "pair":
            made[event["node"], event["qubit"]] = event
        elif event["event"] == "began":
            event["pair"] = made[event["node"], event["qubit"]]
            made["seen", len(made)] = event
    began = [event for (kind, _), event in made.items() if kind == "seen"]
    ok = {(e["node"], e["link"], e["sequence"]): e for e in ran.events("ok")}
    heralds = {(e["node"], e["link"], e["sequence"]): e for e in ran.events("herald") if e["outcome"]}
    heralded = {(e["link"], e["slot"]): e for e in ran.events("heralded")}
    identities: dict[tuple[int, int], set[tuple[Any, ...]]] = {}
    for event in began:
        pair = event["pair"]
        name = (event["node"], pair["link"], pair["sequence"])
        assert ok[name]["qubit"] == pair["qubit"] == heralds[name]["qubit"]
        assert (pair["link"], heralds[name]["slot"]) in heralded
        identities.setdefault((event["job"], event["gate"]), set()).add(
            (pair["head"], pair["pair_id"], pair["link"], pair["sequence"], heralds[name]["slot"])
        )
    assert len(identities) == 4 * ran.jobs[0].gates
    assert all(len(same) == 1 for same in identities.values())
