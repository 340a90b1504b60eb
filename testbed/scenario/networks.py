"""Networking units: what makes a device's photons, the `network:` section of a device.

What may live here: that section and its `transducer:`. Links that end at the device take from here what they do
not say themselves (link_types.py says which key is which).
"""

from dataclasses import replace
from typing import Final

from testbed.scenario.model import Network
from testbed.scenario.schema import Form, Section
from testbed.scenario.source import Item

FORM: Final = Form("devices.NAME.network", "a networking unit", (
    "efficiency", "transducer", "alpha", "noise_photons", "double_excitation", "conversion", "conversion_noise",
    "photon_length_s", "photon_lifetime_s", "emission_jitter_s", "modes", "repetition_hz", "extraction",
))  # fmt: skip
TRANSDUCER: Final = Form("devices.NAME.network.transducer", "a transducer", (
    "efficiency", "extraction_microwave", "extraction_optical", "cooperativity", "cooperativity_microwave",
    "cooperativity_optical", "bath_photons", "noise_photons", "qubit_extraction", "optical_chain",
))  # fmt: skip

_MOST_PHOTONS = 1e3
_MOST_COOPERATIVITY = 1e6
_DIRECT = ("cooperativity",)
_MEDIATED = ("cooperativity_microwave", "cooperativity_optical")


def read(item: Item | None) -> Network:
    """The unit; what is left out is None."""
    if item is None:
        return Network()
    keys = Section(item, FORM)
    photons = ("noise_photons", "conversion_noise")
    given: dict[str, float | int] = {
        key: keys.number(key, None, 0.0, _MOST_PHOTONS if key in photons else 1.0)
        for key in FORM.keys
        if key in keys and key not in ("transducer", "alpha", "modes", "repetition_hz")
    }
    if "alpha" in keys:
        given["alpha"] = keys.number("alpha", None, 1e-9, 1.0)
    if "modes" in keys:
        given["modes"] = keys.integer("modes", None, 1, 10_000)
    if "repetition_hz" in keys:
        given["repetition_hz"] = keys.number("repetition_hz", None, 1e-6, 1e9)
    if "photon_lifetime_s" in keys:
        keys.refuse(["photon_length_s"], "photons with a lifetime are not Gaussian")
    if "transducer" in keys:
        keys.refuse(["efficiency", "noise_photons"], "they follow from the transducer")
        given["efficiency"], given["noise_photons"] = _transducer(keys.need("transducer"))
    return Network(**given)  # type: ignore[arg-type]


def on_base(item: Item, base: Item) -> Item:
    """A unit with what it does not say itself from its base. A transducer is taken as a whole."""
    if not isinstance(item.value, dict) or not isinstance(base.value, dict):
        return item
    instead = {"transducer": ("efficiency", "noise_photons"), "efficiency": ("transducer",)}
    instead["photon_length_s"], instead["photon_lifetime_s"] = ("photon_lifetime_s",), ("photon_length_s",)
    gone = {key for own in item.value for key in instead.get(own, ())}
    kept = {key: value for key, value in base.value.items() if key not in gone}
    return replace(item, value={**kept, **item.value})


def _transducer(item: Item) -> tuple[float, float]:
    """(efficiency, added noise), from qubit to fibre, the noise in photons of the qubit's own."""
    # Imported here: it brings the quantum plane with it, and few scenarios have a transducer.
    from testbed.plane.links import transducer

    keys = Section(item, TRANSDUCER)
    microwave, optical, qubit, chain = (
        keys.probability(key, 1.0)
        for key in ("extraction_microwave", "extraction_optical", "qubit_extraction", "optical_chain")
    )
    for key in ("extraction_microwave", "qubit_extraction"):
        if key in keys and keys.need(key).value == 0:
            raise keys.need(key).bad("nothing gets into the transducer", "make it more than 0")
    if "efficiency" in keys:
        said = "the transducer's efficiency is given as a whole"
        keys.refuse([*_DIRECT, *_MEDIATED, "extraction_optical"], said)
        efficiency = keys.probability("efficiency")
    elif any(key in keys for key in _MEDIATED):
        keys.refuse(_DIRECT, "with an intermediary mode there are two cooperativities")
        efficiency = transducer.mediated_efficiency(
            microwave, optical, *(keys.number(key, None, 0.0, _MOST_COOPERATIVITY) for key in _MEDIATED)
        )
    else:
        c = keys.number("cooperativity", None, 0.0, _MOST_COOPERATIVITY)
        efficiency = transducer.direct_efficiency(microwave, optical, c)
    noise = keys.number("noise_photons", 0.0, 0.0, _MOST_PHOTONS)
    if "bath_photons" in keys:
        keys.refuse(["noise_photons"], "it follows from bath_photons")
        bath = keys.number("bath_photons", None, 0.0, _MOST_PHOTONS)
        if _MEDIATED[0] in keys:
            c = keys.number(_MEDIATED[0], None, 1e-9, _MOST_COOPERATIVITY)
            noise = transducer.mediated_noise(bath, microwave, c)
        else:
            noise = transducer.direct_noise(bath, microwave)
    # Noise is reported at the transducer's input; of the qubit's photon only a part gets there.
    return qubit * efficiency * chain, noise / qubit
