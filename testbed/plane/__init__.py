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
    from testbed.plane.config import DeviceModel, LinkConfig, PlaneConfig, SwitchModel
    from testbed.plane.oracle import Oracle
    from testbed.plane.pairs import BELL_KETS, HeraldedPair
    from testbed.plane.plane import Plane

__all__ = ["BELL_KETS", "DeviceModel", "HeraldedPair", "LinkConfig", "Oracle", "Plane", "PlaneConfig", "SwitchModel"]

_HOMES = {
    "BELL_KETS": "pairs", "DeviceModel": "config", "HeraldedPair": "pairs", "LinkConfig": "config",
    "Oracle": "oracle", "Plane": "plane", "PlaneConfig": "config", "SwitchModel": "config",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
