"""What comes to a run from outside while it goes on: written down in ``inputs.jsonl``, each with its stamp, and done.

What may live here: the log, its reading, and what an input does to the network.  An input is stamped with the true
time at which it counts: the earliest of which nothing has been done yet.  One line each, ``do`` says what it is:

    {"t_ps": 1500, "do": "kill", "node": "mid"}       restart, freeze, thaw: likewise
    {"t_ps": 1500, "do": "fault", "kind": "loss", "value": 0.1, "at": ["west-east"], "for_ps": null}
    {"t_ps": 1500, "do": "heal", "kind": "loss", "at": ["west-east"]}
    {"t_ps": 1500, "do": "attach", "node": "west", "session": "4"}     then, of the same session, calls and its end:
    {"t_ps": 1500, "do": "call", "node": "west", "session": "4", "line": "{...}"}
    {"t_ps": 9500, "do": "hangup", "node": "west", "session": "4"}     in the middle of a call, which is given up
    {"t_ps": 9500, "do": "stir", "node": "west", "session": "4"}       at rest it has said something, or hung up
    {"t_ps": 9500, "do": "detach", "node": "west", "session": "4"}
    {"t_ps": 9900, "do": "end"}
"""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from stack.record import Recorder, spool_name
from stack.runtime.inputs import InputLog
from testbed.clock.agenda import Deed, Done, Planned
from testbed.errors import BadInput
from testbed.fault_kinds import BROKER
from testbed.lab.troubles import Troubles
from testbed.scenario import Scenario
from testbed.scenario.troubles import NoTrouble

_DEEDS = {deed.value: deed for deed in Deed}
_FOR_ALL = (Deed.FAULT.value, Deed.HEAL.value, Deed.END.value)
"""What befalls no single node."""
_WORDS = {"cut": ("cut", "mended"), "partition": ("parted", "healed"), "blind": ("blinded", "sighted")}
"""What ``events.jsonl`` calls the beginning and the end of a fault; of all others: fault, heal."""
_SMALL_WINDOW = 1 << 16


class Outside:
    """The inputs of one run, for whoever keeps its clock.  Implements ``testbed.clock.agenda.Inputs``."""

    def __init__(
        self,
        scenario: Scenario | None,
        log: InputLog | None,
        spool_dir: Path | None,
        on_troubles: Callable[[list[dict[str, Any]]], None] = lambda active: None,
        on_state: Callable[[int, str], None] = lambda node, state: None,
    ) -> None:
        """``on_troubles`` is told all that is wrong whenever that has changed, ``on_state`` which node is frozen, or up
        again."""
        self.troubles = None if scenario is None else Troubles(scenario)
        self._numbers: dict[str, int] = {}
        self._ends: dict[str, int] = {}
        if scenario is not None:
            self._numbers = {node.name: node.number for node in scenario.nodes}
            self._ends = {link.name: self._numbers[link.a] for link in scenario.links}
            self._ends |= {link.name: self._numbers[link.a] for link in scenario.classical_links}
        self._on_troubles = on_troubles
        self._on_state = on_state
        self._log = log
        self._spool_dir = spool_dir
        self._recorders: dict[int, Recorder] = {}

    def stamped(self, t_ps: int, what: Mapping[str, Any]) -> Planned:
        """An input that has just come is to count at ``t_ps``: it is written down, and this is what it does."""
        if self._log is not None:
            self._log.write(t_ps, what)
        return self.planned(t_ps, what)

    def planned(self, t_ps: int, what: Mapping[str, Any]) -> Planned:
        """What an input does; ``what`` is right, as its sender has made sure."""
        return Planned(t_ps, self._numbers.get(what.get("node", ""), 0), _DEEDS[what["do"]], what)

    def befall(self, planned: Planned) -> Done:
        """A disturbance of the network begins or is over."""
        t_ps, deed, about = planned.t_ps, planned.deed, planned.about
        if self.troubles is None or about is None:
            return Done({})
        try:
            begins = deed is Deed.FAULT
            plights, upset = self.troubles.fault(t_ps, about) if begins else self.troubles.heal(t_ps, about)
        except NoTrouble:  # healed before its time was over
            return Done({})
        self._on_troubles([trouble.facts() for trouble in self.troubles.active])
        kind, at = about.get("kind") or "all", about.get("at") or ()
        if kind != BROKER:  # whatever becomes of telemetry changes no byte
            word = _WORDS.get(kind, ("fault", "heal"))[0 if begins else 1]
            self._note(t_ps, self._node(at), word, kind=kind, at=",".join(at))
        over_ps = about.get("for_ps") if begins else None
        if over_ps is None:
            return Done(plights, upset)
        heal = {"kind": kind, "at": at, "ends_ps": t_ps + over_ps}
        return Done(plights, upset, Planned(t_ps + over_ps, 0, Deed.HEAL, heal))

    def turned(self, t_ps: int, node: int, frozen: bool) -> None:
        """A node has been frozen, or thawed."""
        self._note(t_ps, node, "frozen" if frozen else "thawed")
        self._on_state(node, "frozen" if frozen else "up")

    def _note(self, t_ps: int, node: int, event: str, **about: str) -> None:
        """A line of ``events.jsonl``."""
        if self._spool_dir is None or not node:
            return
        recorder = self._recorders.get(node)
        if recorder is None:
            path = self._spool_dir / spool_name(node, 1, "-inputs")
            recorder = self._recorders[node] = Recorder(path, node, 1, _SMALL_WINDOW)
        recorder.event(t_ps, "lab", event, **about)

    def close(self) -> None:
        for recorder in self._recorders.values():
            recorder.close()

    def _node(self, at: tuple[str, ...] | list[str]) -> int:
        """Under which node a disturbance stands in the trace."""
        for name in at:
            if name in self._ends or name in self._numbers:
                return self._ends.get(name) or self._numbers[name]
        return min(self._numbers.values(), default=0)


