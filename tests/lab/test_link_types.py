"""Link types from a scenario file to the plane: their keys, their defaults, what devices lend them, their pages."""

import json
from math import pi, sqrt
from pathlib import Path
from typing import Any

import pytest

from testbed.errors import BadInput
from testbed.hardware import device_model, link_config, link_parameters
from testbed.plan.compose import compose
from testbed.plane.links import LINKS, LinkParameters
from testbed.plane.links.single_click import heralded_fidelity
from testbed.scenario import Scenario, load_scenario, pages
from testbed.scenario.devices import FOLDER
from testbed.scenario.link_types import KEYS, LINK_TYPES

NEEDED = {"single-click": {"alpha": 0.1}, "transducer-upconversion": {"alpha": 0.1}, "transducer-pair": {"alpha": 0.1}}
PLAIN = {"data_qubits": 1, "communication_qubits": 1}


def load(folder: Path, model: str, west: Any = None, east: Any = None, **link: Any) -> Scenario:
    """Two QPUs 10 m apart and a link between them."""
    document = {
        "nodes": {
            "west": {"kind": "qpu", "device": west or PLAIN},
            "mid": {"kind": "station"},
            "east": {"kind": "qpu", "device": east or PLAIN},
        },
        "links": {
            "way": {"a": "west", "b": "east", "station": "mid", "length_m": 10, "model": model, "grade": "sampled"}
            | ({"slot_s": 20e-6} if "slot_s" not in link else {})
            | NEEDED.get(model, {})
            | link
        },
    }
    document["links"]["way"] = {k: v for k, v in document["links"]["way"].items() if v is not None}
    path = folder / "way.yaml"
    path.write_text(json.dumps(document))  # JSON is YAML, too
    return load_scenario(path)


def known(folder: Path, model: str, *devices: Any, **link: Any) -> LinkParameters:
    scenario = load(folder, model, *devices, **link)
    parameters = link_parameters(scenario, scenario.links[0])
    assert isinstance(parameters, LinkParameters)
    return parameters


def test_every_link_class_has_its_record_and_no_other() -> None:
    assert set(LINK_TYPES) == set(LINKS)


@pytest.mark.parametrize("model", LINK_TYPES)
def test_what_a_link_leaves_out_is_the_plane_s_default(model: str, tmp_path: Path) -> None:
    alpha = {"alpha": 0.1} if model in NEEDED else {}

    ends_b = {f"{name}_b": 0.0 for name in ("conversion_noise", "noise_photons", "double_excitation")}
    ends_b = {name: value for name, value in ends_b.items() if name in LINK_TYPES[model].keys}
    assert known(tmp_path, model) == LinkParameters(5, 5, **ends_b, **alpha)


@pytest.mark.parametrize("model", LINK_TYPES)
def test_keys_that_a_model_does_not_know_are_refused_in_one_line(model: str, tmp_path: Path) -> None:
    for name in set(KEYS) - set(LINK_TYPES[model].keys):
        with pytest.raises(BadInput) as refused:
            load(tmp_path, model, **{name: 0.5})
        assert refused.value.place.endswith(f"links.way.{name}")
        assert "has no meaning here" in str(refused.value)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("model", LINK_TYPES)
def test_every_key_of_a_model_reaches_the_plane(model: str, tmp_path: Path) -> None:
    """Each alone changes the parameters, unless a device or another key would have to be changed with it."""
    long = {"photon_length_s": 1e-7}  # some keys are about photons that have a length
    plain, plain_long = known(tmp_path, model), known(tmp_path, model, **long)
    written: dict[str, Any] = {
        "window_s": 1e-9, "modes": 3, "jitter_frozen": False, "width_ratio": 2, "offset_s": 1e-12, "dead_time_s": 1e-6,
        "round_gap_s": 2e-6, "jitter_s": 1e-12, "abort": True, "photon_length_s": 1e-8,
        "photon_lifetime_s": 1e-8,
    }  # fmt: skip
    for name in LINK_TYPES[model].keys:
        more, before = (long, plain_long) if name == "detuning_hz" else ({}, plain)
        assert known(tmp_path, model, **{name: written.get(name, 0.25)}, **more) != before, name


