"""What a program does with its QPU, and with programs at other nodes.

What may live here: ``Qpu`` and ``Channel``, written once as coroutines: with a blocking session they never wait for an
event loop, and ``stack.sdk.plain`` runs them to their end at once.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self, overload

from stack.sdk.keys import Key, Keys, Terms, container
from stack.sdk.qubits import Copy, Qubit, Sheet
from stack.sdk.session import Caller, CallFailed

PAIRS_PORT = 0x4000
"""Where ``pairs`` meet unless they are told otherwise: at this, and the number of the node that asks."""

DEFAULT_PATIENCE_S = 1.0


class ChannelRefused(CallFailed):
    """The other node has no program that listens on this port."""


class ChannelClosed(CallFailed):
    """The channel has ended; what was to be sent is untouched."""

    @property
    def by_peer(self) -> bool:
        """Whether the program at the other end has closed it, and nothing went wrong."""
        return self.kind == "over"


class QubitLost(CallFailed):
    """A qubit was used up and did not arrive, or was half of a pair that is a pair no more."""


class NoRoom(CallFailed):
    """Every data qubit of the node is in use."""


class GateRefused(CallFailed):
    """A remote gate was not done.  ``intact``: the qubits of this end are as they were."""

    @property
    def intact(self) -> bool:
        return self.kind == "refused"


_KINDS: dict[str, Callable[[str, str], CallFailed]] = {
    "refused": ChannelRefused,
    "closed": ChannelClosed,
    "over": ChannelClosed,
    "lost": QubitLost,
    "full": NoRoom,
}


@dataclass(frozen=True, slots=True)
class Ebit:
    """This end's half of a pair in the state (|00> + |11>)/sqrt 2, as far as it is perfect.

    ``head`` and ``pair_id`` name the pair at both ends alike; ``fidelity`` is what the network believes.
    """

    qubit: Qubit
    head: int
    pair_id: int
    fidelity: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What this end read of a pair: without errors both ends read the same ``bit``; ``basis`` is Z or X."""

    basis: str
    bit: int
    head: int
    pair_id: int
    fidelity: float


