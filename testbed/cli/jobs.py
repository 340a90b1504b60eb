"""`bellwire submit`, `jobs`, `cancel`: circuits for the controller of a testbed that stays."""

import argparse
import json
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Self

from testbed.cli.completion import completed_by, testbeds
from testbed.cli.standing import journals_lost
from testbed.cli.terminal import Commands, Parser, say
from testbed.errors import BadInput
from testbed.program import program

if TYPE_CHECKING:
    from testbed.standing.jobs import JobStatus
    from testbed.standing.testbed import Testbed

SUBMIT = """Give a circuit to the controller of a testbed that is up, and wait for what comes out.

  bellwire up testbed/scenarios/controller.yaml --dilation 100
  bellwire submit testbed/scenarios/ghz-4.qasm --shots 20
  bellwire submit controller testbed/scenarios/ghz-4.qasm --shots 20 --no-wait
  bellwire jobs                                      what has become of all
  bellwire jobs 2                                    of one, with its counts
  bellwire cancel 2

The job goes on when this command is interrupted, or dies.
"""
_BAR = 24
_EVERY_S = 10.0


def add(commands: Commands) -> None:
    """Declare them all."""
    submit = commands.add_parser(
        "submit",
        help="run a circuit on a testbed with a controller",
        usage="%(prog)s [TESTBED] CIRCUIT --shots N [options]",
        description=SUBMIT,
    )
    submit.set_defaults(do=_submit)
    submit.add_argument("what", metavar="[TESTBED] CIRCUIT", nargs="+", help="an OpenQASM 2 or 3 file")
    submit.add_argument("--shots", type=int, required=True, metavar="N", help="how often it runs")
    submit.add_argument("--name", metavar="NAME", help="what the job is called (default: the file's name)")
    submit.add_argument("--fidelity", type=float, default=0.0, metavar="F", help="least fidelity of its pairs")
    submit.add_argument("--ahead", type=int, default=0, metavar="N", help="pairs that are to be ready for its gates")
    wait = submit.add_mutually_exclusive_group()
    wait.add_argument("--wait", dest="wait", action="store_true", default=True, help="for its outcome (default)")
    wait.add_argument("--no-wait", dest="wait", action="store_false", help="say its number, and end")
    submit.add_argument("--json", action="store_true", help="the job as JSON")
    _which(submit)
    jobs = commands.add_parser("jobs", help="say what has become of jobs", description="Say what has become of jobs.")
    jobs.set_defaults(do=_jobs)
    jobs.add_argument("job", metavar="JOB", nargs="?", type=int, help="one, with its counts (default: all)")
    jobs.add_argument("--json", action="store_true", help="as JSON")
    _which(jobs)
    cancel = commands.add_parser("cancel", help="end a job", description="End a job, wherever it is.")
    cancel.set_defaults(do=_cancel)
    cancel.add_argument("job", metavar="JOB", type=int, help="its number")
    _which(cancel)


def _which(parser: Parser) -> None:
    which = parser.add_argument("--testbed", "-t", metavar="NAME", help="which one (default: the only one that is up)")
    completed_by(which, testbeds)
    parser.add_argument("--dir", type=Path, metavar="DIR", help="as it was told to `up`")
    parser.add_argument("--controller", metavar="NODE", help="which, if the testbed has several")


def _found(args: argparse.Namespace) -> "Testbed":
    from testbed.standing.testbed import Testbed

    return Testbed.find(args.testbed, args.dir)


def _gone(args: argparse.Namespace, error: Exception) -> int:
    print(f"bellwire {args.command}: {error}", file=sys.stderr)
    return 3


