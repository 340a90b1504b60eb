"""What the clocks ask of the quantum plane: it is one more federate of emulated time.

What may live here: the interface, and the federate of a lab without quantum devices.
"""

from typing import Final, NamedTuple, Protocol

from stack.runtime.times import NEVER


class PlaneAnswer(NamedTuple):
    """An answer to command ``sequence`` of ``node``, due at true time ``due_ps``."""

    node: int
    due_ps: int
    sequence: int
    message: int
    body: bytes


class Upset(NamedTuple):
    """What has become another for the quantum plane."""

    dark: dict[int, tuple[bool, bool]]
    """By number of a link: whether its fibre is cut, and whether its detectors are blinded, from now on."""
    drifts: dict[int, int]
    """By node: by how many ppb its oscillator runs fast from now on, on top of what it was made with."""


CALM: Final = Upset({}, {})


class Federate(Protocol):
    """See ``testbed.plane.plane.Plane``.  All times are true picoseconds."""

    def submit(self, node: int, t_ps: int, sequence: int, message: int, body: bytes) -> None:
        """A device command of ``node``, stamped ``t_ps``."""

    def next_ps(self) -> int:
        """The time of its earliest event, or NEVER."""

    def step(self) -> None:
        """Execute the earliest event."""

    def take_answers(self) -> list[PlaneAnswer]:
        """Answers since the last call."""

    def promise(self, node: int) -> int:
        """Nothing now pending can reach ``node`` before this."""

    def reset_node(self, node: int, t_ps: int) -> None:
        """The node has died."""

    def disturb(self, t_ps: int, upset: Upset) -> None:
        """Light goes out or comes back, clocks run otherwise: before anything happens at ``t_ps``."""

    def spent(self, places: list[tuple[int, int]]) -> list[tuple[float, ...] | None]:
        """The oracle: fidelities to the four Bell states of pairs, by the half (node, qubit) that was released first;
        None for others."""

    def forget(self, kept: int) -> None:
        """The oracle: remember no more than the latest ``kept`` pairs."""


class NoPlane:
    """No devices: a command is a mistake of the caller."""

    def submit(self, node: int, t_ps: int, sequence: int, message: int, body: bytes) -> None:
        raise RuntimeError(f"node {node} commands a device, but this lab has none")

    def next_ps(self) -> int:
        return NEVER

    def step(self) -> None:
        raise RuntimeError("nothing to execute")

    def take_answers(self) -> list[PlaneAnswer]:
        return []

    def promise(self, node: int) -> int:
        return NEVER

    def reset_node(self, node: int, t_ps: int) -> None:
        pass

    def disturb(self, t_ps: int, upset: Upset) -> None:
        pass

    def spent(self, places: list[tuple[int, int]]) -> list[tuple[float, ...] | None]:
        return [None for _ in places]

    def forget(self, kept: int) -> None:
        pass
