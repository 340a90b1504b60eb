"""The programs that a node runs by itself, by name, and what each is told.

What may live here: a function per kind of program, from the scenario's records to plain data.  The programs are in
``stack/application``.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from testbed.scenario import LoadClass, Scenario

if TYPE_CHECKING:
    from testbed.circuits import CompiledJob

type _Apps = Iterator[tuple[str, dict[str, Any]]]

_FULL: Final = (1 << 32) - 1


def apps_of(scenario: Scenario, name: str, jobs: "list[CompiledJob]") -> _Apps:
    """What node ``name`` runs; ``jobs`` are the scenario's circuits, compiled."""
    yield from _echo(scenario, name)
    yield from _controller(scenario, name, jobs)
    yield from _jobs(scenario, name, jobs)
    yield from _pairs(scenario, name)
    yield from _keys(scenario, name)
    yield from _link_loads(scenario, name)
    yield from _teleport(scenario, name)


def _peer(scenario: Scenario, name: str, a: str, b: str) -> int:
    """Of the two, the number of the one that is not ``name``."""
    return scenario.node(b if name == a else a).number


def _echo(scenario: Scenario, name: str) -> _Apps:
    toy = scenario.toy
    if toy is not None and toy.source == name:
        yield (
            "echo",
            {
                "destination": scenario.node(toy.destination).number,
                "count": toy.count,
                "padding": toy.padding,
                "in_flight": toy.in_flight,
                "think_ps": toy.think_ps,
                "timeout_ps": toy.timeout_ps,
                "attempts": toy.attempts,
            },
        )


def _controller(scenario: Scenario, name: str, jobs: "list[CompiledJob]") -> _Apps:
    if not jobs or scenario.jobs[0].controller != name:
        return
    told = [
        {
            "name": job.name,
            "circuit": job.circuit.to_json(),
            "shots": job.shots,
            "minimum_fidelity": job.minimum_fidelity,
            "ahead": asked.ahead,
            "at_ps": asked.at_ps,
            "cancel_at_ps": asked.cancel_at_ps,
        }
        for job, asked in zip(jobs, scenario.jobs, strict=True)
        if job.circuit is not None
    ]
    yield "controller", {"jobs": told}


def _jobs(scenario: Scenario, name: str, jobs: "list[CompiledJob]") -> _Apps:
    for index, job in enumerate(jobs):
        if name in job.programs:
            yield (
                f"job-{index}",
                {
                    "job": index,
                    "shots": job.shots,
                    "steps": job.programs[name],
                    "clbits": job.results[name],
                    "minimum_fidelity": scenario.jobs[index].minimum_fidelity,
                    "ahead": scenario.jobs[index].ahead,
                },
            )


def _pairs(scenario: Scenario, name: str) -> _Apps:
    for index, request in enumerate(scenario.requests):
        if name in (request.source, request.destination):
            yield (
                f"pairs-{index}",
                {
                    "number": index,
                    "asks": name == request.source,
                    "peer": _peer(scenario, name, request.source, request.destination),
                    "pairs": request.pairs,
                    "minimum_fidelity": request.minimum_fidelity,
                    "at_ps": request.at_ps,
                    "priority": request.priority,
                    "pairs_per_s": request.pairs_per_s,
                    "max_time_ps": request.max_time_ps,
                    "ahead": request.ahead,
                    "every_ps": request.every_ps,
                    "delivery": list(request.delivery),
                },
            )


def _keys(scenario: Scenario, name: str) -> _Apps:
    for index, wanted in enumerate(scenario.keys):
        if name in (wanted.source, wanted.destination):
            yield (
                f"keys-{index}",
                {
                    "number": index,
                    "opens": name == wanted.source,
                    "peer": _peer(scenario, name, wanted.source, wanted.destination),
                    "session": index + 1,
                    "terms": list(wanted.terms),
                    "minimum_fidelity": wanted.minimum_fidelity,
                    "at_ps": wanted.at_ps,
                    "for_ps": wanted.for_ps,
                },
            )


def _link_loads(scenario: Scenario, name: str) -> _Apps:
    first = 0
    for index, load in enumerate(scenario.link_loads):
        link = scenario.link(load.link)
        if name in (link.a, link.b):
            end = "a" if name == link.a else "b"
            yield (
                f"load-{index}",
                {
                    "name": f"load-{index}",
                    "link": link.number,
                    "peer": _peer(scenario, name, link.a, link.b),
                    "end": end,
                    "asks": end in load.ends,
                    "ends": len(load.ends),
                    "load": load.load,
                    "for_ps": load.for_ps,
                    # Rules are there before requests: a frame's way is more than enough.
                    "delay_ps": 2 * (link.delay_a_ps + link.delay_b_ps),
                    "classes": [_row(known, first + i) for i, known in enumerate(load.classes)],
                },
            )
        first += len(load.classes)


def _row(known: LoadClass, number: int) -> dict[str, Any]:
    return {
        "number": number,
        "name": known.name,
        "kind": int(known.kind),
        "share": known.share,
        "pairs": known.pairs,
        "minimum_fidelity": round(known.minimum_fidelity * _FULL),
        "priority": known.priority,
        "bases": int(known.bases),
        "remote_bases": int(known.remote_bases),
        "atomic": known.atomic,
        "consecutive": known.consecutive,
        "max_time_ps": known.max_time_ps,
    }


def _teleport(scenario: Scenario, name: str) -> _Apps:
    teleport = scenario.teleport
    if teleport is not None and name in (teleport.source, teleport.destination):
        yield (
            "teleport",
            {
                "peer": _peer(scenario, name, teleport.source, teleport.destination),
                "sends": name == teleport.source,
                "states": list(teleport.states),
                "rounds": teleport.rounds,
                "minimum_fidelity": teleport.minimum_fidelity,
                "ahead": teleport.ahead,
                "in_flight": teleport.in_flight,
            },
        )
