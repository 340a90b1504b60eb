"""Scenario files: what a well-formed file becomes, value by value, and what the files of the repository say."""

import string
from contextlib import suppress
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.config import Faults
from testbed.errors import BadInput
from testbed.plan.clocks import oscillations
from testbed.plan.compose import compose
from testbed.plane.links import LinkParameters
from testbed.scenario import (
    PAULI_STATES,
    Channel,
    ClassicalLink,
    Clock,
    Device,
    PlannedFault,
    Program,
    Scenario,
    Teleport,
    Toy,
    load_scenario,
    with_options,
)
from testbed.scenario.devices import FOLDER, read
from testbed.scenario.links import ROUND_GAP_PS, WINDOW_PS
from testbed.scenario.source import Item, load_yaml, plain

SCENARIOS = Path(__file__).parents[2] / "testbed" / "scenarios"

EVERYTHING = """
name: everything
description: one of each
seed: 12
speed_m_per_s: 2.0e8
devices:
  good:
    data_qubits: 3
    communication_qubits: 1
    t1_s: 2
    t2_s: 1.5
    communication_t1_s: 0.002
    communication_t2_s: 0
    gate_1q_s: 5e-9
    gate_2q_s: 1e-7
    readout_s: 3e-7
    prepare_s: 2e-7
    emission_s: 1e-6
    gate_1q_fidelity: 0.999
    gate_2q_fidelity: 0.99
    readout_error_0: 0.01
    readout_error_1: 0.02
    prepare_error: 0.001
    parallel: true
nodes:
  west: {kind: qpu, device: good, clock: {offset_s: -1e-6, rate_ppm: 50}}
  mid: {kind: station}
  east: {kind: repeater, device: {data_qubits: 0, communication_qubits: 2, t1_s: 1}}
  boss: {kind: controller}
links:
  long:
    a: west
    b: east
    station: mid
    arm_a_m: 10000
    arm_b_m: 15000
    model: single-click
    grade: sampled
    slot_s: 10.12e-6
    attenuation_db_per_km: 0.5
    efficiency_a: 0.1
    efficiency_b: 0.2
    detector_efficiency: 0.8
    dark_probability: 5e-7
    visibility: 0.9
    coherence: 0.98
    alpha: 0.1
  short: {a: east, b: west, station: mid, length_m: 2, model: barrett-kok, grade: photonic, slot_s: 20e-6}
  wire: {kind: classical, a: boss, b: west, length_m: 30}
channel:
  loss: 0.01
  jitter_s: 1e-9
  pairs:
    - {between: [mid, west], loss: 0.5, reorder: 0.25}
faults:
  - {at_s: 0.2, restart: east}
  - {at_s: 0.1, kill: east}
  - {at_s: 0.1, freeze: west, for_s: 0.01}
jobs:
  - {circuit: bell.qasm, shots: 5, mapping: {west: [1, 0]}, minimum_fidelity: 0.8}
  - {name: again, circuit: bell.qasm, shots: 6}
toy: {from: boss, to: west, count: 3, padding: 10, in_flight: 2, think_s: 1e-6, timeout_s: 1e-3, attempts: 4}
programs:
  - {node: west, run: hello.py}
duration_s: 1.5
linger_s: 2e-3
dilation: 100
host_allowance_s: 1e-3
mqtt: mqtt://broker.example:1883
"""


@pytest.fixture
def everything(tmp_path: Path) -> Scenario:
    (tmp_path / "bell.qasm").write_text("OPENQASM 2.0;\n")
    (tmp_path / "hello.py").write_text("pass\n")
    (tmp_path / "file.yaml").write_text(EVERYTHING)
    return load_scenario(tmp_path / "file.yaml")


def write(folder: Path, text: str) -> Scenario:
    (folder / "small.yaml").write_text(text)
    return load_scenario(folder / "small.yaml")


# ---------------------------------------------------------------------------------------------- all that can be said


