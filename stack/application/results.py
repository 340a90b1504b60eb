"""Results of measurements that other QPUs depend on: told as a call, awaited as a call.

What may live here: the driver of ``protocols.job.results``.
"""

from collections.abc import Iterable
from typing import Any

from protocols.ignored import Ignored
from protocols.job.results import Heard, NotHeard, Results
from protocols.wire import ProtocolId
from stack.runtime.driver import Driver
from stack.runtime.kernel import Kernel, Waiter
from stack.runtime.messenger import Messenger


class ResultMissing(Exception):
    """A result will not come; ``lost``: its node is gone, else it has given the shot up."""

    def __init__(self, peer: int, lost: bool) -> None:
        super().__init__("the node of a result was lost" if lost else "the node of a result has given the shot up")
        self.peer = peer
        self.lost = lost


class SharedResults:
    """One node's part in results that are told."""

    def __init__(self, kernel: Kernel, messenger: Messenger) -> None:
        self._kernel = kernel
        self._messenger = messenger
        self._driver = Driver(kernel, Results(), messenger.send, self._on_event)
        self._waiting: dict[tuple[int, int], Waiter[int]] = {}
        self.receive = self._driver.receive
        messenger.register(ProtocolId.JOB, self.receive)
        messenger.on_broken(self._peer_lost)

    def tell(self, run: int, measurement: int, value: int, peers: Iterable[int]) -> None:
        self._driver.machine.tell(run, measurement, value, peers)
        self._driver.flush()

    async def hear(self, run: int, measurement: int, peer: int) -> int:
        """The result of a measurement of that node; raises ResultMissing."""
        waiter: Waiter[int] = Waiter(self._kernel)
        self._waiting[run, measurement] = waiter
        self._driver.machine.expect(run, measurement, peer)
        self._driver.flush()
        self._messenger.watch(peer)
        try:
            return await waiter.wait()
        finally:
            self._messenger.unwatch(peer)

    def give_up(self, runs: Iterable[int], peers: Iterable[int]) -> None:
        """This node has no more to say in these shots."""
        self._driver.machine.give_up(runs, peers)
        self._driver.flush()

    def cancel(self, run: int) -> None:
        """What is waited for in this shot fails now."""
        self._driver.machine.cancel(run)
        self._driver.flush()

    def end(self, run: int) -> None:
        """A shot is over here."""
        self._driver.machine.end(run)

    def end_all(self) -> None:
        """So is every shot of every job."""
        self._driver.machine.end_all()

    def _peer_lost(self, peer: int) -> None:
        self._driver.machine.peer_lost(peer)
        self._driver.flush()

    def _on_event(self, event: Any) -> None:
        match event:
            case Heard(run, measurement, value):
                self._waiting.pop((run, measurement)).set(value)
            case NotHeard(run, measurement, lost, peer):
                self._waiting.pop((run, measurement)).fail(ResultMissing(peer, lost))
            case Ignored(message=message):
                self._kernel.count(f"ignored {message}")
            case _:
                raise AssertionError(f"{event} is no event of Results")
