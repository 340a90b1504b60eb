"""The SDK for programs that block: the same things under the same names, without ``await``.

What may live here: nothing but that.  Every method runs the coroutine of its counterpart, which never waits for
anything but the session's socket, to its end.  A method that is new there is written here by hand; a test misses it.
"""

from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Literal, Self, overload

from stack.sdk.group import GROUP_PORT, Group, group
from stack.sdk.keys import Key, Keys, KeyStatus, Terms
from stack.sdk.qpu import DEFAULT_PATIENCE_S, Channel, Ebit, Outcome, Pairs, Qpu, describing
from stack.sdk.qubits import Copy, Qubit


def run[T](coroutine: Coroutine[Any, Any, T]) -> T:
    """What comes of a coroutine that waits for nothing but a blocking session."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        value: T = end.value
        return value
    coroutine.close()
    raise RuntimeError("a blocking session waited for an event loop")


class _Closing:
    """Closed at the end of its ``with``, unless something went wrong there."""

    def close(self) -> None:
        """Have no more of it."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()


class PlainQpu:
    """As :class:`stack.sdk.Qpu`."""

    def __init__(self, qpu: Qpu) -> None:
        self.qpu = qpu
        """The same QPU, for coroutines."""
        self.name, self.number, self.nodes = qpu.name, qpu.number, qpu.nodes
        self.data_qubits, self.communication_qubits = qpu.data_qubits, qpu.communication_qubits

    @property
    def t_ps(self) -> int:
        """Node time of the last reply, in picoseconds."""
        return self.qpu.t_ps

    def close(self) -> None:
        self.qpu.close()

    def ask(self, name: str, **arguments: Any) -> Any:
        return run(self.qpu.ask(name, **arguments))

    def flush(self) -> None:
        run(self.qpu.flush())

    def qubit(self) -> Qubit:
        return run(self.qpu.qubit())

    def measure(self, *qubits: Qubit, keep: bool = False) -> tuple[int, ...]:
        return run(self.qpu.measure(*qubits, keep=keep))

    def reset(self, *qubits: Qubit) -> None:
        run(self.qpu.reset(*qubits))

    def release(self, *qubits: Qubit) -> None:
        run(self.qpu.release(*qubits))

    def sleep(self, seconds: float) -> None:
        run(self.qpu.sleep(seconds))

    def cnot(self, control: "Qubit | PlainChannel", target: "Qubit | PlainChannel") -> None:
        run(self.qpu.cnot(_inner(control), _inner(target)))

    def cz(self, control: "Qubit | PlainChannel", target: "Qubit | PlainChannel") -> None:
        run(self.qpu.cz(_inner(control), _inner(target)))

    def cphase(self, control: "Qubit | PlainChannel", target: "Qubit | PlainChannel", angle: float) -> None:
        run(self.qpu.cphase(_inner(control), _inner(target), angle))

    def listen(self, port: int) -> None:
        run(self.qpu.listen(port))

    def unlisten(self, port: int) -> None:
        run(self.qpu.unlisten(port))

    def accept(self, port: int) -> "PlainChannel":
        return PlainChannel(run(self.qpu.accept(port)))

    def open(
        self, node: str, port: int, *, minimum_fidelity: float = 0.0, patience_s: float = DEFAULT_PATIENCE_S
    ) -> "PlainChannel":
        return PlainChannel(run(self.qpu.open(node, port, minimum_fidelity=minimum_fidelity, patience_s=patience_s)))

    @overload
    def pairs(
        self, node: str, *, n: int | None = ..., rate: float = ..., measured: Literal[False] = ..., **more: Any
    ) -> "PlainPairs[Ebit]": ...

    @overload
    def pairs(
        self, node: str, *, n: int | None = ..., rate: float = ..., measured: Literal[True], **more: Any
    ) -> "PlainPairs[Outcome]": ...

    def pairs(
        self, node: str, *, n: int | None = None, rate: float = 0.0, measured: bool = False, **more: Any
    ) -> "PlainPairs[Any]":
        pairs: Pairs[Any] = self.qpu.pairs(node, n=n, rate=rate, measured=measured, **more)  # type: ignore[call-overload]
        return PlainPairs(pairs)

    def keys(self, node: str, terms: Terms = Terms(), *, stock: int = 1, minimum_fidelity: float = 0.0) -> "PlainKeys":  # noqa: B008 - immutable
        return PlainKeys(run(self.qpu.keys(node, terms, stock=stock, minimum_fidelity=minimum_fidelity)))

    def dec_keys(self, node: str, key_ids: Sequence[str]) -> list[Key]:
        return run(self.qpu.dec_keys(node, key_ids))

    def group(
        self,
        members: Sequence[str],
        *,
        port: int = GROUP_PORT,
        minimum_fidelity: float = 0.0,
        patience_s: float = DEFAULT_PATIENCE_S,
    ) -> "PlainGroup":
        """As :func:`stack.sdk.group`."""
        return PlainGroup(
            run(group(self.qpu, members, port=port, minimum_fidelity=minimum_fidelity, patience_s=patience_s))
        )