def test_a_device_is_in_picoseconds(everything: Scenario) -> None:
    assert everything.node("west").device == Device(
        name="good",
        data_qubits=3,
        communication_qubits=1,
        t1_ps=2 * 10**12,
        t2_ps=15 * 10**11,
        communication_t1_ps=2 * 10**9,
        communication_t2_ps=0,
        gate_1q_ps=5_000,
        gate_2q_ps=100_000,
        swap_ps=300_000,
        readout_ps=300_000,
        prepare_ps=200_000,
        emission_ps=10**6,
        gate_1q_fidelity=0.999,
        gate_2q_fidelity=0.99,
        readout_error_0=0.01,
        readout_error_1=0.02,
        prepare_error=0.001,
        parallel=True,
    )


def test_communication_qubits_are_as_good_as_data_qubits_unless_told(everything: Scenario) -> None:
    device = everything.node("east").device

    assert device is not None
    assert (device.t1_ps, device.t2_ps) == (10**12, 0)
    assert (device.communication_t1_ps, device.communication_t2_ps) == (10**12, 0)


@pytest.mark.parametrize(
    ("written", "t1_s", "t2_s"),
    [
        ("t2_s: 1.0e-3, communication_t1_s: 10", 10, 1e-3),
        ("t1_s: 1.0e-3, communication_t2_s: 2.0e-3", 1e-3, 2e-3),
        ("t1_s: 1, t2_s: 2, communication_t1_s: 3, communication_t2_s: 4", 3, 4),
        ("t1_s: 1, t2_s: 2, communication_t2_s: 0", 1, 0),
    ],
)
def test_each_time_of_communication_qubits_is_inherited_by_itself(
    written: str, t1_s: float, t2_s: float, tmp_path: Path
) -> None:
    ion = "data_qubits: 1, communication_qubits: 1"
    device = write(tmp_path, f"nodes: {{west: {{kind: qpu, device: {{{ion}, {written}}}}}}}\n").node("west").device

    assert device is not None
    assert (device.communication_t1_ps, device.communication_t2_ps) == (round(t1_s * 1e12), round(t2_s * 1e12))


def test_nodes_are_numbered_in_the_order_of_the_file(everything: Scenario) -> None:
    assert [(n.name, n.number, n.kind, n.address) for n in everything.nodes] == [
        ("west", 1, "qpu", "10.77.0.1"),
        ("mid", 2, "station", "10.77.0.2"),
        ("east", 3, "repeater", "10.77.0.3"),
        ("boss", 4, "controller", "10.77.0.4"),
    ]
    assert everything.node("west").clock == Clock(offset_ps=-(10**6), rate_ppb=50_000)
    assert everything.node("mid").clock == Clock()


def test_links_carry_their_physics_and_delays(everything: Scenario) -> None:
    long, short = everything.links

    assert (long.number, long.name, long.a, long.b, long.station) == (1, "long", "west", "east", "mid")
    assert (long.delay_a_ps, long.delay_b_ps, long.length_m) == (50_000_000, 75_000_000, 25_000)
    assert (long.model, long.grade, long.slot_ps, long.alpha) == ("single-click", "sampled", 10_120_000, 0.1)
    physics = long.physics
    assert (physics["efficiency_a"], physics["efficiency_b"], physics["detector_efficiency"]) == (0.1, 0.2, 0.8)
    assert (physics["dark_probability"], physics["visibility"], physics["coherence"]) == (5e-7, 0.9, 0.98)
    assert long.fibre_transmission("a") == pytest.approx(10**-0.5)
    assert long.fibre_transmission("b") == pytest.approx(10**-0.75)
    assert (short.number, short.delay_a_ps, short.delay_b_ps) == (2, 5_000, 5_000)
    assert (short.arm_a_m, short.arm_b_m) == (1, 1)
    assert (short.physics["round_gap_ps"], short.physics["attenuation_db_per_km"]) == (10**6, 0.2)
    assert everything.classical_links == (ClassicalLink("wire", "boss", "west", 30, 150_000),)
    assert everything.link_between("east", "west") == long
    assert everything.link_between("boss", "west") is None


