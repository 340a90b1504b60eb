"""Publishing the state of a run over MQTT, from the launcher, without the run ever feeling it.

Everything that talks to a broker lives here, on an asyncio thread of its own. `publish` only appends to a
bounded queue: a broker that is slow, gone or never there costs the oldest messages, which are counted, and
nothing else.

Topics stand under bellwire/RUN/; what clients ask for comes at `request/CLIENT` there, and `state` is this
publisher's own: running, ended, or lost (the broker says that one, by the last will). Retained messages are
state: after a broker came back the newest of every topic is published again, since a broker may have
forgotten them. What was not retained and not yet sent follows in its order.
"""

import asyncio
import contextlib
import json
import logging
import math
import re
import threading
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import unquote, urlsplit

import aiomqtt

from testbed.broker import PUBLISHER, EmbeddedBroker
from testbed.errors import BadInput

EMBEDDED = "embedded"

_DEFAULT_PORT = 1883
_PATIENCE_S = 5.0  # for one answer of the broker
_KEEPALIVE_S = 15  # so that a frozen broker is noticed
_FLUSH_S = 2.0  # for the last messages, when closing
_STEADY_S = (
    5.0  # a connection this old was a good one; a broker that accepts and drops us is asked ever less often
)
_RETRY_S = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
_NOT_IN_A_TOPIC = re.compile(r"[+#\0]")

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())  # a broker's trouble is for those who listen, not for the terminal


class BrokerAddress(NamedTuple):
    """Where a broker is, and as whom to speak to it."""

    host: str
    port: int
    user: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        """Without the password, so that it gets into no log."""
        return f"mqtt://{self.user + '@' if self.user else ''}{self.host}:{self.port}"


class _Message(NamedTuple):
    topic: str
    data: bytes
    retain: bool


def parse_broker(setting: str, file: str = "command line", place: str = "broker") -> BrokerAddress | None:
    """Read a setting: None for the embedded broker, else mqtt://[user[:password]@]host[:port]."""
    if setting == EMBEDDED:
        return None
    try:
        parts = urlsplit(setting)
        port = _DEFAULT_PORT if parts.port is None else parts.port
        whole = parts.scheme == "mqtt" and parts.hostname and port and parts.path in ("", "/")
        if not whole or parts.query or parts.fragment or (parts.password is not None and not parts.username):
            raise ValueError
        assert parts.hostname is not None
    except ValueError:
        # The setting itself may hold a password and is not repeated.
        raise BadInput(
            file,
            place,
            "the broker's address is not understood",
            f"write {EMBEDDED} or mqtt://[user[:password]@]host:port",
        ) from None
    user = unquote(parts.username) if parts.username else None
    password = None if parts.password is None else unquote(parts.password)
    return BrokerAddress(parts.hostname, port, user, password)


