"""A node's network interface: messages become sealed frames and back; what is not right is counted and dropped.

What may live here: header, authentication, replay, the trace's tap and the emulated channel.  What a message means is
the business of the handler registered for its protocol.
"""

from collections.abc import Callable
from typing import Any

from protocols.wire import (
    HEADER_BYTES,
    MAX_FRAME,
    ReplayWindow,
    WireError,
    decode,
    derive_key,
    parse,
    seal,
    verify,
)
from stack.config import NodeConfig, Path, Plight
from stack.runtime.faults import Channel
from stack.runtime.kernel import Kernel

Handler = Callable[[Any, int], None]
"""``handler(message, source)``."""


class _Peer:
    """Another node, as this one's interface knows it."""

    __slots__ = ("arriving", "channel", "cut", "key", "window")

    def __init__(self, config: NodeConfig, node: int, receiver_emulates: bool) -> None:
        path = config.plight.ways.get(node, config.paths[node])
        secret = config.keys.get(node)
        self.key = derive_key(config.seed, config.number, node) if secret is None else bytes.fromhex(secret)
        self.window = ReplayWindow()
        self.cut = path.cut
        self.channel = Channel(config.seed, config.number, node, Path(path.name, 0) if receiver_emulates else path)
        self.arriving = Channel(config.seed, node, config.number, path) if receiver_emulates else None

    def become(self, path: Path) -> None:
        """The way there, and back where it is emulated here, is another."""
        self.cut = path.cut
        (self.arriving or self.channel).become(path)


class Nic:
    """One node's interface.  ``handlers[protocol]`` takes what has been received and checked."""

    def __init__(self, kernel: Kernel, config: NodeConfig) -> None:
        self.handlers: dict[int, Handler] = {}
        self._kernel = kernel
        self._config = config
        self._number = config.number
        self._incarnation = config.incarnation
        # Made when they are first met: of a hundred nodes that can be reached, few ever are.
        self._peers: dict[int, _Peer] = {}
        self._sequence = 0
        self._datagrams = 0
        self.on_restart: Callable[[int], None] = lambda node: None
        """Called with a node when the first frame of a newer life of it has come, before anybody hears of the frame."""
        kernel.on_arrival = self._arrive
        kernel.on_frame = self._receive
        kernel.on_ways = self._rerouted

    def reaches(self, node: int) -> bool:
        return node in self._config.paths

    def _peer(self, node: int) -> _Peer:
        """Raises KeyError for a node that no way leads to."""
        peer = self._peers.get(node)
        if peer is None:
            peer = self._peers[node] = _Peer(self._config, node, self._kernel.host.receiver_emulates)
        return peer

    def _rerouted(self, ways: dict[int, Path]) -> None:
        """The network has been disturbed, or mended."""
        self._config = self._config.suffering(Plight(ways))
        for node, path in ways.items():
            if node in self._peers:
                self._peers[node].become(path)

    def send(self, destination: int, message: Any) -> None:
        """Send one message of any protocol; raises KeyError for a node that no way leads to."""
        kernel = self._kernel
        if not kernel.alive:
            return
        peer = self._peer(destination)
        channel = peer.channel
        self._sequence += 1
        kernel.frames_out += 1
        frame = seal(
            message.PROTOCOL,
            message.MESSAGE,
            self._number,
            destination,
            self._incarnation,
            self._sequence,
            message.pack(),
            peer.key,
        )
        now = kernel.true_now
        if peer.cut:
            channel.carry(frame)  # so that later frames meet the same fate as without the cut
            kernel.recorder.frame(now, False, self._number, destination, frame, "cut off")
            kernel.count("frames_lost")
            return
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
        source = int.from_bytes(frame[6:8], "big") if len(frame) >= 8 else 0
        channel = self._peer(source).arriving if self.reaches(source) else None
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
        if header.destination != self._number or not self.reaches(source):
            self._drop(frame, source, "address")
            return
        peer = self._peer(source)
        if not verify(frame, peer.key):
            self._drop(frame, source, "tag")
            return
        window = peer.window
        known = window.incarnation
        refused = window.accept(header.incarnation, header.sequence)
        if refused is not None:
            self._drop(frame, source, refused)
            return
        handler = self.handlers.get(header.protocol)
        message, wrong = None, "no handler"
        try:
            message = decode(header, frame[HEADER_BYTES:])
        except WireError as error:
            handler, wrong = None, error.reason
        if handler is None:
            self._drop(frame, source, wrong)
        else:
            kernel.recorder.frame(kernel.true_now, True, source, self._number, frame)
        if known != header.incarnation and known is not None:
            self.on_restart(source)
        if handler is not None:
            handler(message, source)

    def _drop(self, frame: bytes, source: int, reason: str) -> None:
        """Nothing a stranger sends may change a state: count it, show it in the trace, forget it."""
        kernel = self._kernel
        kernel.count(f"dropped {reason}")
        kernel.recorder.frame(kernel.true_now, True, source, self._number, frame[:MAX_FRAME], f"dropped: {reason}")
