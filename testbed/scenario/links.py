"""Links: quantum links with their heralding station, and classical ones.

What may live here: the `links:` section. Which keys a type of link knows, and what they mean, stands in
link_types.py; what a link does with its numbers is the quantum plane's business.
"""

from collections.abc import Mapping
from math import exp, expm1, hypot, pi, sqrt
from pathlib import Path
from typing import Final

from protocols.egp import schedulers
from protocols.egp.schedulers import make_scheduler
from testbed.scenario import nodes as node_section
from testbed.scenario import schema
from testbed.scenario import stars as star_section
from testbed.scenario.link_types import KEYS, LINK_TYPES, Key, LinkType
from testbed.scenario.model import LEAST_DELAY_PS, ClassicalLink, Device, Link, Node
from testbed.scenario.nodes import WITH_DEVICE
from testbed.scenario.schema import PS_PER_S, Form, Section
from testbed.scenario.source import Item

GRADES: Final = ("sampled", "photonic")

ROUND_GAP_PS: Final = 1_000_000
WINDOW_PS: Final = 25_000
"""How long the detectors are open if nothing else is said: a second round begins after that."""
MAX_LINKS: Final = 0xFFFF
MAX_LENGTH_M: Final = 1e8
_MOST_FRAME_HZ = 1e15
_LEAST_QUIET = 1e-15
"""That a detector does not click in a window by noise: what is less cannot be told from never."""

_PLACE = (
    "kind", "a", "b", "station", "length_m", "arm_a_m", "arm_b_m", "model", "grade", "slot_s", "asymmetry_s",
    "qubit_frame_hz",
)  # fmt: skip
_MOST_TESTS: Final = 0.9
_MOST_OFF: Final = 0.5
_SERVICE = ("scheduler", "test_rounds", "device_data_off")
_LINK: Final = Form("links.NAME", "a link", (*_PLACE, *_SERVICE, *KEYS))
_CLASSICAL = ("kind", "a", "b", "length_m", "asymmetry_s")
_ARMS = ("arm_a_m", "arm_b_m")

type Value = float | bool | None


def read(
    item: Item | None, stars: Item | None, nodes: Mapping[str, Node], speed_m_per_s: float
) -> tuple[list[Link], list[ClassicalLink]]:
    """The quantum links, numbered from 1 in the order in which they are written, and the classical ones.

    The links of stars come after the others.
    """
    links: list[Link] = []
    classical: list[ClassicalLink] = []
    written = {} if item is None else schema.entries(item, "links")
    starry = star_section.written_out(stars, nodes, _LINK.keys)
    for name in starry:
        if name in written:
            raise written[name].bad(f"a star has a link {name}, too", "call this one otherwise")
    for name, body in (written | starry).items():
        # Opened twice: the kind decides which keys there may be.
        kind = Section(body, _LINK).get("kind")
        if kind is not None and schema.choice(kind, ("quantum", "classical"), "kind of link") == "classical":
            classical.append(_classical(body, name, nodes, speed_m_per_s))
        else:
            links.append(_quantum(body, name, len(links) + 1, nodes, speed_m_per_s))
    if len(links) > MAX_LINKS:
        most = item if item is not None and not starry else stars
        assert most is not None
        raise most.bad(f"{len(links)} links", f"a scenario has at most {MAX_LINKS}")
    return links, classical


def _classical(item: Item, name: str, nodes: Mapping[str, Node], speed_m_per_s: float) -> ClassicalLink:
    keys = Section(item, _LINK)
    keys.refuse([key for key in _LINK.keys if key not in _CLASSICAL], "the link is classical")
    a, b = node_section.two(keys, "a", "b", nodes, tuple({node.kind for node in nodes.values()}))
    length_m, delay_ps = _length(keys.need("length_m"), 1, speed_m_per_s)
    return ClassicalLink(name, a, b, length_m, delay_ps, _asymmetry(keys, delay_ps))


