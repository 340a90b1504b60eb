"""Listens to what a run publishes, with another MQTT library than the publisher's.

What may live here: the listener, and waiting.  What must hold is in the tests.
"""

import contextlib
import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

PATIENCE_S = 60.0  # for what must happen; nothing here is measured
Message = tuple[str, dict[str, Any]]


class Subscriber:
    """Listens to bellwire/# as a user's own program would, with another library than the publisher's."""

    def __init__(self, port: int, user: str | None = None, password: str | None = None) -> None:
        self._messages: queue.Queue[Message] = queue.Queue()
        self._asked = 0
        self._kept: list[Message] = []  # what came while an answer was waited for
        subscribed = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.username_pw_set(user, password)
        self._client.on_connect = lambda client, *_: client.subscribe("bellwire/#")
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_message = lambda _client, _data, message: self._messages.put(
            (message.topic, json.loads(message.payload))
        )
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert subscribed.wait(PATIENCE_S)

    def ask(self, run: str, what: dict[str, Any], client: str = "test") -> dict[str, Any]:
        """Give a run a command; its answer."""
        self._asked += 1
        what = {"id": self._asked, **what}
        self.say(f"bellwire/{run}/request/{client}", what)
        meanwhile: list[Message] = []
        while True:
            topic, payload = self._messages.get(timeout=PATIENCE_S)
            if topic == f"bellwire/{run}/reply/{client}" and payload["id"] == what["id"]:
                self._kept += meanwhile
                return payload
            meanwhile.append((topic, payload))

    def wait_for(self, topic: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next message at a topic of which something holds."""
        while True:
            where, payload = self._kept.pop(0) if self._kept else self._messages.get(timeout=PATIENCE_S)
            if where == topic and condition(payload):
                return payload

    def say(self, topic: str, what: dict[str, Any]) -> None:
        self._client.publish(topic, json.dumps(what), qos=1)

    def until(self, last: Message) -> list[Message]:
        """Every message from where the last call ended up to `last`."""
        seen: list[Message] = []
        while last not in seen:
            seen.append(self._messages.get(timeout=PATIENCE_S))
        return seen

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextlib.contextmanager
def subscriber(port: int, user: str | None = None, password: str | None = None) -> Iterator[Subscriber]:
    listening = Subscriber(port, user, password)
    try:
        yield listening
    finally:
        listening.close()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)
