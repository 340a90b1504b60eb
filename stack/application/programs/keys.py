"""The calls of attached programs that have to do with keys, in the words of ETSI GS QKD 014.

What may live here: from a call to the key service.  What ``enc_keys`` and ``dec_keys`` return goes to the program
that asks, and nowhere else.
"""

from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import Any, Final

from protocols.key.service import (
    FULL,
    LEAST_KEY_BITS,
    MOST_BLOCK,
    MOST_CORRECTNESS,
    MOST_KEY_BITS,
    MOST_KEYS,
    MOST_SECRECY,
    Terms,
)
from protocols.key.store import Key
from stack.application.keys import KeyService, KeySession, NoKeys
from stack.config import NodeConfig
from stack.runtime.kernel import Kernel
from stack.runtime.session import CallError, whole

MOST_PER_REQUEST: Final = 128
MOST_STOCK: Final = 1_000
_USUAL: Final = Terms()


class KeyCalls:
    """What one program has of keys."""

    def __init__(self, kernel: Kernel, config: NodeConfig, keys: KeyService) -> None:
        self._kernel = kernel
        self._config = config
        self._keys = keys
        self._sessions: dict[int, KeySession] = {}
        self._opened = 0
        self.calls: dict[str, Callable[..., Awaitable[Any]]] = {
            "keys_open": self._open,
            "keys_status": self._status,
            "keys_close": self._close,
            "enc_keys": self._enc_keys,
            "dec_keys": self._dec_keys,
        }

    def close_all(self) -> None:
        """The program has gone."""
        for session in self._sessions.values():
            session.close()

    async def _open(
        self,
        peer: int,
        key_bits: int = _USUAL.key_bits,
        block_pairs: int = _USUAL.block_pairs,
        x_share: float = 0.5,
        secrecy_bits: int = _USUAL.secrecy,
        correctness_bits: int = _USUAL.correctness,
        max_qber: float = _USUAL.most_errors,
        stock: int = _USUAL.stock,
        minimum_fidelity: float = 0.0,
    ) -> int:
        """Make keys with another node; the number by which this program names them."""
        whole("peer", peer, 1, 0xFFFF)
        if peer not in self._config.paths:
            raise CallError(f"there is no node {peer}", "refused")
        if not self._config.paths[peer].qubits:
            raise CallError(f"{self._config.paths[peer].name} has no qubits to make keys of", "refused")
        for name, share in (("x_share", x_share), ("max_qber", max_qber), ("minimum_fidelity", minimum_fidelity)):
            if type(share) not in (int, float) or not 0 <= share <= 1:
                raise CallError(f"{name} must lie between 0 and 1")
        terms = Terms(
            whole("block_pairs", block_pairs, 1, MOST_BLOCK),
            round(x_share * FULL),
            whole("key_bits", key_bits, LEAST_KEY_BITS, MOST_KEY_BITS),
            whole("secrecy_bits", secrecy_bits, 1, MOST_SECRECY),
            whole("correctness_bits", correctness_bits, 1, MOST_CORRECTNESS),
            float(max_qber),
            whole("stock", stock, 1, MOST_STOCK),
        )
        if not terms.make_sense():
            raise CallError("key_bits must be a multiple of 8, and x_share neither 0 nor 1")
        try:
            session = self._keys.open(peer, terms, float(minimum_fidelity))
        except ValueError as error:
            raise CallError(str(error), "refused") from None
        self._opened += 1
        self._sessions[self._opened] = session
        return self._opened

    async def _status(self, keys: int) -> dict[str, Any]:
        session = self._session(keys)
        status = session.status()
        here, there = self._config.name, self._config.paths[session.peer].name
        return {
            "source_KME_ID": here,
            "target_KME_ID": there,
            "master_SAE_ID": here,
            "slave_SAE_ID": there,
            "key_size": status.key_bits,
            "stored_key_count": status.stored,
            "max_key_count": MOST_KEYS,
            "max_key_per_request": MOST_PER_REQUEST,
            "max_key_size": status.key_bits,
            "min_key_size": status.key_bits,
            "max_SAE_ID_count": 0,
            "status_extension": {"open": status.open, "made": status.made, "why": self._why(session)},
        }

    def _why(self, session: KeySession) -> str:
        status = session.status()
        return "" if status.open else session.failure(status.why).why.name

    async def _enc_keys(self, keys: int, number: int = 1, size: int | None = None) -> dict[str, Any]:
        """So many keys, as soon as they are there, each with the name by which the other node hands it out."""
        session = self._session(keys)
        whole("number", number, 1, MOST_PER_REQUEST)
        bits = session.status().key_bits
        if size not in (None, bits):
            raise CallError(f"keys of this session have {bits} bits", "refused")
        try:
            return _container(await session.take(number))
        except NoKeys as none:
            raise CallError(str(none), "over" if none.why.name == "CLOSED" else "closed") from None

    async def _dec_keys(self, peer: int, key_IDs: list[str]) -> dict[str, Any]:
        """The keys of these names that a session of that node has made; all, or none."""
        whole("peer", peer, 1, 0xFFFF)
        if type(key_IDs) is not list or not all(type(key_id) is str for key_id in key_IDs) or not key_IDs:
            raise CallError("key_IDs must be a list of names of keys")
        if len(key_IDs) > MOST_PER_REQUEST:
            raise CallError(f"at most {MOST_PER_REQUEST} keys at once")
        keys = self._keys.dec_keys(peer, key_IDs)
        if not keys:
            raise CallError("one of these keys is not here, or has been handed out", "refused")
        return _container(keys)

    async def _close(self, keys: int) -> None:
        self._session(keys).close()
        del self._sessions[keys]

    def _session(self, number: object) -> KeySession:
        session = self._sessions.get(number) if type(number) is int else None
        if session is None:
            raise CallError(f"this program has no keys {number!r:.40}", "closed")
        return session


def _container(keys: list[Key]) -> dict[str, Any]:
    return {"keys": [{"key_ID": key.key_id, "key": b64encode(key.data).decode()} for key in keys]}
