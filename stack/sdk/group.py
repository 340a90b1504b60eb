"""Programs of several QPUs that act together, in the message-passing manner.

What may live here: the collective verbs, made of what a channel offers.  What each costs in ebits stands in its
docstring and in docs/sdk.md, and is counted by a test.  All members call the same verbs in the same order.
"""

from collections.abc import Sequence
from typing import Any

from stack.sdk.qpu import DEFAULT_PATIENCE_S, Channel, Qpu
from stack.sdk.qubits import Qubit

GROUP_PORT = 0x200
"""Where members meet unless they are told otherwise."""


class Group:
    """The members, by rank, and this program's channel to each other one.  Made by ``group``."""

    def __init__(self, qpu: Qpu, members: tuple[str, ...], channels: dict[int, Channel]) -> None:
        self.qpu = qpu
        self.members = members
        self.rank = members.index(qpu.name)
        self.channels = channels
        """By rank."""

    def __len__(self) -> int:
        return len(self.members)

    @property
    def ebits(self) -> int:
        """Pairs that this member has used: qubits sent, gates controlled from here."""
        return sum(channel.ebits for channel in self.channels.values())

    def _others(self) -> list[int]:
        return [rank for rank in range(len(self.members)) if rank != self.rank]

    # -- from one to one -------------------------------------------------------------------------------------------

    async def send(self, qubit: Qubit, to: int) -> None:
        """Teleport a qubit to another member.  1 ebit."""
        await self.channels[to].send(qubit)

    async def receive(self, source: int) -> Qubit:
        """The next qubit that another member sends here."""
        return await self.channels[source].receive()

    # -- from one to all, and back ---------------------------------------------------------------------------------

    async def scatter(self, qubits: Sequence[Qubit] | None, root: int = 0) -> Qubit:
        """The root's qubits, one to each member by rank; the member's.  k - 1 ebits."""
        if self.rank != root:
            return await self.channels[root].receive()
        if qubits is None or len(qubits) != len(self):
            raise ValueError(f"the root scatters {len(self)} qubits, one for each member")
        for rank in self._others():
            await self.channels[rank].send(qubits[rank])
        return qubits[root]

    async def gather(self, qubit: Qubit, root: int = 0) -> list[Qubit]:
        """A qubit of each member, at the root by rank (elsewhere nothing).  k - 1 ebits.

        They come one after the other: the root needs a communication qubit for each, and one for the next.
        """
        if self.rank != root:
            await self.channels[root].send(qubit)
            return []
        found = {root: qubit}
        for rank in self._others():
            found[rank] = await self.channels[rank].receive()
        return [found[rank] for rank in range(len(self))]

    async def broadcast(self, qubit: Qubit | None, root: int = 0) -> Qubit:
        """A qubit at every member that agrees with the root's in the Z basis: a|0> + b|1> becomes a|00..> + b|11..>, a
        cat state.  k - 1 ebits.

        Each member may then control as many gates by its own as it likes, and ``retract`` takes them back.
        """
        if self.rank == root:
            if qubit is None:
                raise ValueError("the root broadcasts a qubit of its own")
            for rank in self._others():
                await self.channels[rank].give_copy(qubit, "CNOT")
            return qubit
        mine = await self.qpu.qubit()
        await self.channels[root].take_copy([["cx", 0, mine.use()]], "CNOT")
        return mine

    async def retract(self, qubit: Qubit, root: int = 0) -> None:
        """Undo a broadcast: the members' qubits are gone, the root's is as if alone.  No ebits, one word from each."""
        if self.rank != root:
            qubit.h()
            await self.channels[root].tell((await self.qpu.measure(qubit))[0])
            return
        phase = 0
        for rank in self._others():
            phase ^= int(await self.channels[rank].hear())
        if phase:
            qubit.z()

    async def ghz(self, root: int = 0) -> Qubit:
        """This member's qubit of (|00..> + |11..>)/sqrt 2 over all.  k - 1 ebits."""
        if self.rank == root:
            return await self.broadcast((await self.qpu.qubit()).h(), root)
        return await self.broadcast(None, root)

    async def reduce_parity(self, qubit: Qubit, root: int = 0) -> Qubit | None:
        """At the root a new qubit that has the parity of everybody's in the Z basis, and is measured or used on; the
        members' qubits stay.  k - 1 ebits."""
        if self.rank != root:
            await self.channels[root].give_copy(qubit, "CNOT")
            return None
        parity = await self.qpu.qubit()
        qubit.cx(parity)
        for rank in self._others():
            await self.channels[rank].take_copy([["cx", 0, parity.use()]], "CNOT")
        return parity

    # -- words -----------------------------------------------------------------------------------------------------

    async def gather_words(self, word: Any, root: int = 0) -> list[Any]:
        """Something of each member, at the root by rank (elsewhere nothing): whatever JSON can say.  No ebits."""
        if self.rank != root:
            await self.channels[root].tell(word)
            return []
        found = {root: word}
        for rank in self._others():
            found[rank] = await self.channels[rank].hear()
        return [found[rank] for rank in range(len(self))]

    async def broadcast_word(self, word: Any = None, root: int = 0) -> Any:
        """The root's word, at every member.  No ebits."""
        if self.rank != root:
            return await self.channels[root].hear()
        for rank in self._others():
            await self.channels[rank].tell(word)
        return word

    async def barrier(self) -> None:
        """Until every member has come here."""
        await self.gather_words(None)
        await self.broadcast_word()

    async def close(self) -> None:
        for channel in self.channels.values():
            await channel.close()


async def group(
    qpu: Qpu,
    members: Sequence[str],
    *,
    port: int = GROUP_PORT,
    minimum_fidelity: float = 0.0,
    patience_s: float = DEFAULT_PATIENCE_S,
) -> Group:
    """Meet the programs at the other ``members``, which all say the same; a rank is a place in that row.

    Raises ChannelRefused if one does not come within ``patience_s`` virtual seconds.
    """
    names = tuple(members)
    if qpu.name not in names or len(set(names)) != len(names):
        raise ValueError(f"{qpu.name} must be one of {', '.join(names)}, and each only once")
    rank = names.index(qpu.name)
    channels: dict[int, Channel] = {}
    if rank:
        await qpu.listen(port)
    for _ in range(rank):  # those of lower rank come here
        channel = await qpu.accept(port)
        channels[names.index(channel.peer)] = channel
    for other in range(rank + 1, len(names)):
        channels[other] = await qpu.open(names[other], port, minimum_fidelity=minimum_fidelity, patience_s=patience_s)
    if rank:
        await qpu.unlisten(port)
    return Group(qpu, names, dict(sorted(channels.items())))
