"""The quantum plane: the state of the whole network, its devices, its noise, its links.

Plane(PlaneConfig(seed, nodes={number: DeviceModel | None}, links={number: LinkConfig}), oracle=False) is
driven by a clock through submit, next_ps, step, take_answers, promise and reset_node; `plane.oracle` is for
the experimenter only.
"""

from testbed.plane.config import LinkConfig, PlaneConfig
from testbed.plane.devices import DeviceModel
from testbed.plane.oracle import BELL_KETS, HeraldedPair, Oracle
from testbed.plane.plane import Plane
from testbed.plane.switches import SwitchModel

__all__ = ["BELL_KETS", "DeviceModel", "HeraldedPair", "LinkConfig", "Oracle", "Plane", "PlaneConfig", "SwitchModel"]