def test_channels_follow_from_the_links(everything: Scenario) -> None:
    usual = Faults(loss=0.01, jitter_ps=1000)

    assert everything.channels == (
        Channel("west", "mid", 5_000, Faults(loss=0.5, reorder=0.25, jitter_ps=1000)),
        Channel("west", "east", 10_000, usual),
        Channel("west", "boss", 150_000, usual),
        Channel("mid", "east", 5_000, usual),
    )


def test_frames_take_a_classical_link_where_one_was_laid(tmp_path: Path) -> None:
    text = EVERYTHING.replace("a: boss, b: west, length_m: 30", "a: west, b: east, length_m: 30")
    for name, content in {"bell.qasm": "OPENQASM 2.0;", "hello.py": "pass"}.items():
        (tmp_path / name).write_text(content)

    scenario = write(tmp_path, text.replace("{from: boss, to: west", "{from: east, to: west"))

    channel = scenario.channel_between("east", "west")
    assert channel is not None
    assert channel.delay_ps == 150_000


def test_planned_faults_are_in_the_order_of_time(everything: Scenario) -> None:
    assert everything.faults == (
        PlannedFault(10**11, "kill", "east"),
        PlannedFault(10**11, "freeze", "west", for_ps=10**10),
        PlannedFault(2 * 10**11, "restart", "east"),
    )


def test_work(everything: Scenario) -> None:
    first, second = everything.jobs

    assert (first.name, first.shots, first.mapping, first.minimum_fidelity) == (
        "bell",
        5,
        {"west": (1, 0)},
        0.8,
    )
    assert first.circuit == everything.path.parent / "bell.qasm"
    assert (second.name, second.shots, second.mapping, second.minimum_fidelity) == ("again", 6, None, 0.0)
    assert everything.toy == Toy("boss", "west", 3, 10, 2, 10**6, 10**9, 4)
    assert everything.programs == (Program("west", everything.path.parent / "hello.py"),)


def test_the_run_itself(everything: Scenario) -> None:
    assert (everything.name, everything.description, everything.seed) == ("everything", "one of each", 12)
    assert (everything.duration_ps, everything.linger_ps) == (15 * 10**11, 2 * 10**9)
    assert (everything.dilation, everything.mqtt) == (100, "mqtt://broker.example:1883")
    allowed = {node.allowance_ps for node in compose(everything, "paced", []).nodes}
    assert (everything.host_allowance_ps, allowed) == (10**9, {10**7}), "a millisecond of the wall"


def test_a_scenario_cannot_be_changed(everything: Scenario) -> None:
    with pytest.raises(FrozenInstanceError):
        everything.seed = 3  # type: ignore[misc]


# -------------------------------------------------------------------------------------------------------- defaults


def test_what_is_left_out(tmp_path: Path) -> None:
    scenario = write(tmp_path, "nodes:\n  a: {kind: controller}\n")

    assert (scenario.name, scenario.seed, scenario.speed_m_per_s) == ("small", 1, 2e8)
    assert (scenario.duration_ps, scenario.linger_ps, scenario.dilation) == (None, 10**9, 1.0)
    assert (scenario.mqtt, scenario.teleport, scenario.toy, scenario.jobs) == ("none", None, None, ())


def test_a_scenario_is_named_after_its_file(tmp_path: Path) -> None:
    (tmp_path / "my lab.v2.yaml").write_text("nodes: {a: {kind: controller}}")

    assert load_scenario(tmp_path / "my lab.v2.yaml").name == "my-lab-v2"


def test_the_defaults_of_a_link_are_those_of_its_model() -> None:
    model = LinkParameters(arm_a_m=1, arm_b_m=1)

    assert (model.round_gap_ps, model.window_ps) == (ROUND_GAP_PS, WINDOW_PS)


@given(st.floats(0.3, 1e6), st.floats(1e6, 299_792_458))
def test_delays_are_those_of_the_link_models(length_m: float, speed_m_per_s: float) -> None:
    """A photonic link refuses arms that differ from its own by a picosecond."""
    from testbed.scenario.links import _length

    arm_m, delay_ps = _length(Item("f", 1, "x", length_m * 2), 2, speed_m_per_s)

    assert delay_ps == LinkParameters(arm_a_m=arm_m, arm_b_m=1, speed_m_per_s=speed_m_per_s).arm_a_ps