def test_dark_counts_are_a_rate_while_the_gate_is_open(tmp_path: Path) -> None:
    gated = known(tmp_path, "single-click", dark_rate_hz=20, window_s=25e-9)

    assert gated.dark_probability == pytest.approx(5e-7, rel=1e-6)
    with pytest.raises(BadInput, match="dark_rate_hz and window_s already say it"):
        load(tmp_path, "single-click", dark_rate_hz=20, dark_probability=0)


def test_photons_have_a_length_or_a_lifetime(tmp_path: Path) -> None:
    gaussian = known(tmp_path, "dual-rail", photon_length_s=1e-8, jitter_s=2e-9, offset_s=-1e-9, detuning_hz=1e6)

    assert gaussian.width_rad_per_s == pytest.approx(1 / (sqrt(2) * 1e-8))
    assert (gaussian.jitter_ps, gaussian.offset_ps) == (2000, -1000)
    assert gaussian.detuning_rad_per_s == pytest.approx(2 * pi * 1e6)
    assert known(tmp_path, "dual-rail", photon_lifetime_s=1e-8).lifetime_s == 1e-8
    with pytest.raises(BadInput, match="not Gaussian"):
        load(tmp_path, "dual-rail", photon_lifetime_s=1e-8, width_ratio=2)


def test_a_link_takes_from_the_devices_at_its_ends_what_it_does_not_say(tmp_path: Path) -> None:
    west = PLAIN | {"network": {
        "efficiency": 0.3, "alpha": 0.05, "double_excitation": 0.04, "conversion": 0.5, "photon_length_s": 2e-8,
        "emission_jitter_s": 3e-9, "modes": 4, "repetition_hz": 1e6, "noise_photons": 0.2,
    }}  # fmt: skip
    east = PLAIN | {"network": {"efficiency": 0.7, "photon_length_s": 1e-8, "emission_jitter_s": 4e-9, "modes": 7}}
    found = known(tmp_path, "single-click", west, east, alpha=None, slot_s=None)

    assert (found.efficiency_a, found.efficiency_b, found.conversion_a, found.conversion_b) == (0.3, 0.7, 0.5, 1)
    assert (found.alpha, found.doubles, found.modes) == (0.05, (0.04, 0), 4)
    assert found.noise == (0, 0), "single click has no transducer"
    assert (found.jitter_ps, found.width_ratio) == (5000, 2)
    assert load(tmp_path, "single-click", west, east, alpha=None, slot_s=None).links[0].slot_ps == 10**6
    own = known(tmp_path, "single-click", west, east, alpha=0.2, efficiency_a=0.1, photon_length_s=5e-8, modes=1)
    assert (own.alpha, own.efficiency_a, own.modes, own.width_ratio) == (0.2, 0.1, 1, 1)


def test_the_source_s_photons_are_not_the_devices(tmp_path: Path) -> None:
    device = PLAIN | {"network": {"efficiency": 0.3, "modes": 4}}

    found = known(tmp_path, "source-midpoint", device, device)
    assert (found.efficiency_a, found.modes) == (1, 1)
    sender = known(tmp_path, "sender-receiver", device, PLAIN)
    assert sender.efficiency_a == 0.3


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"slot_s": 1e-7}, "repetition_hz of 1e\\+06"),
        ({"alpha": None}, "differ in alpha"),
        ({"window_s": 1e-3}, "longer than a slot"),
        ({"alpha": "bset"}, "expected a number"),
        ({"modes": 0}, "0 is less than 1"),
        ({"detuning_hz": 1e6}, "photons without a length"),
        ({"photon_length_s": 15e-6, "jitter_s": 6e-6}, "run into the next slot"),
        ({"efficiency_a": 0, "efficiency_b": 0}, "never herald"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], what: str, tmp_path: Path) -> None:
    west = PLAIN | {"network": {"alpha": 0.1, "repetition_hz": 1e6}}
    east = PLAIN | {"network": {"alpha": 0.2}}
    with pytest.raises(BadInput, match=what):
        load(tmp_path, "single-click", west, east, **changes)


def test_a_pair_cannot_be_more_than_certain(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"make alpha at most 0\.5"):
        load(tmp_path, "transducer-pair", alpha=0.6, noise_photons_b=1)


