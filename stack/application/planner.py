"""Where a controller puts a job: the compiler, over the network as the controller knows it.

What may live here: the translation between ``protocols.job.service.Planner`` and the compiler.
"""

import json
from collections import Counter
from collections.abc import Mapping
from math import inf

from protocols.job.service import Apart, Order, Part
from stack.application.compiler.circuit import Circuit
from stack.application.compiler.cut import DoesNotFit, cut, promising
from stack.application.compiler.steps import Step, write
from stack.application.compiler.ways import Distance
from stack.application.jobs import ways_of


class CutPlanner:
    """An order's circuit is a ``Circuit``.  ``distances``: what a pair between two QPUs costs; ``communication``: how
    many qubits each has for pairs."""

    def __init__(self, distances: Mapping[int, Mapping[int, float]], communication: Mapping[int, int]) -> None:
        self._distances = distances
        self._communication = communication

    def unfit(self, order: Order, rooms: Mapping[int, int], apart: Apart) -> str:
        try:
            promising(order.qubits, _with_room(rooms), self._distance(apart))
        except DoesNotFit as error:
            return str(error)
        return ""

    def place(self, order: Order, rooms: Mapping[int, int], apart: Apart) -> dict[int, Part]:
        circuit: Circuit = order.circuit
        seats, woven = cut(circuit, _with_room(rooms), self._distance(apart))
        programs = write(woven.pieces, seats)
        ahead = min(order.ahead, self._pairs_ahead(programs.steps)) if order.ahead else 0
        parts = {}
        for node, steps in sorted(programs.steps.items()):
            clbits = programs.results.get(node, [])
            told = {"steps": steps, "clbits": clbits, "minimum_fidelity": order.minimum_fidelity, "ahead": ahead}
            parts[node] = Part(json.dumps(told, separators=(",", ":")).encode(), tuple(clbits))
        return parts

    def _pairs_ahead(self, programs: Mapping[int, list[Step]]) -> int:
        """How many pairs can wait on each way that these programs do gates over.  With more than there is room for one
        way might take the qubit that another needs first, and nodes would wait for each other for ever."""
        ways = {way for node, steps in programs.items() for way in ways_of(node, steps)}
        at = Counter(node for way in ways for node in way)
        return min((self._communication[node] // number for node, number in at.items()), default=0)

    def _distance(self, apart: Apart) -> Distance:
        def distance(a: int, b: int) -> float:
            if a == b:
                return 0.0
            if (min(a, b), max(a, b)) in apart:
                return inf
            return self._distances.get(a, {}).get(b, inf)

        return distance


def _with_room(rooms: Mapping[int, int]) -> dict[int, int]:
    return {node: room for node, room in rooms.items() if room}
