"""The second implementation and our own node on one link: they make pairs, and both ends must say the same of each.

What may live here: the processes, the frames between them (delayed, and some lost), their devices (a quantum plane on
the wall clock) and their users, who compare what they were told.
"""

import argparse
import heapq
import json
import random
import selectors
import socket
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from protocols.device import Durations
from testbed.conformance import bus
from testbed.conformance.devices import ToldLink
from testbed.conformance.scene import LinkRow, Scene
from testbed.plane import BELL_KETS, DeviceModel, LinkConfig, Plane, PlaneConfig

MS = 10**9
DELAY_PS = 5 * MS
SLOT_PS = 4 * MS
ARM_PS = 4 * MS
ATTEMPT_PS = MS // 2
SUCCESS = 0.5
LEAD_NS = 500_000_000  # our nodes boot when they have been told when time 0 is
LINK, PURPOSE, STATION, ENDS = 1, 0xFF07, 3, (1, 2)
PSI_PLUS = 2
QUARTER = 1 << 30
_PATIENCE_S = 100  # on a machine that has much else to do
OURS = [sys.executable, "-m", "testbed.conformance.iut"]
SECOND = [sys.executable, str(Path(__file__).parent / "node.py")]
ARRANGEMENTS = {
    "ours leads, our station": {1: OURS, 2: SECOND, 3: OURS},
    "the second leads, its own station": {1: SECOND, 2: OURS, 3: SECOND},
    "both ends ours, the second's station": {1: OURS, 2: OURS, 3: SECOND},
}


class Fair(ToldLink):
    """|Ψ+⟩ or |Ψ−⟩, as often as the station says that it heralds."""

    attempt_ps = ATTEMPT_PS

    def draw_attempts(self, rng: Any, alpha: float) -> int:
        return int(rng.geometric(SUCCESS))

    def draw_state(self, rng: Any, alpha: float) -> Any:
        bell = int(rng.integers(2, 4))
        return bell, np.outer(BELL_KETS[bell], BELL_KETS[bell].conj())


class Differ(Exception):
    """The ends do not say the same, or nothing comes."""


@dataclass
class User:
    """Above one end: what it has been told, by sequence (what was taken back is gone); what it still waits for."""

    told: dict[int, dict[str, Any]] = field(default_factory=dict)
    asked: deque[int] = field(default_factory=deque)
    """Pairs of requests that have no create_id yet."""
    open: dict[int, int] = field(default_factory=dict)
    """Pairs of its own requests that are still to come, by create_id."""
    errors: list[str] = field(default_factory=list)

    def waits(self) -> bool:
        return bool(self.asked) or any(self.open.values())