def test_noise_that_always_clicks_is_refused(tmp_path: Path) -> None:
    """eta N per detector, 1 with one noise photon at either end; the fibre takes too little to matter."""
    lossless = {"attenuation_db_per_km": 0, "alpha": "best"}
    with pytest.raises(BadInput, match=r"way\.noise_photons_b: noise_photons makes 1\.8 clicks"):
        load(tmp_path, "transducer-upconversion", noise_photons_b=4, efficiency_b=0.9, **lossless)
    noisy = PLAIN | {"network": {"noise_photons": 1, "efficiency": 1}}
    with pytest.raises(BadInput, match=r"way: .*makes 1 clicks"):
        load(tmp_path, "transducer-upconversion", noisy, noisy, **lossless)
    with pytest.raises(BadInput, match=r"way\.conversion_noise_b: conversion_noise makes 50 clicks"):
        load(tmp_path, "dual-rail", conversion_noise_b=100, attenuation_db_per_km=0)
    # A memory that always flags stores a random bit: a link, if a poor one.
    assert known(tmp_path, "sender-receiver", conversion_noise_a=100).conversion_noise == 100


def test_a_window_may_take_all_of_a_slot(tmp_path: Path) -> None:
    """Links of one round know no gap of rounds that their window would have to end before."""
    for model in set(LINK_TYPES) - {"barrett-kok"}:
        scenario = load(tmp_path, model, window_s=20e-6)
        assert link_config(scenario, scenario.links[0], "sampled", 1).model.parameters.window_ps == 20_000_000


def test_rounds_that_are_slots_have_no_gap_of_their_own(tmp_path: Path) -> None:
    assert known(tmp_path, "barrett-kok", abort=True).round_gap_ps == 20_000_000
    for key, value, what in (("round_gap_s", 1e-6, "slots of their own"), ("modes", 2, "one of many modes")):
        with pytest.raises(BadInput, match=what):
            load(tmp_path, "barrett-kok", abort=True, **{key: value})


def test_the_best_alpha_is_found_by_the_exact_law(tmp_path: Path) -> None:
    noisy = PLAIN | {"network": {"noise_photons": 0.01, "efficiency": 1e-4}}
    scenario = load(tmp_path, "transducer-upconversion", noisy, noisy, alpha="best")
    parameters = link_parameters(scenario, scenario.links[0])

    assert parameters.alpha == pytest.approx(sqrt(0.01**2 + 0.01) - 0.01, rel=1e-3)
    assert heralded_fidelity(parameters.alpha, parameters.alpha, parameters.optics) == pytest.approx(0.827193, abs=2e-4)
    node = compose(scenario, "local", []).nodes[0]
    assert node.links[0].success_probability == pytest.approx(2e-4 * (parameters.alpha + 0.01), rel=0.01)


def test_many_modes_are_many_chances(tmp_path: Path) -> None:
    scenario = load(tmp_path, "single-click", modes=10, efficiency_a=0.1, efficiency_b=0.1)
    model = link_config(scenario, scenario.links[0], "sampled", 1).model
    one = load(tmp_path, "single-click", efficiency_a=0.1, efficiency_b=0.1)
    single = link_config(one, one.links[0], "sampled", 1).model

    assert model.success_probability(0.1) == pytest.approx(1 - (1 - single.success_probability(0.1)) ** 10)
    assert model.heralded_fidelity(0.1) == single.heralded_fidelity(0.1)


def test_the_pages_are_those_of_the_records() -> None:
    assert (pages.DOCS / "links.md").read_text() == pages.links_page()
    scenarios = (pages.DOCS / "scenarios.md").read_text()
    assert scenarios == pages.scenarios_page(scenarios)


# ---------------------------------------------------------------------------------------------- devices as files


