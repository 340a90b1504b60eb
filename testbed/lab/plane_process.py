"""The process of the quantum plane, which also keeps the clock: ``python -m testbed.lab.plane_process``.

What may live here: what that process does around the coordinator: its control line to the launcher, and saving the
trace when the launcher is gone.
"""

import json
import pickle
import signal
import socket
import sys
import threading
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from stack.config import Plight
from stack.process import EXIT_COUNT, EXIT_ORPHAN, PLANE, result_name
from stack.runtime.inputs import InputLog
from stack.runtime.virtual import CountError
from testbed.clock.coordinator import Coordinator, HostDied, HostLink
from testbed.clock.orders import Orders
from testbed.clock.paced import PacedPlane
from testbed.errors import BadInput
from testbed.lab.inputs import Outside
from testbed.lab.local import Graveyard
from testbed.lab.rescue import rescue_on_orphanhood
from testbed.plan.plan import Plan
from testbed.rundir import RunFolder
from testbed.trace.merging import NodeIdentity

END_SOON: Final = signal.SIGUSR1
"""Tells this process, once its run is up, to bring it to its end."""


@dataclass(frozen=True, slots=True)
class PlaneOrders:
    """Pickled on standard input by the launcher."""

    plan: Plan
    clock: str
    groups: list[list[int]]
    buses: list[int]
    control: int
    lifeline: int
    undrained_max: int
    spool_dir: str
    out: str
    identities: list[NodeIdentity]
    orders: int | None = None
    """The socket on which it is told what to do, while it runs."""
    awaited: tuple[int, ...] = ()
    """Nodes that may come at any time; the others are there before time begins."""


class ControlLine:
    """The coordinator's ``Lab``: wishes to the launcher over a packet socket."""

    def __init__(self, sock: socket.socket, spool_dir: Path) -> None:
        self._sock = sock
        self.inputs: Outside | None = None
        self._graveyard = Graveyard(spool_dir)

    def kill(self, node: int, t_ps: int) -> None:
        self.say("kill", node=node, t_ps=t_ps)
        if not self._sock.recv(4096):
            wait_for_the_end()

    def restart(self, node: int, t_ps: int) -> socket.socket:
        troubles = None if self.inputs is None else self.inputs.troubles
        plight = Plight() if troubles is None else troubles.plight_of(node)
        self.say("restart", node=node, t_ps=t_ps, plight=asdict(plight))
        _, fds, _, _ = socket.recv_fds(self._sock, 4096, 1)
        if not fds:
            wait_for_the_end()
        return socket.socket(fileno=fds[0])

    def buried(self, node: int, t_ps: int, frames_lost: int | None) -> None:
        self._graveyard.buried(node, t_ps, frames_lost)
        self.say("buried", node=node)

    def born(self, node: int, t_ps: int) -> None:
        self.say("born", node=node)

    def spent(self, number: int, fidelities: list[tuple[float, ...] | None]) -> None:
        self.say("spent", id=number, fidelities=fidelities)

    def obeyed(self, number: int, t_ps: int) -> None:
        self.say("obeyed", id=number, t_ps=t_ps)

    def thinks(self, node: int, still: bool, process: int) -> None:
        self.say("thinks", node=node, still=still, process=process)

    def up(self) -> None:
        self.say("up")

    def progress(self, t_ps: int, windows: int) -> None:
        self.say("progress", t_ps=t_ps, windows=windows)

    def troubles(self, active: list[dict[str, Any]]) -> None:
        self.say("troubles", active=active)

    def turned(self, node: int, state: str) -> None:
        self.say("turned", node=node, state=state)

    def ending(self) -> None:
        self.say("ending")

    def say(self, what: str, **facts: object) -> None:
        try:
            self._sock.send(json.dumps({"do": what, **facts}).encode())
        except OSError:
            wait_for_the_end()


def wait_for_the_end() -> NoReturn:
    """The launcher has gone (the lifeline's thread then saves the trace and ends us), or it is about to end us."""
    while True:
        threading.Event().wait()


def main() -> int:
    orders: PlaneOrders = pickle.load(sys.stdin.buffer)
    rescue_on_orphanhood(orders.lifeline, RunFolder(Path(orders.out)), orders.identities, EXIT_ORPHAN)
    plan = orders.plan
    spool_dir = Path(orders.spool_dir)
    control = ControlLine(socket.socket(fileno=orders.control), spool_dir)
    log = InputLog(str(RunFolder(Path(orders.out)).inputs))
    inputs = control.inputs = Outside(plan.network, log, spool_dir, control.troubles, control.turned)
    told = None if orders.orders is None else Orders(socket.socket(fileno=orders.orders), plan.standing)
    plane = plan.plane.build()
    hosts = [HostLink(socket.socket(fileno=fd), g) for fd, g in zip(orders.buses, orders.groups, strict=True)]
    try:
        if orders.clock == "paced":
            paced = PacedPlane(
                hosts,
                plane,
                plan.agenda(),
                plan.ending(),
                plan.any_programs,
                plan.dilation,
                control,
                inputs,
                told,
                orders.awaited,
            )
            signal.signal(END_SOON, lambda *_: paced.end_soon())
            paced.run()
            facts = {"stuck": False, "end_ps": paced.end_ps, "frames_lost": {}, "wall": paced.wall()}
        else:
            coordinator = Coordinator(
                hosts,
                plan.reach(orders.groups),
                plane,
                plan.agenda(),
                plan.ending(),
                plan.any_programs,
                orders.undrained_max,
                control,
                inputs,
                told,
            )
            began = time.monotonic()
            signal.signal(END_SOON, lambda *_: coordinator.end_soon())
            coordinator.run()
            facts = {
                "stuck": coordinator.stuck,
                "end_ps": coordinator.end_ps,
                "frames_lost": coordinator.frames_lost,
                "wall": {
                    "windows": coordinator.windows,
                    "grants": coordinator.grants,
                    "frames": coordinator.frames,
                    "run_s": time.monotonic() - began,
                },
            }
    except BadInput as fault:
        control.say("bad input", file=fault.file, place=fault.place, problem=fault.problem, remedy=fault.remedy)
        wait_for_the_end()
    except CountError:
        traceback.print_exc()
        return EXIT_COUNT
    except HostDied as death:
        control.say("lost host", nodes=death.nodes)
        wait_for_the_end()  # the launcher knows by now who died; it ends us
    inputs.close()
    # What the oracle saw of thousands of pairs is more than a packet holds.
    (Path(orders.spool_dir) / result_name(PLANE)).write_text(json.dumps(plan.plane.summarise(plane)))
    control.say("done", **facts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
