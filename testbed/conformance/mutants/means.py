"""Ways to spoil a node: another method, another value, another message, another device command.

What may live here: patching in general.  What is spoiled, and why that is wrong, stands in the protocols' files.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from inspect import getattr_static
from typing import Any
from unittest import mock

from protocols.wire import DeviceError, DeviceFailed
from stack.physical.devices import Devices
from stack.runtime.messenger import Messenger
from stack.runtime.nic import Nic
from testbed.conformance.mutants import Wrong


def instead(owner: Any, name: str, wrong: Callable[..., Any]) -> Wrong:
    """What is called as ``owner.name`` is ``wrong``, with the right one before the arguments."""
    right = getattr(owner, name)

    def acts(*arguments: Any, **named: Any) -> Any:
        return wrong(right, *arguments, **named)

    static = isinstance(getattr_static(owner, name), staticmethod)
    return mock.patch.object(owner, name, staticmethod(acts) if static else acts)


def nothing(owner: Any, name: str) -> Wrong:
    """A method that does not do its work."""
    return instead(owner, name, lambda right, *arguments, **named: None)


def value(owner: Any, name: str, wrong: Any) -> Wrong:
    """Another constant."""
    return mock.patch.object(owner, name, wrong)


def rows(table: dict[Any, Any], wrong: dict[Any, Any]) -> Wrong:
    """Other rows in a table."""
    return mock.patch.dict(table, wrong)


@contextmanager
def both(one: Wrong, other: Wrong) -> Iterator[None]:
    """Two changes that are wrong together."""
    with one, other:
        yield


@contextmanager
def says(kind: type | tuple[type, ...], otherwise: Callable[[Any], Any]) -> Iterator[None]:
    """Messages of a kind leave the node changed: as another one, several, or (None) not at all."""

    def bare(right: Any, nic: Nic, destination: int, message: Any) -> None:
        for said in _several(message, kind, otherwise):
            right(nic, destination, said)

    def reliable(right: Any, messenger: Messenger, send: Any) -> None:
        # What is not reliable comes by the interface, as the reliable sublayer's own segments do.
        for said in _several(send.message, kind, otherwise) if send.reliable else (send.message,):
            right(messenger, send._replace(message=said))

    with instead(Nic, "send", bare), instead(Messenger, "send", reliable):
        yield


def never_says(kind: type) -> Wrong:
    return says(kind, lambda message: None)


def commands(kind: type, otherwise: Callable[[Any], Any]) -> Wrong:
    """Commands of a kind reach the node's devices changed."""
    return instead(
        Devices,
        "_command",
        lambda right, devices, command, answered: right(
            devices, otherwise(command) if isinstance(command, kind) else command, answered
        ),
    )


def fails_as(right_error: DeviceError, wrong_error: DeviceError) -> Wrong:
    """A quantum plane calls failures of one kind another."""
    from testbed.plane.events import Answers  # only whoever spoils devices loads the plane

    def give(right: Any, answers: Any, node: int, sequence: int, due: int, message: Any) -> None:
        if isinstance(message, DeviceFailed) and message.error == right_error:
            message = message._replace(error=wrong_error)
        right(answers, node, sequence, due, message)

    return instead(Answers, "give", give)


def _several(message: Any, kind: type | tuple[type, ...], otherwise: Callable[[Any], Any]) -> Iterable[Any]:
    if not isinstance(message, kind):
        return (message,)
    said = otherwise(message)
    if said is None:
        return ()
    return said if type(said) is tuple else (said,)
