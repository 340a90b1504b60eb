"""What must hold of every run of the whole stack, whatever network it was and whatever went wrong.

What may live here: the run of one scenario, and the account of it, from what its nodes hold at the end, from its
events, and from what the oracle saw.  The scenarios are in any_network.py; what their grades promise, in
any_hardware.py.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

from any_hardware import IDEAL, REAL
from any_network import WORST
from slice_lab import Slice, leaks, run_slice

from stack.node import Node
from testbed.clock.local import LocalHost

MOST_TURNS = 400_000
"""Turns of the pump after which a run is taken to go round in circles; the longest honest ones take a tenth."""


class GoesRound(AssertionError):
    """A run that does not come to its end."""


def run_whole(text: dict[str, Any], folder: Path) -> Slice:
    """Run it and keep its events."""

    def watched(host: LocalHost) -> None:
        refill, turns = host.refill, 0

        def counting() -> bool:
            nonlocal turns
            turns += 1
            if turns > MOST_TURNS:
                raise GoesRound(f"still busy at {host.true_now * 1e-12:.6f} s")
            return refill()

        host.refill = counting  # type: ignore[method-assign]

    return run_slice(text, folder, record=True, on_host=watched)


def wrong(ran: Slice) -> list[str]:
    """Everything about this run that should not be so, one sentence each."""
    return [*_end(ran), *_rest(ran), *Account(ran).wrong(), *_results(ran)]


def _end(ran: Slice) -> list[str]:
    found = []
    if not ran.finished:
        running = {node: r["running"] for node, r in ran.outcome.results.items() if r.get("running")}
        found.append(f"still running at the end: {running}")
    if ran.outcome.stuck:
        found.append("nothing was left to happen before the work was done")
    return found


def _living(ran: Slice) -> list[Node]:
    return [lives[-1] for lives in ran.lives.values() if lives[-1].kernel.alive]


def _rest(ran: Slice) -> list[str]:
    """Every memory is free, no layer of a living node remembers work."""
    found = []
    for node in _living(ran):
        if node.config.device is None or not hasattr(node, "network"):
            continue  # or it has a new life, and was still setting its clock when the run ended
        found += leaks(node)
        for circuit in node.network._driver.machine._book.each():
            found.append(f"{node.config.name}: a circuit of node {circuit.install.head} is {circuit.phase.name}")
        for link, end in node.link._driver.machine._links.items():
            waiting = list(end.requests.open)
            if waiting:
                found.append(f"{node.config.name}: link {link} has requests in its queue: {waiting}")
    return found


class Account:
    """Every pair that was handed up, at whichever node, in order of time."""

    def __init__(self, ran: Slice) -> None:
        self._ran = ran
        self._numbers = {node.name: node.number for node in ran.scenario.nodes}
        self._spent = {(e["node"], e["qubit"]): e for e in ran.outcome.plane["spent"]}
        self._deaths: dict[str, list[int]] = defaultdict(list)
        self._pairs: list[dict[str, Any]] = []
        self._lost: list[dict[str, Any]] = []
        self._open: dict[tuple[str, int, int], int] = {}
        self._broken: dict[str, list[int]] = defaultdict(list)
        for event in ran.all_events():
            match event["event"]:
                case "pair" if event["layer"] == "network":
                    self._pairs.append(event)
                case "pair lost" if event["layer"] == "network":
                    self._lost.append(event)
                case "request opened" if event["layer"] == "network":
                    self._open[event["node"], event["head"], event["request"]] = event["t_ps"]
                case "request ended":
                    self._open.pop((event["node"], event["head"], event["request"]), None)
                case "circuit closed":
                    if event["fate"] != "FINISHED":
                        self._broken[event["node"]].append(event["t_ps"])
                case "killed":
                    self._deaths[event["node"]].append(event["t_ps"])
                    self._open = {key: at for key, at in self._open.items() if key[0] != event["node"]}

    def wrong(self) -> list[str]:
        """See :func:`wrong`."""
        return [*self._requests(), *self._ebits(), *self._both_ends(), *self._states()]

    def _requests(self) -> list[str]:
        return [
            f"{node}: request {request} of node {head}, opened at {at} ps, has no end"
            for (node, head, request), at in self._open.items()
        ]

    def _ebits(self) -> list[str]:
        """No half was handed up twice: a handle names one state of one qubit for ever."""
        found, seen = [], set()
        for pair in self._pairs:
            place = pair["node"], pair["qubit"]
            if place in seen:
                found.append(f"{pair['node']}: qubit {pair['qubit']:#x} was handed up twice")
            seen.add(place)
        return found

    def _identity(self, pair: dict[str, Any]) -> tuple[int, int, int]:
        """The head's number, its incarnation when the pair was handed up, the head's number for the pair."""
        (head,) = [name for name, number in self._numbers.items() if number == pair["head"]]
        return pair["head"], sum(at <= pair["t_ps"] for at in self._deaths[head]), pair["pair_id"]

    def _both_ends(self) -> list[str]:
        """Each pair once at each end, or taken back, or in doubt: the circuit broke before the other end knew."""
        found: list[str] = []
        ends: dict[tuple[int, int, int], dict[str, dict[str, Any]]] = defaultdict(dict)
        for pair in self._pairs:
            mine = ends[self._identity(pair)]
            if pair["node"] in mine:
                found.append(f"{pair['node']}: pair {self._identity(pair)} was handed up twice")
            mine[pair["node"]] = pair
        lost = {(self._identity(event), event["node"]) for event in self._lost}
        for identity, mine in ends.items():
            if len(mine) == 2:
                a, b = mine.values()
                if a["bell_index"] != b["bell_index"]:
                    indexes = f"{a['bell_index']} at {a['node']}, {b['bell_index']} at {b['node']}"
                    found.append(f"pair {identity} is {indexes}")
                continue
            (node,) = mine
            if (identity, node) not in lost and not self._in_doubt(mine[node]):
                found.append(f"pair {identity} was handed up at {node} alone, and not taken back")
        return found

    def _in_doubt(self, pair: dict[str, Any]) -> bool:
        """Did its circuit break before the other end could tell?"""
        return any(at >= pair["t_ps"] for at in self._broken[pair["node"]])

    def _states(self) -> list[str]:
        """A pair is in the Bell state that its end was told, or in none more likely, with the half of the other end."""
        found = []
        lost = {(event["node"], event["head"], event["pair_id"]) for event in self._lost}
        handed = {(self._numbers[pair["node"]], pair["qubit"]): pair for pair in self._pairs}
        for place, pair in handed.items():
            spent = self._spent.get(place)
            if spent is None or (pair["node"], pair["head"], pair["pair_id"]) in lost:
                continue
            other = spent["other"] and handed.get(tuple(spent["other"]))
            if other is not None and self._identity(other) != self._identity(pair):
                found.append(f"pair {self._identity(pair)} is entangled with pair {self._identity(other)}")
            if not self._as_told(spent["fidelities"], pair["bell_index"]):
                found.append(
                    f"{pair['node']}: pair {self._identity(pair)} of {pair['t_ps']} ps, said to be"
                    f" {pair['bell_index']}, has fidelities {spent['fidelities']}"
                )
        return found

    def _as_told(self, fidelities: list[float], index: int) -> bool:
        grade = self._ran.scenario.description
        if grade == REAL:
            return True
        return fidelities[index] >= (1 if grade == IDEAL else max(fidelities)) - 1e-9


def _must_succeed(ran: Slice) -> bool:
    """Nothing was planned to break, memories suffice, no clock has to be set before its node is up, and end to end no
    more frames are lost than over one link."""
    scenario = ran.scenario
    whole = min((1 - channel.faults.loss) * (1 - channel.faults.corrupt) for channel in scenario.channels)
    calm = not scenario.faults and not scenario.circuits.method and scenario.time_sync is None
    return calm and whole ** min(4, len(scenario.links)) >= 1 - WORST


def _results(ran: Slice) -> list[str]:
    """What programs hold: each teleported qubit once or known to be lost, work that is done where no fault was
    planned; with ideal devices, states as they were sent and no outcome that the circuit cannot have."""
    found = [*_teleported(ran)]
    if ran.scenario.description == IDEAL:
        found += _ideal_results(ran)
    if _must_succeed(ran):
        for node, results in ran.outcome.results.items():
            for app, result in results.items():
                if isinstance(result, dict) and result.get("failed", "TIMEOUT") not in ("TIMEOUT", "PREEMPTED"):
                    found.append(f"{node}: {app} failed, {result['failed']}")
    return found


def _teleported(ran: Slice) -> list[str]:
    asked = ran.scenario.teleport
    if asked is None:
        return []
    sent, came = (ran.outcome.results[node].get("teleport", {}) for node in (asked.source, asked.destination))
    if not sent or not came or "failed" in sent or "failed" in came:
        return []
    arrived = sum(n for n, _ in came["states"].values())
    told = sent["delivered"], sent["sent"] - sent["delivered"]
    if told != (arrived, came["lost"]) or sent["sent"] != asked.rounds * len(asked.states):
        return [f"of {sent['sent']} qubits {told} were said to be delivered, lost; {arrived, came['lost']} were"]
    return []


def _ideal_results(ran: Slice) -> list[str]:
    found = []
    for node, results in ran.outcome.results.items():
        for state, (n, right) in results.get("teleport", {}).get("states", {}).items():
            if n != right:
                found.append(f"{node}: {n - right} of {n} teleported {state} were something else")
    if ran.jobs and all("job-0" in ran.outcome.results[node] for node in ran.jobs[0].programs):
        counts, _ = ran.shots()
        if strange := set(counts) - {"0000", "1111"}:
            found.append(f"a GHZ state was read as {sorted(strange)}")
    return found
