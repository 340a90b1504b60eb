"""Programs that come from outside, as inputs of a run and beside a testbed in virtual time.

What may live here: their sessions, what they have left in ``inputs.jsonl``, and runs to which such a file comes.
"""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from command_lab import PATIENCE_S, three
from engine_lab import Ran, local, virtual
from slice_lab import IDEAL, PERFECT, two_qpus, write_and_load

from testbed import Testbed, TestbedError
from testbed.cli import main
from testbed.lab.inputs import Outside, read_inputs
from testbed.plan.compose import compose
from testbed.standing.places import place

MS = 10**9


def qpus(**top: Any) -> dict[str, Any]:
    """Whose network has nothing to do by itself."""
    return two_qpus({}, IDEAL, PERFECT, **top)


def call(name: str, **arguments: Any) -> str:
    return json.dumps({"call": name, "args": arguments})


WAITS = [call("hello"), call("listen", port=20), call("accept", port=20)]
"""For a program that never comes."""


# ------------------------------------------------------------ as inputs of a run, in every placement


def both(folder: Path, processes: int | None, *inputs: tuple[int, str, dict[str, Any]]) -> Ran:
    """A run of two QPUs to which this comes, and its end after 9 ms; equal in one process and in many.

    (ms, do, about): of an ``attach`` at ``west`` the session and its calls, all of which it would make at once."""
    folder.mkdir(exist_ok=True)
    path = folder / "inputs.jsonl"
    lines = []
    for ms, do, about in (*inputs, (9, "end", {})):
        calls = about.pop("calls", [])
        lines.append({"t_ps": ms * MS, "do": do, "node": "west"} | about)
        lines += [lines[-1] | ({"do": "call", "line": line} if line else {"do": "detach"}) for line in calls]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    scenario, _ = write_and_load(qpus(), folder / "text")
    outside = Outside(scenario, None, None)
    told = tuple(outside.planned(one["t_ps"], one) for one in read_inputs(path))
    plan = replace(compose(scenario, "local", []), inputs=told)
    ran = local(plan, folder / "local")
    many = virtual(plan, folder / "virtual", processes)
    assert many.bytes == ran.bytes
    assert many.outcome.results == ran.outcome.results
    return ran


def when(ran: Ran, event: str, session: int) -> list[int]:
    """At which milliseconds."""
    return [e["t_ps"] // MS for e in ran.events(event) if e["session"] == session]


def program(session: str, *calls: str) -> dict[str, Any]:
    """Its calls; an empty one is its end."""
    return {"session": session, "calls": list(calls)}


# ------------------------------------------------------------ beside a testbed


@contextmanager
def brought_up(folder: Path, clock: str = "virtual", **more: Any) -> Iterator[Testbed]:
    """A testbed of those two, called ``one``, which is down afterwards, whoever has the floor."""
    path = folder / "scenario.yaml"
    path.write_text(yaml.safe_dump(qpus(), sort_keys=False))
    up = Testbed(path, name="one", clock=clock, out=folder / "out", folder=folder, **more)
    try:
        yield up
    finally:
        with suppress(TestbedError):
            up.down(force=True)


def comes(bed: Testbed, node: str, *lines: str) -> socket.socket:
    """A program that finds its own way, and says all at once."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(PATIENCE_S)
    sock.connect(str(place(bed.name, bed.out.parent).door(node)))
    says(sock, *lines)
    return sock


def says(sock: socket.socket, *lines: str) -> None:
    sock.sendall("".join(line + "\n" for line in lines).encode())


def answers(sock: socket.socket, number: int) -> list[Any]:
    with sock.makefile("rb") as stream:
        return [json.loads(stream.readline())["value"] for _ in range(number)]


def inputs(bed: Testbed) -> list[dict[str, Any]]:
    """What has come to it."""
    path = bed.out / "inputs.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def written(bed: Testbed, do: str) -> int:
    """How many such inputs have come to it."""
    return sum(one["do"] == do for one in inputs(bed))


def asked(bed: Testbed) -> list[str]:
    """The names of all calls that have come to it."""
    return [json.loads(one["line"])["call"] for one in inputs(bed) if one["do"] == "call"]


def eventually(true: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def comes_again(out: Path, folder: Path, *clocks: str) -> None:
    """The run that left ``out`` is done again to the byte, under each of these clocks."""
    for clock in clocks:
        again = folder / clock
        assert main(["run", "--replay", str(out), "--clock", clock, "--out", str(again)]) == 0
        assert three(again) == three(out)
