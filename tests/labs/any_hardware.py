"""Random hardware: devices, links and clocks as a scenario's text has them, from ideal to as bad as they come.

What may live here: hypothesis' draws for what a network is made of.  How it is joined and what it does is in
any_network.py.
"""

from typing import Any

from hypothesis import strategies as st

from testbed.scenario.link_types import LINK_TYPES

type Text = dict[str, Any]
type Draw = Any
"""What hypothesis hands to a composite strategy."""

IDEAL, PAULI, REAL = "ideal", "pauli", "real"
GRADES = (IDEAL, PAULI, REAL)
"""What may spoil a pair, from one grade to the next: nothing; phase flips, decay of coherence and depolarising, which
leave the Bell state that it was in the likeliest; anything, reading a qubit wrongly too."""

_ALPHA = ("single-click", "transducer-upconversion", "transducer-pair")
_MODELS = {
    IDEAL: ("barrett-kok", "barrett-kok", "dual-rail", "source-midpoint", "sender-receiver"),
    PAULI: ("barrett-kok", "dual-rail"),
    REAL: tuple(LINK_TYPES),
}

_SCHEDULERS = ("fcfs", "fcfs", "higher-wfq", "lower-wfq")


def share(draw: Draw, least: float, most: float) -> float:
    """A number with three decimals."""
    return draw(st.integers(round(least * 1000), round(most * 1000))) / 1000


def maybe(draw: Draw, text: Text) -> Text:
    """A part of these keys, none as often as all."""
    if draw(st.booleans()):
        return {}
    return {key: value for key, value in text.items() if draw(st.booleans())}


# ------------------------------------------------------------------------------------- devices


def device(draw: Draw, links: int, grade: str) -> Text:
    """Of a node with so many links, whose qubits suffice for whatever any_network.py asks for."""
    found: Text = {"data_qubits": 2, "communication_qubits": draw(st.integers(4, 6)) * links}
    found["parallel"] = draw(st.booleans())
    if storage := draw(st.sampled_from([0, 0, 4])) * links:
        found["storage_qubits"] = storage
    found |= maybe(draw, {"gate_1q_s": 1e-6, "gate_2q_s": 1e-5, "swap_s": 2e-5, "readout_s": 1e-5, "prepare_s": 1e-6})
    if grade != IDEAL:
        found |= maybe(draw, _noise(draw))
    if grade == REAL:
        found |= maybe(draw, _mistakes(draw))
    return found


def _noise(draw: Draw) -> Text:
    return {
        "t2_s": draw(st.sampled_from([1e-3, 0.05, 1.0])),
        "communication_t2_s": draw(st.sampled_from([1e-3, 0.05, 1.0])),
        "gate_1q_fidelity": share(draw, 0.98, 1),
        "gate_2q_fidelity": share(draw, 0.95, 1),
        "swap_fidelity": share(draw, 0.95, 1),
        "attempt_dephasing": draw(st.sampled_from([1e-5, 1e-3])),
    }


def _mistakes(draw: Draw) -> Text:
    """A T1 of a second allows every T2 of _noise."""
    return {
        "t1_s": draw(st.sampled_from([1.0, 10.0])),
        "communication_t1_s": draw(st.sampled_from([1.0, 10.0])),
        "readout_error_0": share(draw, 0, 0.05),
        "readout_error_1": share(draw, 0, 0.05),
        "prepare_error": share(draw, 0, 0.02),
    }


# ------------------------------------------------------------------------------------- links


def arms(draw: Draw) -> Text:
    """Of a link alone; those of a star are the star's."""
    if draw(st.booleans()):
        return {"length_m": draw(st.sampled_from([2, 200, 200, 3000]))}
    return {"arm_a_m": draw(st.sampled_from([1, 100, 2000])), "arm_b_m": draw(st.sampled_from([1, 100, 2000]))}


def link(draw: Draw, grade: str) -> Text:
    """Its keys but for ends and lengths.  About one attempt in two succeeds, in twenty at worst."""
    model = draw(st.sampled_from(_MODELS[grade]))
    found: Text = {"model": model, "slot_s": 4e-6, "attenuation_db_per_km": draw(st.sampled_from([0, 0, 0.2]))}
    found["grade"] = draw(st.sampled_from(["sampled", "sampled", "photonic"]))
    if model == "barrett-kok":
        found["round_gap_s"] = 1e-6
    if model in _ALPHA:
        found["alpha"] = share(draw, 0.1, 0.4)
    found["scheduler"] = draw(st.sampled_from(_SCHEDULERS))
    found["test_rounds"] = draw(st.sampled_from([0, 0, 0, 0.2]))
    choices = {"efficiency_a": share(draw, 0.4, 1), "efficiency_b": share(draw, 0.4, 1), "dead_time_s": 2e-6}
    choices["detector_efficiency"] = share(draw, 0.6, 1)
    if grade != IDEAL:
        choices |= {"visibility": share(draw, 0.6, 1), "photon_length_s": 1e-7, "jitter_s": 1e-8}
    if grade == REAL:
        choices |= _physics(draw)
    return found | {key: value for key, value in maybe(draw, choices).items() if key in LINK_TYPES[model].keys}


def _physics(draw: Draw) -> Text:
    return {
        "dark_probability": draw(st.sampled_from([1e-5, 1e-3])),
        "conversion_a": share(draw, 0.5, 1),
        "conversion_noise_b": 1e-3,
        "coherence": share(draw, 0.7, 1),
        "double_excitation_a": share(draw, 0, 0.05),
        "noise_photons_a": share(draw, 0, 0.1),
        "extraction_b": share(draw, 0.8, 1),
        "mean_pairs": share(draw, 0.2, 0.5),
        "modes": draw(st.integers(1, 4)),
    }


# ------------------------------------------------------------------------------------- clocks


def clocks(draw: Draw, nodes: list[str]) -> tuple[dict[str, Any], Text]:
    """Oscillators of some nodes, by name, and how they are kept together.  In most networks time is everybody's."""
    if draw(st.integers(0, 2)):
        return {}, {}
    own: dict[str, Any] = {}
    for node in draw(st.lists(st.sampled_from(nodes), min_size=1, max_size=3, unique=True)):
        free = {"offset_s": share(draw, 0, 0.5), "rate_ppm": draw(st.integers(-20, 20)), "allan_1s": 1e-10}
        own[node] = draw(st.sampled_from(["crystal", "tcxo", "ocxo", "white-rabbit", free]))
    sync: Text = {"interval_s": draw(st.integers(1, 100)) / 1000, "timestamp_noise_s": 10e-12}
    if draw(st.booleans()):
        sync["master"] = draw(st.sampled_from(nodes))
    return own, {"time_sync": sync}