class Qpu:
    """A program's hold on one QPU, for trio and asyncio.  Made by ``connect``."""

    def __init__(self, session: Caller) -> None:
        self.session = session
        """The session below: ``ask(name, ...)`` makes any call that the node serves, as ``ping``."""
        self.name = session.name
        self.number = 0
        self.data_qubits = 0
        self.communication_qubits = 0
        self.nodes: dict[str, int] = {}
        """Every other node that frames can reach, and its number."""
        self.sheet = Sheet()

    async def greet(self) -> Self:
        """Learn who is at the other end of the session."""
        about = await self.session.ask("hello")
        self.name, self.number, self.nodes = about["node"], about["number"], about["nodes"]
        self.data_qubits, self.communication_qubits = about["data_qubits"], about["communication_qubits"]
        return self

    def close(self) -> None:
        """Give the QPU back: its qubits are released, its channels closed."""
        self.session.close()

    @property
    def t_ps(self) -> int:
        """Node time of the last reply, in picoseconds."""
        return self.session.t_ps

    async def ask(self, name: str, **arguments: Any) -> Any:
        """A call, after what has been put down so far; failures by their kinds."""
        await self.flush()
        return await self._asked(name, arguments)

    async def flush(self) -> None:
        """Do now what has been put down."""
        ops = self.sheet.take()
        if ops:
            await self._asked("run", {"ops": ops})

    async def ask_with_gates(self, name: str, **arguments: Any) -> Any:
        """A call that does what has been put down in one go with its own."""
        return await self._asked(name, arguments | {"before": self.sheet.take()})

    async def _asked(self, name: str, arguments: dict[str, Any]) -> Any:
        try:
            return await self.session.ask(name, **arguments)
        except CallFailed as failed:
            kind = failed.kind
            if name == "gate" and kind in ("refused", "spoilt"):
                raise GateRefused(str(failed), kind) from None
            raise _KINDS.get(kind, CallFailed)(str(failed), kind) from None

    # -- qubits ----------------------------------------------------------------------------------------------------

    async def qubit(self) -> Qubit:
        """A data qubit in |0>.  Raises NoRoom."""
        return Qubit(self.sheet, await self.ask("qubit"), self.name)

    async def measure(self, *qubits: Qubit, keep: bool = False) -> tuple[int, ...]:
        """Measure qubits in the Z basis; they are gone then, unless ``keep``."""
        for qubit in qubits:
            self.sheet.put(["measure", qubit.use()])
        if not keep:
            for qubit in qubits:
                self.sheet.put(["release", qubit.use()])
        bits = await self._asked("run", {"ops": self.sheet.take()})
        if not keep:
            for qubit in qubits:
                qubit.went("measured")
        return tuple(bits[-len(qubits) :]) if qubits else ()

    async def reset(self, *qubits: Qubit) -> None:
        """Make them |0> again."""
        for qubit in qubits:
            self.sheet.put(["init", qubit.use()])
        await self.flush()

    async def release(self, *qubits: Qubit) -> None:
        """Give them back, whatever state they are in."""
        for qubit in qubits:
            self.sheet.put(["release", qubit.use()])
        await self.flush()
        for qubit in qubits:
            qubit.went("released")

    async def sleep(self, seconds: float) -> None:
        """Let time pass at the node, in virtual seconds."""
        await self.ask("sleep", duration_ps=round(seconds * 1e12))

    # -- gates, here and over a channel ----------------------------------------------------------------------------

    async def cnot(self, control: "Qubit | Channel", target: "Qubit | Channel") -> None:
        """A CNOT.  A channel stands for the qubit that the program at its other end names in the same call.

        Raises GateRefused, or ChannelClosed."""
        await self._gate("CNOT", "cx", control, target)

    async def cz(self, control: "Qubit | Channel", target: "Qubit | Channel") -> None:
        """A CZ, likewise; both ends name the two in the same order."""
        await self._gate("CZ", "cz", control, target)

    async def cphase(self, control: "Qubit | Channel", target: "Qubit | Channel", angle: float) -> None:
        """Phase ``angle`` (radians) on |11>, likewise; the target's end decides about the angle."""
        await self._gate("COPY", "cp", control, target, angle)

    async def _gate(
        self, kind: str, name: str, control: "Qubit | Channel", target: "Qubit | Channel", *angle: float
    ) -> None:
        if isinstance(control, Qubit) and isinstance(target, Qubit):
            self.sheet.put([name, control.use(), target.use(), *angle])
        elif isinstance(control, Qubit) and isinstance(target, Channel):
            await target.give_copy(control, kind)
        elif isinstance(control, Channel) and isinstance(target, Qubit):
            await control.take_copy([[name, 0, target.use(), *angle]], kind)
        else:
            raise ValueError("one of the two must be a qubit of this program")

    # -- channels --------------------------------------------------------------------------------------------------

    async def listen(self, port: int) -> None:
        """Have other programs open channels on this port (16 to 65535); ``accept`` hands them out."""
        await self.ask("listen", port=port, service="TELEPORT")

    async def unlisten(self, port: int) -> None:
        """Have no more of them."""
        await self.ask("unlisten", port=port)

    async def accept(self, port: int) -> "Channel":
        """The next channel that another program opens on a port that this one listens on."""
        return self._channel(await self.ask("accept", port=port))

    async def open(
        self, node: str, port: int, *, minimum_fidelity: float = 0.0, patience_s: float = DEFAULT_PATIENCE_S
    ) -> "Channel":
        """A channel with the program that listens on that port of another node.

        ``minimum_fidelity``: of the pairs that this end asks for.  ``patience_s``: how long one is waited for that does
        not listen yet, in virtual seconds.  Raises ChannelRefused, or ChannelClosed if the node is lost meanwhile.
        """
        return self._channel(await self.opened(node, port, "TELEPORT", minimum_fidelity, patience_s))

    async def opened(self, node: str, port: int, service: str, fidelity: float, patience_s: float) -> dict[str, int]:
        """A channel of either service, as the node has it."""
        opened: dict[str, int] = await self.ask(
            "open",
            peer=self.number_of(node),
            port=port,
            service=service,
            minimum_fidelity=fidelity,
            patience_ps=round(patience_s * 1e12),
        )
        return opened

    def number_of(self, node: str) -> int:
        """The number of another node.  Raises ChannelRefused."""
        if node not in self.nodes:
            raise ChannelRefused(f"{self.name} knows no node {node!r:.60}; there is {', '.join(self.nodes)}", "refused")
        return self.nodes[node]

    def _channel(self, opened: dict[str, int]) -> "Channel":
        names = {number: name for name, number in self.nodes.items()}
        return Channel(self, opened["channel"], names.get(opened["peer"], str(opened["peer"])))

    # -- pairs -----------------------------------------------------------------------------------------------------

    @overload
    def pairs(
        self, node: str, *, n: int | None = ..., rate: float = ..., measured: Literal[False] = ..., **more: Any
    ) -> "Pairs[Ebit]": ...

    @overload
    def pairs(
        self, node: str, *, n: int | None = ..., rate: float = ..., measured: Literal[True], **more: Any
    ) -> "Pairs[Outcome]": ...

    def pairs(
        self, node: str, *, n: int | None = None, rate: float = 0.0, measured: bool = False, **more: Any
    ) -> "Pairs[Any]":
        """Pairs with another node, whose program must ask for the same: ``async for ebit in qpu.pairs("west", n=10)``.

        ``n`` of them (the lesser, if the two differ), as fast as they come, or at ``rate`` a virtual second; without
        ``n`` at either end, until one of the two leaves.  If one leaves before the last of ``n``, the other is told:
        ChannelClosed.
        ``measured``: each is measured at once, in Z and X by turns, and an Outcome comes in place of an Ebit.  To leave
        before the last, ``async with qpu.pairs(...) as pairs``; the qubits that came stay.  The end with the lower
        number asks, and its ``rate`` counts.

        ``more``, of that end too: ``minimum_fidelity``, ``patience_s``; of both: ``port``.
        """
        if n is None and not rate:
            raise ValueError("say how many pairs (n=), or at which rate")
        return Pairs(self, node, n, rate, measured, **more)

    # -- keys ------------------------------------------------------------------------------------------------------

    async def keys(self, node: str, terms: Terms = Terms(), *, stock: int = 1, minimum_fidelity: float = 0.0) -> Keys:  # noqa: B008 - immutable
        """Secret keys with another node, of which ``stock`` are kept ready from now on.  Raises ChannelRefused."""
        asked = terms._asdict() | {"stock": stock, "minimum_fidelity": minimum_fidelity}
        number = await self.ask("keys_open", peer=self.number_of(node), **asked)
        return Keys(self.ask, number, node)

    async def dec_keys(self, node: str, key_ids: Sequence[str]) -> list[Key]:
        """The keys that a program at another node has got under these names, from ``Keys.enc_keys``; each is handed out
        once, all or none.  Raises ChannelRefused."""
        answer = await self.ask("dec_keys", peer=self.number_of(node), key_IDs=list(key_ids))
        return container(answer)


