"""`bellwire up`, `status`, `ping`, `kill`, `restart`, `freeze`, `thaw`, `fault`, `heal`, `down`: testbeds that stay."""

import argparse
import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.cli.completion import completed_by, kinds, nodes, places, testbeds, troubled
from testbed.cli.terminal import Commands, Parser, Terminable, parts_per_billion, say, span_ps
from testbed.errors import BadInput
from testbed.fault_kinds import AMOUNTS, DRIFT, KINDS, SPANS
from testbed.program import program, start_there

if TYPE_CHECKING:
    from testbed.standing.testbed import FaultStatus, NodeStatus, Ping, Status, Testbed

UP = """Bring a scenario's network up, every node a process of its own, and leave it up; its work is left out.
Time is the wall's (clock paced): --dilation 100 gives the nodes 100 wall seconds for each of theirs.

  bellwire up testbed/scenarios/two-qpus.yaml --dilation 100
  bellwire status
  bellwire ping west east
  bellwire kill east; bellwire restart east
  bellwire down                                writes trace, events, run.json
"""


FAULT = """Disturb the network of a testbed, from now on or for a time.

  bellwire fault loss 0.1                      a tenth of all frames
  bellwire fault loss 0.3 west-east            on a link's channels
  bellwire fault delay 5ms west mid            between two; virtual time, added
  bellwire fault jitter 1ms                    each frame late by up to that
  bellwire fault duplicate 0.2                 corrupt, reorder: likewise
  bellwire fault cut west-east --for 200ms     a fibre, for a time
  bellwire fault partition west mid            these nodes from all others
  bellwire fault blind mid                     a station's detectors
  bellwire fault drift -50ppm west             its clock runs slow (ppm, ppb)
  bellwire fault disk                          the disk of the run is full
  bellwire fault broker                        its own MQTT broker is gone
  bellwire heal; bellwire heal loss            everything; one kind
"""


WHY = {
    "TIMEOUT": "--patience was over",
    "LINK_FAILED": "a link on the way makes none, or none so good",
    "NO_PROMISE": "no way keeps what --fidelity asks",
    "NO_MEMORY": "a node on the way has no memories left for it",
    "NO_RATE": "a link on the way has not the rate for it left",
    "NO_ROUTE": "no way leads there",
    "REFUSED": "nobody at the other end serves it",
    "PEER_LOST": "a node on the way is gone",
    "PREEMPTED": "a circuit of a higher priority took its place",
    "SILENT": "nothing was heard of it for long",
}
"""Why fewer pairs came than were asked for."""


def add(commands: Commands) -> None:
    """Declare them all."""
    up = commands.add_parser(
        "up",
        help="bring a network up, and leave it up",
        usage="%(prog)s SCENARIO [options]",
        description=UP,
    )
    up.set_defaults(do=_up)
    up.add_argument("scenario", metavar="SCENARIO", type=Path, help="a scenario file (YAML); its work is left out")
    up.add_argument("--name", metavar="NAME", help="what other commands call it (default: the file's name)")
    up.add_argument("--seed", type=int, metavar="N", help="in place of the scenario's")
    up.add_argument(
        "--clock",
        choices=("paced", "virtual"),
        default="paced",
        help="paced: the wall's (default); virtual: time passes only while there is work, and can be replayed",
    )
    up.add_argument("--dilation", type=float, metavar="D", help="paced: wall seconds per virtual second")
    up.add_argument("--mqtt", metavar="SETTING", help="telemetry: none, embedded or mqtt://[USER[:PASSWORD]@]HOST")
    up.add_argument("--out", type=Path, metavar="DIR", help="folder for its files (default: a new one in out/)")
    up.add_argument("--force", action="store_true", help="replace an earlier run in DIR")
    elsewhere = up.add_argument_group("nodes on other machines (paced)")
    elsewhere.add_argument(
        "--remote", metavar="NODE", action="append", default=[], help="started there (bellwire node); may be repeated"
    )
    elsewhere.add_argument("--bind", metavar="ADDRESS", help="of this machine, at which they reach it")
    up.add_argument("--dir", type=Path, metavar="DIR", help="folder for its sockets (default: the run-time folder)")

    status = _command(commands, "status", _status, "say what is up")
    status.add_argument("--json", action="store_true", help="as JSON")
    ping = _command(commands, "ping", _ping, "make pairs between two nodes; say how fast and how good")
    completed_by(ping.add_argument("a", metavar="A", help="the node that asks"), nodes)
    completed_by(ping.add_argument("b", metavar="B", help="the other one"), nodes)
    ping.add_argument("--pairs", "-n", type=int, default=10, metavar="N", help="how many (default 10)")
    ping.add_argument("--fidelity", type=float, default=0.0, metavar="F", help="least fidelity that serves")
    ping.add_argument("--patience", type=float, default=10.0, metavar="S", help="wall seconds to wait (default 10)")
    ping.add_argument("--json", action="store_true", help="as JSON")
    for name, text in (
        ("kill", "end a node's process, as a power cut would"),
        ("restart", "begin a node's next life"),
        ("freeze", "stop a node; what is for it waits"),
        ("thaw", "let a frozen node go on"),
    ):
        completed_by(_command(commands, name, _deed, text).add_argument("node", metavar="NODE"), nodes)
    fault = _command(commands, "fault", _fault, "disturb the network: loss, delay, a cut, a partition, ...", FAULT)
    completed_by(fault.add_argument("kind", metavar="KIND", help=", ".join(KINDS)), kinds)
    rest = fault.add_argument("rest", metavar="[VALUE] [WHERE ...]", nargs="*", help="how much; links or nodes")
    completed_by(rest, places)
    fault.add_argument("--for", dest="span", metavar="T", help="for so much virtual time: 200ms; then it heals")
    heal = _command(commands, "heal", _heal, "undo faults: of a kind, at a place, or all")
    completed_by(heal.add_argument("kind", metavar="KIND", nargs="?", help="one kind (default: all)"), kinds)
    where = heal.add_argument("where", metavar="WHERE", nargs="*", help="as it was told to `fault`")
    completed_by(where, troubled)
    down = _command(commands, "down", _down, "end it, and write its files")
    down.add_argument("--all", action="store_true", help="all testbeds that are up")
    down.add_argument("--force", action="store_true", help="at once: only the trace is written")


