"""Nodes that find their ways by wrong rules."""

from typing import Any

from protocols.lsr import damper, database
from protocols.lsr import node as lsr_node
from protocols.lsr.database import Database
from protocols.lsr.flooding import Flooding
from protocols.lsr.node import Lsr
from protocols.lsr.repeats import Repeats
from protocols.lsr.states import TABLE, Input, State
from protocols.wire import LsrAck, LsrAdvert, LsrHello, LsrRequest, LsrSummary
from testbed.conformance.mutants import Wrong, breaks
from testbed.conformance.mutants.means import instead, never_says, nothing, rows, says, value


def _hello(spoil: Any) -> Wrong:
    """Hellos are heard as `spoil(machine, neighbour, hello)` says."""

    def on_hello(right: Any, machine: Lsr, neighbour: Any, hello: LsrHello, now: int) -> None:
        right(machine, neighbour, spoil(machine, neighbour, hello), now)

    return instead(Lsr, "_on_hello", on_hello)


@breaks("LSR-1")
def takes_any_hello() -> Wrong:
    """Whoever is heard is up."""
    return _hello(lambda machine, neighbour, hello: hello._replace(heard=machine._incarnation))


@breaks("LSR-1")
def answers_no_stranger() -> Wrong:
    """A Hello that does not name this life is not answered."""
    down = State.DOWN
    return rows(TABLE, {(down, Input.ONE_WAY): (down, ())})


@breaks("LSR-2")
def minds_no_numbers() -> Wrong:
    """A Hello that was overtaken counts."""
    return _hello(lambda machine, neighbour, hello: hello._replace(number=neighbour.newest + 1))


@breaks("LSR-2")
def takes_earlier_lives() -> Wrong:
    """A Hello of an earlier life brings that back."""
    return value(lsr_node, "serial_newer", lambda a, b, bits: True)


@breaks("LSR-2")
def overlooks_restarts() -> Wrong:
    """A neighbour that has restarted was never down."""

    def on_hello(right: Any, machine: Lsr, neighbour: Any, hello: LsrHello, now: int) -> None:
        if neighbour.up:
            neighbour.life, neighbour.newest = hello.incarnation, hello.number - 1
        right(machine, neighbour, hello, now)

    return instead(Lsr, "_on_hello", on_hello)


@breaks("LSR-3")
def answers_no_questions() -> Wrong:
    """A Hello that asks is heard like any other."""
    return _hello(lambda machine, neighbour, hello: hello._replace(answer=0))


@breaks("LSR-4")
def compares_as_numbers() -> Wrong:
    """The higher sequence is newer: it does not wrap."""
    return value(database, "serial_newer", lambda a, b, bits: a > b)


@breaks("LSR-5")
def keeps_adverts_to_itself() -> Wrong:
    """What is new is not passed on."""
    return says(LsrAdvert, lambda advert: advert if advert.origin == 2 else None)


@breaks("LSR-5")
def sends_adverts_once() -> Wrong:
    """What is not acknowledged is not repeated."""

    def give(right: Any, flooding: Flooding, neighbour: Any, advert: LsrAdvert, now: int) -> None:
        right(flooding, neighbour, advert, now)
        neighbour.flight.clear()

    return instead(Flooding, "give", give)


@breaks("LSR-5")
def keeps_parts_of_earlier_lives() -> Wrong:
    """A newer life replaces only the part that it says."""

    def install(right: Any, held: Database, advert: LsrAdvert) -> Any:
        origin = held._origins.get(advert.origin)
        parts = {} if origin is None else dict(origin.adverts)
        fallen = right(held, advert)
        held._origins[advert.origin].adverts = {**parts, **held._origins[advert.origin].adverts}
        return fallen

    return instead(Database, "install", install)


@breaks("LSR-6")
def acknowledges_nothing() -> Wrong:
    """There is no Ack."""
    return never_says(LsrAck)


