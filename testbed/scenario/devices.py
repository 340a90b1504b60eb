"""Devices: their keys, their checks, and the named ones that lie as files in testbed/devices/.

What may live here: everything that turns the text of a device into a Device. A device is written inline, or
named; a name means the scenario's own `devices:` section first, then the files. Its networking unit is in
networks.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Final

from testbed.scenario import networks, schema
from testbed.scenario.model import Device
from testbed.scenario.schema import MAX_S, Form, Section
from testbed.scenario.source import Item, load_yaml

FOLDER: Final = Path(__file__).parent.parent / "devices"
MAX_QUBITS: Final = 4096

FORM: Final = Form("devices.NAME", "a device", (
    "base", "data_qubits", "communication_qubits", "storage_qubits", "t1_s", "t2_s", "communication_t1_s",
    "communication_t2_s",
    "gate_1q_s", "gate_2q_s", "swap_s", "readout_s", "prepare_s", "emission_s", "gate_1q_fidelity",
    "gate_2q_fidelity", "swap_fidelity", "readout_error_0", "readout_error_1", "prepare_error", "attempt_dephasing",
    "parallel", "network",
))  # fmt: skip

# Shorter is no memory at all, and would round to the 0 that stands for infinite.
_LEAST_COHERENCE_S = 1e-9
# Below these, 1.5 (1 − F) or 1.25 (1 − F), the Pauli probability of a depolarising channel, would exceed 1.
_LEAST_FIDELITY_1Q = 1 / 3
_LEAST_FIDELITY_2Q = 0.2
_SWAP_IN_GATES = 3


@dataclass(frozen=True, slots=True)
class Own:
    """The devices that a scenario defines under `devices:`, as read and as written."""

    devices: dict[str, Device] = field(default_factory=dict)
    written: Mapping[str, Item] = field(default_factory=dict)

    def find(self, item: Item, what: str) -> Item:
        """The keys of a device that is named; `what` names it in messages."""
        name = schema.text(item, "the name of a device")
        if name in self.written:
            return self.written[name]
        files = sorted(path.stem for path in FOLDER.glob("*.yaml"))
        if name not in files:
            schema.unknown(item, name, [*self.written, *files], what)
        return load_yaml(FOLDER / f"{name}.yaml", "device", item.place)


def own_devices(item: Item | None) -> Own:
    """What stands under `devices:`."""
    if item is None:
        return Own()
    own = Own({}, schema.entries(item, "devices"))
    for name, body in own.written.items():
        own.devices[name] = read(body, name, own)
    return own


def of_node(item: Item, node: str, own: Own) -> Device:
    """The device that a node names or holds inline."""
    if isinstance(item.value, dict):
        return read(item, node, own)
    if not isinstance(item.value, str):
        raise item.bad(
            f"expected a device, found {schema.found(item)}", "name one, or write its keys below, indented"
        )
    if item.value in own.devices:
        return own.devices[item.value]
    return read(own.find(item, "device"), item.value, own)


def _on_base(item: Item, own: Own, below: tuple[str, ...] = ()) -> Item:
    """A device with what it does not say itself from its base, and so on down."""
    base = Section(item, FORM).get("base")
    if base is None:
        return item
    name = schema.text(base, "the name of a device")
    if name in below:
        raise base.bad(f"{name} is, by its bases, its own base", "name another, or none")
    under = _on_base(own.find(base, "device"), own, (*below, name)).value
    assert isinstance(under, dict)
    assert isinstance(item.value, dict)
    merged = {**under, **item.value}
    if "network" in under and "network" in item.value:
        merged["network"] = networks.on_base(item.value["network"], under["network"])
    del merged["base"]
    return replace(item, value=merged)


def read(item: Item, name: str, own: Own | None = None) -> Device:
    """A device from its keys. What is left out is as in its base, else ideal: no time, no error, no decay."""
    item = _on_base(item, own or Own(), (name,))
    keys = Section(item, FORM)
    t1_ps, t2_ps = _coherence(keys, ("t1_s",), ("t2_s",))
    # Communication qubits are as good as data qubits unless something else is written, time by time.
    communication_t1_ps, communication_t2_ps = _coherence(
        keys, ("communication_t1_s", "t1_s"), ("communication_t2_s", "t2_s")
    )
    gate_2q_ps = keys.seconds("gate_2q_s")
    device = Device(
        name=name,
        data_qubits=keys.integer("data_qubits", None, 0, MAX_QUBITS),
        communication_qubits=keys.integer("communication_qubits", None, 0, MAX_QUBITS),
        storage_qubits=keys.integer("storage_qubits", 0, 0, MAX_QUBITS),
        t1_ps=t1_ps,
        t2_ps=t2_ps,
        communication_t1_ps=communication_t1_ps,
        communication_t2_ps=communication_t2_ps,
        gate_1q_ps=keys.seconds("gate_1q_s"),
        gate_2q_ps=gate_2q_ps,
        swap_ps=keys.seconds("swap_s", _SWAP_IN_GATES * gate_2q_ps),
        readout_ps=keys.seconds("readout_s"),
        prepare_ps=keys.seconds("prepare_s"),
        emission_ps=keys.seconds("emission_s"),
        gate_1q_fidelity=keys.number("gate_1q_fidelity", 1.0, _LEAST_FIDELITY_1Q, 1.0),
        gate_2q_fidelity=keys.number("gate_2q_fidelity", 1.0, _LEAST_FIDELITY_2Q, 1.0),
        readout_error_0=keys.probability("readout_error_0"),
        readout_error_1=keys.probability("readout_error_1"),
        prepare_error=keys.probability("prepare_error"),
        parallel=schema.flag(keys.need("parallel")) if "parallel" in keys else False,
        swap_fidelity=keys.number("swap_fidelity", None, _LEAST_FIDELITY_2Q, 1.0) if "swap_fidelity" in keys else None,
        attempt_dephasing=keys.probability("attempt_dephasing"),
        network=networks.read(keys.get("network")),
    )
    if device.qubits == 0:
        raise item.bad("a device without qubits", "give data_qubits or communication_qubits at least 1")
    return device


def _coherence(keys: Section, t1_keys: tuple[str, ...], t2_keys: tuple[str, ...]) -> tuple[int, int]:
    """T1 and T2 in picoseconds, 0 for infinite, and for a T2 as long as T1 permits: each by the first of its keys that
    is written, whatever is written of the other."""
    t1, t2 = (next((key for key in names if key in keys), names[0]) for names in (t1_keys, t2_keys))
    t1_ps, t2_ps = _time(keys, t1), _time(keys, t2)
    if t2_ps > (2 * t1_ps or inf):
        t1_s, most_s = keys.need(t1).value, f"{2 * t1_ps / schema.PS_PER_S:g}"
        raise keys.need(t2 if t2 == t2_keys[0] else t1).bad(
            f"{t2}: T2 = {keys.need(t2).value} s is more than twice T1 = {t1_s} s of {t1}, which no qubit can have",
            f"write {t2_keys[0]}: {most_s} or less, or raise {t1}",
        )
    return t1_ps, t2_ps


def _time(keys: Section, key: str) -> int:
    time_ps = keys.seconds(key)
    if 0 < time_ps < _LEAST_COHERENCE_S * schema.PS_PER_S or (
        # A time too short for a picosecond must not turn into the 0 that means infinite.
        time_ps == 0 and key in keys and keys.need(key).value != 0
    ):
        raise keys.need(key).bad(
            f"{keys.need(key).value} s is less than a nanosecond",
            f"write a number from {_LEAST_COHERENCE_S:g} to {MAX_S:g}, or 0 for infinite",
        )
    return time_ps
