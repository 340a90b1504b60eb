"""`bellwire run`: arguments, progress and the summary of a run."""

import argparse
import json
import shlex
import signal
import socket
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from testbed.cli.terminal import EXITS, Commands, ProgressLine, Terminable, check_writable, opening, say, tell
from testbed.errors import BadInput
from testbed.program import program

if TYPE_CHECKING:
    from testbed.lab.run import Finished

RUN = """Run a scenario: every node a process of its own, real UDP between them, one process for the quantum world.

A run leaves in DIR:
  report.json    what was measured
  report.html    the same to look at, of a network with quantum links
  trace.pcapng   every frame, for Wireshark
  events.jsonl   what the protocols did
  run.json       addresses, process ids, this machine
  logs/NODE.log  what a node's process had to say

The same scenario and seed give the same report, trace and events, byte for byte, under virtual and local.
"""



def add(commands: Commands) -> None:
    """Declare `run`."""
    run = commands.add_parser(
        "run",
        help="run a scenario",
        usage="%(prog)s SCENARIO [options]",
        description=RUN,
        epilog=EXITS,
    )
    run.set_defaults(do=_run)
    run.add_argument("scenario", metavar="SCENARIO", type=Path, nargs="?", help="a scenario file (YAML)")
    instead = run.add_argument_group("in place of what the scenario says")
    instead.add_argument("--seed", type=int, metavar="N", help="every random draw follows from it")
    instead.add_argument("--circuit", type=Path, metavar="FILE", help="an OpenQASM 2 or 3 file")
    instead.add_argument("--shots", type=int, metavar="N", help="how often the circuit runs")
    instead.add_argument("--mqtt", metavar="SETTING", help="telemetry: none, embedded or mqtt://[USER[:PASSWORD]@]HOST")
    instead.add_argument("--dilation", type=float, metavar="D", help="paced: wall seconds per virtual second")
    clock = run.add_argument_group("time and placement")
    clock.add_argument(
        "--clock",
        choices=("virtual", "local", "paced"),
        default="virtual",
        help="virtual: a process per node, time jumps (default); local: one process, the same bytes; paced: wall time",
    )
    clock.add_argument("--processes", type=int, metavar="K", help="pack the nodes into K processes; the same bytes")
    elsewhere = run.add_argument_group("nodes on other machines (paced)")
    elsewhere.add_argument(
        "--remote", metavar="NODE", action="append", default=[], help="started there (bellwire node); may be repeated"
    )
    elsewhere.add_argument("--bind", metavar="ADDRESS", help="of this machine, at which they reach it")
    results = run.add_argument_group("results")
    results.add_argument("--out", type=Path, metavar="DIR", help="folder for them (default: a new one in out/)")
    results.add_argument("--force", action="store_true", help="replace an earlier run in DIR")
    results.add_argument("--json", type=Path, metavar="FILE", help="also write report.json there")
    results.add_argument("--replay", type=Path, metavar="DIR", help="do again the run that left DIR")
    _add_node(commands)


NODE = """Be one node of a run, or of a testbed, that was started on another machine, or in another network, with
`bellwire run SCENARIO --clock paced --remote NODE --bind ITS-ADDRESS`, or `bellwire up` likewise.

  bellwire node west.json --address 10.0.0.2

Its ticket, west.json, is in the run's folder, in tickets/.  Frames go over UDP between the nodes' addresses; all
else, over TCP to the run.  A ticket serves one life of the node.
"""


def _add_node(commands: Commands) -> None:
    node = commands.add_parser(
        "node",
        help="be one node of a run on another machine",
        description=NODE,
    )
    node.set_defaults(do=_node)
    node.add_argument("ticket", metavar="TICKET", type=Path, help="the node's ticket")
    node.add_argument(
        "--address", metavar="ADDRESS", help="of this machine, for its frames (default: that towards the run)"
    )


