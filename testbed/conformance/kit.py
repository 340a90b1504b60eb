"""The kit at work: every script in its scene, on a ground, and a verdict for every requirement.

What may live here: running scripts and joining their results.  How they are shown is `report`'s business.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import trio

from testbed.conformance.catalogue import Requirement
from testbed.conformance.ground import Gone, NotSupported
from testbed.conformance.mutants import Mutant
from testbed.conformance.results import FAIL, INCONCLUSIVE, NOT_SUPPORTED, PASS, Result, Verdict
from testbed.conformance.scene import MS
from testbed.conformance.scripts import Act, Script
from testbed.conformance.simulated import SimulatedGround
from testbed.conformance.sockets import CommandGround, UdpGround
from testbed.conformance.stage import NotMet, Stage, Undecided
from testbed.conformance.traces.tape import Tape

AT_ONCE: Final = 6
"""Scripts that run side by side on the wall clock: they mostly wait."""

ALONE: Final = 4
"""How often one that has failed beside others is performed alone: what fails then, too, fails."""

LINGER_PS: Final = 3_000 * MS

PATIENCE_S: Final = 20
"""How long a script that is to be performed alone waits for a host that is not busy."""

Perform = Callable[[Callable[[], Awaitable[None]]], Awaitable[None]]


class Trial(NamedTuple):
    """What came of a mutant."""

    mutant: Mutant
    caught_by: str | None
    why: str


def simulate(script: Script, tape: Tape | None = None) -> Result:
    """One script, with our own node in emulated time; what is said there goes onto the tape."""
    if script.scene.role == "devices":
        from testbed.conformance.devices import Bench  # the quantum plane takes its time to load

        bench = Bench(script.scene)
        return trio.run(_performed, script, bench, bench.perform)
    ground = SimulatedGround(script.scene, tape)
    stage = Stage(script.scene, ground)
    if tape is not None:
        script = script._replace(act=partial(_lingering, script.act))
    result = trio.run(_performed, script, stage, ground.perform, clock=ground.trio_clock)
    if tape is not None:
        tape.end_ps = stage.now
    return result


async def _lingering(act: Act, stage: Stage) -> None:
    """What a node does not say is seen only some time later."""
    try:
        await act(stage)
    except NotMet:
        with suppress(NotMet):
            await stage.wait(LINGER_PS)
        raise


def simulate_all(scripts: Iterable[Script]) -> list[Result]:
    return [simulate(script) for script in scripts]


def hunt(mutant: Mutant, scripts: Iterable[Script]) -> Trial:
    """Try a mutant with the scripts that decide its requirement, until one catches it."""
    for script in scripts:
        if mutant.breaks in script.decides:
            with mutant.spoil():
                result = simulate(script)
            if result.verdict == FAIL:
                return Trial(mutant, script.name, result.why)
    return Trial(mutant, None, "every script passed")


async def try_command(
    scripts: Sequence[Script], command: list[str], log: Path, heard: Callable[[Result], None] = lambda result: None
) -> list[Result]:
    """Scripts against an implementation that is started anew for each; its standard error goes to ``log``."""
    results: dict[str, Result] = {}
    limit = trio.CapacityLimiter(AT_ONCE)
    with log.open("ab") as errors:

        async def perform(script: Script) -> Result:
            ground = CommandGround(script.scene, command, errors)
            return await _performed(script, Stage(script.scene, ground), ground.perform)

        async def one(script: Script) -> None:
            async with limit:
                if script.patient:
                    result = _left_out(script, "it takes many minutes on the wall clock")
                elif script.emulated:
                    result = _left_out(script, "its times are finer than a host keeps them")
                else:
                    result = await perform(script)
                results[script.name] = result
                if result.verdict != FAIL:
                    heard(result)

        async with trio.open_nursery() as nursery:
            for script in scripts:
                nursery.start_soon(one, script)
        for script in scripts:
            if results[script.name].verdict == FAIL:
                results[script.name] = await _again(script, perform)
                heard(results[script.name])
    return [results[script.name] for script in scripts]


async def _again(script: Script, perform: Callable[[Script], Awaitable[Result]]) -> Result:
    """What failed beside others is performed alone: a busy host is not held against an implementation."""
    for turn in range(1, 1 + ALONE):
        await _calm()
        result = await perform(script)
        if result.verdict != FAIL:
            return result._replace(why=f"{result.why} (at try {turn + 1}, alone)".strip())
    return result


async def _calm() -> None:
    """Until this process has been woken in time for a while, or for some seconds in vain: others work here, too."""
    with trio.move_on_after(PATIENCE_S):
        in_time = 0
        while in_time < 50:
            due = trio.current_time() + 0.01
            await trio.sleep_until(due)
            in_time = in_time + 1 if trio.current_time() - due < 0.01 else 0


async def try_address(
    scripts: Sequence[Script],
    address: tuple[str, int],
    ports: dict[int, int],
    key: bytes | None,
    heard: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """What can be decided from outside, one script after the other: the implementation lives on."""
    results = []
    for script in scripts:
        if not script.outside:
            result = _left_out(script, "it cannot be decided from outside")
        else:
            scene = replace(script.scene, secret=key)
            ground = UdpGround(scene, address, ports)
            result = await _performed(script, Stage(scene, ground), ground.perform)
        results.append(result)
        heard(result)
    return results


async def _performed(script: Script, stage: Any, perform: Perform) -> Result:
    verdict, why = PASS, ""

    async def act() -> None:
        await script.act(stage)

    try:
        await perform(act)
    except* NotMet as group:
        verdict, why = FAIL, str(_first(group))
    except* Undecided as group:
        verdict, why = INCONCLUSIVE, str(_first(group))
    except* NotSupported as group:
        verdict, why = NOT_SUPPORTED, str(_first(group))
    except* Gone as group:
        verdict, why = FAIL, f"the implementation is gone: {_first(group)}"
    return Result(script.name, script.decides, verdict, why, tuple(stage.evidence))


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _left_out(script: Script, why: str) -> Result:
    return Result(script.name, script.decides, INCONCLUSIVE, why, ())


def judge(requirements: Iterable[Requirement], results: Iterable[Result]) -> list[Verdict]:
    """A verdict for every requirement: fail if any script failed; pass if all that could decide it passed."""
    by_id: dict[str, list[Result]] = {}
    for result in results:
        for name in result.decides:
            by_id.setdefault(name, []).append(result)
    return [_verdict(requirement, by_id.get(requirement.id, [])) for requirement in requirements]


def _verdict(requirement: Requirement, results: list[Result]) -> Verdict:
    scripts = tuple(result.script for result in results)
    for verdict in (FAIL, PASS, INCONCLUSIVE, NOT_SUPPORTED):
        first = next((result for result in results if result.verdict == verdict), None)
        if first is not None:
            return Verdict(requirement, verdict, first.why, scripts)
    return Verdict(requirement, INCONCLUSIVE, requirement.reason or "nothing here decides it", scripts)
