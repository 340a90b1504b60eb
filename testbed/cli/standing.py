"""`bellwire up`, `status`, `ping`, `kill`, `restart`, `freeze`, `thaw`, `fault`, `heal`, `down`: testbeds that stay."""

import argparse
import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.cli.completion import completed_by, kinds, nodes, testbeds
from testbed.cli.terminal import Commands, Parser, say, span_ps
from testbed.errors import BadInput
from testbed.program import program

if TYPE_CHECKING:
    from testbed.lab.testbed import FaultStatus, Ping, Status, Testbed

UP = """Bring a scenario's network up, every node a process of its own, and leave it up; its work is left out.
Time is the wall's (clock paced): --dilation 100 gives the nodes 100 wall seconds for each of theirs.

  bellwire up testbed/scenarios/two-qpus.yaml --dilation 100
  bellwire status
  bellwire ping west east
  bellwire kill east; bellwire restart east
  bellwire down                                      writes trace, events and run.json
"""


FAULT = """Disturb the network of a testbed, from now on or for a time.

  bellwire fault loss 0.1                      a tenth of all frames, everywhere
  bellwire fault loss 0.3 west-east            on a link's channels
  bellwire fault delay 5ms west mid            between two nodes; virtual time, on top of what there is
  bellwire fault jitter 1ms                    every frame is late by up to that much
  bellwire fault duplicate 0.2                 corrupt, reorder: likewise
  bellwire fault cut west-east --for 200ms     a fibre, for a time
  bellwire fault partition west mid            these nodes from all others
  bellwire fault broker                        the MQTT broker of its own is gone
  bellwire heal; bellwire heal loss            everything; one kind
"""


