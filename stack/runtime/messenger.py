"""Messages between nodes, plain or reliable, under one roof: what every layer sends with.

What may live here: the driver of the reliable sublayer, and the choice between it and the bare NIC.
"""

from collections.abc import Callable
from typing import Any

from protocols.ignored import Ignored
from protocols.machine import Send
from protocols.reliable import KEEPALIVE_PS, Broken, Delivered, Reliable, lost_after_ps
from protocols.wire import ProtocolId, WireError
from protocols.wire.codec import MESSAGES
from stack.config import FIRST_INCARNATION, NodeConfig
from stack.runtime.driver import Driver
from stack.runtime.kernel import Kernel
from stack.runtime.nic import Handler, Nic
from stack.runtime.times import MOST_PAUSE, S


class Messenger:
    """``send`` takes a machine's ``Send``; handlers hear what arrives either way, ``on_broken`` who may miss some."""

    def __init__(self, kernel: Kernel, nic: Nic, config: NodeConfig) -> None:
        self._kernel = kernel
        self._nic = nic
        self._config = config
        self._handlers: dict[int, Handler] = {}
        self._broken: list[Callable[[int], None]] = []
        self._restarts: dict[int, int] = {}
        self._restart_watchers: list[Callable[[int], None]] = []
        machine = Reliable(
            config.incarnation,
            lambda peer: 2 * config.paths[peer].delay_ps,
            keepalive_ps=_keepalive_ps(config),
            all_up_at=0 if config.time is None else kernel.now + config.time.patience_ps,
            pauses=config.pauses,
        )
        # On a machine that is slow, acknowledgements come late in whole swarms; were each of them to have sent again
        # what others are still late for, that would be the end of every stream.
        self._driver = Driver(
            kernel, machine, self._transmit, self._on_event, allowance_ps=config.allowance_ps, patient=True
        )
        self._driver.at_rest = machine.at_rest
        nic.handlers[ProtocolId.REL] = self._driver.receive
        nic.on_restart = self._restarted

    def start(self) -> None:
        """The node is up.  Whoever knew it in another life must hear that this is a new one."""
        if self._config.incarnation != FIRST_INCARNATION:
            self._driver.machine.announce(self._config.paths, self._kernel.now)
            self._driver.flush()

    def register(self, protocol: int, handler: Handler) -> None:
        """Hear the messages of a protocol that travels over the reliable sublayer; one that comes bare is dropped."""
        self._handlers[protocol] = handler

    def register_bare(self, protocol: int, handler: Handler) -> None:
        """Hear the messages of a protocol that travels in frames of its own."""
        self._nic.handlers[protocol] = handler

    def on_broken(self, callback: Callable[[int], None]) -> None:
        """``callback(peer)``: reliable messages to or from it may be missing from here on.

        The last to register is called first.  Layers do so bottom up, so each hears of the loss of a peer before what
        the loss makes the ones below it say.
        """
        self._broken.append(callback)

    def when_restarted(self, callback: Callable[[int], None]) -> None:
        """Call back with each node of which the first frame of a newer life has come."""
        self._restart_watchers.append(callback)

    def reaches(self, node: int) -> bool:
        """Whether a way leads there; to send without one is an error of ours."""
        return self._nic.reaches(node)

    def restarted(self, node: int, since: int) -> bool:
        """Whether the node was found to have started anew, at ``since`` or later: it was lost, and is there."""
        return self._restarts.get(node, -1) >= since

    def lost_after_ps(self, peer: int) -> int:
        """How long, at most, it takes another node to find out that this one cannot be reached, or the other way
        round; where clocks are set first, that included."""
        config = self._config
        late_ps = 0 if config.time is None else config.time.patience_ps
        return late_ps + max(_LEAST_LOST_PS, _SLOWER * lost_after_ps(2 * config.paths[peer].delay_ps))

    def watch(self, peer: int) -> None:
        """Somebody waits for this peer from now on, who must hear by ``on_broken`` if it is gone."""
        self._driver.machine.watch(peer, self._kernel.now)
        self._driver.flush()

    def unwatch(self, peer: int) -> None:
        """Takes back one :meth:`watch`."""
        self._driver.machine.unwatch(peer)
        self._driver.flush()

    def give_up(self, peer: int) -> None:
        """It cannot be reached, as somebody has found out: who waits for it hears by ``on_broken`` now."""
        self._driver.machine.give_up(peer, self._kernel.now)
        self._driver.flush()

    def send(self, send: Send) -> None:
        destination, message, reliable = send
        if reliable:
            body = message.pack()
            self._driver.machine.send(destination, message.PROTOCOL, message.MESSAGE, body, self._kernel.now)
            self._driver.flush()
        else:
            self._nic.send(destination, message)

    def shown(self) -> list[dict[str, int]]:
        """What waits on the way to and from peers, for people who look."""
        return self._driver.machine.shown()

    def _restarted(self, node: int) -> None:
        self._restarts[node] = self._kernel.now
        self._driver.machine.restarted(node, self._kernel.now)
        self._driver.flush()
        for callback in self._restart_watchers:
            callback(node)

    def _transmit(self, send: Send) -> None:
        self._nic.send(send.destination, send.message)

    def _on_event(self, event: Any) -> None:
        kernel = self._kernel
        if isinstance(event, Delivered):
            kind = MESSAGES.get((event.protocol, event.message))
            handler = self._handlers.get(event.protocol)
            if kind is None or handler is None:
                kernel.count("dropped no protocol")
                return
            try:
                message = kind.unpack(event.body)
            except WireError as error:
                kernel.count(f"dropped {error.reason}")
                return
            handler(message, event.source)
        elif isinstance(event, Broken):
            kernel.count("streams_broken")
            kernel.event("reliable", "broken", peer=event.peer, undelivered=len(event.unsent))
            for callback in reversed(self._broken):
                callback(event.peer)
        elif isinstance(event, Ignored):
            kernel.count(f"ignored {event.message}")
        else:
            raise AssertionError(f"{event} is no event of Reliable")


_LEAST_LOST_PS = 1 * S
"""Freezes and cuts of some hundred milliseconds are waited for."""
_SLOWER = 4
"""Times the configured round trip that a measured one may well be."""

_PAIRS = 4


def _keepalive_ps(config: NodeConfig) -> int:
    """How long a neighbour that is waited for may be silent.

    Neighbours speak when there are pairs; to ask more often than pairs come would cost more than the pairs do.
    """
    slowest = min((link.pairs_per_ks for link in config.links), default=0)
    if not slowest:
        return KEEPALIVE_PS
    return max(KEEPALIVE_PS, min(_PAIRS * 1000 * S // slowest, MOST_PAUSE))


__all__ = ["Messenger"]