def _quantum(item: Item, name: str, number: int, nodes: Mapping[str, Node], speed_m_per_s: float) -> Link:
    keys = Section(item, _LINK)
    a, b = node_section.two(keys, "a", "b", nodes, WITH_DEVICE)
    devices = [_device(keys, end, nodes[node]) for end, node in (("a", a), ("b", b))]
    station = node_section.name(keys.need("station"), nodes, ("station",))
    (arm_a_m, delay_a_ps), (arm_b_m, delay_b_ps) = _arms(keys, speed_m_per_s)
    known = LINK_TYPES[schema.choice(keys.need("model"), tuple(LINK_TYPES), "link model")]
    grade = schema.choice(keys.need("grade"), GRADES, "grade")
    for key in KEYS:
        if key not in known.keys:
            keys.refuse([key], known.refusal(key))
    slot_ps = _slot(keys, known, devices)
    physics = _Physics(keys, known, devices)
    best = "alpha" in known.keys and "alpha" in keys and keys.need("alpha").value == "best"
    alpha = 0.0 if best or "alpha" not in known.keys else float(physics.number("alpha"))
    link = Link(
        name=name, number=number, a=a, b=b, station=station, arm_a_m=arm_a_m, arm_b_m=arm_b_m,
        delay_a_ps=delay_a_ps, delay_b_ps=delay_b_ps, model=known.name, grade=grade, slot_ps=slot_ps,
        asymmetry_ps=_asymmetry(keys, min(delay_a_ps, delay_b_ps)),
        qubit_frame_hz=keys.number("qubit_frame_hz", 0.0, 0.0, _MOST_FRAME_HZ),
        alpha=alpha, best_alpha=best, physics=physics.all(slot_ps),
        scheduler=_scheduler(keys.get("scheduler")),
        test_rounds=keys.number("test_rounds", 0.0, 0.0, _MOST_TESTS),
        device_data_off=keys.number("device_data_off", 0.0, -_MOST_OFF, _MOST_OFF),
    )  # fmt: skip
    _check_heralds(keys, known, link, nodes[station])
    return link


def _asymmetry(keys: Section, shortest_ps: int) -> int:
    """By how much frames take longer from a to b than back. On a quantum link each arm has its share."""
    asymmetry_ps = keys.seconds("asymmetry_s", 0, -1.0, 1.0)
    if abs(asymmetry_ps) > shortest_ps or shortest_ps - abs(asymmetry_ps) / 2 < LEAST_DELAY_PS:
        raise keys.need("asymmetry_s").bad(
            f"more than a way of {shortest_ps / PS_PER_S:g} s can be longer than its way back, each at least 1 ns",
            f"make it at most {max(0, min(shortest_ps, 2 * (shortest_ps - LEAST_DELAY_PS))) / PS_PER_S:g}",
        )
    return asymmetry_ps


def _device(keys: Section, end: str, node: Node) -> Device:
    if node.device is None or node.device.communication_qubits == 0:
        raise keys.need(end).bad(f"{node.name} has no communication qubit", "give its device at least one")
    return node.device


def _slot(keys: Section, known: LinkType, devices: list[Device]) -> int:
    """From one attempt to the next; as short as both devices can, if nothing is written."""
    rates = [
        device.network.repetition_hz
        for end, device in zip("ab", devices, strict=True)
        if end in known.emits and device.network.repetition_hz
    ]
    least_ps = round(PS_PER_S / min(rates)) if rates else 0
    slot_ps = keys.seconds("slot_s", least_ps or None, 1e-9)
    if slot_ps < least_ps:
        raise keys.need("slot_s").bad(
            f"{slot_ps / PS_PER_S:g} s is shorter than the devices' repetition_hz of {min(rates):g} permit",
            f"make it at least {least_ps / PS_PER_S:g}, or leave it out",
        )
    return slot_ps