class Pairs[T]:
    """A stream of pairs: made by ``Qpu.pairs``.  Raises ChannelRefused, and ChannelClosed if the network gives up, or
    the other end has gone before so many have come as were agreed on."""

    def __init__(
        self,
        qpu: Qpu,
        node: str,
        n: int | None,
        rate: float,
        measured: bool,
        *,
        port: int | None = None,
        minimum_fidelity: float = 0.0,
        patience_s: float = DEFAULT_PATIENCE_S,
    ) -> None:
        peer = qpu.number_of(node)
        self._qpu = qpu
        self._node = node
        self._leads = qpu.number < peer  # one of the two must ask
        self._left = n
        self._rate = rate
        self._call = "outcome" if measured else "pair"
        self._port = PAIRS_PORT + min(qpu.number, peer) % PAIRS_PORT if port is None else port
        self._minimum_fidelity = minimum_fidelity
        self._patience_s = patience_s
        self._channel: int | None = None
        self._over = False

    async def _begin(self) -> int:
        """Meet the other end, and agree on the number."""
        ask = self._qpu.ask
        if self._leads:
            opened = await self._qpu.opened(self._node, self._port, "PAIRS", self._minimum_fidelity, self._patience_s)
        else:
            await ask("listen", port=self._port, service="PAIRS")
            try:
                opened = await ask("accept", port=self._port)
            finally:
                await ask("unlisten", port=self._port)
        channel = opened["channel"]
        await tell(self._qpu, channel, self._left)
        wanted = [n for n in (self._left, await hear(self._qpu, channel)) if n is not None]
        self._left = min(wanted, default=None)
        if self._leads:
            await ask("ask_pairs", channel=channel, pairs=self._left, pairs_per_s=self._rate)
        self._channel = channel
        return channel

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        if self._over:
            raise StopAsyncIteration
        channel = await self._begin() if self._channel is None else self._channel
        if self._left == 0:
            # The end that has all its pairs first must not close: the last may not have been told to the other yet.
            await tell(self._qpu, channel, "all here")
            with suppress(ChannelClosed):
                await hear(self._qpu, channel)
            await self.close()
            raise StopAsyncIteration
        try:
            about = await self._qpu.ask(self._call, channel=channel)
        except ChannelClosed as closed:
            if not closed.by_peer:
                raise
            await self.close()
            if self._left is None:
                raise StopAsyncIteration from None
            raise ChannelClosed(f"{closed}; {self._left} of the pairs agreed on have not come", closed.kind) from None
        if self._left is not None:
            self._left -= 1
        if self._call == "outcome":
            return Outcome(**about)  # type: ignore[return-value]
        about["qubit"] = Qubit(self._qpu.sheet, about["qubit"], self._qpu.name)
        return Ebit(**about)  # type: ignore[return-value]

    async def close(self) -> None:
        """Have no more of them."""
        self._over = True
        if self._channel is not None:
            channel, self._channel = self._channel, None
            await self._qpu.ask("close", channel=channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            await self.close()


async def tell(qpu: Qpu, channel: int, value: Any) -> None:
    """Words for the other end of a channel: whatever JSON can say, or bytes."""
    raw = isinstance(value, bytes | bytearray)
    data = b"\0" + bytes(value) if raw else json.dumps(value).encode()
    await qpu.ask("tell", channel=channel, data=b64encode(data).decode())


async def hear(qpu: Qpu, channel: int) -> Any:
    """What the other end of a channel tells next."""
    data = b64decode(await qpu.ask("hear", channel=channel))
    return data[1:] if data[:1] == b"\0" else json.loads(data)


class Channel:
    """A session with the program at another node: qubits and words in order, and remote gates."""

    def __init__(self, qpu: Qpu, number: int, peer: str) -> None:
        self.qpu = qpu
        self.number = number
        self.peer = peer
        """The node at the other end."""
        self.ebits = 0
        """Pairs that this end has used: qubits sent, gates controlled from here."""

    def __repr__(self) -> str:
        return f"<channel {self.number} from {self.qpu.name} to {self.peer}>"

    async def send(self, qubit: Qubit) -> None:
        """Teleport a qubit to the other end; it is gone from here.  One ebit.

        Raises QubitLost if it did not arrive, and ChannelClosed if it was not touched, and is here still.
        """
        number = qubit.use()
        delivered = await self.qpu.ask_with_gates("send", channel=self.number, qubit=number)
        self.ebits += 1
        qubit.went(f"sent to {self.peer}")
        if not delivered:
            raise QubitLost(f"{qubit!r} was lost on the way to {self.peer}", "lost")

    async def receive(self) -> Qubit:
        """The next qubit that the other end sends.  Raises ChannelClosed when no more will come.

        It stays on the communication qubit that it came on, so that one pair less can be had until it is gone again.
        """
        return Qubit(self.qpu.sheet, await self.qpu.ask("receive", channel=self.number), self.qpu.name)

    async def reserve(self, pairs: int) -> None:
        """Have so many pairs ready for qubits to be sent: they are made ahead from now on.  Returns when they are."""
        await self.qpu.ask("reserve", channel=self.number, pairs=pairs)

    async def tell(self, value: Any) -> None:
        """Something for the program at the other end: whatever JSON can say, or bytes; up to a mebibyte."""
        await tell(self.qpu, self.number, value)

    async def hear(self) -> Any:
        """What the other end tells next.  Raises ChannelClosed when no more will come."""
        return await hear(self.qpu, self.number)

    async def share(self, control: Qubit) -> None:
        """Let the other end use ``control`` as the control of as many gates as it likes: see ``copy``.  One ebit."""
        await self.give_copy(control, "COPY")

    @asynccontextmanager
    async def copy(self) -> AsyncIterator[Copy]:
        """The other end of ``share``: ``async with channel.copy() as copy: copy.cx(a).cz(b)``.  The gates, and those on
        qubits here between them, are done as one when the block ends."""
        with describing(self.qpu) as ops:
            yield Copy(self.qpu.sheet)
        await self.take_copy(ops, "COPY")

    async def give_copy(self, control: Qubit, kind: str) -> None:
        """The control's part of a remote gate."""
        await self.qpu.ask_with_gates("gate", channel=self.number, kind=kind, qubit=control.use())
        self.ebits += 1

    async def take_copy(self, block: Sequence[list[Any]], kind: str) -> None:
        """The target's part: ``block`` is done with the copy, qubit 0."""
        await self.qpu.ask_with_gates("gate", channel=self.number, kind=kind, block=list(block))

    async def finish(self) -> None:
        """Half-close: no more qubits from here; the other end may still send."""
        await self.qpu.ask("finish", channel=self.number)

    async def close(self) -> None:
        """Done with it: what has been sent still arrives, what has not been received is let go of."""
        await self.qpu.ask("close", channel=self.number)

    async def reset(self) -> None:
        """End it at once: what is on the way is lost to both ends."""
        await self.qpu.ask("reset", channel=self.number)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            await self.close()


@contextmanager
def describing(qpu: Qpu) -> Iterator[list[list[Any]]]:
    """Gates are put down for a remote gate's target, rather than to be done."""
    if qpu.sheet.block is not None:
        raise RuntimeError("a copy() within a copy()")
    block = qpu.sheet.block = []
    try:
        yield block
    finally:
        qpu.sheet.block = None