def _command(commands: Commands, name: str, do: Any, text: str, more: str = "") -> Parser:
    parser = commands.add_parser(
        name,
        help=text,
        description=more or text[0].upper() + text[1:] + ".",
    )
    parser.set_defaults(do=do)
    which = parser.add_argument("--testbed", "-t", metavar="NAME", help="which one (default: the only one that is up)")
    completed_by(which, testbeds)
    parser.add_argument("--dir", type=Path, metavar="DIR", help="as it was told to `up`")
    return parser


def _up(args: argparse.Namespace) -> int:
    from testbed.standing.testbed import Testbed, TestbedError

    if not sys.platform.startswith("linux"):
        raise BadInput("this machine", "platform", f"{sys.platform} is not Linux", "run Bellwire on Linux")
    terminable = Terminable()
    try:
        with terminable:
            bed = Testbed(
                args.scenario,
                name=args.name,
                clock=args.clock,
                seed=args.seed,
                dilation=args.dilation,
                mqtt=args.mqtt,
                out=args.out,
                force=args.force,
                remote=args.remote,
                bind=args.bind,
                folder=args.dir,
            )
    except KeyboardInterrupt:
        if terminable.asked is None:
            raise
        print(f"bellwire up: {Terminable.ENDS[terminable.asked]}", file=sys.stderr)
        return 128 + terminable.asked
    except TestbedError as error:
        print(f"bellwire up: {error}", file=sys.stderr)
        return error.code
    status = bed.status()
    awaited = {name: one.ticket for name, one in status.nodes.items() if one.ticket is not None}
    here = [name for name in status.nodes if name not in awaited]
    which = f" -t {shlex.quote(bed.name)}" + (f" --dir {shlex.quote(str(args.dir))}" if args.dir else "")
    say(
        [
            f"{bed.name} is up: {', '.join(here) or 'none of its nodes is here'}",
            *(f"{name} is awaited; {start_there(ticket)}" for name, ticket in awaited.items()),
            f"files will be in {bed.out}; end it with: {program()} down{which}",
        ],
        2,
    )
    if status.telemetry:
        print(f"bellwire up: telemetry: {status.telemetry}; it goes on without", file=sys.stderr)
    return 0


def _found(args: argparse.Namespace) -> "Testbed":
    from testbed.standing.testbed import Testbed

    return Testbed.find(args.testbed, args.dir)


def _gone(args: argparse.Namespace, error: Exception) -> int:
    print(f"bellwire {args.command}: {error}", file=sys.stderr)
    return 3


