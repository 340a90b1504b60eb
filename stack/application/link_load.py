"""Load on a link: requests of several classes at random times, made of the link layer directly.

What may live here: the app of a scenario's `link_requests`, and what it writes down of each request and pair.
"""

from dataclasses import dataclass, field
from math import log
from typing import Any

from protocols.chance import drawn
from protocols.egp.service import Err, How, Ok, OkMeasured, OkPrepared
from protocols.mhp.trains import SEQUENCE_MODULUS
from protocols.wire import EgpBases, EgpKind, EgpMeasuring
from stack.link.interface import APPLICATION_PURPOSES, LinkLayer
from stack.physical.interface import PhysicalLayer
from stack.runtime.kernel import Kernel, Waiter

_FULL = (1 << 32) - 1


@dataclass(slots=True)
class _Request:
    asked_ps: int
    pairs: int
    left: int


@dataclass(slots=True)
class _Class:
    """One class of requests on one link, at one of its ends."""

    purpose: int
    link: int
    asks: bool
    pairs: int
    row: dict[str, Any]
    open: dict[int, _Request] = field(default_factory=dict)  # requests of this node
    asked: list[int] = field(default_factory=list)  # when
    done: list[list[int]] = field(default_factory=list)  # [asked, ended, pairs it had, pairs wanted]
    errors: dict[str, int] = field(default_factory=dict)
    told: list[list[int]] = field(default_factory=list)  # [slot time, goodness, its error, bell, outcome, basis]
    held: dict[tuple[int, int], int] = field(default_factory=dict)
    arrivals_over: bool = False
    interval_ps: float = 0.0  # mean time between two requests of this end


class LinkLoadApp:
    """Implements ``MeasuringUser``.  A qubit is given back as soon as it is there: what is measured is the link."""

    def __init__(self, kernel: Kernel, seed: int, physical: PhysicalLayer, link: LinkLayer) -> None:
        self._kernel = kernel
        self._seed = seed
        self._physical = physical
        self._link = link
        self._classes: dict[int, _Class] = {}
        self._idle: dict[int, Waiter[None]] = {}

    async def app(self, arguments: dict[str, Any]) -> None:
        """One load: for ``for_ps`` requests come, as often as the share of the link's capacity says; then what is open
        is awaited."""
        kernel, link, peer = self._kernel, arguments["link"], arguments["peer"]
        mine = []
        for row in arguments["classes"]:
            known = _Class(APPLICATION_PURPOSES[row["number"]], link, arguments["asks"], row["pairs"], row)
            self._classes[known.purpose] = known
            self._link.serve_purpose(known.purpose, self)
            self._link.recv(peer, known.purpose)
            mine.append(known)
        # Filled as it goes: a run may end before its requests do.
        kernel.results[arguments["name"]] = {
            "classes": {
                k.row["name"]: {"asked": k.asked, "done": k.done, "errors": k.errors, "told": k.told} for k in mine
            },
        }
        # Both ends have their rules before the first request comes.
        begins = kernel.now + arguments["delay_ps"]
        ends = begins + arguments["for_ps"]
        for known in mine:
            if known.asks:
                row = known.row
                expected = self._link.expects(link, EgpKind(row["kind"]), row["minimum_fidelity"])
                busy_ps = expected.pair_ps * known.pairs
                known.interval_ps = busy_ps * arguments["ends"] / (arguments["load"] * row["share"])
                self._next(known, begins, ends, arguments["end"], 1)
            else:
                known.arrivals_over = True
        waiter: Waiter[None] = Waiter(kernel)
        self._idle[link] = waiter
        self._settle(link)
        await waiter.wait()

    def _next(self, known: _Class, now: int, ends: int, end: str, number: int) -> None:
        """Requests of a class arrive at random (Poisson); each keeps the link busy for its pairs' mean time.

        Chance knows the class and the end, not the link: links alike meet the same requests, whatever their scheduler.
        """
        key = f"load/{self._seed}/{end}/{known.row['name']}/{number}"
        draw = drawn(key)
        due = now + round(-log((draw + 1) / (1 << 64)) * known.interval_ps)
        if due >= ends:
            known.arrivals_over = True
            self._kernel.at(ends, lambda: self._settle(known.link))
            return

        def ask() -> None:
            self._ask(known)
            self._next(known, due, ends, end, number + 1)

        self._kernel.at(due, ask)

    def _ask(self, known: _Class) -> None:
        row = known.row
        how = How(
            EgpKind(row["kind"]),
            row["atomic"],
            row["consecutive"],
            EgpMeasuring(EgpBases(row["bases"])),
            EgpMeasuring(EgpBases(row["remote_bases"])),
        )
        fidelity, limit = row["minimum_fidelity"], row["max_time_ps"]
        create_id = self._link.create(known.link, known.purpose, known.pairs, fidelity, limit, row["priority"], how)
        known.asked.append(self._kernel.now)
        known.open[create_id] = _Request(self._kernel.now, known.pairs, known.pairs)

    # From the link layer.

    def link_ok(self, ok: Ok) -> None:
        self._told(ok, [ok.time_of_goodness, ok.goodness, ok.goodness_error, int(ok.bell_index), -1, -1])
        self._physical.memory.release(ok.qubit)

    def link_measured(self, ok: OkMeasured | OkPrepared) -> None:
        result = [int(ok.bell_index), ok.outcome, int(ok.basis)]
        self._told(ok, [ok.time_of_goodness, ok.goodness, ok.goodness_error, *result])

    def link_error(self, err: Err) -> None:
        known = self._classes[err.purpose_id]
        known.errors[err.code.name] = known.errors.get(err.code.name, 0) + (err.origin == self._kernel.number)
        if err.sequence_low is not None and err.sequence_high is not None:
            for offset in range((err.sequence_high - err.sequence_low) % SEQUENCE_MODULUS + 1):
                place = known.held.pop((err.link, (err.sequence_low + offset) % SEQUENCE_MODULUS), None)
                if place is not None:
                    known.told[place] = []
        if err.origin == self._kernel.number and err.create_id in known.open:
            self._ended(known, err.create_id)

    def _told(self, ok: Ok | OkMeasured | OkPrepared, row: list[int]) -> None:
        known = self._classes[ok.purpose_id]
        known.held[ok.link, ok.link_sequence] = len(known.told)
        known.told.append(row)
        request = known.open.get(ok.create_id) if ok.directionality == 0 else None
        if request is not None:
            request.left -= 1
            if not request.left:
                self._ended(known, ok.create_id)

    def _ended(self, known: _Class, create_id: int) -> None:
        request = known.open.pop(create_id)
        had = request.pairs - request.left
        known.done.append([request.asked_ps, self._kernel.now, had, request.pairs])
        self._settle(known.link)

    def _settle(self, link: int) -> None:
        mine = [known for known in self._classes.values() if known.link == link]
        if all(known.arrivals_over and not known.open for known in mine) and link in self._idle:
            self._idle.pop(link).set(None)
