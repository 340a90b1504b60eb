"""The keys of one session at one end: cut from what blocks yield, named, handed out once.

What may live here: the store.  Both ends put in the same bits in the same order, and so have the same keys under the
same names.
"""

from hashlib import blake2b
from typing import NamedTuple

from protocols.key.service import Ident


class Key(NamedTuple):
    """``key_id``: a UUID (RFC 9562, version 8), the same at both ends."""

    key_id: str
    data: bytes


class Store:
    """``nonce``: with ``ident``, what no other session of these nodes has; ``key_bits``: of each key, whole bytes."""

    def __init__(self, ident: Ident, nonce: int, key_bits: int) -> None:
        self.ident = ident
        self._name, self._key_bits = f"{ident.opener}/{ident.number}/{nonce}", key_bits
        self._pool, self._left = 0, 0  # bits that make no key yet, and how many
        self._keys: dict[str, Key] = {}
        self.made = 0
        """Keys so far."""
        self.taken = 0

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key_id: str) -> bool:
        return key_id in self._keys

    def names(self) -> list[str]:
        """Of the keys that can be had, the oldest first."""
        return list(self._keys)

    def room(self, bits: int) -> int:
        """How many keys so many more bits would make."""
        return (self._left + bits) // self._key_bits

    def put(self, bits: int, size: int) -> int:
        """What a block has yielded; how many keys that makes."""
        self._pool |= bits << self._left
        self._left += size
        number = self.room(0)
        for _ in range(number):
            key_id = self._key_id(self.made)
            data = (self._pool & (1 << self._key_bits) - 1).to_bytes(self._key_bits // 8, "little")
            self._keys[key_id] = Key(key_id, data)
            self._pool >>= self._key_bits
            self._left -= self._key_bits
            self.made += 1
        return number

    def take(self, number: int) -> list[Key]:
        """The oldest keys, as many as are wanted or none."""
        return self.take_named(list(self._keys)[:number]) if number <= len(self._keys) else []

    def take_named(self, key_ids: list[str]) -> list[Key]:
        """These keys, all or none; each is the store's no longer."""
        if any(key_id not in self._keys for key_id in key_ids) or len(set(key_ids)) != len(key_ids):
            return []
        self.taken += len(key_ids)
        return [self._keys.pop(key_id) for key_id in key_ids]

    def drop(self) -> None:
        """Nothing of it is to be had any more."""
        self._pool, self._left = 0, 0
        self._keys.clear()

    def keep_first(self, number: int) -> None:
        """Only the first keys that were made are to be had: the other end has handed out no others."""
        named = {self._key_id(index) for index in range(min(number, self.made))}
        self._pool, self._left = 0, 0
        self._keys = {key_id: key for key_id, key in self._keys.items() if key_id in named}

    def _key_id(self, number: int) -> str:
        data = bytearray(blake2b(f"{self._name}/{number}".encode(), digest_size=16).digest())
        data[6] = data[6] & 0x0F | 0x80  # version 8: of our own making
        data[8] = data[8] & 0x3F | 0x80
        text = data.hex()
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
