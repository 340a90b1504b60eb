"""Completion in the shell: of commands and options, and of what only a running testbed knows.

What may live here: who completes what.  The shell's side is argcomplete's.
"""

import argparse
import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from testbed.cli.terminal import Commands, Parser, say

COMPLETION = """Print what makes a shell complete bellwire's commands, options, nodes and testbeds.

  bash: eval "$(bellwire completion bash)"      in ~/.bashrc
  zsh:  eval "$(bellwire completion zsh)"       in ~/.zshrc, after compinit
  fish: bellwire completion fish | source       in ~/.config/fish/config.fish
"""


def add(commands: Commands) -> None:
    """Declare `completion`."""
    completion = commands.add_parser(
        "completion",
        help="print what makes a shell complete",
        description=COMPLETION,
    )
    completion.set_defaults(do=_completion)
    completion.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "fish"), help="bash, zsh or fish")


def _completion(args: argparse.Namespace) -> int:
    from argcomplete.shell_integration import shellcode

    say([shellcode(["bellwire"], shell=args.shell).rstrip()], 2)
    return 0


def complete(parser: Parser) -> None:
    """Answer the shell and end, if it is the shell that asks."""
    if "_ARGCOMPLETE" not in os.environ:
        return
    import argcomplete

    argcomplete.autocomplete(parser)


def nodes(parsed_args: argparse.Namespace, **_: Any) -> Iterable[str]:
    """The nodes of the testbed that is meant."""
    from testbed.standing.testbed import Testbed

    with suppress(Exception):  # there is nothing to complete, and nobody to tell
        return list(Testbed.find(parsed_args.testbed, parsed_args.dir).status().nodes)
    return []


def kinds(**_: Any) -> Iterable[str]:
    """What can be wrong with a network."""
    from testbed.fault_kinds import KINDS

    return list(KINDS)


def places(parsed_args: argparse.Namespace, **_: Any) -> Iterable[str]:
    """What may follow a kind of fault: an amount, such as those that are common, then links and nodes."""
    from testbed.fault_kinds import AMOUNTS, BROKER, CHANCES, DISK, DRIFT
    from testbed.standing.testbed import Testbed

    kind, said = parsed_args.kind, parsed_args.rest or []
    if kind in AMOUNTS and not said:
        return ["0.01", "0.1", "0.5"] if kind in CHANCES else ["50ppm", "-50ppm"] if kind == DRIFT else ["1ms", "5ms"]
    if kind in (DISK, BROKER):
        return []
    with suppress(Exception):
        status = Testbed.find(parsed_args.testbed, parsed_args.dir).status()
        links = [link.name for link in status.links]
        there = [node.name for node in status.nodes.values() if kind != "blind" or node.kind == "station"]
        fitting = {"cut": links, "blind": there, "partition": there, DRIFT: there}.get(kind, links + there)
        return [name for name in fitting if name not in said]
    return []


def troubled(parsed_args: argparse.Namespace, **_: Any) -> Iterable[str]:
    """Where there is a fault of the kind that is to be healed."""
    from testbed.standing.testbed import Testbed

    with suppress(Exception):
        active = Testbed.find(parsed_args.testbed, parsed_args.dir).status().faults
        return sorted({name for fault in active if fault.kind == parsed_args.kind for name in fault.at})
    return []


def testbeds(parsed_args: argparse.Namespace, **_: Any) -> Iterable[str]:
    """Those that are up."""
    from testbed.standing.places import standing

    with suppress(Exception):
        return [one.name for one in standing(parsed_args.dir)]
    return []


def completed_by(action: argparse.Action, completer: Any) -> None:
    """Have this argument completed so."""
    action.completer = completer  # type: ignore[attr-defined]  # where argcomplete looks for it


__all__ = ["add", "complete", "completed_by", "kinds", "nodes", "places", "testbeds", "troubled"]
