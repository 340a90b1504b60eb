"""Secret keys with another node, in the words of ETSI GS QKD 014.

What may live here: what a program holds of them.  One program gets keys with their names (``enc_keys``), says the
names to the program at the other node by any way it likes, and that gets the same keys (``Qpu.dec_keys``).
"""

from base64 import b64decode
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Self


class Key(NamedTuple):
    """``key_id``: its name, a UUID, the same at both nodes."""

    key_id: str
    key: bytes

    def __repr__(self) -> str:
        return f"Key({self.key_id!r}, {8 * len(self.key)} bits)"  # never by accident into a log


class Terms(NamedTuple):
    """What keys are made of; docs/keys.md."""

    key_bits: int = 256
    block_pairs: int = 10_000
    """Measured pairs in a block: the more, the larger the part of them that becomes key."""
    x_share: float = 0.5
    """Of measurements, in X: those test the link, those in Z make keys."""
    secrecy_bits: int = 33
    """2^-s: how far a block's key may be from secret."""
    correctness_bits: int = 50
    """2^-c: how likely the two ends' keys differ at most."""
    max_qber: float = 0.11
    """A block with a larger share of errors is given up."""


class KeyStatus(NamedTuple):
    """What there is."""

    stored_key_count: int
    key_size: int
    open: bool
    made: int
    why: str
    """Why it is not open; a name of ``protocols.wire.KeyWhy``."""
    answer: dict[str, Any]
    """As ETSI GS QKD 014 has it."""


class Keys:
    """Made by ``Qpu.keys``: keys with the node ``peer``."""

    def __init__(self, ask: Callable[..., Awaitable[Any]], number: int, peer: str) -> None:
        self._ask, self._number = ask, number
        self.peer = peer

    async def status(self) -> KeyStatus:
        answer = await self._ask("keys_status", keys=self._number)
        more = answer["status_extension"]
        return KeyStatus(
            answer["stored_key_count"], answer["key_size"], more["open"], more["made"], more["why"], answer
        )

    async def enc_keys(self, number: int = 1) -> list[Key]:
        """So many keys, as soon as they are there; the other node surely has them, and each is handed out once.

        Raises ChannelClosed, which says why, if no more keys can be made."""
        return container(await self._ask("enc_keys", keys=self._number, number=number))

    async def close(self) -> None:
        """Make no more; what has been got here can still be got at the other node."""
        await self._ask("keys_close", keys=self._number)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            await self.close()


def container(answer: dict[str, Any]) -> list[Key]:
    """The keys of an answer."""
    return [Key(row["key_ID"], b64decode(row["key"])) for row in answer["keys"]]