class _Physics:
    """The keys that a type knows, each from the link itself, else from the devices at its ends, else the default."""

    def __init__(self, keys: Section, known: LinkType, devices: list[Device]) -> None:
        self.keys, self.known = keys, known
        self.networks = {
            end: device.network for end, device in zip("ab", devices, strict=True) if end in known.emits
        }

    def all(self, slot_ps: int) -> dict[str, Value]:
        """By field of LinkParameters."""
        keys, known = self.keys, self.known
        window_ps = self._window(slot_ps)
        values: dict[str, Value] = {"window_ps": window_ps}
        special = {"window_s", "dark_rate_hz", "round_gap_s", "alpha", "photon_length_s", "width_ratio"}
        for name in known.keys:
            key = KEYS[name]
            if name not in special:
                values[key.gives] = self.value(key)
        values["detuning_rad_per_s"] = 2 * pi * float(values["detuning_rad_per_s"] or 0)
        if "dark_rate_hz" in keys:
            keys.refuse(["dark_probability"], "dark_rate_hz and window_s already say it")
            rate_hz = keys.number("dark_rate_hz", None, 0.0, KEYS["dark_rate_hz"].most)
            values["dark_probability"] = -expm1(-rate_hz * window_ps / PS_PER_S)
        if values.get("abort"):
            keys.refuse(["round_gap_s"], "with abort the rounds are slots of their own")
            if values["modes"] != 1:
                raise (keys.get("modes") or keys.need("abort")).bad(
                    "a second round after a click in one of many modes", "leave out abort, or make modes 1"
                )
            values["round_gap_ps"] = slot_ps
        elif known.rounds == 2:
            values["round_gap_ps"] = _round_gap(keys, slot_ps, window_ps)
        values |= self._packets()
        if values["detuning_rad_per_s"] and not (values["width_rad_per_s"] or values["lifetime_s"]):
            raise keys.need("detuning_hz").bad(
                "photons without a length have one frequency each", "add photon_length_s or photon_lifetime_s"
            )
        self._spacing(values, slot_ps)
        return values

    def _spacing(self, values: dict[str, Value], slot_ps: int) -> None:
        """Photons of one slot must have come before those of the next (their length, and what arrival varies by)."""
        length_s = float(values["lifetime_s"] or 0)
        if values["width_rad_per_s"]:
            length_s = 1 / (sqrt(2) * float(values["width_rad_per_s"]))
        jitter_s = float(values["jitter_ps"] or 0) / PS_PER_S
        if (length_s + jitter_s) * PS_PER_S > slot_ps:
            raise (self.keys.get("slot_s") or self.keys.item).bad(
                f"photons {length_s:g} s long, {jitter_s:g} s early or late, run into the next slot,"
                f" {slot_ps / PS_PER_S:g} s on",
                "make slot_s longer, or the photons shorter",
            )

    def _window(self, slot_ps: int) -> int:
        one_round = self.known.rounds == 1 or "abort" in self.keys
        default_ps = min(WINDOW_PS, slot_ps) if self.known.rounds == 1 else WINDOW_PS
        window_ps = self.keys.seconds("window_s", default_ps, 1e-12, KEYS["window_s"].most)
        if one_round and window_ps > slot_ps - (self.known.rounds - 1):
            raise (self.keys.get("window_s") or self.keys.item).bad(
                f"the detectors are open for longer than a slot of {slot_ps / PS_PER_S:g} s",
                "make it shorter, or slot_s longer",
            )
        return window_ps

    def _packets(self) -> dict[str, Value]:
        """Gaussian photons of a length, which is a spectral width sigma = 1/(length sqrt 2)."""
        keys = self.keys
        length_s = keys.get("photon_length_s")
        lifetime = "photon_lifetime_s" in keys or (length_s is None and self.value(KEYS["photon_lifetime_s"]) != 0)
        if lifetime:
            keys.refuse(["photon_length_s", "width_ratio"], "photons with a lifetime are not Gaussian")
            return {"width_rad_per_s": 0.0, "width_ratio": 1.0}
        lengths = [network.photon_length_s for network in self.networks.values()]
        ratio = 1.0
        if length_s is None and len(lengths) == 2 and all(lengths):
            # A device's own length at each end: the longer photon is the narrower.
            a_s, b_s = (length or 1.0 for length in lengths)
            mean_s, ratio = a_s, a_s / b_s
        else:
            mean_s = self.number("photon_length_s")
        key = KEYS["width_ratio"]
        return {
            "width_rad_per_s": 1 / (sqrt(2) * mean_s) if mean_s else 0.0,
            "width_ratio": keys.number("width_ratio", ratio, key.least, key.most),
        }

    def number(self, name: str) -> float:
        """The value of a key that is a number, in the key's own unit."""
        key = KEYS[name]
        if name in self.keys:
            return self.keys.number(name, None, key.least, key.most)
        inherited = self._inherited(key)
        if inherited is not None:
            return inherited
        if not isinstance(key.default, int | float):
            self.keys.need(name)
        assert isinstance(key.default, int | float)
        return float(key.default)

    def value(self, key: Key) -> Value:
        """The value of a key as LinkParameters takes it."""
        if isinstance(key.default, bool):
            return schema.flag(self.keys.need(key.name)) if key.name in self.keys else key.default
        if isinstance(key.default, int):
            inherited = self._inherited(key)
            return self.keys.integer(key.name, int(inherited or key.default), int(key.least), int(key.most))
        if key.gives.endswith("_ps") and key.name in self.keys:
            return self.keys.seconds(key.name, None, key.least, key.most)
        number = self.number(key.name)
        return round(number * PS_PER_S) if key.gives.endswith("_ps") else number

    def _inherited(self, key: Key) -> float | None:
        """What the networking units at the ends say, if they do."""
        if not key.network:
            return None
        given: dict[str, float | None] = {
            end: getattr(network, key.network) for end, network in self.networks.items()
        }
        if key.inherits == "end":
            return given.get(key.name[-1])
        values = [value for value in given.values() if value is not None]
        if not values:
            return None
        if key.inherits == "rms":
            return hypot(*values)
        if key.inherits == "least":
            return min(values)
        if len(set(values)) > 1 and key.name != "photon_length_s":
            raise self.keys.item.bad(
                f"the devices at its ends differ in {key.network}: {' and '.join(f'{v:g}' for v in values)}",
                f"write the link's own {key.name}",
            )
        return values[0]