def read_inputs(path: Path) -> list[dict[str, Any]]:
    """What came to a run, for :meth:`Outside.planned`, in the order of its time, each with its ``line`` in the file;
    nothing if there is no such file.  A program's calls stand with its attaching.  Raises BadInput."""
    inputs: list[dict[str, Any]] = []
    attached: dict[str, dict[str, Any]] = {}
    try:
        text = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise BadInput(path, "file", error.strerror or str(error), "name the folder of a finished run") from None
    for number, line in enumerate(text.splitlines(), 1):
        try:
            found = json.loads(line)
            what, t_ps = found["do"], found["t_ps"]
            if type(t_ps) is not int or t_ps < 0:
                raise ValueError
            if what in ("call", "detach"):
                attached[found["session"]]["calls"].append((t_ps, found["line"] if what == "call" else ""))
            elif what in _DEEDS:
                inputs.append(found | {"line": number})
                if what == "attach":
                    inputs[-1]["calls"] = []
                    attached[found["session"]] = inputs[-1]
                elif what in ("hangup", "stir") and found["session"] not in attached:
                    raise ValueError
            else:
                raise ValueError
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            remedy = "it is as a run has left it, or not of use"
            raise BadInput(path, f"line {number}", "it is no input of a run", remedy) from None
    return sorted(inputs, key=lambda one: one["t_ps"])


def check_inputs(path: Path, inputs: Iterable[Mapping[str, Any]], scenario: Scenario) -> None:
    """Whether this network can have what ``read_inputs`` has found: a person may have written it.  Raises BadInput."""
    troubles = Troubles(scenario)
    names = [node.name for node in scenario.nodes]
    for one in inputs:
        place = f"line {one['line']}"
        try:
            if one["do"] == Deed.FAULT.value:
                troubles.checked(one)
            elif one["do"] == Deed.HEAL.value:
                at = one.get("at", [])
                if not isinstance(at, list) or not all(isinstance(name, str) for name in at):
                    raise NoTrouble("heal", "where it is to be must be a list of names", "name links or nodes")
            elif one["do"] not in _FOR_ALL and one.get("node") not in names:
                known = ", ".join(names)
                raise NoTrouble(one["do"], f"there is no {one.get('node')!r:.40}", f"name one of {known:.200}")
        except NoTrouble as no:
            raise BadInput(path, f"{place}, {no.place}", no.problem, no.remedy) from None


__all__ = ["Outside", "check_inputs", "read_inputs"]
