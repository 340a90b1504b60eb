"""What scripts of routing have in common: a neighbour of the implementation that speaks LSR.

What may live here: no script, and nothing that decides a requirement.
"""

from typing import Any, Final

from protocols.wire import LsrAck, LsrAdvert, LsrHello, LsrLink, LsrVersion
from testbed.conformance.scene import MS
from testbed.conformance.stage import SOON_PS, NotMet, Stage

NODE: Final = 2
FAR: Final = 7
"""A node beyond the neighbours."""
TOLD_PS: Final = 1_000 * MS
"""In which a change is told, with the times of the scene."""


class Side:
    """A neighbour of the implementation."""

    def __init__(self, stage: Stage, number: int) -> None:
        self.peer = stage.peers[number]
        self.life = 1
        self.number = 0

    def hello(self, heard: int = 1, answer: int = 0, digest: int = 0, number: int | None = None) -> None:
        self.number += 1
        self.peer.send(LsrHello(self.life, heard, self.number if number is None else number, answer, digest))

    def answers(self) -> None:
        """From now on every Hello that asks for an answer has one."""

        def taker(message: Any) -> bool:
            asks = isinstance(message, LsrHello) and bool(message.answer)
            if asks:
                self.hello()
            return asks

        self.peer.takers.append(taker)

    def acknowledge(self, advert: LsrAdvert) -> None:
        self.peer.send(LsrAck((version(advert),)))

    async def advert(self, within: int = TOLD_PS, origin: int = NODE, **fields: Any) -> LsrAdvert:
        """The next advert of an origin, which is acknowledged."""
        advert = await self.peer.expect(LsrAdvert, within, lambda a: a.origin == origin, **fields)
        self.acknowledge(advert)
        return advert


def version(advert: LsrAdvert) -> LsrVersion:
    return LsrVersion(advert.origin, advert.part, advert.incarnation, advert.sequence)


def link_to(number: int, neighbour: int) -> LsrLink:
    return LsrLink(number, neighbour, 3_000_000_000, 1_000, 50 * MS, 2, 0)


def advert_of(sequence: int, origin: int = FAR, life: int = 1, part: int = 0, **fields: Any) -> LsrAdvert:
    row: dict[str, Any] = {"transit": 1, "links": ()}
    return LsrAdvert(origin, part, life, sequence, **{**row, **fields})


async def up(stage: Stage, *numbers: int) -> list[Side]:
    """These neighbours and the implementation hear each other, and have its advert."""
    sides = [Side(stage, number) for number in numbers]
    for side in sides:
        await side.peer.expect(LsrHello)
        side.hello()
    for side in sides:
        advert = await side.advert()
        if {link.neighbour for link in advert.links} != set(numbers):
            advert = await side.advert()
        if {link.neighbour for link in advert.links} != set(numbers):
            raise NotMet(f"{advert} does not name the neighbours {numbers}")
    await stage.wait(SOON_PS)
    for side in sides:
        side.peer.forget()
    return sides


async def hears_no_more(stage: Stage, side: Side) -> None:
    """This neighbour does not hear the implementation any more: its link is down."""
    side.peer.forget()
    side.hello(heard=9)
    await side.peer.expect(LsrHello, heard=1)
