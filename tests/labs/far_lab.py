"""For nodes that are started elsewhere: addresses that are nobody's, network namespaces, and what to run in them.

What may live here: what keeps tests out of the way of others, of earlier runs that were killed, too.
"""

import random
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from command_lab import write
from slice_lab import SCENARIOS, two_qpus

from protocols.wire import PORT


def patient(folder: Path) -> Path:
    """two-qpus.yaml for a machine that is busy elsewhere: heralds may be 30 ms late, every other attempt has one."""
    job = {"circuit": str(SCENARIOS / "ghz-4.qasm"), "shots": 2, "merge": False}
    job["mapping"] = {"west": [0, 1], "east": [2, 3]}
    link = {"efficiency_a": 1.0, "efficiency_b": 1.0, "attenuation_db_per_km": 0.0}
    return write(folder, two_qpus({"job": job}, link=link, host_allowance_s=0.03), "two-qpus.yaml")


def free_addresses(number: int) -> list[str]:
    """Of this machine, at whose port for frames nobody is; drawn at random, for others look at the same time."""
    found: list[str] = []
    draw = random.SystemRandom()
    while len(found) < number:
        address = f"127.{draw.randrange(64, 255)}.{draw.randrange(256)}.{draw.randrange(1, 255)}"
        with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((address, PORT))
            found.append(address)
    return found


_APART = 'mkdir -p /run/netns && mount -t tmpfs none /run/netns && echo ready && read -r _'


class Refused(Exception):
    """Namespaces are not to be had here; why."""


@contextmanager
def apart() -> Iterator[list[str]]:
    """A command's beginning, after which `ip netns` knows only what was made behind it: nobody else's namespaces are in
    the way, and they are gone when all that runs in them is, however it ends.  Raises Refused."""
    holder = ["unshare", "--mount", "sh", "-c", _APART]
    try:
        process = subprocess.Popen(
            holder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    except OSError as error:
        raise Refused(f"unshare: {error.strerror}") from None
    with process:  # closes its input, by which it ends; so does the end of this process, however sudden
        assert process.stdout is not None
        assert process.stderr is not None
        if process.stdout.readline() != "ready\n":
            raise Refused(process.stderr.read().strip())
        yield ["nsenter", f"--mount=/proc/{process.pid}/ns/mnt"]
        assert process.stdin is not None
        process.stdin.close()


__all__ = ["Refused", "apart", "free_addresses", "patient"]
