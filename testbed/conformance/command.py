"""`bellwire conformance`: what is asked for, checked; then the kit, and its report.

What may live here: the command's arguments as values, and their errors.
"""

import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from testbed.conformance import report
from testbed.conformance.catalogue import Requirement, load
from testbed.conformance.kit import hunt, judge, simulate_all, try_address, try_command
from testbed.conformance.mutants import load as load_mutants
from testbed.conformance.results import FAIL, PASS, Result
from testbed.conformance.scripts import Script
from testbed.conformance.scripts import load as load_scripts
from testbed.conformance.traces import load as load_rules
from testbed.errors import BadInput

_KEY_BYTES: Final = 32
_OWN: Final = (sys.executable, "-m", "testbed.conformance.iut")
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The command line.  With none of address, command, own, trace, mutants and fuzz, the catalogue is to be listed."""

    address: str | None = None
    command: str | None = None
    own: bool = False
    trace: Path | None = None
    nodes: tuple[int, ...] = ()
    virtual: bool = False
    mutants: bool = False
    fuzz: int | None = None
    seed: int | None = None
    only: str | None = None
    key: str | None = None
    peers: tuple[str, ...] = ()
    json: Path | None = None
    junit: Path | None = None


def conformance(wanted: Wanted, say: Say) -> int:
    """Do it; the exit code: 1 if a requirement is not met.  Raises BadInput."""
    if wanted.fuzz is not None:
        _fitting(wanted)
        return _fuzz(wanted, wanted.fuzz, say)
    requirements, scripts = _chosen(wanted.only)
    _fitting(wanted)
    targets = (wanted.address, wanted.command, wanted.trace)
    if not any(targets) and not wanted.own and not wanted.mutants:
        for line in _listed(requirements, scripts):
            say(line)
        return 0
    if wanted.mutants:
        return _mutants(wanted, requirements, scripts, say)
    if wanted.trace is not None:
        target, results = str(wanted.trace), _traced(wanted, wanted.trace, say)
    else:
        target, results = _results(wanted, scripts, say)
    verdicts = judge(requirements, results)
    for line in report.lines(verdicts, results):
        say(line)
    if wanted.json is not None:
        report.write_json(wanted.json, target, verdicts, results)
    if wanted.junit is not None:
        report.write_junit(wanted.junit, target, verdicts)
    return 1 if any(verdict.verdict == FAIL for verdict in verdicts) else 0


def _fitting(wanted: Wanted) -> None:
    """Raises BadInput for an option that says nothing to the target."""
    if wanted.address is None and wanted.peers:
        raise _bad("--peer", "it is for --iut", "leave it out")
    if wanted.address is None and wanted.trace is None and wanted.key is not None:
        raise _bad("--key", "it is for --iut and --trace", "leave it out")
    if wanted.trace is None and wanted.nodes:
        raise _bad("--node", "it is for --trace", "leave it out")
    if wanted.trace is None and wanted.fuzz is None and wanted.seed is not None:
        raise _bad("--seed", "it is for --trace and --fuzz", "leave it out")
    if wanted.virtual and not wanted.own:
        raise _bad("--virtual", "it is for --self", "leave it out")


def _traced(wanted: Wanted, path: Path, say: Say) -> list[Result]:
    """What a trace shows, rule by rule."""
    from testbed.conformance.traces.verdicts import judged, keys_of, read_trace

    key = _key(wanted.key)
    trace = read_trace(path, keys_of(path, key, wanted.seed))
    missing = set(wanted.nodes) - {frame.header.source for frame in trace.frames}
    if missing:
        raise _bad("--node", f"node {min(missing)} says nothing in {path.name}", "name one that does")
    say(f"{len(trace.frames)} frames of {len({f.header.source for f in trace.frames})} nodes")
    return judged(trace, wanted.nodes)


def _results(wanted: Wanted, scripts: list[Script], say: Say) -> tuple[str, list[Result]]:
    def heard(result: Result) -> None:
        if result.verdict != PASS:
            say(f"{result.verdict:13}  {result.script}: {result.why}")

    if wanted.virtual:
        return "self, in emulated time", simulate_all(scripts)
    if wanted.address is not None:
        where, ports = _address(wanted.address), _ports(wanted.peers)
        return wanted.address, trio.run(try_address, scripts, where, ports, _key(wanted.key), heard)
    command = list(_OWN) if wanted.command is None else _command(wanted.command)
    # Our own node can be put into emulated time, too, for what no host keeps.
    apart = [s for s in scripts if s.patient or s.emulated] if wanted.own else []
    with tempfile.NamedTemporaryFile("rb", prefix="bellwire-iut-", suffix=".log") as log:
        rest = [script for script in scripts if script not in apart]
        results: list[Result] = trio.run(try_command, rest, command, Path(log.name), heard)
        results += [_emulated(result) for result in simulate_all(apart)]
        said = log.read().decode(errors="replace").strip().splitlines()
    if any(result.verdict == FAIL for result in results):
        for line in said[-12:]:
            say(f"its standard error: {line}")
    return "self" if wanted.own else shlex.join(command), results


def _emulated(result: Result) -> Result:
    return result._replace(why=result.why or "in emulated time")


def _mutants(wanted: Wanted, requirements: list[Requirement], scripts: list[Script], say: Say) -> int:
    ids = {requirement.id for requirement in requirements}
    trials = [hunt(mutant, scripts) for mutant in load_mutants().values() if mutant.breaks in ids]
    for line in report.trial_lines(trials):
        say(line)
    if wanted.json is not None:
        report.write_trials(wanted.json, trials)
    return 1 if any(trial.caught_by is None for trial in trials) else 0


def _fuzz(wanted: Wanted, frames: int, say: Say) -> int:
    from testbed.conformance.fuzz import (  # the declarations of messages take a second to load
        PROTOCOLS,
        Finding,
        fuzz,
        report,
    )

    if frames < 1:
        raise _bad("--fuzz", f"{frames} frames are none", "give a number above 0")
    names = [wanted.only.upper()] if wanted.only is not None else list(PROTOCOLS)
    if not set(names) <= set(PROTOCOLS):
        raise _bad("--only", f"{wanted.only} is no protocol", f"name one of {', '.join(PROTOCOLS)}")
    findings: list[Finding] = []
    for name in names:
        tally = fuzz(name, frames, 1 if wanted.seed is None else wanted.seed)
        findings += tally.findings
        say(report.row(tally))
    for line in report.lines(findings):
        say(line)
    return 1 if findings else 0


def _chosen(only: str | None) -> tuple[list[Requirement], list[Script]]:
    requirements, scripts = list(load().values()), list(load_scripts().values())
    if only is None:
        return requirements, scripts
    name = only.upper()
    chosen = [r for r in requirements if r.id == name or r.family == name]
    ids = {r.id for r in chosen}
    playing = [s for s in scripts if s.name.startswith(only) or ids & set(s.decides)]
    if not playing and not chosen:
        raise _bad("--only", f"nothing is called {only}", "see --list")
    ids |= {name for script in playing for name in script.decides if not chosen}
    return [r for r in requirements if r.id in ids], playing


def _listed(requirements: list[Requirement], scripts: list[Script]) -> list[str]:
    lines = []
    rules = load_rules().values()
    for requirement in requirements:
        names = [script.name for script in scripts if requirement.id in script.decides]
        names += [f"traces.{rule.name}" for rule in rules if requirement.id in rule.decides]
        how = ", ".join(names) if names else requirement.reason or "not decided yet"
        lines += [f"{requirement.id} {requirement.level} ({requirement.role}): {requirement.text}", f"    {how}"]
    return lines


def _bad(option: str, what: str, remedy: str) -> BadInput:
    return BadInput("command line", option, what, remedy)


def _address(text: str) -> tuple[str, int]:
    scheme, _, rest = text.partition(":")
    host, _, port = rest.rpartition(":")
    if scheme != "udp" or not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise _bad("--iut", f"{text} is no address", "write udp:HOST:PORT")
    return host, int(port)


def _ports(peers: tuple[str, ...]) -> dict[int, int]:
    ports = {}
    for text in peers:
        node, _, port = text.partition("=")
        if not node.isdecimal() or not port.isdecimal() or not 0 < int(port) < 65_536:
            raise _bad("--peer", f"{text} is no peer", "write NODE=PORT, such as 2=57722")
        ports[int(node)] = int(port)
    return ports


def _key(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise _bad("--key", "it is no key", f"give {_KEY_BYTES} bytes in hexadecimal")
    return key


def _command(text: str) -> list[str]:
    try:
        command = shlex.split(text)
    except ValueError as error:
        raise _bad("--iut-cmd", str(error).lower(), "quote it as for a shell") from None
    if not command or shutil.which(command[0]) is None:
        raise _bad("--iut-cmd", f"there is no command {command[0] if command else ''!r}", "name a program")
    return command
