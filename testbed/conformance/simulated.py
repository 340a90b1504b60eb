"""The ground in emulated time: our own node, in this process, with the kit in place of the rest of the world.

What may live here: the host that stops whenever something reaches the kit.
"""

import heapq
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import trio

from stack.node import Node, boot
from stack.runtime.host import Host
from stack.runtime.kernel import ANSWER, FRAME, Kernel
from testbed.conformance.adaptor import Adaptor, node_config
from testbed.conformance.ground import Arrived, Commanded, Gone, Happening, Told
from testbed.conformance.scene import DELAY_PS, Scene
from testbed.conformance.traces.tape import Tape


class SimulatedGround(Host):
    """Implements ``Ground``; :meth:`run` gives it to a script."""

    has_user = True
    slack_ps = 0
    first_incarnation = 1

    def __init__(self, scene: Scene, tape: Tape | None = None) -> None:
        """tape: takes down every frame."""
        super().__init__()
        self._scene = scene
        self._tape = tape
        self._coming: list[tuple[int, int, Happening]] = []
        self._order = count()
        self._config = node_config(scene.configuration())
        self._node: Node | None = None
        self._adaptor: Adaptor | None = None
        self._script: Callable[[], Awaitable[None]] | None = None

    async def perform(self, script: Callable[[], Awaitable[None]]) -> None:
        """Run a script; what breaks the node breaks it as ``Gone``."""
        self._script = script
        await self.run(self._boot)

    def _boot(self) -> None:
        node = boot(self, self._config, [])
        self._node, self._adaptor = node, Adaptor(node, self._tell)
        if self._tape is not None:
            node.kernel.recorder = self._tape

    async def pump(self) -> None:
        assert self._script is not None
        await self._script()

    # -- Ground -----------------------------------------------------------------------------------------------------

    def now(self) -> int:
        return max(0, self.end - 1)

    def send(self, peer: int, incarnation: int, sequence: int, frame: bytes) -> None:
        assert self._node is not None
        if self._tape is not None:
            self._tape.frame(self.now(), False, peer, self._scene.node, frame)
        self.push(self.now() + DELAY_PS, self._node.kernel, FRAME, peer, incarnation, sequence, frame)

    def answer(self, sequence: int, message: int, body: bytes, due: int) -> None:
        assert self._node is not None
        self.push(due, self._node.kernel, ANSWER, sequence, 0, 0, (message, body))

    def order(self, order: dict[str, Any]) -> None:
        assert self._node is not None
        assert self._adaptor is not None
        kernel, adaptor, now = self._node.kernel, self._adaptor, self.now()

        def act() -> None:
            kernel.true_now = max(kernel.true_now, now)
            adaptor.order(order)

        self.wake(kernel, act)

    async def advance(self, until: int) -> list[Happening]:
        while True:
            first = self._coming[0][0] if self._coming else until
            self.end = max(min(until, first), self.now()) + 1
            try:
                await super().pump()
            except trio.Cancelled:
                raise
            except Exception as error:
                raise Gone(f"{type(error).__name__}: {error}") from error
            happened = []
            while self._coming and self._coming[0][0] <= self.now():
                happened.append(heapq.heappop(self._coming)[2])
            if happened or self.now() >= until:
                return happened

    # -- Host -------------------------------------------------------------------------------------------------------

    def refill(self) -> bool:
        return False  # back to the script

    def emit(self, kernel: Kernel, destination: int, due: int, sequence: int, frame: bytes) -> None:
        if self._tape is not None:
            self._tape.frame(due, True, self._scene.node, destination, frame)
        self._comes(Arrived(due, destination, frame))

    def command(self, kernel: Kernel, sequence: int, message: int, body: bytes) -> None:
        self._comes(Commanded(kernel.true_now, sequence, message, body))

    def _tell(self, facts: dict[str, Any]) -> None:
        assert self._node is not None
        self._comes(Told(self._node.kernel.true_now, facts))

    def _comes(self, happening: Happening) -> None:
        heapq.heappush(self._coming, (happening.at, next(self._order), happening))
        self.end = min(self.end, max(happening.at, self.true_now) + 1)