def _submit(args: argparse.Namespace) -> int:
    from testbed.standing.testbed import TestbedError

    *names, circuit = args.what
    if len(names) > 1 or (names and args.testbed):
        raise BadInput("command line", "TESTBED", "more than one testbed is named", "name one testbed, and one circuit")
    args.testbed = names[0] if names else args.testbed
    try:
        bed = _found(args)
        status = bed.submit(
            circuit,
            args.shots,
            name=args.name,
            minimum_fidelity=args.fidelity,
            ahead=args.ahead,
            controller=args.controller,
        )
        if not args.wait:
            return _told(args, status, [f"job {status.job}, {status.name}, is {status.state.lower()}"], 0)
        try:
            with _Bar() as bar:
                status = bed.wait(status.job, progress=bar.show, controller=args.controller)
        except KeyboardInterrupt:
            hint = f"{program()} jobs {status.job}, {program()} cancel {status.job}"
            print(f"bellwire submit: job {status.job} goes on: {hint}", file=sys.stderr)
            return 130
    except TestbedError as error:
        return _gone(args, error)
    return _told(args, status, _outcome(status), 0 if status.state == "DONE" else 1)


def _told(args: argparse.Namespace, status: "JobStatus", lines: list[str], code: int) -> int:
    say([json.dumps(asdict(status), indent=2)] if args.json else lines, code)
    return code


def _jobs(args: argparse.Namespace) -> int:
    from testbed.standing.testbed import TestbedError

    try:
        bed = _found(args)
        if args.job is not None:
            status = bed.job(args.job, controller=args.controller)
            return _told(args, status, _outcome(status), 0)
        found = bed.jobs(controller=args.controller)
        lost = [] if args.json else journals_lost(bed.status())
    except TestbedError as error:
        return _gone(args, error)
    if args.json:
        say([json.dumps([asdict(one) for one in found], indent=2)], 2)
        return 0
    width = max((len(one.name) for one in found), default=0)
    say([*([_row(one, width) for one in found] or ["no jobs"]), *lost], 2)
    return 0


def _cancel(args: argparse.Namespace) -> int:
    from testbed.standing.testbed import TestbedError

    try:
        status = _found(args).cancel(args.job, controller=args.controller)
    except TestbedError as error:
        return _gone(args, error)
    say([f"job {status.job}, {status.name}, is {status.state.lower()}"], 2)
    return 0


def _row(one: "JobStatus", width: int) -> str:
    where = f"  on {', '.join(one.nodes)}" if one.nodes and one.state != "QUEUED" else ""
    why = f"  ({one.reason})" if one.reason and one.reason != one.state.lower() else ""
    return f"{one.job:>4}  {one.name:<{width}}  {one.state.lower():<10}  {one.shots_done}/{one.shots} shots{where}{why}"


def _outcome(status: "JobStatus") -> list[str]:
    """A job, and its counts as shares."""
    lines = [_row(status, len(status.name)).strip()]
    if status.shots_spoilt:
        lines.append(f"  {status.shots_spoilt} shots were spoilt: pairs were lost under their gates")
    total = sum(status.counts.values())
    shown = sorted(status.counts.items(), key=lambda item: (-item[1], item[0]))
    for key, number in shown[:16]:
        lines.append(f"  {key}  {number / total:6.3f}  {'#' * round(40 * number / total)}".rstrip())
    if len(shown) > 16:
        lines.append(f"  ... and {len(shown) - 16} more, with --json")
    return lines


class _Bar:
    """How far a job is: on a terminal a bar that is gone at the end, elsewhere a line now and then."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._said = time.monotonic()
        self._shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def show(self, status: "JobStatus") -> None:
        with suppress(OSError):  # nobody listens
            if self._live:
                full = _BAR * status.shots_done // status.shots
                bar = "#" * full + "." * (_BAR - full)
                where = f" on {', '.join(status.nodes)}" if status.nodes else ""
                done = f"{status.shots_done}/{status.shots}"
                text = f"job {status.job} {status.name}: {status.state.lower()}{where} [{bar}] {done}"
                print(f"\r\x1b[K{text}   (Ctrl-C leaves it running)", end="", file=sys.stderr, flush=True)
                self._shown = True
            elif time.monotonic() - self._said >= _EVERY_S:
                self._said = time.monotonic()
                print(f"bellwire submit: {_row(status, 0).strip()}", file=sys.stderr, flush=True)