def _scheduler(item: Item | None) -> str:
    """A file of protocols/egp/schedulers by its name."""
    if item is None:
        return "fcfs"
    name = schema.text(item, "the name of a scheduler")
    try:
        make_scheduler(name)
    except ValueError:
        folder = Path(schedulers.__file__).parent
        known = sorted(path.stem.replace("_", "-") for path in folder.glob("[a-z]*.py"))
        schema.unknown(item, name, [n for n in known if _makes(n)], "scheduler")
    return name


def _makes(name: str) -> bool:
    """Is it a scheduler, and not a part of others?"""
    try:
        make_scheduler(name)
    except ValueError:
        return False
    return True


def _round_gap(keys: Section, slot_ps: int, window_ps: int) -> int:
    gap_ps = keys.seconds("round_gap_s", min(ROUND_GAP_PS, slot_ps // 2))
    if gap_ps <= window_ps:
        raise (keys.get("round_gap_s") or keys.get("slot_s") or keys.item).bad(
            f"the detectors are still open for the first round, which takes {window_ps / PS_PER_S:g} s",
            "make it longer",
        )
    if gap_ps + window_ps > slot_ps:
        raise (keys.get("round_gap_s") or keys.get("slot_s") or keys.item).bad(
            f"the second round, {gap_ps / PS_PER_S:g} s after the first, does not fit into the slot",
            "make slot_s longer, or round_gap_s shorter",
        )
    return gap_ps


def _check_heralds(keys: Section, known: LinkType, link: Link, station: Node) -> None:
    """A link without any chance of a herald would keep its nodes trying for ever."""
    physics = {name: float(value or 0) for name, value in link.physics.items()}
    if physics["dark_probability"] == 1.0:
        raise (keys.get("dark_probability") or keys.need("dark_rate_hz")).bad(
            "detectors that always click tell nothing", "make it less than 1"
        )
    a, b = (
        physics.get(f"efficiency_{end}", 1.0)
        * physics.get(f"conversion_{end}", 1.0)
        * physics["detector_efficiency"]
        * link.fibre_transmission(end)
        for end in "ab"
    )
    photons = {"each": a * b, "any": a + b, "a": a}[known.clicks]
    noise = sum(physics.get(key, 0.0) for key in ("dark_probability", "conversion_noise", "conversion_noise_b"))
    if photons == 0.0 and noise == 0.0:
        raise keys.item.bad(
            "the link can never herald: no photon is detected", "raise its efficiencies, or lower its losses"
        )
    if known.name == "transducer-pair":
        thermal = max(physics["noise_photons"], physics["noise_photons_b"])
        if link.alpha * (1 + thermal) > 1:
            raise (keys.get("alpha") or keys.item).bad(
                f"with {thermal:g} thermal photons a pair comes with probability {link.alpha * (1 + thermal):g}",
                f"make alpha at most {1 / (1 + thermal):g}",
            )
    if known.emits == "ab":
        passed = 1.0 if station.switch is None else 10 ** (-station.switch.insertion_loss_db / 10)
        _check_noise(keys, link, physics, (passed * a, passed * b), passed)


def _check_noise(
    keys: Section, link: Link, physics: Mapping[str, float], detected: tuple[float, float], passed: float
) -> None:
    """Where photons meet, a detector that always clicks tells nothing: of two clicks no herald can come.

    detected: the chance of a photon of either end to make a click; passed: the share that a switch lets through.
    """
    thermal = 0.0
    if link.model == "transducer-upconversion":
        thermal = (physics["noise_photons"] * detected[0] + physics["noise_photons_b"] * detected[1]) / 2
    converted = sum(
        physics[field] * physics["detector_efficiency"] * passed * link.fibre_transmission(end) / 2
        for field, end in (("conversion_noise", "a"), ("conversion_noise_b", "b"))
    )
    quiet = (1 - physics["dark_probability"]) * exp(-converted) * (1 - thermal)
    name, clicks = ("noise_photons", thermal) if thermal >= converted else ("conversion_noise", converted)
    if clicks > 0 and quiet < _LEAST_QUIET:
        raise (keys.get(f"{name}_a") or keys.get(f"{name}_b") or keys.item).bad(
            f"{name} makes {clicks:g} clicks per detector and window: a detector that always clicks tells nothing",
            f"lower {name}, or the efficiencies behind it",
        )


def _arms(keys: Section, speed_m_per_s: float) -> tuple[tuple[float, int], tuple[float, int]]:
    """Length and delay of both arms: each on its own, or the station midway."""
    if "length_m" in keys:
        keys.refuse(_ARMS, "length_m already says that the station is midway")
        half_m, delay_ps = _length(keys.need("length_m"), 2, speed_m_per_s)
        return (half_m, delay_ps), (half_m, delay_ps)
    if not any(arm in keys for arm in _ARMS):
        raise keys.item.bad("a link without a length", "add length_m, or arm_a_m and arm_b_m")
    return _length(keys.need("arm_a_m"), 1, speed_m_per_s), _length(keys.need("arm_b_m"), 1, speed_m_per_s)


def _length(item: Item, parts: int, speed_m_per_s: float) -> tuple[float, int]:
    """Length and delay of one of so many equal parts; at least a nanosecond each."""
    least_m = float(f"{parts * LEAST_DELAY_PS * speed_m_per_s / PS_PER_S:g}")  # what a remedy says holds

    def too_short(length_m: float) -> str:
        if length_m < 0:
            return f"the length {length_m:g} m is negative"
        halved = ", halved by the station," if parts == 2 else ""
        delay_ns = length_m / parts / speed_m_per_s * 1e9
        return f"{length_m:g} m{halved} take {delay_ns:.4g} ns, and no delay may be under 1 ns"

    length_m = schema.number(item, least_m, MAX_LENGTH_M, too_short)
    # As the link models reckon it, to the last bit: photons must arrive when frames say they do.
    return length_m / parts, round(length_m / parts / speed_m_per_s * PS_PER_S)
