"""The toy application: ping-pong over the NIC, for proving and timing the engine.

What may live here: the driver of ``protocols.echo`` and its app and calls.
"""

from typing import Any

import trio

from protocols.echo import Done, Echo, PingLost
from stack.runtime.driver import Driver
from stack.runtime.kernel import Kernel, Waiter
from stack.runtime.nic import Nic
from stack.runtime.session import CallError, whole
from stack.runtime.times import NEVER

_MOST = 1_000_000
_PADDING_MAX = 1_000
"""As ``EchoPing`` bounds it."""


class EchoService:
    """Answers every Ping; runs pings on demand."""

    def __init__(self, kernel: Kernel, nic: Nic) -> None:
        self._kernel = kernel
        self._nic = nic
        self._driver = Driver(
            kernel, Echo(), lambda send: nic.send(send.destination, send.message), self._on_event
        )
        self._waiting: dict[int, Waiter[Done]] = {}
        nic.handlers[0] = self._driver.receive
        kernel.calls["ping"] = self._call_ping
        kernel.calls["sleep"] = self._call_sleep
        kernel.waits |= {"ping", "sleep"}

    async def ping(self, destination: int, count: int, **options: Any) -> Done:
        """Ping ``count`` times; see ``protocols.echo.Echo.ping`` for the options."""
        run = self._driver.machine.ping(destination, count, self._kernel.now, **options)
        waiter: Waiter[Done] = Waiter(self._kernel)
        self._waiting[run] = waiter
        self._driver.flush()
        try:
            return await waiter.wait()
        except trio.Cancelled:
            self._driver.machine.give_up(run)
            self._waiting.pop(run, None)
            raise

    async def app(self, arguments: dict[str, Any]) -> None:
        """The ``echo`` app of a scenario: one run of pings, its result under ``echo``."""
        options = {k: v for k, v in arguments.items() if k not in ("destination", "count", "padding")}
        padding = bytes(arguments.get("padding", 0))
        done = await self.ping(arguments["destination"], arguments["count"], padding=padding, **options)
        self._kernel.results["echo"] = done._asdict()

    async def device_app(self, arguments: dict[str, Any]) -> None:
        """The ``device`` app: ``count`` device commands in sequence, each with the answer's delay as its body."""
        answers = []
        for _ in range(arguments["count"]):
            answers.append(await self.command(arguments["delay_ps"]))
        self._kernel.results["device"] = answers

    async def command(self, delay_ps: int) -> int:
        """One command to a toy plane; the node time of its answer."""
        waiter: Waiter[int] = Waiter(self._kernel)
        self._kernel.command(0, delay_ps.to_bytes(8, "big"), lambda message, body: waiter.set(self._kernel.now))
        answered = await waiter.wait()
        self._kernel.event("echo", "device answered")
        return answered

    def _on_event(self, event: Any) -> None:
        if isinstance(event, Done):
            self._kernel.event("echo", "done", run=event.run, answered=event.answered, lost=event.lost)
            self._waiting.pop(event.run).set(event)
        elif isinstance(event, PingLost):
            self._kernel.event("echo", "lost", run=event.run, token=event.token)

    async def _call_ping(
        self,
        destination: object,
        count: object = 1,
        padding: object = 0,
        in_flight: object = 1,
        think_ps: object = 0,
        timeout_ps: object = None,
        attempts: object = None,
    ) -> dict[str, int]:
        node = whole("destination", destination, 0, 0xFFFF)
        if not self._nic.reaches(node):
            raise CallError(f"no way to node {node}")
        done = await self.ping(
            node,
            whole("count", count, 1, _MOST),
            padding=bytes(whole("padding", padding, 0, _PADDING_MAX)),
            in_flight=whole("in_flight", in_flight, 1, _MOST),
            think_ps=whole("think_ps", think_ps, 0, NEVER),
            timeout_ps=None if timeout_ps is None else whole("timeout_ps", timeout_ps, 1, NEVER),
            attempts=None if attempts is None else whole("attempts", attempts, 1, 0xFFFF),
        )
        return {"answered": done.answered, "lost": done.lost, "elapsed_ps": done.elapsed_ps}

    async def _call_sleep(self, duration_ps: object) -> int:
        await self._kernel.sleep(whole("duration_ps", duration_ps, 0, NEVER))
        return self._kernel.now
