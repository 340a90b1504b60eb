"""Nodes that read or write the header wrongly."""

import hmac
from typing import Any

from protocols.wire import WireError, verify
from protocols.wire import replay as replay_window
from protocols.wire.replay import ReplayWindow
from stack.runtime import nic
from stack.runtime.nic import Nic
from testbed.conformance.mutants import Wrong, breaks
from testbed.conformance.mutants.means import instead, value


class _Anybody:
    """A destination that is this node, whoever this node is."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return True


@breaks("FRM-1")
def takes_any_version() -> Wrong:
    """The version is not looked at."""
    return instead(nic, "parse", lambda right, frame: right(b"\1" + frame[1:]))


@breaks("FRM-2")
def checks_no_tag() -> Wrong:
    """The tag is not looked at."""
    return instead(nic, "verify", lambda right, frame, key: True)


@breaks("FRM-2")
def remembers_forgeries() -> Wrong:
    """The replay window takes note of a frame before its tag has been checked."""

    def receive(right: Any, interface: Nic, frame: bytes) -> None:
        source = int.from_bytes(frame[6:8], "big")
        if len(frame) >= 32 and interface.reaches(source):
            peer = interface._peer(source)
            if not verify(frame, peer.key):
                peer.window.accept(int.from_bytes(frame[10:12], "big"), int.from_bytes(frame[12:16], "big"))
        right(interface, frame)

    return instead(Nic, "_receive", receive)


@breaks("FRM-3")
def accepts_copies() -> Wrong:
    """A frame is accepted as often as it comes."""

    def accept(right: Any, window: ReplayWindow, incarnation: int, sequence: int) -> str | None:
        refused: str | None = right(window, incarnation, sequence)
        return None if refused == "replayed" else refused

    return instead(ReplayWindow, "accept", accept)


@breaks("FRM-3")
def has_half_a_window() -> Wrong:
    """What lies 512 below the highest sequence is dropped."""
    return value(replay_window, "WINDOW", 512)


@breaks("FRM-4")
def accepts_earlier_lives() -> Wrong:
    """Frames of an earlier incarnation are accepted."""

    def accept(right: Any, window: ReplayWindow, incarnation: int, sequence: int) -> str | None:
        refused: str | None = right(window, incarnation, sequence)
        return None if refused == "old incarnation" else refused

    return instead(ReplayWindow, "accept", accept)


@breaks("FRM-4")
def keeps_the_window_of_the_last_life() -> Wrong:
    """A newer incarnation goes on where the last one stopped."""

    def accept(right: Any, window: ReplayWindow, incarnation: int, sequence: int) -> str | None:
        if window.incarnation is not None and 0 < (incarnation - window.incarnation) & 0xFFFF < 0x8000:
            window.incarnation = incarnation
        refused: str | None = right(window, incarnation, sequence)
        return refused

    return instead(ReplayWindow, "accept", accept)


@breaks("FRM-5")
def answers_for_others() -> Wrong:
    """The destination is not looked at."""
    return instead(nic, "parse", lambda right, frame: right(frame)._replace(destination=_Anybody()))


@breaks("FRM-6")
def reads_past_the_end() -> Wrong:
    """A byte behind the message is let pass."""

    def decode(right: Any, header: Any, body: bytes) -> Any:
        try:
            return right(header, body)
        except WireError:
            return right(header, body[:-1])

    return instead(nic, "decode", decode)


@breaks("FRM-7")
def minds_the_flags() -> Wrong:
    """A frame with a flag is dropped."""

    def parse(right: Any, frame: bytes) -> Any:
        header = right(frame)
        if header.flags:
            raise WireError("flags", str(header.flags))
        return header

    return instead(nic, "parse", parse)


@breaks("FRM-7")
def sets_a_flag() -> Wrong:
    """Its own frames have a flag, and a tag that fits."""

    def seal(right: Any, *fields: Any) -> bytes:
        frame = right(*fields)
        flagged = frame[:3] + b"\1" + frame[4:16] + bytes(16) + frame[32:]
        return bytes(flagged[:16] + hmac.digest(fields[-1], flagged, "sha256")[:16] + flagged[32:])

    return instead(nic, "seal", seal)


@breaks("FRM-8")
def counts_no_further() -> Wrong:
    """From the third frame on the sequence stands still."""

    def send(right: Any, interface: Nic, destination: int, message: Any) -> None:
        interface._sequence = min(interface._sequence, 2)
        right(interface, destination, message)

    return instead(Nic, "send", send)
