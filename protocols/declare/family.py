"""What a protocol's declaration file offers: its number, its name, its messages and where it departs from
print."""

from typing import NamedTuple

from protocols.declare.fields import CodePoint, Message


class Departure(NamedTuple):
    """A published layout that is not followed to the bit, and why."""

    published: str
    here: str
    reason: str


class Family(NamedTuple):
    """One protocol: a family of messages under one protocol number."""

    number: int
    name: str
    title: str
    about: str
    messages: tuple[type[Message], ...]
    points: tuple[type[CodePoint], ...] = ()
    departures: tuple[Departure, ...] = ()
    on_udp: bool = True
    """False for messages that travel on the device bus only: no frame carries them, the dissector skips
    them."""
