"""Link types: one record per type, one per key. Reader, error messages and docs/links.md come from these.

What may live here: the records. What a key is read as stands in links.py, what a link does with its numbers in
testbed.plane.links.
"""

from dataclasses import dataclass, field
from math import pi
from typing import Final, Literal

MAX_S: Final = 1e6

Inherits = Literal["", "end", "same", "least", "rms"]
"""How a link takes a key from the networking units of its devices: each end its own, both alike, the smaller, or as
the root of the sum of squares."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a link. Its unit stands in its name; one that ends in `_s` is a time."""

    name: str
    doc: str
    default: float | bool | str | None
    """What stands for the key when it is left out; text says what follows from other keys, None: it is needed."""
    gives: str
    """The field of the plane's LinkParameters; times that end in `_ps` there are whole picoseconds."""
    least: float = 0.0
    most: float = 1.0
    inherits: Inherits = ""
    network: str = ""
    """The key of a device's `network` section that it is taken from."""


@dataclass(frozen=True, slots=True)
class LinkType:
    """A class of heralded link: what one attempt is, its law, where that comes from, and which keys it knows."""

    name: str
    summary: str
    attempt: str
    probability: str
    fidelity: str
    interval: str
    source: str
    keys: tuple[str, ...]
    clicks: Literal["each", "any", "a"] = "each"
    """A herald needs a photon of each end, of any, or of end a."""
    rounds: int = 1
    emits: str = "ab"
    """The ends whose device emits: they inherit from its `network` section."""
    refusals: dict[str, str] = field(default_factory=dict)
    """Why a key has no meaning here, where there is more to say than that."""

    def refusal(self, key: str) -> str:
        """Why this type does not know the key, as the end of a sentence."""
        known_by = [other.name for other in LINK_TYPES.values() if key in other.keys]
        return self.refusals.get(key, f"{self.name} does not know it ({', '.join(known_by)} do)")


def _ends(name: str, doc: str, default: float, gives: tuple[str, str], most: float = 1.0) -> tuple[Key, Key]:
    """The same key for both ends."""
    network = name
    return (
        Key(f"{name}_a", f"{doc}, at end a", default, gives[0], 0.0, most, "end", network),
        Key(f"{name}_b", f"{doc}, at end b", default, gives[1], 0.0, most, "end", network),
    )


_KEYS: Final = (
    Key("attenuation_db_per_km", "loss of the fibre", 0.2, "attenuation_db_per_km", 0.0, 1e4),
    *_ends("efficiency", "probability that an attempt puts a photon into the fibre (emission, collection, conversion"
           " by a transducer)", 1.0, ("efficiency_a", "efficiency_b")),
    *_ends("conversion", "efficiency of wavelength conversion", 1.0, ("conversion_a", "conversion_b")),
    *_ends("conversion_noise", "photons per window that the wavelength converter adds at its output", 0.0,
           ("conversion_noise", "conversion_noise_b"), 1e3),
    Key("detector_efficiency", "of each detector", 1.0, "detector_efficiency"),
    Key("dark_probability", "of a dark count, per detector and window; less than 1", 0.0, "dark_probability"),
    Key("dark_rate_hz", "dark counts per second of a detector, gated by `window_s`: 1 − e^(−rate · window); in place of"
        " `dark_probability`", "none", "", 0.0, 1e12),
    Key("window_s", "how long the detectors are gated open", "25e-9, at most a slot", "window_ps", 1e-12, 1.0),
    Key("dead_time_s", "of a detector after a click; longer than the gap of the rounds, it cannot click in both", 0.0,
        "dead_time_ps", 0.0, 1.0),
    Key("visibility", "Hong-Ou-Mandel visibility M of the photons: their overlap squared; what the keys on wave packets"
        " take comes on top", 1.0, "visibility"),
    Key("coherence", "κ: what is left of the phase between the two paths, for reasons that have no key", 1.0,
        "coherence"),
    Key("phase_sigma_rad", "rms spread of the optical phase between the two paths, κ = e^(−σ²/2)", 0.0,
        "phase_sigma_rad", 0.0, 100.0),
    *_ends("double_excitation", "probability p₂ that a node that is bright emits twice, which tells that it was", 0.0,
           ("double_excitation", "double_excitation_b")),
    Key("alpha", "bright-state population, more than 0; `best`: where the exact law has its largest fidelity", None,
        "alpha", 1e-9, 1.0, "same", "alpha"),
    Key("round_gap_s", "from the first emission to the second", "1e-6, at most half a slot", "round_gap_ps", 0.0,
        MAX_S),
    Key("abort", "give up after a first round without a click: a slot is one round, and rounds are as far apart as"
        " photon and herald need", False, "abort"),
    *_ends("noise_photons", "added noise N of the transducer, in photons of the signal's own mode at its input", 0.0,
           ("noise_photons", "noise_photons_b"), 1e3),
    *_ends("extraction", "chance that the microwave photon of a pair gets into the qubit", 1.0,
           ("extraction_a", "extraction_b")),
    Key("mean_pairs", "pairs per mode and slot of the source; 0: exactly one pair in each slot", 0.0, "mean_pairs",
        0.0, 1e3),
    Key("modes", "attempts made at once in every slot (frequency or space), of which the first success counts", 1,
        "modes", 1, 10_000, "least", "modes"),
    Key("photon_length_s", "rms length of Gaussian photons; 0: so long that no arrival matters", 0.0,
        "width_rad_per_s", 0.0, 1.0, "same", "photon_length_s"),
    Key("photon_lifetime_s", "lifetime of exponential photons, in place of `photon_length_s`", 0.0, "lifetime_s",
        0.0, 1.0, "same", "photon_lifetime_s"),
    Key("width_ratio", "spectral width of b's Gaussian photons over that of a's", 1.0, "width_ratio", 1e-3, 1e3),
    Key("detuning_hz", "difference of the photons' centre frequencies; photons must have a length or a lifetime", 0.0,
        "detuning_rad_per_s", -1e15, 1e15),
    Key("polarisation_rad", "angle between the photons' polarisations", 0.0, "polarisation_rad", -pi, pi),
    Key("offset_s", "mean relative arrival of the photons", 0.0, "offset_ps", -1.0, 1.0),
    Key("jitter_s", "rms relative arrival of the photons. A detector's own jitter does not belong here", 0.0,
        "jitter_ps", 0.0, 1.0, "rms", "emission_jitter_s"),
    Key("jitter_frozen", "one relative arrival for both rounds of an attempt; false: one for each", True,
        "jitter_frozen"),
)  # fmt: skip
KEYS: Final = {key.name: key for key in _KEYS}

