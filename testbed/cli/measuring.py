"""`bellwire validate` `bellwire bench`, `bellwire conformance`: physics against published numbers, this machine's
speed, implementations against the requirements.
"""

import argparse
import json
import sys
from pathlib import Path

from testbed.cli.terminal import EXITS, Commands, check_writable, say, tell
from testbed.errors import BadInput, listed

VALIDATE = """Measure what theory or a publication says, table by table, and say by how many sigma each row is off.

  bellwire validate --list                          the areas
  bellwire validate link --list                     its tables, with example rows
  bellwire validate link --plots plots              and a plot per table
  bellwire validate link --cases my-cases.yaml      rows of your own instead
"""


def add(commands: Commands) -> None:
    """Declare `validate`, `bench` and `conformance`."""
    validate = commands.add_parser("validate", help="check the physics against published numbers", description=VALIDATE)
    validate.set_defaults(do=_validate)
    validate.add_argument("area", metavar="AREA", nargs="?", help="link, network, ...; --list alone names them all")
    validate.add_argument("--seed", type=int, default=1, metavar="N", help="every random draw follows from it")
    validate.add_argument("--cases", type=Path, metavar="FILE", help="YAML list of {id, table, params, expected}")
    validate.add_argument("--list", action="store_true", help="print every table with its parameters and an example")
    validate.add_argument(
        "--json", type=Path, metavar="FILE", help="write the rows there, and plots into FILE's name with -plots"
    )
    validate.add_argument("--plots", type=Path, metavar="DIR", help="draw a plot per table there")

    bench = commands.add_parser(
        "bench",
        help="measure this machine",
        description="Measure what a frame, a pair, a teleport and a telegate cost here.",
    )
    bench.set_defaults(do=_bench)
    bench.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    bench.add_argument("--long", action="store_true", help="instead: testbeds up and down, and one at work for minutes")
    bench.add_argument("--cycles", type=int, metavar="N", help="with --long: how many (default: 200)")
    bench.add_argument("--minutes", type=float, metavar="M", help="with --long: how long (default: 10)")

    conformance = commands.add_parser(
        "conformance",
        help="test an implementation of the protocols against every numbered requirement",
        usage="%(prog)s TARGET [options]",
        description="Scripted peers, devices and users around one implementation, over real sockets.",
        epilog=EXITS,
    )
    conformance.set_defaults(do=_conformance)
    what = conformance.add_argument_group("TARGET, one of these")
    target = what.add_mutually_exclusive_group(required=True)
    target.add_argument("--iut", metavar="udp:HOST:PORT", help="one that runs already: what can be seen from outside")
    target.add_argument("--iut-cmd", metavar="CMD", help="one that the kit starts, see docs/conformance.md")
    target.add_argument("--self", action="store_true", help="our own node, as any other")
    target.add_argument("--trace", type=Path, metavar="FILE", help="a pcapng or pcap: what was said in it")
    target.add_argument("--list", action="store_true", help="print the requirements, and which scripts decide each")
    target.add_argument("--mutants", action="store_true", help="which script catches which wrong node")
    target.add_argument("--fuzz", type=int, metavar="N", help="N hostile frames per protocol against our own nodes")
    conformance.add_argument(
        "--seed", type=int, metavar="N", help="with --fuzz: of all chance (default: 1); with --trace: of its keys"
    )
    conformance.add_argument(
        "--node", type=int, metavar="N", action="append", default=[], help="with --trace: judge this node only"
    )
    conformance.add_argument("--virtual", action="store_true", help="with --self: in emulated time, in this process")
    conformance.add_argument("--only", metavar="TEXT", help="a protocol, a requirement or a script: MHP, EGP-4, echo")
    conformance.add_argument("--key", metavar="HEX", help="with --iut or --trace: the key of all frames")
    conformance.add_argument(
        "--peer", metavar="NODE=PORT", action="append", default=[], help="with --iut: where it expects this peer"
    )
    conformance.add_argument("--json", type=Path, metavar="FILE", help="write verdicts and evidence there")
    conformance.add_argument("--junit", type=Path, metavar="FILE", help="write the verdicts there as JUnit XML")


def _validate(args: argparse.Namespace) -> int:
    from testbed.scenario.load import MAX_SEED
    from testbed.validate import AREAS, list_tables, run

    if args.list:
        for option, value in (("--cases", args.cases), ("--json", args.json), ("--plots", args.plots)):
            if value is not None:
                raise BadInput("command line", option, "--list measures nothing", "leave one of the two out")
        say(list_tables(args.area).splitlines() if args.area else [f"areas: {', '.join(AREAS)}"], 2)
        return 0
    if args.area is None:
        raise BadInput("command line", "AREA", "nothing to validate", f"name one of {listed(list(AREAS))}")
    if not 0 <= args.seed <= MAX_SEED:
        raise BadInput(
            "command line", "--seed", f"{args.seed} is not a seed", f"give a whole number from 0 to {MAX_SEED}"
        )
    check_writable(args.json)
    return run(args.area, args.seed, args.cases, args.json, args.plots, lambda text: tell(text.removesuffix("\n")))


def _bench(args: argparse.Namespace) -> int:
    from testbed.bench import Left, run_bench, run_long

    check_writable(args.json)
    try:
        figures = run_long(tell, args.cycles, args.minutes) if args.long else run_bench(tell)
    except Left as left:
        print(f"bellwire bench: {left}", file=sys.stderr)
        return 1
    if args.json is not None:
        args.json.write_text(json.dumps({"schema": "bellwire.bench/1", "figures": figures}, indent=2) + "\n")
    return 0


def _conformance(args: argparse.Namespace) -> int:
    from testbed.conformance.command import Wanted, conformance

    check_writable(args.json)
    check_writable(args.junit, "--junit")
    wanted = Wanted(
        address=args.iut,
        command=args.iut_cmd,
        own=args.self,
        trace=args.trace,
        nodes=tuple(args.node),
        virtual=args.virtual,
        mutants=args.mutants,
        fuzz=args.fuzz,
        seed=args.seed,
        only=args.only,
        key=args.key,
        peers=tuple(args.peer),
        json=args.json,
        junit=args.junit,
    )
    return conformance(wanted, tell)