class PlainPairs[T](_Closing):
    """As :class:`stack.sdk.Pairs`."""

    def __init__(self, pairs: Pairs[T]) -> None:
        self._pairs = pairs

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        try:
            return run(self._pairs.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        run(self._pairs.close())


class PlainKeys(_Closing):
    """As :class:`stack.sdk.Keys`."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self.peer = keys.peer

    def status(self) -> KeyStatus:
        return run(self._keys.status())

    def enc_keys(self, number: int = 1) -> list[Key]:
        return run(self._keys.enc_keys(number))

    def close(self) -> None:
        run(self._keys.close())


class PlainChannel(_Closing):
    """As :class:`stack.sdk.Channel`."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        """The same channel, for coroutines."""
        self.peer = channel.peer

    @property
    def ebits(self) -> int:
        return self.channel.ebits

    def send(self, qubit: Qubit) -> None:
        run(self.channel.send(qubit))

    def receive(self) -> Qubit:
        return run(self.channel.receive())

    def reserve(self, pairs: int) -> None:
        run(self.channel.reserve(pairs))

    def tell(self, value: Any) -> None:
        run(self.channel.tell(value))

    def hear(self) -> Any:
        return run(self.channel.hear())

    def share(self, control: Qubit) -> None:
        run(self.channel.share(control))

    @contextmanager
    def copy(self) -> Iterator[Copy]:
        with describing(self.channel.qpu) as ops:
            yield Copy(self.channel.qpu.sheet)
        run(self.channel.take_copy(ops, "COPY"))

    def finish(self) -> None:
        run(self.channel.finish())

    def close(self) -> None:
        run(self.channel.close())

    def reset(self) -> None:
        run(self.channel.reset())


class PlainGroup:
    """As :class:`stack.sdk.Group`."""

    def __init__(self, group: Group) -> None:
        self.group = group
        """The same group, for coroutines."""
        self.rank, self.members = group.rank, group.members

    def __len__(self) -> int:
        return len(self.group)

    @property
    def ebits(self) -> int:
        return self.group.ebits

    def send(self, qubit: Qubit, to: int) -> None:
        run(self.group.send(qubit, to))

    def receive(self, source: int) -> Qubit:
        return run(self.group.receive(source))

    def scatter(self, qubits: Sequence[Qubit] | None, root: int = 0) -> Qubit:
        return run(self.group.scatter(qubits, root))

    def gather(self, qubit: Qubit, root: int = 0) -> list[Qubit]:
        return run(self.group.gather(qubit, root))

    def broadcast(self, qubit: Qubit | None, root: int = 0) -> Qubit:
        return run(self.group.broadcast(qubit, root))

    def retract(self, qubit: Qubit, root: int = 0) -> None:
        run(self.group.retract(qubit, root))

    def ghz(self, root: int = 0) -> Qubit:
        return run(self.group.ghz(root))

    def reduce_parity(self, qubit: Qubit, root: int = 0) -> Qubit | None:
        return run(self.group.reduce_parity(qubit, root))

    def gather_words(self, word: Any, root: int = 0) -> list[Any]:
        return run(self.group.gather_words(word, root))

    def broadcast_word(self, word: Any = None, root: int = 0) -> Any:
        return run(self.group.broadcast_word(word, root))

    def barrier(self) -> None:
        run(self.group.barrier())

    def close(self) -> None:
        run(self.group.close())


def _inner(operand: "Qubit | PlainChannel") -> Qubit | Channel:
    return operand.channel if isinstance(operand, PlainChannel) else operand
