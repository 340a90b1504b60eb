"""A switch at work: which link is set on which of its Bell-state analysers.

What may live here: that bookkeeping, and what is refused (DEV-17, DEV-18).  Loss and noise of a switch are the link
models' business, whose turn it is that of the node.
"""

from collections.abc import Mapping

from protocols.device import LEAST_ANSWER_PS
from protocols.wire.codec import DeviceConnect, DeviceError, DeviceFailed
from testbed.plane.config import SwitchModel
from testbed.plane.trains import Link


class Switch:
    """`links`: those whose midpoint is here, by number. All are dark at first."""

    def __init__(self, model: SwitchModel, links: Mapping[int, Link]) -> None:
        self._model = model
        self._links = links
        self._set: dict[int, tuple[int, int]] = {}
        """Analyser: the link that is set on it, and from when on light can pass."""

    def connect(self, command: DeviceConnect, now: int) -> DeviceFailed | int:
        """Set a link on an analyser; when light can pass, or why not.

        The link's two ports leave the analysers on which they were, and the analyser the link that it had.
        """
        link = self._links.get(command.link)
        if link is None:
            return DeviceFailed(DeviceError.NO_LINK, 0)
        if command.analyser >= self._model.analysers:
            return DeviceFailed(DeviceError.BAD, 0)
        before = self._set.get(command.analyser)
        if before is not None and before[0] == command.link:
            return max(before[1], now + LEAST_ANSWER_PS)
        ports = {link.config.a, link.config.b}
        torn = {
            analyser
            for analyser, (number, _) in self._set.items()
            if analyser == command.analyser or not ports.isdisjoint(self._ends(number))
        }
        if any(self._links[self._set[analyser][0]].listening is not None for analyser in torn):
            return DeviceFailed(DeviceError.BUSY, 0)
        for analyser in torn:
            del self._set[analyser]
        ready_ps = now + max(self._model.reconfigure_ps, LEAST_ANSWER_PS)
        self._set[command.analyser] = command.link, ready_ps
        return ready_ps

    def passes(self, link: int, now: int) -> bool:
        """Does the link's light reach an analyser?"""
        return any(number == link and ready_ps <= now for number, ready_ps in self._set.values())

    def reset(self) -> None:
        """The switch's node has died: nothing is set any more."""
        self._set.clear()

    def _ends(self, number: int) -> tuple[int, int]:
        config = self._links[number].config
        return config.a, config.b
