"""The command line: ``bellwire run | validate | bench | dissector``.

What may live here: arguments in, text and exit codes out.  Work is done elsewhere, and imported only when asked for.
"""

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn, Self

# Before anything imports numpy: threads inside BLAS turn operations on a few qubits from 0.05 ms into 8 ms.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from testbed.errors import BadInput


class _Parser(argparse.ArgumentParser):
    """One line for a mistake, as for every other bad input."""

    def error(self, message: str) -> NoReturn:
        print(f"command line: {message}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(2)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="bellwire", description="A quantum network protocol stack and the testbed to run it.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)

    run = commands.add_parser("run", help="run a scenario")
    run.add_argument("scenario", metavar="SCENARIO", type=Path, nargs="?", help="a scenario file (YAML)")
    run.add_argument("--seed", type=int, metavar="N", help="in place of the scenario's own")
    run.add_argument(
        "--clock",
        choices=("virtual", "local", "paced"),
        default="virtual",
        help="virtual: a process per node, time jumps (default); local: one process, the same bytes; paced: wall time",
    )
    run.add_argument("--processes", type=int, metavar="K", help="virtual: pack the nodes into K processes")
    run.add_argument("--dilation", type=float, metavar="D", help="paced: wall seconds per virtual second")
    run.add_argument("--circuit", type=Path, metavar="FILE", help="OpenQASM file in place of the scenario's circuit")
    run.add_argument("--shots", type=int, metavar="N", help="in place of the scenario's own")
    run.add_argument("--out", type=Path, metavar="DIR", help="folder for the results (default: a new one in out/)")
    run.add_argument("--force", action="store_true", help="replace an earlier run in DIR")
    run.add_argument("--json", type=Path, metavar="FILE", help="also write report.json there")
    run.add_argument("--mqtt", metavar="SETTING", help="none, embedded or mqtt://HOST:PORT, in place of the scenario's")
    run.add_argument("--replay", type=Path, metavar="DIR", help="run again what left DIR, with its inputs")

    validate = commands.add_parser("validate", help="check the physics against published numbers")
    validate.add_argument("area", metavar="AREA", help="link")
    validate.add_argument("--seed", type=int, default=1, metavar="N")
    validate.add_argument("--cases", type=Path, metavar="FILE", help="YAML list of {id, table, params, expected}")
    validate.add_argument("--list", action="store_true", help="print every table with its parameters and an example")
    validate.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")

    bench = commands.add_parser("bench", help="measure this machine")
    bench.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")

    commands.add_parser("dissector", help="print the Wireshark dissector (Lua)")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """The console command; its exit code."""
    args = _parser().parse_args(arguments)
    try:
        match args.command:
            case "run":
                return _run(args)
            case "validate":
                return _validate(args)
            case "bench":
                return _bench(args)
            case _:
                from testbed.dissector import lua

                print(lua(), end="")
                return 0
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has had enough
        return 0


def _run(args: argparse.Namespace) -> int:
    if not sys.platform.startswith("linux"):
        raise BadInput("this machine", "platform", f"{sys.platform} is not Linux", "run Bellwire on Linux")
    from testbed.lab.replay import replayed
    from testbed.lab.run import Options, run

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
    )
    if args.replay is not None:
        options = replayed(options, args.replay)
    elif args.scenario is None:
        raise BadInput("command line", "SCENARIO", "no scenario is named", "name a file, or --replay DIR")
    if args.processes is not None and args.processes < 1:
        raise BadInput("command line", "--processes", f"{args.processes} is not positive", "give 1 or more")
    if args.json is not None and not args.json.parent.is_dir():
        raise BadInput(str(args.json), "--json", "its folder does not exist", "make it first")
    with _ProgressLine() as progress, _Terminable() as terminable:
        finished = run(options, progress.show)
    folder = finished.folder
    if finished.report is not None:
        for line in finished.report.lines:
            print(line)
        if args.json is not None:
            args.json.write_bytes(folder.report.read_bytes())
    if finished.merged is not None:
        print(f"trace: {finished.merged.frames} frames, {finished.merged.events} events")
    print(f"files in {folder.path}: " + ", ".join(p.name for p in sorted(folder.path.iterdir()) if p.is_file()))
    if finished.trouble:
        print(f"bellwire run: {finished.trouble}", file=sys.stderr)
    return 143 if terminable.asked and finished.code == 130 else finished.code


class _Terminable:
    """SIGTERM ends a run as Ctrl-C does, in order; the exit code tells them apart."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> Self:
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a job in the background of a script
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self._before = signal.signal(signal.SIGTERM, self._terminate)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, self._before)

    def _terminate(self, *_: object) -> None:
        self.asked = True
        signal.raise_signal(signal.SIGINT)


class _ProgressLine:
    """Long work shows how far it is, on a terminal only; nothing is left of it at the end."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def show(self, facts: dict[str, Any]) -> None:
        if self._live:
            text = f"virtual time {facts['t_ps'] * 1e-12:.6f} s, {facts['windows']} windows"
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
            self._shown = True


def _validate(args: argparse.Namespace) -> int:
    from testbed.validate import list_tables, run

    if args.list:
        print(list_tables(args.area))
        return 0
    return run(args.area, args.seed, args.cases, args.json)


def _bench(args: argparse.Namespace) -> int:
    from testbed.bench import run_bench

    figures = run_bench(print)
    if args.json is not None:
        args.json.write_text(json.dumps({"schema": "bellwire.bench/1", "figures": figures}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