def _status(args: argparse.Namespace) -> int:
    from testbed.standing.places import fallen, standing
    from testbed.standing.testbed import Testbed, TestbedError

    if args.testbed is None and len(up := standing(args.dir)) != 1:
        all_up = [Testbed.find(one.name, args.dir) for one in up]
    else:
        all_up = [_found(args)]
    try:
        found = [bed.status() for bed in all_up]
    except TestbedError as error:
        return _gone(args, error)
    if args.json:
        say([json.dumps([asdict(one) for one in found], default=str, indent=2)], 2)
        return 0
    lines = [line for one in found for line in _status_lines(one)]
    if args.testbed is None:
        falls = [(one.name, one.fall) for one in fallen(args.dir)]
        lines = lines or [f"no testbed is up; start one: {program()} up SCENARIO"]
        lines += [f"{name}: {fall.problem}; {fall.remedy}" for name, fall in falls if fall]
    say(lines, 2)
    return 0


def _status_lines(status: "Status") -> list[str]:
    width = max(len(name) for name in status.nodes)
    lines = [
        f"{status.name}: {status.scenario}",
        f"  virtual time {status.t_s:.3f} s, up for {status.up_s:.1f} s, "
        + (f"dilation {status.dilation:g}" if status.clock == "paced" else "it passes only while there is work"),
        f"  files in {status.out}",
    ]
    for node in status.nodes.values():
        life = f", life {node.incarnation}" if node.incarnation > 1 else ""
        lines.append(f"  {node.name:<{width}}  {node.state:<8} {node.kind}, {_where(node)}{life}")
    lines += journals_lost(status)
    lines += [
        f"  trace: of {node.name}, which vanished, up to {node.unrecorded_s:.3g} s are missing"
        for node in status.nodes.values()
        if node.unrecorded_s
    ]
    lines += _drifted(status)
    lines += [f"  {one.name}: {one.a} - {one.station} - {one.b}, {one.length_m:g} m" for one in status.links]
    lines += [f"  telemetry: {status.telemetry}"] if status.telemetry else []
    lines += [f"  fault: {_fault_line(one)}" for one in status.faults]
    lines += [
        f"  time stands still: {one.program} has had the floor of {one.node} for {one.for_s:.0f} s"
        for one in status.floor
    ]
    return lines


def journals_lost(status: "Status") -> list[str]:
    """Which controllers do not know all of their jobs, and why."""
    lost = [node for node in status.nodes.values() if node.journal_lost]
    return [f"  journal: {node.name} does not know the jobs of earlier lives: {node.journal_lost}" for node in lost]


def _where(node: "NodeStatus") -> str:
    if node.ticket is not None:
        return start_there(node.ticket)
    if node.pid:
        return f"process {node.pid} at {node.address}"
    if node.elsewhere and node.state in ("up", "frozen"):
        return f"elsewhere, at {node.address}"
    return node.why or "no process"


def _ping(args: argparse.Namespace) -> int:
    from testbed.standing.testbed import TestbedError

    try:
        bed = _found(args)
        made = bed.ping(args.a, args.b, args.pairs, minimum_fidelity=args.fidelity, patience_s=args.patience)
        status = bed.status() if made.pairs < made.asked else None
    except TestbedError as error:
        return _gone(args, error)
    if args.json:
        say([json.dumps(asdict(made), indent=2)], 2)
    else:
        say(_ping_lines(made, args.fidelity) + ([] if status is None else _amiss(status)), 2)
    return 0 if made.pairs == made.asked else 1


def _ping_lines(made: "Ping", fidelity: float) -> list[str]:
    words = WHY.get(made.why)
    if made.why == "LINK_FAILED" and fidelity > 0:
        words = f"a link on the way cannot promise --fidelity {fidelity:g}, however slowly, or makes none at all"
    rest = f" ({made.why}{': ' + words if words else ''})" if made.why and made.pairs < made.asked else ""
    lines = [f"{made.a} - {made.b}: {made.pairs} of {made.asked} pairs{rest} in {made.wall_s:.2f} s"]
    if made.pairs_per_s is not None:
        lines.append(f"  {made.pairs_per_s:.4g} pairs per second of virtual time")
    if made.fidelity_estimate is not None:
        lines.append(f"  fidelity {made.fidelity_estimate:.4f} as the nodes estimate it")
    if made.fidelity_oracle is not None:
        lines.append(f"  fidelity {made.fidelity_oracle:.4f} as the oracle has it, when they were let go")
    if made.unseen:
        lines.append(f"  fidelity as the oracle has it is not known: {made.unseen}")
    return lines


