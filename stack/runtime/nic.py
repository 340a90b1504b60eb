"""A node's network interface: messages become sealed frames and back; what is not right is counted and dropped.

What may live here: header, authentication, replay, the trace's tap and the emulated channel.  What a message means is
the business of the handler registered for its protocol.
"""

from collections.abc import Callable
from typing import Any

from protocols.wire import HEADER_BYTES, MAX_FRAME, ReplayWindow, WireError, decode, parse, seal, verify
from stack.config import NodeConfig, Path
from stack.runtime.faults import Channel
from stack.runtime.kernel import Kernel

Handler = Callable[[Any, int], None]
"""``handler(message, source)``."""


class Nic:
    """One node's interface.  ``handlers[protocol]`` takes what has been received and checked."""

    def __init__(self, kernel: Kernel, config: NodeConfig) -> None:
        self.handlers: dict[int, Handler] = {}
        self._kernel = kernel
        self._number = config.number
        self._incarnation = config.incarnation
        self._keys = {node: bytes.fromhex(key) for node, key in config.keys.items()}
        self._channels = {
            node: Channel(config.seed, config.number, node, path) for node, path in config.paths.items()
        }
        self._windows = {node: ReplayWindow() for node in config.keys}
        self._sequence = 0
        self._datagrams = 0
        self._arriving: dict[int, Channel] = {}
        if kernel.host.receiver_emulates:
            self._arriving = {
                node: Channel(config.seed, node, config.number, path) for node, path in config.paths.items()
            }
            self._channels = {
                node: Channel(config.seed, config.number, node, Path(path.name, 0))
                for node, path in config.paths.items()
            }
        kernel.on_arrival = self._arrive
        kernel.on_frame = self._receive

    def reaches(self, node: int) -> bool:
        return node in self._channels

    def send(self, destination: int, message: Any) -> None:
        """Send one message of any protocol; raises KeyError for a node that no channel leads to."""
        kernel = self._kernel
        if not kernel.alive:
            return
        channel = self._channels[destination]
        self._sequence += 1
        frame = seal(
            message.PROTOCOL,
            message.MESSAGE,
            self._number,
            destination,
            self._incarnation,
            self._sequence,
            message.pack(),
            self._keys[destination],
        )
        now = kernel.true_now
        if channel.clean:
            kernel.recorder.frame(now, False, self._number, destination, frame)
            self._datagrams += 1
            kernel.host.emit(kernel, destination, now + channel.delay_ps, self._datagrams, frame)
            return
        copies, note = channel.carry(frame)
        kernel.recorder.frame(now, False, self._number, destination, frame, note)
        if not copies:
            kernel.count("frames_lost")
        for copy in copies:
            self._datagrams += 1
            kernel.host.emit(kernel, destination, now + copy.delay_ps, self._datagrams, copy.frame)

    def _arrive(self, frame: bytes) -> list[tuple[int, bytes]]:
        """``paced``: a frame has come off the wire; the copies of it, each with what is left of its delay.

        The source is read before the tag is checked: a forger chooses the delay of his own frames, nothing else.
        """
        channel = self._arriving.get(int.from_bytes(frame[6:8], "big")) if len(frame) >= 8 else None
        if channel is None:
            return [(0, frame)]
        copies, _ = channel.carry(frame)
        if not copies:
            self._kernel.count("frames_lost")
        return [(copy.delay_ps, copy.frame) for copy in copies]

    def _receive(self, frame: bytes) -> None:
        kernel = self._kernel
        try:
            header = parse(frame)
        except WireError as error:
            self._drop(frame, 0, error.reason)
            return
        source = header.source
        key = self._keys.get(source)
        if header.destination != self._number or key is None:
            self._drop(frame, source, "address")
            return
        if not verify(frame, key):
            self._drop(frame, source, "tag")
            return
        refused = self._windows[source].accept(header.incarnation, header.sequence)
        if refused is not None:
            self._drop(frame, source, refused)
            return
        handler = self.handlers.get(header.protocol)
        try:
            message = decode(header, frame[HEADER_BYTES:])
        except WireError as error:
            self._drop(frame, source, error.reason)
            return
        if handler is None:
            self._drop(frame, source, "no handler")
            return
        kernel.recorder.frame(kernel.true_now, True, source, self._number, frame)
        handler(message, source)

    def _drop(self, frame: bytes, source: int, reason: str) -> None:
        """Nothing a stranger sends may change a state: count it, show it in the trace, forget it."""
        kernel = self._kernel
        kernel.count(f"dropped {reason}")
        kernel.recorder.frame(kernel.true_now, True, source, self._number, frame[:MAX_FRAME], f"dropped: {reason}")