_FIBRE = (
    "attenuation_db_per_km", "efficiency_a", "efficiency_b", "conversion_a", "conversion_b", "conversion_noise_a",
    "conversion_noise_b", "detector_efficiency", "dark_probability", "dark_rate_hz", "window_s", "modes",
)  # fmt: skip
_PACKETS = (
    "visibility", "photon_length_s", "photon_lifetime_s", "width_ratio", "detuning_hz", "polarisation_rad", "offset_s",
    "jitter_s",
)  # fmt: skip
_DOUBLE = ("double_excitation_a", "double_excitation_b")
_NOISE = ("noise_photons_a", "noise_photons_b")
_TWO_CLICKS = "(1−P)²[ab(1+M)/4 + Pu/2 + P²v]/p, (1+M)/2 without dark counts"
_TWO_CLICKS_P = "(1−P)²[ab/2 + 2P(u + ab(1+M)/4) + 4P²v], u = a + b − 2ab, v = (1−a)(1−b)"
_NO_PHASE = "a phase common to both clicks cancels"

_TYPES: Final = (
    LinkType(
        "barrett-kok",
        "two rounds with a click in each, spins flipped in between; no phase to keep",
        "Both nodes emit in both rounds. One click per round heralds: the same detector twice Ψ+, different ones Ψ−.",
        _TWO_CLICKS_P,
        _TWO_CLICKS,
        "a slot holds both rounds, `round_gap_s` apart; with `abort` (τ_l + τ_0)(1 + P₁) on average, P₁ the chance of"
        " one click in a first round",
        "Barrett and Kok, PRA 71, 060310 (2005), with dark counts and overlap",
        (*_FIBRE, *_PACKETS, *_DOUBLE, "round_gap_s", "abort", "dead_time_s", "jitter_frozen"),
        rounds=2,
        refusals={
            "alpha": "barrett-kok attempts have no bright state",
            "coherence": _NO_PHASE,
            "phase_sigma_rad": _NO_PHASE,
        },
    ),
    LinkType(
        "single-click",
        "both ends weakly bright, one click heralds; p grows as the loss of one arm, F ≈ 1 − α",
        "Both nodes are bright with probability α. One click heralds: one detector Ψ+, the other Ψ−.",
        "p_uu + p_ud + p_du + p_dd, about 2αη",
        "[(p_ud + p_du)/2 + qκ√(M αA(1−αA) αB(1−αB) pA pB)]/p, q = 1 − p_dc",
        "a slot holds the window",
        "Cabrillo et al., PRA 59, 1025 (1999); populations: Humphreys et al., Nature 558, 268 (2018), SI, but with"
        " incoherent dark counts",
        (*_FIBRE, *_PACKETS, *_DOUBLE, "alpha", "coherence", "phase_sigma_rad"),
        clicks="any",
        refusals={
            "round_gap_s": "a single-click attempt has one round",
            "noise_photons_a": "noise of a transducer belongs to the model transducer-upconversion",
            "noise_photons_b": "noise of a transducer belongs to the model transducer-upconversion",
        },
    ),
    LinkType(
        "dual-rail",
        "each node sends one photon in one of two rails (polarisation, time bin), both at once",
        "One click in each rail heralds: the double-click law, in one window.",
        _TWO_CLICKS_P + "; ½(η_s η_d T(L/2))² without dark counts",
        _TWO_CLICKS,
        "τ_l + τ_0 with one communication qubit; a slot holds the window",
        "Duan and Kimble, PRL 90, 253601 (2003); law as for two rounds",
        (*_FIBRE, *_PACKETS, *_DOUBLE),
        refusals={
            "alpha": "dual-rail attempts have no bright state",
            "coherence": _NO_PHASE,
            "phase_sigma_rad": _NO_PHASE,
            "round_gap_s": "both rails are seen at once",
            "dead_time_s": "every rail has its own detectors",
        },
    ),
    LinkType(
        "source-midpoint",
        "a pair source at the station, a memory that flags what it stores at each end",
        "A slot is the source's emission; efficiencies are those of storing a photon. Both flags, back at the station,"
        " herald Ψ+. A dark flag stores a random bit.",
        "(η_d T(L/2))² with one pair per slot; else by the source's photon-number distribution",
        "½(1 + rails' coherence) with one pair; w = (1+n)/(1+3n) with n pairs per mode at low efficiency",
        "τ_l + τ_0 with one communication qubit",
        "Jones et al., New J. Phys. 18, 083015 (2016); two modes of two-mode squeezed vacuum",
        (*_FIBRE, *_PACKETS, "coherence", "phase_sigma_rad", "mean_pairs"),
        emits="",
        refusals={"alpha": "the source has `mean_pairs`"},
    ),
    LinkType(
        "sender-receiver",
        "node a sends its photon all the way to a memory at b that flags what it stores",
        "A slot is the photon's passage by the station, which tells both ends what b flagged. A herald is Ψ+.",
        "η_s η_d T(L)",
        "½(1 + rails' coherence) without dark flags",
        "2τ_l + τ_0 with one communication qubit",
        "Jones et al., New J. Phys. 18, 083015 (2016)",
        tuple(
            key
            for key in (*_FIBRE, *_PACKETS, "coherence", "phase_sigma_rad")
            if key not in ("efficiency_b", "conversion_b", "conversion_noise_b")
        ),
        clicks="a",
        emits="a",
        refusals={
            "efficiency_b": "end b only receives: its memory is the detector, with `detector_efficiency`",
            "conversion_b": "end b only receives",
            "conversion_noise_b": "end b only receives",
            "alpha": "the sender emits one photon in every attempt",
            "mean_pairs": "the sender emits one photon in every attempt",
        },
    ),
    LinkType(
        "transducer-upconversion",
        "single click, the photons up-converted from the microwave by transducers that add noise",
        "As single-click; thermal noise N in the photon's own mode clicks with probability ηN per detector,"
        " which is less than 1.",
        "exact single-click law with p_dc + ηN; 2η(α + N) to leading order",
        "exact single-click law; α(1−α)(1+N)/(α+N) to leading order, at best (1+N)(√(1+N) − √N)²",
        "a slot holds the window",
        "single click; efficiency and noise of transducers: Han et al., Optica 8, 1050 (2021)",
        (*_FIBRE, *_PACKETS, *_DOUBLE, *_NOISE, "alpha", "coherence", "phase_sigma_rad"),
        clicks="any",
        refusals={"round_gap_s": "an attempt has one round"},
    ),
    LinkType(
        "transducer-pair",
        "blue-detuned transducers create a microwave and an optical photon at once; one optical click heralds",
        "α is the chance of a pair from vacuum, `noise_photons` the thermal photons n of the microwave mode.",
        "exact single-click law with ⟨min(1, α(k+1))⟩ over a thermal k of mean n; 2ηα(1+n) to leading order",
        "η_m/(1+n)³ to leading order, η_m the microwave `extraction`; less by the exact law",
        "a slot holds the window",
        "pair generation: Zhong et al., PRL 124, 010511 (2020); thermal start derived here",
        (*_FIBRE, *_PACKETS, *_NOISE, "extraction_a", "extraction_b", "alpha", "coherence", "phase_sigma_rad"),
        clicks="any",
        refusals={"round_gap_s": "an attempt has one round"},
    ),
)
LINK_TYPES: Final = {known.name: known for known in _TYPES}