def add(commands: Commands) -> None:
    """Declare them all."""
    up = commands.add_parser(
        "up",
        help="bring a network up, and leave it up",
        usage="%(prog)s SCENARIO [options]",
        description=UP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
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
    completed_by(fault.add_argument("kind", metavar="KIND", help="loss, duplicate, corrupt, ...; see above"), kinds)
    fault.add_argument("rest", metavar="[VALUE] [WHERE ...]", nargs="*", help="how much; links or nodes")
    fault.add_argument("--for", dest="span", metavar="T", help="for so much virtual time: 200ms; then it heals")
    heal = _command(commands, "heal", _heal, "undo faults: of a kind, at a place, or all")
    completed_by(heal.add_argument("kind", metavar="KIND", nargs="?", help="one kind (default: all)"), kinds)
    heal.add_argument("where", metavar="WHERE", nargs="*", help="as it was told to `fault`")
    down = _command(commands, "down", _down, "end it, and write its files")
    down.add_argument("--all", action="store_true", help="all testbeds that are up")
    down.add_argument("--force", action="store_true", help="at once: only the trace is written")


def _command(commands: Commands, name: str, do: Any, text: str, more: str = "") -> Parser:
    parser = commands.add_parser(
        name,
        help=text,
        description=more or text[0].upper() + text[1:] + ".",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(do=do)
    which = parser.add_argument("--testbed", "-t", metavar="NAME", help="which one (default: the only one that is up)")
    completed_by(which, testbeds)
    parser.add_argument("--dir", type=Path, metavar="DIR", help="as it was told to `up`")
    return parser


def _up(args: argparse.Namespace) -> int:
    from testbed.lab.testbed import Testbed, TestbedError

    if not sys.platform.startswith("linux"):
        raise BadInput("this machine", "platform", f"{sys.platform} is not Linux", "run Bellwire on Linux")
    try:
        bed = Testbed(
            args.scenario,
            name=args.name,
            clock=args.clock,
            seed=args.seed,
            dilation=args.dilation,
            mqtt=args.mqtt,
            out=args.out,
            force=args.force,
            folder=args.dir,
        )
    except TestbedError as error:
        print(f"bellwire up: {error}", file=sys.stderr)
        return error.code
    status = bed.status()
    which = f" -t {shlex.quote(bed.name)}" + (f" --dir {shlex.quote(str(args.dir))}" if args.dir else "")
    say(
        [
            f"{bed.name} is up: {', '.join(status.nodes)}",
            f"files will be in {bed.out}; end it with: {program()} down{which}",
        ],
        2,
    )
    return 0


def _found(args: argparse.Namespace) -> "Testbed":
    from testbed.lab.testbed import Testbed

    return Testbed.find(args.testbed, args.dir)


def _gone(args: argparse.Namespace, error: Exception) -> int:
    print(f"bellwire {args.command}: {error}", file=sys.stderr)
    return 3


def _status(args: argparse.Namespace) -> int:
    from testbed.lab.places import standing
    from testbed.lab.testbed import Testbed, TestbedError

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
    say(lines or [f"no testbed is up; start one: {program()} up SCENARIO"], 2)
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
        where = f"process {node.pid} at {node.address}" if node.pid else (node.why or "no process")
        lines.append(f"  {node.name:<{width}}  {node.state:<8} {node.kind}, {where}{life}")
    lines += [f"  {one.name}: {one.a} - {one.station} - {one.b}, {one.length_m:g} m" for one in status.links]
    lines += [f"  fault: {_fault_line(one)}" for one in status.faults]
    return lines


def _ping(args: argparse.Namespace) -> int:
    from testbed.lab.testbed import TestbedError

    try:
        made = _found(args).ping(
            args.a, args.b, args.pairs, minimum_fidelity=args.fidelity, patience_s=args.patience
        )
    except TestbedError as error:
        return _gone(args, error)
    if args.json:
        say([json.dumps(asdict(made), indent=2)], 2)
    else:
        say(_ping_lines(made), 2)
    return 0 if made.pairs == made.asked else 1


def _ping_lines(made: "Ping") -> list[str]:
    rest = f" ({made.why})" if made.why and made.pairs < made.asked else ""
    lines = [f"{made.a} - {made.b}: {made.pairs} of {made.asked} pairs{rest} in {made.wall_s:.2f} s"]
    if made.pairs_per_s is not None:
        lines.append(f"  {made.pairs_per_s:.4g} pairs per second of virtual time")
    if made.fidelity_estimate is not None:
        lines.append(f"  fidelity {made.fidelity_estimate:.4f} as the nodes estimate it")
    if made.fidelity_oracle is not None:
        lines.append(f"  fidelity {made.fidelity_oracle:.4f} as the oracle has it, when they were let go")
    return lines


def _deed(args: argparse.Namespace) -> int:
    from testbed.lab.testbed import TestbedError

    try:
        bed = _found(args)
        life = getattr(bed, args.command)(args.node)
    except TestbedError as error:
        return _gone(args, error)
    done = {"kill": "killed", "restart": f"up, life {life}", "freeze": "frozen", "thaw": "up"}
    say([f"{args.node} is {done[args.command]}"], 2)
    return 0


def _fault(args: argparse.Namespace) -> int:
    from testbed.lab.testbed import TestbedError

    value: float | None = None
    where = list(args.rest)
    if args.kind in ("loss", "duplicate", "corrupt", "reorder", "delay", "jitter"):
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
    if kind in ("delay", "jitter"):
        span = span_ps(kind, text)
        assert span is not None
        return span * 1e-12
    try:
        return float(text)
    except ValueError:
        raise BadInput("command line", kind, f"{text} is no probability", "give a number, then where") from None


def _fault_line(fault: "FaultStatus") -> str:
    where = " at " + ", ".join(fault.at) if fault.at else ""
    much = f" {fault.value:g}" if fault.value else ""
    if fault.kind in ("delay", "jitter"):
        much = f" {fault.value * 1e3:g} ms"
    return f"{fault.kind}{much}{where}, since virtual time {fault.since_s:.6f} s"


def _heal(args: argparse.Namespace) -> int:
    from testbed.lab.testbed import TestbedError

    try:
        healed = _found(args).heal(args.kind, *args.where)
    except TestbedError as error:
        return _gone(args, error)
    say([f"{healed} healed"], 2)
    return 0


def _down(args: argparse.Namespace) -> int:
    from testbed.lab.places import standing
    from testbed.lab.testbed import Testbed, TestbedError

    if args.all and args.testbed is not None:
        raise BadInput("command line", "--all", "it names them all, --testbed one", "leave one of the two out")
    ends = [Testbed.find(one.name, args.dir) for one in standing(args.dir)] if args.all else [_found(args)]
    code = 0
    for bed in ends:
        try:
            say([f"{bed.name} is down; files in {bed.down(force=args.force)}"], 2)
        except TestbedError as error:
            code = _gone(args, error)
    return code