def _amiss(status: "Status") -> list[str]:
    """What may be why pairs did not come."""
    lines = [f"  {node.name} is {node.state}" for node in status.nodes.values() if node.state != "up"]
    return lines + _drifted(status) + [f"  fault: {_fault_line(one)}" for one in status.faults]


def _drifted(status: "Status") -> list[str]:
    off = [node.name for node in status.nodes.values() if node.drifted]
    return [f"  clock: a fault drift was at {', '.join(off)}; without time_sync it stays off by that"] if off else []


def _deed(args: argparse.Namespace) -> int:
    from testbed.standing.testbed import TestbedError

    try:
        bed = _found(args)
        life = getattr(bed, args.command)(args.node)
        ticket = bed.status().nodes[args.node].ticket
    except TestbedError as error:
        return _gone(args, error)
    awaited = f"awaited, life {life}; {start_there(ticket)}" if ticket is not None else ""
    done = {"kill": "killed", "restart": awaited or f"up, life {life}", "freeze": "frozen", "thaw": "up"}
    say([f"{args.node} is {done[args.command]}"], 2)
    return 0


def _fault(args: argparse.Namespace) -> int:
    from testbed.standing.testbed import TestbedError

    value: float | None = None
    where = list(args.rest)
    if args.kind in AMOUNTS:
        if not where:
            raise BadInput("command line", args.kind, "how much is not said", f"see {program()} fault --help")
        value = _value(args.kind, where.pop(0))
    span = span_ps("--for", args.span)
    try:
        made = _found(args).fault(args.kind, value, *where, for_s=None if span is None else span * 1e-12)
    except TestbedError as error:
        return _gone(args, error)
    say([_fault_line(made)], 2)
    return 0


def _value(kind: str, text: str) -> float:
    """An amount in the units of ``Testbed.fault``; what is out of bounds is refused as it was typed."""
    from testbed.scenario.troubles import FASTEST_PPB, LONGEST_PS

    if kind == DRIFT:
        ppb = parts_per_billion(kind, text)
        if not 0 < abs(ppb) <= FASTEST_PPB:
            remedy = f"give one up to {FASTEST_PPB // 1000}ppm either way, but not 0"
            raise BadInput("command line", kind, f"{text} is no drift of a clock", remedy)
        return ppb * 1e-9
    if kind in SPANS:
        span = span_ps(kind, text) or 0
        if not 0 < span <= LONGEST_PS:
            problem = f"{text} is {'too long' if span else 'no time'}"
            raise BadInput("command line", kind, problem, f"give a time above 0, up to {LONGEST_PS * 1e-12:g}s")
        return span * 1e-12
    try:
        return float(text)
    except ValueError:
        raise BadInput("command line", kind, f"{text} is no probability", "give a number, then where") from None


def _fault_line(fault: "FaultStatus") -> str:
    where = " at " + ", ".join(fault.at) if fault.at else ""
    much = f" {fault.value:g}" if fault.value else ""
    if fault.kind in SPANS:
        much = f" {fault.value * 1e3:g} ms"
    elif fault.kind == DRIFT:
        much = f" {fault.value * 1e6:+g} ppm"
    return f"{fault.kind}{much}{where}, since virtual time {fault.since_s:.6f} s"


def _heal(args: argparse.Namespace) -> int:
    from testbed.standing.testbed import TestbedError

    try:
        healed = _found(args).heal(args.kind, *args.where)
    except TestbedError as error:
        return _gone(args, error)
    say([f"{healed} healed" if healed else "it has healed already"], 2)
    return 0


def _down(args: argparse.Namespace) -> int:
    from testbed.standing.places import fallen, standing
    from testbed.standing.testbed import Testbed, TestbedError

    if args.all and args.testbed is not None:
        raise BadInput("command line", "--all", "it names them all, --testbed one", "leave one of the two out")
    there = standing(args.dir)
    gone = [one for one in fallen(args.dir) if args.all or args.testbed == one.name or not (args.testbed or there)]
    for one in gone:  # whoever asks for their end has heard of it now
        if fall := one.fall:
            say([f"{one.name}: {fall.problem}; {fall.remedy}"], 2)
            one.clear()
    if gone and not args.all:
        return 0
    ends = [Testbed.find(one.name, args.dir) for one in there] if args.all else [_found(args)]
    if args.all and not ends:
        say(["no testbed is up"], 2)
    code = 0
    for bed in ends:
        try:
            say([f"{bed.name} is down; files in {bed.down(force=args.force)}"], 2)
        except TestbedError as error:
            code = _gone(args, error)
    return code