# ---------------------------------------------------------------------------------------- the files of the repository


def test_two_qpus() -> None:
    scenario = load_scenario(SCENARIOS / "two-qpus.yaml")
    (link,), (job,) = scenario.links, scenario.jobs

    assert [(n.name, n.kind) for n in scenario.nodes] == [
        ("west", "qpu"),
        ("mid", "station"),
        ("east", "qpu"),
    ]
    assert (link.arm_a_m, link.arm_b_m, link.delay_a_ps, link.delay_b_ps) == (1, 1, 5_000, 5_000)
    assert (link.model, link.grade) == ("barrett-kok", "sampled")
    assert (job.circuit.name, job.shots, job.mapping) == ("ghz-4.qasm", 200, {"west": (0, 1), "east": (2, 3)})


def test_the_teleport_scenario_has_the_hardware_of_two_qpus() -> None:
    circuit = load_scenario(SCENARIOS / "two-qpus.yaml")
    teleport = load_scenario(SCENARIOS / "two-qpus-teleport.yaml")

    assert (teleport.nodes, teleport.links) == (circuit.nodes, circuit.links)
    assert teleport.teleport == Teleport("west", "east", PAULI_STATES, 50)
    assert len(PAULI_STATES) == 6


def test_echo() -> None:
    scenario = load_scenario(SCENARIOS / "echo.yaml")

    assert len(scenario.nodes) == 3
    assert scenario.toy is not None
    assert scenario.channel_between(scenario.toy.source, scenario.toy.destination) is not None


def test_every_scenario_of_the_repository_loads() -> None:
    paths = sorted(SCENARIOS.glob("*.yaml"))

    assert [load_scenario(path).path for path in paths] == paths


def test_every_device_of_the_repository_loads() -> None:
    devices = {path.stem: read(load_yaml(path, "device"), path.stem) for path in FOLDER.glob("*.yaml")}

    assert {"ideal", "ion-cavity"} <= devices.keys()
    ion = devices["ion-cavity"]
    assert (ion.data_qubits, ion.communication_qubits, ion.t1_ps, ion.t2_ps) == (2, 2, 0, 10**12)
    assert (ion.gate_2q_fidelity, ion.gate_2q_ps) == (0.998, 10**8)
    assert (ion.readout_error_0, ion.readout_error_1, ion.readout_ps) == (0.002, 0.002, 10**8)


# ------------------------------------------------------------------------------------------------------ plain values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), ("-7", -7), ("+3", 3), ("007", 7), ("1e-3", 1e-3), ("2.0e8", 2e8), (".5", 0.5), ("5.", 5.0),
        ("true", True), ("False", False), ("", None), ("~", None), ("null", None),
        # What YAML 1.1 would turn into truth values, base-60 numbers or octals stays text.
        ("no", "no"), ("on", "on"), ("yes", "yes"), ("12:30", "12:30"), ("0x10", "0x10"), ("1_000", "1_000"),
        ("5 ns", "5 ns"), ("-", "-"),
    ],
)  # fmt: skip
def test_unquoted_scalars_are_read_as_yaml_1_2(text: str, value: object) -> None:
    assert plain(text) == value
    assert type(plain(text)) is type(value)


def test_quotes_make_text(tmp_path: Path) -> None:
    (tmp_path / "q.yaml").write_text("a: \"1\"\nb: 'true'\nc: |\n  12\n")

    root = load_yaml(tmp_path / "q.yaml", "file").value

    assert isinstance(root, dict)
    assert {key: item.value for key, item in root.items()} == {"a": "1", "b": "true", "c": "12\n"}


def test_an_item_is_where_its_key_is(tmp_path: Path) -> None:
    (tmp_path / "q.yaml").write_text("# head\na:\n  b:\n\n    - 1\n    - c: 2\n")

    item = load_yaml(tmp_path / "q.yaml", "file")
    places = []
    while isinstance(item.value, dict | list):
        item = item.value[-1] if isinstance(item.value, list) else next(iter(item.value.values()))
        places.append((item.line, item.path))

    assert places == [(2, "a"), (3, "a.b"), (6, "a.b[1]"), (6, "a.b[1].c")]


