"""What can stand in a trace at all: protocols and their messages, layers and their events.

What may live here: those lists.  They tell a slip (`--kind Replay`) from what merely has not happened in a run.  A test
holds the events to what the sources write.
"""

from typing import Final

from protocols.wire import MESSAGES, ON_UDP, ProtocolId

PROTOCOLS: Final = frozenset(ProtocolId(number).name for number in ON_UDP)

MESSAGE_NAMES: Final = frozenset(
    message.__name__.removeprefix(ProtocolId(number).name.capitalize())
    for (number, _), message in MESSAGES.items()
    if number in ON_UDP
)

EVENTS: Final[dict[str, tuple[str, ...]]] = {
    "echo": ("device answered", "done", "lost"),
    "gates": ("asked", "began", "done", "refused"),
    "job": (
        "cancelled", "cancelling", "compiling", "done", "failed", "journal damaged", "journal lost",
        "journal not written", "journal written", "loaded", "loading", "program refused", "progress", "qpu is there",
        "queued", "refused", "released", "retreating", "running", "shot spoilt",
    ),
    "keys": ("block", "block given up", "handed out", "no pairs", "session ended", "session opened"),
    "lab": ("fault", "frozen", "heal", "killed", "not recorded", "thawed"),
    "link": ("create", "err", "granted", "measured", "ok", "refused", "test", "train"),
    "network": (
        "circuit", "circuit closed", "pair", "pair early", "pair lost", "pair measured", "request", "request ended",
        "request opened", "test",
    ),
    "node": ("app ended", "started", "up"),
    "physical": ("herald", "heralded", "listen refused", "released", "train refused"),
    "reliable": ("broken",),
    "routing": ("changed", "forgotten", "link fidelity", "neighbour down", "neighbour up"),
    "session": ("call", "detached"),
    "switch": ("connect", "grant ended", "train refused", "withdraw"),
    "time": ("exchange", "holdover", "nobody tells it", "set", "settling", "tracking", "unset"),
    "transport": (
        "arrived", "closed", "delivered", "lost", "measuring", "opened", "refused", "returned",
    ),
}  # fmt: skip
"""By layer, as the nodes and the lab write them into ``events.jsonl``."""

SPOKEN: Final = PROTOCOLS | set(EVENTS)
KINDS: Final = MESSAGE_NAMES | {name for names in EVENTS.values() for name in names}

__all__ = ["EVENTS", "KINDS", "MESSAGE_NAMES", "PROTOCOLS", "SPOKEN"]
