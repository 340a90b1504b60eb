"""The embedded MQTT broker: amqtt in a child process, and the handle by which the launcher holds it.

The launcher binds the socket (on loopback only) and hands it down, so the port is known at once and stays the
same over the broker's deaths. The child ends with its parent, however that ends: it reads a lifeline pipe,
whose other end only the parent holds. It is a process because a busy broker must not take turns with the
launcher; and it is a nice one, because telemetry must not be felt.
"""

import argparse
import asyncio
import json
import logging
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

PUBLISHER: Final = "publisher"
OPERATOR: Final = "operator"
"""Who may say something at it, each with a password of its own; see ``testbed.broker_rights``."""

_BACKLOG = 64
_LAST_DELIVERIES_S = 0.1
_STUCK_S = 1.0  # the time the event loop has to see the end for itself
_NICENESS = 10


class EmbeddedBroker:
    """A broker on 127.0.0.1 at `port`, running from `start` to `close`; a dead one may be started again."""

    def __init__(self, log: Path | None = None) -> None:
        """Bind the socket. The broker's own output is appended to `log`, or thrown away."""
        self.process: subprocess.Popen[bytes] | None = None
        self._log = log
        self._lifeline: int | None = None
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        self.port: int = self._socket.getsockname()[1]
        self.passwords = {name: secrets.token_hex(16) for name in (PUBLISHER, OPERATOR)}

    def start(self) -> None:
        """Start the child. Clients may connect from now on; they are served some tenths of a second later."""
        self.stop()
        ends_with_parent, self._lifeline = os.pipe()
        socket_number = self._socket.fileno()
        package_root = str(Path(__file__).resolve().parent.parent)
        search = os.pathsep.join(filter(None, (package_root, os.environ.get("PYTHONPATH"))))
        command = [sys.executable, "-P", "-m", "testbed.broker"]
        try:
            with open(self._log or os.devnull, "ab") as output:
                self.process = subprocess.Popen(
                    [*command, "--socket", str(socket_number), "--lifeline", str(ends_with_parent)],
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=output,
                    env=os.environ | {"PYTHONPATH": search},
                    pass_fds=(socket_number, ends_with_parent),
                    process_group=0,  # Ctrl-C is the launcher's to answer
                )
            assert self.process.stdin is not None
            with self.process.stdin as stdin, suppress(BrokenPipeError):
                stdin.write(json.dumps(self.passwords).encode())  # not on the command line, which all can read
        finally:
            os.close(ends_with_parent)

    def stop(self, patience_s: float = 3.0) -> None:
        """End the child, if there is one: it delivers what is under way, or is killed."""
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None
        if self.process is not None:
            try:
                self.process.wait(patience_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def close(self) -> None:
        """Stop, and give up the port."""
        self.stop()
        self._socket.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def main() -> None:
    """The child's side: `python -m testbed.broker --socket FD --lifeline FD`."""
    parser = argparse.ArgumentParser(prog="python -m testbed.broker")
    parser.add_argument("--socket", type=int, required=True, help="descriptor of a bound, listening socket")
    parser.add_argument(
        "--lifeline", type=int, required=True, help="descriptor of a pipe whose end ends the broker"
    )
    arguments = parser.parse_args()
    os.nice(_NICENESS)
    logging.basicConfig(level=logging.WARNING)
    parent_gone = threading.Event()
    passwords = json.load(sys.stdin)
    # A thread, and before amqtt is imported: the lifeline is obeyed whatever the event loop is doing.
    threading.Thread(target=_watch, args=(arguments.lifeline, parent_gone), daemon=True).start()
    asyncio.run(_serve(socket.socket(fileno=arguments.socket), passwords, parent_gone))


def _watch(lifeline: int, parent_gone: threading.Event) -> None:
    while os.read(lifeline, 1):
        pass
    parent_gone.set()
    time.sleep(_STUCK_S)
    os._exit(0)


async def _serve(listening: socket.socket, passwords: dict[str, str], parent_gone: threading.Event) -> None:
    """Serve MQTT 3.1.1 on a socket that is bound already. amqtt calls that an external listener."""
    from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter
    from amqtt.broker import Broker

    broker = Broker(
        {
            "listeners": {"default": {"type": "external"}},
            "plugins": {
                "testbed.broker_rights.Passwords": {"passwords": passwords},
                "testbed.broker_rights.TopicRights": {},
            },
        }
    )
    await broker.start()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await broker.external_connected(StreamReaderAdapter(reader), StreamWriterAdapter(writer), "default")

    server = await asyncio.start_server(connected, sock=listening)
    await asyncio.to_thread(parent_gone.wait)
    server.close()
    await asyncio.sleep(_LAST_DELIVERIES_S)
    # The kernel still sends what was written; amqtt's own shutdown would only wait for its clients.
    os._exit(0)


if __name__ == "__main__":
    main()