@given(st.integers(0, 10**16))
def test_seconds_become_the_picoseconds_that_were_written(ps: int) -> None:
    """As decimal text: 0.1 s is 10^11 ps though no float is 0.1."""
    from testbed.scenario.schema import seconds

    whole, part = divmod(ps, 10**12)
    value = plain(f"{whole}.{part:012d}")

    # A float has 15 digits for certain.
    assert abs(seconds(Item("f", 1, "x", value)) - ps) <= ps // 10**15


SPLINTERS = st.one_of(
    st.text(alphabet=string.printable, max_size=20),
    st.sampled_from(
        ["", "1", "-1", "1e400", ".nan", "true", "[]", "{}", "[west]", "{a: 1}", "west", "mid", "0.5"]
    ),
)


@given(st.integers(0, len(EVERYTHING)), st.integers(0, 40), SPLINTERS)
def test_a_damaged_file_loads_or_is_bad_input(start: int, length: int, splinter: str) -> None:
    """Nothing else is raised, wherever a file breaks."""
    with TemporaryDirectory() as folder:
        for name in ("bell.qasm", "hello.py"):
            (Path(folder) / name).write_text("pass")

        with suppress(BadInput):
            write(Path(folder), EVERYTHING[:start] + splinter + EVERYTHING[start + length :])


# ------------------------------------------------------------------------------------------------------ command line


def test_options_take_the_place_of_what_the_file_says(tmp_path: Path) -> None:
    (tmp_path / "other.qasm").write_text("OPENQASM 2.0;\n")
    scenario = load_scenario(SCENARIOS / "two-qpus.yaml")

    changed = with_options(scenario, seed=9, shots=3, circuit=tmp_path / "other.qasm", dilation=10)

    assert (changed.seed, changed.dilation) == (9, 10)
    (job,) = changed.jobs
    assert (job.name, job.shots, job.circuit) == ("other", 3, tmp_path / "other.qasm")
    assert job.mapping == scenario.jobs[0].mapping
    assert with_options(scenario) == scenario


def test_a_clock_may_be_named_and_corrected(tmp_path: Path) -> None:
    text = (
        "nodes:\n"
        "  plain: {kind: controller, clock: crystal}\n"
        "  own: {kind: controller, clock: {oscillator: crystal, rate_ppm: 3, offset_s: -2, knot_s: 0.1}}\n"
        "  kept: {kind: controller, clock: white-rabbit}\n"
    )
    path = tmp_path / "clocks.yaml"
    path.write_text(text)
    plain, own, kept = (node.clock for node in load_scenario(path).nodes)

    assert (plain.accuracy_ppm, plain.rate_ppb, plain.allan_1s) == (20, 0, 1e-9)
    # A rate that is known is not drawn.
    assert (own.accuracy_ppm, own.rate_ppb, own.offset_ps, own.knot_ps) == (0, 3_000, -2 * 10**12, 10**11)
    assert own.allan_1s == plain.allan_1s
    assert (kept.accuracy_ppm, kept.wander_ps, kept.offset_sigma_ps) == (0, 10, 20)


def test_no_clock_of_a_run_shows_a_negative_time(tmp_path: Path) -> None:
    path = tmp_path / "clocks.yaml"
    path.write_text(
        "nodes:\n"
        "  slow: {kind: controller, clock: {offset_s: -1.5}}\n"
        "  plain: {kind: controller}\n"
        "  kept: {kind: controller, clock: white-rabbit}\n"
    )
    scenario = load_scenario(path)
    shown = oscillations(scenario)

    assert (shown[1].offset_ps, shown[2].offset_ps) == (0, 3 * 10**12 // 2)
    assert abs(shown[3].offset_ps - shown[2].offset_ps) < 200
    # Each seed has its own draws, and the same ones every time.
    assert oscillations(scenario) == shown
    assert oscillations(replace(scenario, seed=2))[3] != shown[3]
