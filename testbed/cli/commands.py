"""The commands of the command line, and what becomes of them.

What may live here: their list, and what every one of them does with an error.  A command is a module beside this one,
with its arguments and its text; work is done elsewhere, and imported only when asked for.
"""

import argparse
import errno
import os
import sys
from importlib.metadata import version

# Before anything imports numpy: threads inside BLAS turn operations on a few qubits from 0.05 ms into 8 ms.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from testbed.cli import completion, jobs, measuring, replaying, running, standing, starting, tracing
from testbed.cli.terminal import EXITS, Parser, Unwritable, abandon_stdout, reopen_standard_streams, say
from testbed.errors import BadInput
from testbed.owner import end_with_owner

COMMANDS = (starting, running, standing, jobs, tracing, replaying, measuring, completion)
"""Their ``add(commands)`` declares arguments and sets ``do``, which is given them and returns the exit code."""


def parser() -> Parser:
    """All commands with all their arguments."""
    whole = Parser(
        prog="bellwire",
        description="A quantum network protocol stack and the testbed to run it.",
        epilog=EXITS,
    )
    whole.add_argument("--version", action="version", version=f"bellwire {version('bellwire')}")
    commands = whole.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    for module in COMMANDS:
        module.add(commands)
    dissector = commands.add_parser("dissector", help="print the Wireshark dissector (Lua)")
    dissector.set_defaults(do=_dissector)
    return whole


def obey(arguments: list[str] | None = None) -> int:
    """Do what the command line says; the exit code.  Raises KeyboardInterrupt."""
    reopen_standard_streams()
    try:
        whole = parser()
        completion.complete(whole)
        said = sys.argv[1:] if arguments is None else arguments
        if said and said[0].startswith("-") and not whole.knows(said[0]):
            whole.error(f"{said[0]}: what is said of a command follows it: {whole.prog} COMMAND {said[0]} ...")
        args = whole.parse_args(said)
        end_with_owner()
        code: int = args.do(args)
        sys.stdout.flush()
        return code
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:
        abandon_stdout()  # the reader has had enough
        return 0
    except OSError as error:
        if error.filename is not None or error.errno not in (errno.ENOSPC, errno.EBADF, errno.EIO):
            raise
        return _unwritable(2)
    except Unwritable as unwritable:
        if not unwritable.quiet:
            return _unwritable(unwritable.code)
        return 0 if unwritable.code == 2 else unwritable.code


def _unwritable(code: int) -> int:
    abandon_stdout()
    print("standard output: it is closed or full; what was to be shown is lost, files are not", file=sys.stderr)
    return code


def _dissector(args: argparse.Namespace) -> int:
    from testbed.dissector import lua

    say([lua().rstrip("\n")], 2)
    return 0


__all__ = ["obey", "parser"]