class Telemetry:
    """The publisher of one run: a context manager that runs its thread, and the embedded broker if asked.

    Nothing of it raises for a broker's sake. What became of the messages is in the counters:
    `sent`, `dropped` (the queue was full), `connections` (how often a connection was made), `last_error`.
    """

    def __init__(
        self,
        run: str,
        broker: str = EMBEDDED,
        limit: int = 10_000,
        log: Path | None = None,
        on_request: Callable[[str, bytes], None] | None = None,
    ) -> None:
        """`run` names the topics; at most `limit` messages wait; `log` takes the embedded broker's output.
        `on_request` is called, on a thread of its own, with the name of a client and what it asks for.

        Raises BadInput for a broker setting that cannot be read.
        """
        if not run or "/" in run or _NOT_IN_A_TOPIC.search(run):
            raise ValueError(f"{run!r} cannot be a level of an MQTT topic")
        address = parse_broker(broker)
        self.broker: EmbeddedBroker | None = None  # the launcher may watch its process, and start it again
        if address is None:
            self.broker = EmbeddedBroker(log)
            address = BrokerAddress("127.0.0.1", self.broker.port, PUBLISHER, self.broker.passwords[PUBLISHER])
        self.address = address
        self.root = f"bellwire/{run}"
        self.sent = self.dropped = self.connections = 0
        self.last_error: str | None = None
        self._limit = limit
        self._on_request = on_request
        self._queue: deque[_Message] = deque()
        self._retained: dict[str, _Message] = {}
        self._lock = (
            threading.Lock()
        )  # guards the queue, `_retained`, `_loop` and `_roused`; held for microseconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._roused = False
        self._stopping = False
        self._wake = asyncio.Event()  # there is something to say
        self._stop = asyncio.Event()  # say what waits, and end
        self._ended = asyncio.Event()  # the last word has come back
        self._task: asyncio.Task[None] | None = None
        self._online = threading.Event()
        self._known = threading.Event()  # how the first try has ended
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)

    def publish(self, topic: str, payload: Mapping[str, object], retain: bool = True) -> None:
        """Publish a JSON object at bellwire/RUN/`topic`, e.g. node/alice/state. Never blocks; any thread.

        Raises ValueError for a topic with wildcards and ValueError or TypeError for what JSON cannot hold.
        """
        if not topic or _NOT_IN_A_TOPIC.search(topic):
            raise ValueError(f"{topic!r} is no topic to publish at")
        message = self._message(topic, payload, retain)
        with self._lock:
            if retain:
                self._retained[message.topic] = message
            if len(self._queue) >= self._limit:
                self._queue.popleft()
                self.dropped += 1
            self._queue.append(message)
            if not self._roused:  # one wake-up serves a whole burst
                self._roused = True
                self._tell(self._wake.set)

    @property
    def trouble(self) -> str:
        """Why there is no connection, in words; nothing while there is one, or nobody has found out yet."""
        return "" if self.connected or self.last_error is None else _in_words(self.last_error)

    def wait_known(self, timeout_s: float) -> None:
        """Wait until there is a connection, or the first try has failed."""
        self._known.wait(timeout_s)

    def wait_connected(self, timeout_s: float) -> bool:
        """Wait until the broker has accepted us; for tests, and for commands that say that it did."""
        return self._online.wait(timeout_s)

    @property
    def connected(self) -> bool:
        """Whether there is a connection at this moment."""
        return self._online.is_set()

    def __enter__(self) -> Self:
        if self.broker is not None:
            self.broker.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self, patience_s: float = _FLUSH_S) -> None:
        """Publish what waits, if that takes no more than ``patience_s``, and end everything started here."""
        # An embedded broker that has not even started cannot have anyone listening: a short run does not wait
        # for it.
        worth_waiting = self.connected or self.broker is None
        with self._lock:
            self._stopping = True
            self._tell(self._stop_talking)
        self._thread.join(patience_s if worth_waiting else 0.0)
        if self._thread.is_alive():
            with self._lock:
                self._tell(self._give_up)
            self._thread.join(1.0)
        if self.broker is not None:
            self.broker.close()

    def _message(self, topic: str, payload: Mapping[str, object], retain: bool) -> _Message:
        text = json.dumps(payload, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return _Message(f"{self.root}/{topic}", text.encode(errors="backslashreplace"), retain)

    def _last_word(self) -> _Message:
        return self._message("state", {"state": "ended"}, True)

    def _tell(self, callback: Callable[[], object]) -> None:
        """Have the thread call something; with the lock held. A loop not begun or ended is not told."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(callback)

    # From here on everything runs on the asyncio thread.

    def _stop_talking(self) -> None:
        self._stop.set()
        self._wake.set()

    def _give_up(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except asyncio.CancelledError:
            pass
        except Exception as error:  # telemetry may fail; the run may not
            self.last_error = repr(error)
            _log.exception("telemetry ended")
        finally:
            self._online.clear()

    async def _main(self) -> None:
        self._task = asyncio.current_task()
        with self._lock:
            self._loop = asyncio.get_running_loop()
            if self._stopping:
                self._stop.set()
        failures = 0
        while True:
            connected_at = math.inf
            try:
                async with self._client() as client:
                    connected_at = self._loop.time()
                    await self._session(client)
                return
            except aiomqtt.MqttError as error:
                self.last_error = str(error)
                self._known.set()
                _log.info("no broker at %r: %s", self.address, error)
            finally:
                self._online.clear()
            if self._stop.is_set():
                return
            if self._loop.time() - connected_at > _STEADY_S:
                failures = 0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_RETRY_S[min(failures, len(_RETRY_S) - 1)]):
                    await self._stop.wait()  # and then one last try, for what waits
            failures += 1

    def _client(self) -> aiomqtt.Client:
        lost = self._message("state", {"state": "lost"}, True)
        return aiomqtt.Client(
            self.address.host,
            self.address.port,
            username=self.address.user,
            password=self.address.password,
            timeout=_PATIENCE_S,
            keepalive=_KEEPALIVE_S,
            will=aiomqtt.Will(lost.topic, lost.data, retain=True),
            logger=_log,
        )

    async def _session(self, client: aiomqtt.Client) -> None:
        """One connection: until it breaks (MqttError) or everything is said."""
        with self._lock:
            passing = [message for message in self._queue if not message.retain]
            self._queue = deque(
                [self._message("state", {"state": "running"}, True), *self._retained.values(), *passing]
            )
        self.connections += 1
        self._online.set()
        self._known.set()
        listening = asyncio.create_task(self._listen(client))
        talking = asyncio.create_task(self._talk(client))
        try:
            done, _ = await asyncio.wait((listening, talking), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (listening, talking):
                task.cancel()
            await asyncio.gather(listening, talking, return_exceptions=True)

    async def _listen(self, client: aiomqtt.Client) -> None:
        """Notice a lost connection, also while there is nothing to say; and our last word coming back."""
        last = self._last_word().data
        requests = f"{self.root}/request/"
        if self._on_request is not None:
            await client.subscribe(requests + "+")
        async for message in client.messages:
            if message.payload == last:
                self._ended.set()
            elif self._on_request is not None and message.topic.value.startswith(requests):
                payload = message.payload if isinstance(message.payload, bytes) else b""
                self._on_request(message.topic.value.removeprefix(requests), payload)

    async def _talk(self, client: aiomqtt.Client) -> None:
        while True:
            with self._lock:
                self._roused = False
                message = self._queue.popleft() if self._queue else None
            if message is not None:
                try:
                    await client.publish(message.topic, message.data, retain=message.retain)
                except aiomqtt.MqttError:
                    with self._lock:
                        self._queue.appendleft(message)
                    raise
                self.sent += 1
            elif self._stop.is_set():
                break
            else:
                await self._wake.wait()
                self._wake.clear()
        # A broker may drop what a client sent just before it left (amqtt does). It handles a client's
        # messages in order, so when our last one comes back to us, all before it have gone out.
        last = self._last_word()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FLUSH_S / 2):
                await client.subscribe(last.topic)
                await client.publish(last.topic, last.data, retain=True)
                await self._ended.wait()


def _in_words(error: str) -> str:
    """What an MQTT client says, as a person would."""
    if "ot authori" in error or "user name or password" in error:
        return "refused: bad user name or password"
    return f"no broker there: {re.sub(r'^\[Errno -?[0-9]+\] ', '', error)}"
