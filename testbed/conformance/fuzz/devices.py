"""The quantum plane under commands of every kind, from every node: device programs, trains, listens, and bytes.

What may live here: that loop.  What must hold is DEV-3 and DEV-5 as far as it holds of any command: at most one answer
to each, never before 1 ns after it, and nothing breaks.
"""

from pathlib import Path
from random import Random
from typing import Any, Final

import testbed
from protocols.wire import ProtocolId
from testbed.conformance.fuzz.coverage import Coverage
from testbed.conformance.fuzz.messages import Messages
from testbed.conformance.fuzz.report import Finding, Tally
from testbed.plan.compose import PlaneSpec
from testbed.scenario import load_scenario

EPISODE: Final = 2_000
_SCENARIOS: Final = Path(next(iter(testbed.__path__))) / "scenarios"
WORLDS: Final = ("two-qpus.yaml", "data-centre.yaml")
LEAST_ANSWER_PS: Final = 1_000
_STEPS: Final = 40
"""Events of the plane that may happen between two commands."""


def fuzz_devices(commands: int, seed: int = 1) -> Tally:
    """So many commands.  The same seed does the same."""
    random = Random(f"fuzz devices {seed}")
    messages = Messages(ProtocolId.DEVICE, random)
    specs = [PlaneSpec(load_scenario(_SCENARIOS / name), seed) for name in WORLDS]
    findings: list[Finding] = []
    sent = episode = 0
    with Coverage() as coverage:
        while sent < commands:
            number = min(EPISODE, commands - sent)
            life = _Life(specs[episode % len(specs)].build(), messages, random)
            try:
                life.run(number)
            except Exception as error:
                what = f"{type(error).__name__}: {error}"
                name = f"DEVICE in {WORLDS[episode % len(WORLDS)]}"
                findings.append(Finding(name, episode, life.sequence, what, life.last))
            sent += number
            episode += 1
        lines = coverage.lines
    return Tally("DEVICE", sent, 0, lines, tuple(findings))


class _Life:
    """One plane."""

    def __init__(self, plane: Any, messages: Messages, random: Random) -> None:
        self.sequence = 0
        self.last = ""
        self._plane = plane
        self._messages = messages
        self._random = random
        self._now = 0
        self._asked: dict[tuple[int, int], int] = {}

    def run(self, commands: int) -> None:
        plane, random, messages = self._plane, self._random, self._messages
        nodes = sorted(plane.config.nodes)
        for _ in range(commands):
            node = random.choice(nodes)
            for handle in plane.handles(node):
                messages.know(qubit=handle, qubit_a=handle, qubit_b=handle)
            link = random.choice(sorted(plane.config.links))
            slot_ps = plane.config.links[link].slot_ps
            messages.know(link=link, slot=self._now // slot_ps + random.randrange(40))
            message = messages.message()
            body = messages.body(message)
            self.last = f"node {node}: {message} {body.hex()}"
            self.sequence += 1
            self._now += random.choice((0, 1, 1_000, 10**6, 10**8))
            self._until(self._now)
            self._asked[node, self.sequence] = self._now
            plane.submit(node, self._now, self.sequence, message.MESSAGE, body)

    def _until(self, now: int) -> None:
        """What happens before a moment; a busy link is not followed to its end."""
        plane = self._plane
        for _ in range(_STEPS):
            due = plane.next_ps()
            if due >= now:
                return
            plane.step()
            for answer in plane.take_answers():
                asked = self._asked.pop((answer.node, answer.sequence), None)
                if asked is None:
                    raise AssertionError(f"{answer} answers nothing, or again")
                if answer.due_ps < asked + LEAST_ANSWER_PS:
                    raise AssertionError(f"{answer} comes too soon after {asked}")
        self._now = max(self._now, min(plane.next_ps(), now))
