"""The command line: ``bellwire run | trace | validate | bench | conformance | dissector``.

What may live here: arguments in, text and exit codes out.  Work is done elsewhere, and imported only when asked for.
"""

import argparse
import errno
import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self

# Before anything imports numpy: threads inside BLAS turn operations on a few qubits from 0.05 ms into 8 ms.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from testbed.errors import BadInput

if TYPE_CHECKING:
    from testbed.lab.run import Finished

EXITS = """exit codes:
  0 well   1 a check failed, or the work was not finished   2 bad input   3 a process died
  4 the emulator broke its own rules   130 interrupted (Ctrl-C)   143 terminated (SIGTERM)
"""

RUN = """Run a scenario: every node a process of its own, real UDP between them, one process for the quantum world.

A run leaves in DIR:
  report.json    what was measured          trace.pcapng  every frame, for Wireshark
  events.jsonl   what the protocols did     logs/NODE.log, run.json (addresses, process ids, this machine)
The same scenario and seed give the same report, trace and events, byte for byte, under virtual and local.
"""


class _Parser(argparse.ArgumentParser):
    """One line for a mistake, as for every other bad input."""

    def error(self, message: str) -> NoReturn:
        print(f"command line: {message}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(2)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="bellwire",
        description="A quantum network protocol stack and the testbed to run it.",
        epilog=EXITS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)

    run = commands.add_parser(
        "run",
        help="run a scenario",
        usage="%(prog)s SCENARIO [options]",
        description=RUN,
        epilog=EXITS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
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
    results = run.add_argument_group("results")
    results.add_argument("--out", type=Path, metavar="DIR", help="folder for them (default: a new one in out/)")
    results.add_argument("--force", action="store_true", help="replace an earlier run in DIR")
    results.add_argument("--json", type=Path, metavar="FILE", help="also write report.json there")
    results.add_argument("--replay", type=Path, metavar="DIR", help="do again the run that left DIR")

    trace = commands.add_parser("trace", help="write the trace of a run that was cut short, or that still runs")
    trace.add_argument("folder", metavar="DIR", type=Path, help="the run's output folder")

    validate = commands.add_parser("validate", help="check the physics against published numbers")
    validate.add_argument("area", metavar="AREA", help="link")
    validate.add_argument("--seed", type=int, default=1, metavar="N")
    validate.add_argument("--cases", type=Path, metavar="FILE", help="YAML list of {id, table, params, expected}")
    validate.add_argument("--list", action="store_true", help="print every table with its parameters and an example")
    validate.add_argument(
        "--json", type=Path, metavar="FILE", help="write the rows there, and plots into FILE's name with -plots"
    )
    validate.add_argument("--plots", type=Path, metavar="DIR", help="draw a plot per table there")

    bench = commands.add_parser("bench", help="measure this machine")
    bench.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")

    conformance = commands.add_parser(
        "conformance",
        help="test an implementation of the protocols against every numbered requirement",
        description="Scripted peers, devices and users around one implementation, over real sockets.",
        epilog=EXITS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    target = conformance.add_mutually_exclusive_group(required=True)
    target.add_argument("--iut", metavar="udp:HOST:PORT", help="one that runs already: what can be seen from outside")
    target.add_argument("--iut-cmd", metavar="CMD", help="one that the kit starts, see docs/conformance.md")
    target.add_argument("--self", action="store_true", help="our own node, as any other")
    target.add_argument("--list", action="store_true", help="print the requirements, and which scripts decide each")
    target.add_argument("--mutants", action="store_true", help="which script catches which wrong node")
    conformance.add_argument("--virtual", action="store_true", help="with --self: in emulated time, in this process")
    conformance.add_argument("--only", metavar="TEXT", help="a protocol, a requirement or a script: MHP, EGP-4, echo")
    conformance.add_argument("--key", metavar="HEX", help="with --iut: the key that it shares with every peer")
    conformance.add_argument(
        "--peer", metavar="NODE=PORT", action="append", default=[], help="with --iut: where it expects this peer"
    )
    conformance.add_argument("--json", type=Path, metavar="FILE", help="write verdicts and evidence there")
    conformance.add_argument("--junit", type=Path, metavar="FILE", help="write the verdicts there as JUnit XML")

    commands.add_parser("dissector", help="print the Wireshark dissector (Lua)")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """The console command; its exit code."""
    _reopen_standard_streams()
    try:
        code = _command(_parser().parse_args(arguments))
        sys.stdout.flush()
        return code
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("bellwire: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        _abandon_stdout()  # the reader has had enough
        return 0
    except OSError as error:
        if error.filename is not None or error.errno not in (errno.ENOSPC, errno.EBADF, errno.EIO):
            raise
        return _unwritable(2)
    except _Unwritable as unwritable:
        return unwritable.code if unwritable.quiet else _unwritable(unwritable.code)


class _Unwritable(Exception):
    """Standard output is closed or full.  ``code``: what the command has come to all the same."""

    def __init__(self, error: OSError, code: int) -> None:
        super().__init__(str(error))
        self.code = code
        self.quiet = isinstance(error, BrokenPipeError)  # the reader has had enough
        _abandon_stdout()


def _unwritable(code: int) -> int:
    _abandon_stdout()
    print("standard output: it is closed or full; what was to be shown is lost, files are not", file=sys.stderr)
    return code


def _command(args: argparse.Namespace) -> int:
    match args.command:
        case "run":
            return _run(args)
        case "trace":
            return _trace(args)
        case "validate":
            return _validate(args)
        case "bench":
            return _bench(args)
        case "conformance":
            return _conformance(args)
        case _:
            from testbed.dissector import lua

            _say([lua().rstrip("\n")], 2)
            return 0


def _say(lines: list[str], code: int) -> None:
    """Print, at once; ``code`` is the exit code if that cannot be done."""
    try:
        for line in lines:
            print(line)
        sys.stdout.flush()
    except OSError as error:
        raise _Unwritable(error, code) from None


def _run(args: argparse.Namespace) -> int:
    if not sys.platform.startswith("linux"):
        raise BadInput("this machine", "platform", f"{sys.platform} is not Linux", "run Bellwire on Linux")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a job in the background of a script
        signal.signal(signal.SIGINT, signal.default_int_handler)
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
    _check_writable(args.json)
    with _ProgressLine() as progress, _Terminable() as terminable:
        finished = run(options, progress.show, lambda line: _say([line], 2))
    code = 143 if terminable.asked and finished.code == 130 else finished.code
    trouble = "terminated" if code == 143 else finished.trouble
    if code == 2:
        print(trouble, file=sys.stderr)  # said as all other bad input is
        return code
    if finished.report is not None and args.json is not None:
        try:
            args.json.write_bytes(finished.folder.report.read_bytes())
        except OSError as error:
            raise BadInput(args.json, "--json", error.strerror or str(error), "name another file") from None
    try:
        _say(_summary(finished), code)
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
        lines.append(f"trace not whole yet; write it with: bellwire trace {shlex.quote(str(folder.path))}")
    if merged is not None:
        lines += [f"trace: {merged.frames} frames, {merged.events} events; open it with", *_opening(folder.trace)]
    return lines


def _opening(trace: Path) -> list[str]:
    return [
        "  bellwire dissector > bellwire.lua",
        f"  tshark -X lua_script:bellwire.lua -r {shlex.quote(str(trace))}     (or wireshark, without -r)",
    ]


def _check_writable(path: Path | None, option: str = "--json") -> None:
    """Find out before the work what would spoil its end; ``path`` is what the option names, if anything."""
    if path is None:
        return
    if not path.parent.is_dir():
        raise BadInput(path, option, "its folder does not exist", "make it first")
    if path.is_dir():
        raise BadInput(path, option, "it is a folder", "name a file")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise BadInput(path, option, "it may not be written", "name another file")


class _Terminable:
    """SIGTERM ends a run as Ctrl-C does, in order; the exit code tells them apart."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGTERM, self._terminate)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, self._before)

    def _terminate(self, *_: object) -> None:
        self.asked = True
        signal.raise_signal(signal.SIGINT)


class _ProgressLine:
    """Long work shows how far it is: on a terminal in a line that is gone at the end, elsewhere now and then in one of
    its own.  ``wall`` gives the time in seconds."""

    EVERY_S = 10.0

    def __init__(self, wall: Callable[[], float] = time.monotonic) -> None:
        self._live = sys.stderr.isatty()
        self._shown = False
        self._wall = wall
        self._began = self._said = wall()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def show(self, facts: dict[str, Any]) -> None:
        with suppress(OSError):  # nobody listens: no reason to end a run
            self._show(facts)

    def _show(self, facts: dict[str, Any]) -> None:
        text = f"virtual time {facts['t_ps'] * 1e-12:.6f} s"
        now = self._wall()
        if self._live:
            hint = "   (Ctrl-C ends the run and keeps what there is)"
            print(f"\r\x1b[K{text}{hint}", end="", file=sys.stderr, flush=True)
            self._shown = True
        elif now - self._said >= self.EVERY_S:
            self._said = now
            print(f"bellwire run: {text} after {now - self._began:.0f} s", file=sys.stderr, flush=True)


def _trace(args: argparse.Namespace) -> int:
    from testbed.lab.rescue import merge_now

    merged = merge_now(args.folder)
    what = f"trace: {merged.frames} frames, {merged.events} events; open it with"
    _say([what, *_opening(args.folder / "trace.pcapng")], 2)
    return 0


def _reopen_standard_streams() -> None:
    """A standard stream that was closed at the start leads nowhere from now on.

    Otherwise the next file or socket would get its number, and what is printed would go there.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is not None:
            continue
        opened = os.open("/dev/full" if name == "stdout" else os.devnull, os.O_RDWR)
        if opened != number:
            os.dup2(opened, number, inheritable=False)
            os.close(opened)
        setattr(sys, name, os.fdopen(number, mode))


def _abandon_stdout() -> None:
    """Have what is still buffered go nowhere, so that the interpreter does not stumble over it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _validate(args: argparse.Namespace) -> int:
    from testbed.scenario.load import MAX_SEED
    from testbed.validate import list_tables, run

    if args.list:
        for option, value in (("--cases", args.cases), ("--json", args.json), ("--plots", args.plots)):
            if value is not None:
                raise BadInput("command line", option, "--list measures nothing", "leave one of the two out")
        _say(list_tables(args.area).splitlines(), 2)
        return 0
    if not 0 <= args.seed <= MAX_SEED:
        raise BadInput(
            "command line", "--seed", f"{args.seed} is not a seed", f"give a whole number from 0 to {MAX_SEED}"
        )
    _check_writable(args.json)
    return run(args.area, args.seed, args.cases, args.json, args.plots)


def _bench(args: argparse.Namespace) -> int:
    from testbed.bench import run_bench

    _check_writable(args.json)
    figures = run_bench(print)
    if args.json is not None:
        args.json.write_text(json.dumps({"schema": "bellwire.bench/1", "figures": figures}, indent=2) + "\n")
    return 0


def _conformance(args: argparse.Namespace) -> int:
    from testbed.conformance.command import Wanted, conformance

    _check_writable(args.json)
    _check_writable(args.junit, "--junit")
    wanted = Wanted(
        address=args.iut,
        command=args.iut_cmd,
        own=args.self,
        virtual=args.virtual,
        mutants=args.mutants,
        only=args.only,
        key=args.key,
        peers=tuple(args.peer),
        json=args.json,
        junit=args.junit,
    )
    return conformance(wanted, lambda line: _say([line], 2))


if __name__ == "__main__":
    sys.exit(main())