def _node(args: argparse.Namespace) -> int:
    from stack.remote import LabGone, run_node

    try:
        ticket = json.loads(args.ticket.read_text())
        host, _, port = ticket["lab"].rpartition(":")
        node, lab, token = str(ticket["node"]), (host, int(port)), str(ticket["token"])
        keeps = args.ticket.resolve().parent / f"journals-{int(ticket['run'], 16):08x}"
    except OSError as error:
        raise BadInput(args.ticket, "TICKET", error.strerror or str(error), "copy it from the run's folder") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadInput(args.ticket, "TICKET", "it is no ticket", "copy one from the run's folder, tickets/") from None
    address = _own_address(args.address, lab)
    try:
        with Terminable() as terminable:
            return run_node(node, lab, token, address, keeps, lambda line: tell(f"bellwire node: {line}"))
    except KeyboardInterrupt:
        if terminable.asked is None:
            raise
        print(f"bellwire node: {Terminable.ENDS[terminable.asked]}", file=sys.stderr)
        return 128 + terminable.asked
    except LabGone as gone:
        print(f"bellwire node: {gone}", file=sys.stderr)
        return 3
    except OSError as error:
        remedy = "name an address of this machine at which no other node is"
        raise BadInput("command line", "--address", f"{address}: {error.strerror or error}", remedy) from None


def _own_address(named: str | None, lab: tuple[str, int]) -> str:
    """At which the other nodes are to reach this one.  Raises BadInput for what they surely cannot."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(lab)  # nothing is sent
            towards, there = sock.getsockname()[0], ip_address(sock.getpeername()[0])
        address = towards if named is None else socket.gethostbyname(named)
    except OSError as error:
        place = named if named is not None else lab[0]
        remedy = "name one of this machine: --address ADDRESS"
        raise BadInput("command line", "--address", f"{place}: {error.strerror or error}", remedy) from None
    own = ip_address(address)
    if own.is_unspecified or (own.is_loopback and not there.is_loopback):
        problem = f"{address} is none by which it can be reached from {there}"
        raise BadInput("command line", "--address", problem, f"name another one of this machine: {towards}")
    return address


def _run(args: argparse.Namespace) -> int:
    if not sys.platform.startswith("linux"):
        raise BadInput("this machine", "platform", f"{sys.platform} is not Linux", "run Bellwire on Linux")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a job in the background of a script
        signal.signal(signal.SIGINT, signal.default_int_handler)
    from testbed.lab.prepare import Options
    from testbed.lab.replay import replayed
    from testbed.lab.run import run

    options = Options(
        scenario=args.scenario,
        seed=args.seed,
        clock=args.clock,
        processes=args.processes,
        dilation=args.dilation,
        circuit=args.circuit,
        shots=args.shots,
        out=args.out,
        force=args.force,
        mqtt=args.mqtt,
        remote=tuple(args.remote),
        bind=args.bind,
    )
    if args.replay is not None:
        options = replayed(options, args.replay)
        if args.scenario is not None:
            tell(f"what came from outside to {args.replay}, with {args.scenario} as it is now")
    elif args.scenario is None:
        raise BadInput("command line", "SCENARIO", "no scenario is named", "name a file, or --replay DIR")
    check_writable(args.json)
    with ProgressLine() as progress, Terminable() as terminable:
        finished = run(
            options,
            progress.show,
            tell,
            lambda line: print(f"bellwire run: {line}", file=sys.stderr),
        )
    code, trouble = finished.code, finished.trouble
    if terminable.asked is not None and code == 130:
        code, trouble = 128 + terminable.asked, Terminable.ENDS[terminable.asked]
    if code == 2:
        print(trouble, file=sys.stderr)  # said as all other bad input is
        return code
    if finished.report is not None and args.json is not None:
        try:
            args.json.write_bytes(finished.folder.report.read_bytes())
        except OSError as error:
            raise BadInput(args.json, "--json", error.strerror or str(error), "name another file") from None
    try:
        say(_summary(finished), code)
    finally:
        if trouble:
            print(f"bellwire run: {trouble}", file=sys.stderr)
    return code


def _summary(finished: "Finished") -> list[str]:
    """What a person wants to know first: what was found, where the rest is, and how to look into it."""
    folder, merged = finished.folder, finished.merged
    lines = list(finished.report.lines) if finished.report is not None else []
    names = [p.name for p in sorted(folder.path.iterdir()) if p.is_file() and not p.name.startswith(".")]
    lines.append(f"files in {folder.path}: {', '.join([*names, 'logs/'])}")
    if merged is None or not merged.complete:
        lines.append(f"trace not whole yet; write it with: {program()} trace {shlex.quote(str(folder.path))}")
    if merged is not None:
        lines += [f"trace: {merged.frames} frames, {merged.events} events; open it with", *opening(folder.trace)]
    return lines
