"""The trace of a run that ended too suddenly to write one: the spools are there, and are merged by whoever is left.

What may live here: who that is, and when.  Under ``local`` there is nobody but the launcher, so a process waits for
its end: ``python -m testbed.lab.rescue``, with its orders as JSON on standard input.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from testbed.errors import BadInput
from testbed.lab.spawning import environment, python, zombie
from testbed.rundir import RunFolder
from testbed.trace.merging import MergeResult, NodeIdentity, merge

RESCUE_S = 3.0
"""How long the trace so far may take to save when something has died; everything is to be over within 5 s."""


def rescue_on_orphanhood(lifeline: int, folder: RunFolder, nodes: Sequence[NodeIdentity], code: int) -> None:
    """When the launcher has gone: save the trace so far and end this process with ``code``."""

    def wait() -> None:
        os.read(lifeline, 1)
        try:
            merge(folder.spools, folder.path, nodes, deadline_s=RESCUE_S)
        finally:
            os._exit(code)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


@contextmanager
def guard(lifeline: int, folder: RunFolder, nodes: Sequence[NodeIdentity]) -> Iterator[int]:
    """A process that saves the trace if this one is killed inside the context; its id."""
    orders = {"lifeline": lifeline, "out": str(folder.path.resolve()), "nodes": nodes}
    with subprocess.Popen(
        python("-m", "testbed.lab.rescue"),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[lifeline],
        start_new_session=True,
        env=environment({}),
    ) as process:
        try:
            assert process.stdin is not None
            with suppress(BrokenPipeError):  # somebody has killed it: a run does not need it
                process.stdin.write(json.dumps(orders).encode())
                process.stdin.close()
            yield process.pid
        finally:
            process.kill()


def merge_now(path: Path) -> MergeResult:
    """Merge the spools that a run left behind, or is still writing, as far as they go.  Raises BadInput."""
    folder = RunFolder(path)
    remedy = "name the folder of a run that was cut short, or that still runs"
    try:
        nodes = json.loads(folder.run.read_text())["nodes"]
        identities = [NodeIdentity(int(about["number"]), name, about["kind"]) for name, about in nodes.items()]
    except OSError as error:
        raise BadInput(folder.run, "file", error.strerror or str(error), remedy) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadInput(folder.run, "file", "it is not a run.json", remedy) from None
    if not any(folder.spools.glob("*.spool")):
        raise BadInput(folder.spools, "spools", "there are none: its trace is already whole", remedy)
    try:
        merged = merge(folder.spools, folder.path, identities)
        if merged.complete and _over(folder):
            folder.drop_spools()
        return merged
    except OSError as error:
        raise BadInput(path, "trace", f"it cannot be written ({error.strerror or error})", "make room") from None


def _over(folder: RunFolder) -> bool:
    """Whether no process of the run lives that could still write."""
    try:
        pids = [int(pid) for pid in json.loads(folder.run.read_text())["pids"].values()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    return bool(pids) and not any(Path("/proc", str(pid)).exists() and not zombie(pid) for pid in pids)


def main() -> None:
    """Wait for the end of the launcher, or to be ended by it."""
    orders = json.load(sys.stdin)
    nodes = [NodeIdentity(*node) for node in orders["nodes"]]
    rescue_on_orphanhood(orders["lifeline"], RunFolder(Path(orders["out"])), nodes, 0)
    threading.Event().wait()


if __name__ == "__main__":
    main()