SHIPPED = sorted(FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_device_loads_and_accounts_for_its_figures(path: Path, tmp_path: Path) -> None:
    scenario = load(tmp_path, "barrett-kok", path.stem, path.stem, slot_s=1)
    device = scenario.nodes[0].device
    assert device is not None
    assert device.communication_qubits >= 1
    assert f"`{path.stem}`" in (pages.DOCS / "devices.md").read_text()
    text = path.read_text()
    if path.stem == "ideal" or "Every figure is an" in " ".join(text.split()):
        return
    for line in text.splitlines():
        written = line.split("#")[0].strip()
        if written and not written.endswith(":") and not written.startswith("base:"):
            zero = written.split(":")[1].strip() == "0"
            assert "#" in line or zero, f"{path.name}: {written} has no source"


def test_a_transducer_s_efficiency_and_noise_follow_from_cooperativities(tmp_path: Path) -> None:
    network = network_of(tmp_path, {"cooperativity": 0.5, "extraction_microwave": 0.8, "extraction_optical": 0.9,
                                    "bath_photons": 0.02, "qubit_extraction": 0.5, "optical_chain": 0.7})  # fmt: skip
    assert network.efficiency == pytest.approx(0.5 * 0.8 * 0.9 * (2 / 2.25) * 0.7)
    assert network.noise_photons == pytest.approx(0.02 * 0.2 / 0.8 / 0.5)
    mediated = network_of(tmp_path, {"cooperativity_microwave": 2, "cooperativity_optical": 3, "bath_photons": 0.1})
    assert mediated.efficiency == pytest.approx(24 / 36)
    assert mediated.noise_photons == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("unit", "what"),
    [
        ({"transducer": {}}, "a transducer without 'cooperativity'"),
        ({"transducer": {"efficiency": 0.1}, "efficiency": 0.1}, "follow from the transducer"),
        ({"transducer": {"efficiency": 0.1, "cooperativity": 1}}, "given as a whole"),
        ({"transducer": {"cooperativity": 1, "cooperativity_optical": 1}}, "two cooperativities"),
        ({"transducer": {"cooperativity_optical": 1}}, "without 'cooperativity_microwave'"),
        ({"transducer": {"efficiency": 0.1, "noise_photons": 1, "bath_photons": 1}}, "follows from bath_photons"),
        ({"transducer": {"efficiency": 0.1, "qubit_extraction": 0}}, "nothing gets into the transducer"),
        ({"photon_length_s": 1e-9, "photon_lifetime_s": 1e-9}, "not Gaussian"),
        ({"efficency": 0.1}, "did you mean 'efficiency'"),
    ],
)
def test_a_networking_unit_that_makes_no_sense_is_refused(unit: dict[str, Any], what: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=what):
        load(tmp_path, "barrett-kok", PLAIN | {"network": unit})


def network_of(folder: Path, transducer: dict[str, float]) -> Any:
    device = load(folder, "barrett-kok", PLAIN | {"network": {"transducer": transducer}}).nodes[0].device
    assert device is not None
    return device.network


def test_a_device_stands_on_its_base(tmp_path: Path) -> None:
    own = {"base": "transmon-qnu", "t2_s": 0.5e-3, "network": {"alpha": 0.2, "efficiency": 0.3}}
    device = load(tmp_path, "single-click", own, own, slot_s=None).nodes[0].device
    base = load(tmp_path, "single-click", "transmon-qnu", "transmon-qnu", slot_s=None).nodes[0].device
    assert device is not None
    assert base is not None
    assert (device.t2_ps, device.gate_2q_ps) == (5 * 10**8, base.gate_2q_ps)
    assert (device.network.alpha, device.network.modes) == (0.2, base.network.modes)
    assert (device.network.efficiency, device.network.noise_photons) == (0.3, None)
    assert base.network.efficiency == pytest.approx(0.1)
    with pytest.raises(BadInput, match="unknown device"):
        load(tmp_path, "barrett-kok", {"base": "transmon"})


def test_bases_in_a_circle_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "circle.yaml"
    path.write_text("devices:\n  a: {base: b}\n  b: {base: a}\nnodes:\n  x: {kind: qpu, device: a}\n")
    with pytest.raises(BadInput, match="its own base"):
        load_scenario(path)


def test_what_a_device_says_reaches_the_plane(tmp_path: Path) -> None:
    device = PLAIN | {"swap_fidelity": 0.9, "attempt_dephasing": 0.01, "gate_2q_fidelity": 0.95, "prepare_error": 0.02}
    scenario = load(tmp_path, "barrett-kok", device)
    model = device_model(scenario.nodes[0].device)  # type: ignore[arg-type]
    assert (model.swap_fidelity, model.two_qubit_fidelity) == (0.9, 0.95)
    assert (model.attempt_dephasing, model.init_error) == (0.01, 0.02)