@breaks("LSR-7")
def lets_others_speak_for_it() -> Wrong:
    """What others say in its name stands."""
    return nothing(Lsr, "_outdo")


@breaks("LSR-8")
def sends_no_summaries() -> Wrong:
    """Digests that differ are left so."""
    return never_says(LsrSummary)


@breaks("LSR-8")
def sends_summaries_from_both_ends() -> Wrong:
    """Whoever sees a difference sends a Summary."""

    def summarise(right: Any, machine: Lsr, neighbour: Any, hello: LsrHello, now: int) -> None:
        right(machine, neighbour, hello, now)
        if neighbour.state is State.DIFFER and not neighbour.leads:
            machine._flooding.summarise(neighbour)

    return instead(Lsr, "_on_hello", summarise)


@breaks("LSR-8")
def asks_for_nothing() -> Wrong:
    """What a Summary lists and is not held is not requested."""
    return never_says(LsrRequest)


@breaks("LSR-9")
def tells_every_load() -> Wrong:
    """However little a load changes, it is told."""
    return value(damper, "LOAD_STEP", 1)


@breaks("LSR-9")
def tells_at_once() -> Wrong:
    """There is no hold."""

    def changed(right: Any, one: Any, now: int) -> None:
        one.due = now

    return instead(damper.Damper, "changed", changed)


@breaks("LSR-10")
def watches_nobody() -> Wrong:
    """A neighbour is depended on without a question."""
    return nothing(Lsr, "watch")


@breaks("LSR-10")
def gives_up_early() -> Wrong:
    """Three questions without an answer are enough."""

    def retry(right: Any, machine: Lsr, neighbour: Any, now: int) -> None:
        if neighbour.asked_at is not None and neighbour.back_off >= 2:
            neighbour.asked_at -= 10**15
        right(machine, neighbour, now)

    return instead(Lsr, "_retry", retry)


@breaks("LSR-11")
def forgets_nothing() -> Wrong:
    """Adverts do not age."""
    return nothing(Lsr, "_check_reach")


@breaks("LSR-11")
def counts_what_is_out_of_reach() -> Wrong:
    """The digest is of all that is held."""

    def digest(right: Any, held: Database) -> int:
        total = 0
        for origin in held._origins.values():
            total ^= origin.digest
        return total

    return instead(Database, "digest", digest)


@breaks("LSR-12")
def believes_one_end() -> Wrong:
    """A link is up if one of its ends says so."""

    def retell(right: Any, held: Database, number: int, origin: Any) -> None:
        right(held, number, origin)
        for link in origin.links.values():
            held._said[link.link].setdefault(link.neighbour, link._replace(neighbour=number))

    return instead(Database, "_retell", retell)


@breaks("LSR-12")
def passes_through_everybody() -> Wrong:
    """Whether a node is to be passed through is not looked at."""
    return instead(Database, "install", lambda right, held, advert: right(held, advert._replace(transit=1)))


@breaks("LSR-13")
def asks_at_even_intervals() -> Wrong:
    """A neighbour that is down is asked as often as in the beginning."""

    def timeout(right: Any, repeats: Repeats, neighbour: Any, now: int) -> int:
        timeout_ps: int = neighbour.timeout_ps
        return timeout_ps

    return instead(Repeats, "_timeout", timeout)


@breaks("LSR-13")
def asks_ever_more_rarely() -> Wrong:
    """The longer a neighbour was down, the later it is found to be there: by as long again."""

    def timeout(right: Any, repeats: Repeats, neighbour: Any, now: int) -> int:
        doubled: int = neighbour.timeout_ps << neighbour.back_off
        return right(repeats, neighbour, now) if neighbour.up else doubled

    return instead(Repeats, "_timeout", timeout)


@breaks("LSR-15")
def keeps_to_itself_what_is_out_of_reach() -> Wrong:
    """A neighbour that comes up is told of nobody whom this node cannot reach yet."""
    return nothing(Flooding, "give_unreached")
