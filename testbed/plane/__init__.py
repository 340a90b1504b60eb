"""The quantum plane: the state of the whole network, its devices, its noise, its links.

Plane(PlaneConfig(seed, nodes={number: DeviceModel | None}, links={number: LinkConfig}), oracle=False) is
driven by a clock through submit, next_ps, step, take_answers, promise and reset_node; `plane.oracle` is for
the experimenter only.

What is here is imported when it is first asked for: closed forms and records are for whoever composes a run, and only
`Plane` itself needs SeQUeNCe, which takes a second to import.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from testbed.plane.config import LinkConfig, PlaneConfig
    from testbed.plane.devices import DeviceModel
    from testbed.plane.oracle import BELL_KETS, HeraldedPair, Oracle
    from testbed.plane.plane import Plane
    from testbed.plane.switches import SwitchModel

__all__ = ["BELL_KETS", "DeviceModel", "HeraldedPair", "LinkConfig", "Oracle", "Plane", "PlaneConfig", "SwitchModel"]

_HOMES = {
    "BELL_KETS": "oracle", "DeviceModel": "devices", "HeraldedPair": "oracle", "LinkConfig": "config",
    "Oracle": "oracle", "Plane": "plane", "PlaneConfig": "config", "SwitchModel": "switches",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