class Meeting:
    """Three processes, for as long as it takes to make so many pairs of a kind."""

    def __init__(self, commands: dict[int, list[str]], loss: float, seed: int) -> None:
        self.loss, self.random = loss, random.Random(seed)
        self.users = {node: User() for node in ENDS}
        durations = Durations(1_000, 1_000, 1_000, 1_000, 1_000)
        nodes = {**dict.fromkeys(ENDS, DeviceModel(0, 2, durations=durations)), STATION: None}
        link = LinkConfig(*ENDS, STATION, SLOT_PS, ARM_PS, ARM_PS, Fair((-ARM_PS, -ARM_PS)))
        self.plane = Plane(PlaneConfig(seed, nodes, {LINK: link}), oracle=True)
        self.executed = 0
        self.bus: dict[int, Any] = {}
        self.due: list[tuple[int, int, Callable[[], None]]] = []
        self.order = count()
        self.frames = self.lost = 0
        self.selector = selectors.DefaultSelector()
        self.sockets = {(node, as_node): self._socket() for node in commands for as_node in commands}
        self.where: dict[int, tuple[str, int]] = {}
        self.processes = {node: subprocess.Popen(c, 0, stdin=-1, stdout=-1) for node, c in commands.items()}
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _socket() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind(("127.0.0.1", 0))
        made.setblocking(False)
        return made

    def _start(self) -> None:
        for node in self.processes:
            self._say(node, {"configure": self._configuration(node)})
        for node, process in self.processes.items():
            assert process.stdout is not None
            host, port = json.loads(process.stdout.readline())["ready"]["address"]
            self.where[node] = (host, port)
        self.epoch_ns = time.monotonic_ns() + LEAD_NS
        start = {"monotonic_ns": self.epoch_ns, "unix_ns": time.time_ns() + LEAD_NS}
        for node, process in self.processes.items():
            self._say(node, {"start": start})
            self.selector.register(process.stdout, selectors.EVENT_READ, lambda n=node: self._hear(n))
        for (node, as_node), sock in self.sockets.items():
            act = self._command if node == as_node else self._frame
            self.selector.register(sock, selectors.EVENT_READ, lambda a=act, n=node, m=as_node: a(n, m))
        for node, other in (ENDS, ENDS[::-1]):
            self._say(node, {"do": "recv", "remote": other, "purpose": PURPOSE})
        self._run(lambda: self.now() >= 0, 10)

    def _configuration(self, node: int) -> dict[str, Any]:
        role, qubits = ("station", 0) if node == STATION else ("end", 2)
        others = tuple(peer for peer in self.processes if peer != node)
        scene = Scene("talk", role, node, others, (LinkRow(LINK, *ENDS, STATION),), qubits, success_probability=SUCCESS)
        told = scene.configuration()
        told["allowance_ps"] = DELAY_PS
        told["links"][0] |= {"slot_ps": SLOT_PS, "arm_a_ps": ARM_PS, "arm_b_ps": ARM_PS, "attempt_ps": ATTEMPT_PS}
        for peer in others:
            address = list(self.sockets[node, peer].getsockname())
            told["peers"][str(peer)] |= {"delay_ps": DELAY_PS, "address": address}
        return told | {"devices": list(self.sockets[node, node].getsockname())}

    def _say(self, node: int, line: dict[str, Any]) -> None:
        stdin = self.processes[node].stdin
        assert stdin is not None
        stdin.write(json.dumps(line).encode() + b"\n")
        stdin.flush()

    def now(self) -> int:
        return (time.monotonic_ns() - self.epoch_ns) * 1000

    def at(self, due: int, act: Callable[[], None]) -> None:
        heapq.heappush(self.due, (due, next(self.order), act))

    # What comes to the nodes.

    def _frame(self, source: int, destination: int) -> None:
        frame = self.sockets[source, destination].recv(2048)
        self.frames += 1
        if self.random.random() < self.loss:
            self.lost += 1
            return
        sock, where = self.sockets[destination, source], self.where[destination]
        self.at(self.now() + DELAY_PS, lambda: sock.sendto(frame, where))  # type: ignore[arg-type,return-value]

    def _command(self, node: int, _: int) -> None:
        datagram, self.bus[node] = self.sockets[node, node].recvfrom(bus.MOST_BYTES)
        self.plane.submit(node, max(self.now(), self.executed, 0), *bus.unpack(datagram))

    def _devices(self) -> None:
        while self.plane.next_ps() <= self.now():
            self.executed = self.plane.next_ps()
            self.plane.step()
            for answer in self.plane.take_answers():
                packet = bus.pack(answer.sequence, answer.message, answer.body)
                sock, where = self.sockets[answer.node, answer.node], self.bus[answer.node]
                self.at(answer.due_ps, lambda s=sock, p=packet, w=where: s.sendto(p, w))  # type: ignore[misc]

    # What they say.

    def _hear(self, node: int) -> None:
        stdout = self.processes[node].stdout
        assert stdout is not None
        line = stdout.readline()
        if not line:
            raise SystemExit(f"node {node} has ended with {self.processes[node].wait()}")
        facts, user = json.loads(line), self.users[node]
        match facts["event"]:
            case "created":
                user.open[facts["create_id"]] = user.asked.popleft()
            case "ok":
                if facts["origin"] == node:
                    user.open[facts["create_id"]] -= 1
                user.told[facts["sequence"]] = facts
                if "qubit" in facts:
                    self._say(node, {"do": "release", "qubit": facts["qubit"]})
            case "err":
                user.errors.append(facts["code"])
                if facts["origin"] == node:
                    user.open[facts["create_id"]] = 0
                if facts["code"] == "EXPIRE" and facts.get("sequence_low") is not None:
                    low, high = facts["sequence_low"], facts["sequence_high"]
                    for sequence in [s for s in user.told if low <= s <= high]:
                        del user.told[sequence]
            case "broken":
                user.errors.append("broken")

    def _run(self, until: Callable[[], bool], patience_s: float) -> bool:
        """Let time pass; False if it does not come to that."""
        end = time.monotonic() + patience_s
        while not until():
            if time.monotonic() > end:
                return False
            self._devices()
            while self.due and self.due[0][0] <= self.now():
                heapq.heappop(self.due)[2]()
            first = min(self.plane.next_ps(), self.due[0][0] if self.due else self.now() + 50 * MS)
            for key, _ in self.selector.select(min(0.05, max(0, first - self.now()) * 1e-12)):
                key.data()
        return True

    def make(self, kind: str, pairs: int, patience_s: float, rotated: bool = False) -> int:
        """So many pairs, or a few more, asked for by both ends in turn; how many.  Raises Differ."""
        one, two = (self.users[node] for node in ENDS)
        one.told.clear()
        two.told.clear()
        most = 10 if kind == "K" else 100
        end = time.monotonic() + patience_s
        while (had := self._had()) < pairs:
            number = min(most, -(-(pairs - had) // 2))
            order = {"do": "create", "link": LINK, "purpose": PURPOSE, "kind": kind, "number": number}
            for node, user in self.users.items():
                user.asked.append(number)
                self._say(node, order | ({"rotation": [QUARTER, 0, 0]} if rotated else {}))
            if not self._run(lambda: not (one.waits() or two.waits()), end - time.monotonic()):
                raise Differ(f"{self._had()} of {pairs} pairs in {patience_s:.0f} s; {one.errors} {two.errors}")
        self._run(lambda: one.told.keys() == two.told.keys(), 3.0)
        if one.told.keys() != two.told.keys():
            raise Differ(f"one end alone has pairs {sorted(one.told.keys() ^ two.told.keys())}")
        self._run(lambda: all(self._fidelities(ok, two.told[s]) for s, ok in one.told.items() if "qubit" in ok), 3.0)
        for sequence, ok in one.told.items():
            self._judge(ok, two.told[sequence], rotated)
        return len(one.told)

    def _had(self) -> int:
        return min(len(user.told) for user in self.users.values())

    def _fidelities(self, one: dict[str, Any], two: dict[str, Any]) -> list[tuple[float, ...]]:
        """To the four Bell states, as the oracle saw it when the first half was released."""
        seen = self.plane.spent([(node, ok["qubit"]) for node, ok in zip(ENDS, (one, two), strict=True)])
        return [fidelities for fidelities in seen if fidelities is not None]

    def _judge(self, one: dict[str, Any], two: dict[str, Any], rotated: bool) -> None:
        """Both ends say the same of a pair, and it is so."""
        same = all(one[key] == two[key] for key in ("kind", "link", "origin", "create_id", "sequence", "bell_index"))
        if one["kind"] == "K":
            good = [f[one["bell_index"]] > 0.999 for f in self._fidelities(one, two)] == [True]
        else:
            # Read along Z both differ; a quarter turn about X makes Y of it, where the halves of |Ψ+> agree.
            good = (one["outcome"] == two["outcome"]) == (rotated and one["bell_index"] == PSI_PLUS)
        if not same or not good:
            raise Differ(f"{one} and {two}")

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()
        for sock in self.sockets.values():
            sock.close()
        self.selector.close()


def talk(name: str, keep: int, measure: int, loss: float, seed: int = 1) -> str:
    """So many pairs of each kind in an arrangement; a line about it.  Raises Differ."""
    began = time.monotonic()
    meeting = Meeting(ARRANGEMENTS[name], loss, seed)
    try:
        kept = meeting.make("K", keep, _PATIENCE_S + keep)
        measured = meeting.make("M", -(-measure // 2), _PATIENCE_S + measure)
        measured += meeting.make("M", measure // 2, _PATIENCE_S + measure, rotated=True)
    finally:
        meeting.close()
    errors = Counter(code for user in meeting.users.values() for code in user.errors)
    ended = ", ".join(f"{n} {code}" for code, n in sorted(errors.items())) or "none"
    lost = f"{meeting.lost} of {meeting.frames} frames lost"
    took = time.monotonic() - began
    return f"{name:38}  {kept:4} K  {measured:4} M, equal at both ends  {lost:26}  errors: {ended}  ({took:.0f} s)"


def main() -> int:
    """So many pairs of each kind in all, half of them while frames are lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--loss", type=float, default=0.05)
    parser.add_argument("--only", default="", help="how the arrangement begins")
    told = parser.parse_args()
    names = [name for name in ARRANGEMENTS if name.startswith(told.only)]
    share = -(-told.pairs // (2 * len(names)))
    for loss in (0.0, told.loss):
        for name in names:
            print(talk(name, share, share, loss), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
