"""The node's qubits as handles: which exist, which are free, which generation is current.

What may live here: bookkeeping.  It mirrors what the devices do on RELEASE, so a handle here is good there.
"""

from collections.abc import Callable

from protocols.device import first_generation, pack_handle, released, unpack_handle
from stack.config import Device


class Memory:
    """Data qubits are numbered from 0, communication qubits after them, then storage qubits (as on the device).

    A communication or storage qubit is free, or out (somebody's), or on its way back: given up, but not yet released by
    the device, which may still be busy with it.
    """

    def __init__(
        self, device: Device, incarnation: int, release_on_device: Callable[[int, Callable[[], None]], None]
    ) -> None:
        """``release_on_device(qubit, done)`` calls ``done`` when the device has released the qubit."""
        self._data = device.data_qubits
        self._storage = device.data_qubits + device.communication_qubits
        total = self._storage + device.storage_qubits
        generation = first_generation(incarnation)
        self._current = [pack_handle(index, generation) for index in range(total)]
        self._free = list(range(device.data_qubits, self._storage))
        self._rooms = list(range(self._storage, total))
        self._leaving: set[int] = set()
        self._watchers: list[Callable[[], None]] = []
        self._room_watchers: list[Callable[[int], None]] = []
        self._release_on_device = release_on_device

    def data(self, index: int) -> int:
        if not 0 <= index < self._data:
            raise ValueError(f"there is no data qubit {index}; there are {self._data}")
        return self._current[index]

    def is_data(self, qubit: int) -> bool:
        return unpack_handle(qubit).qubit < self._data

    def take_communication(self) -> int | None:
        return self._current[self._free.pop(0)] if self._free else None

    def take_storage(self, fits: Callable[[int], bool]) -> int | None:
        """A free storage qubit whose index fits."""
        index = next(filter(fits, self._rooms), None)
        if index is None:
            return None
        self._rooms.remove(index)
        return self._current[index]

    def release(self, qubit: int) -> None:
        """Give a communication or storage qubit back; raises ValueError if it is not out."""
        self._check_out(qubit)
        self._leaving.add(qubit)
        self._release_on_device(qubit, lambda: self._freed(qubit))

    def void(self, qubit: int) -> None:
        """A device program has released the qubit, data or communication; raises ValueError if it was not out."""
        index = unpack_handle(qubit).qubit
        if index < self._data and self._current[index] == qubit:
            self._current[index] = released(qubit)
            return
        self._check_out(qubit)
        self._freed(qubit)

    def is_current(self, qubit: int) -> bool:
        index = unpack_handle(qubit).qubit
        return index < len(self._current) and self._current[index] == qubit and qubit not in self._leaving

    def _check_out(self, qubit: int) -> None:
        index = unpack_handle(qubit).qubit
        known = self._data <= index < len(self._current) and self._current[index] == qubit
        if not known or index in self._free or index in self._rooms or qubit in self._leaving:
            raise ValueError(f"qubit {qubit:#x} is not out: it cannot be given back")

    def _freed(self, qubit: int) -> None:
        index = unpack_handle(qubit).qubit
        self._leaving.discard(qubit)
        self._current[index] = released(qubit)
        rooms = index >= self._storage
        free = self._rooms if rooms else self._free
        free.append(index)
        free.sort()
        if not rooms:
            for watcher in self._watchers:
                watcher()
            return
        for room_watcher in self._room_watchers:
            room_watcher(index)

    def when_freed(self, callback: Callable[[], None]) -> None:
        self._watchers.append(callback)

    def when_room(self, callback: Callable[[int], None]) -> None:
        """Called with the index of each storage qubit that is free again."""
        self._room_watchers.append(callback)

    def shown(self) -> list[dict[str, int | str]]:
        """Every qubit, for people who look: free, out (somebody's), or on its way back."""
        rows: list[dict[str, int | str]] = []
        for index, handle in enumerate(self._current):
            role = "data" if index < self._data else "communication" if index < self._storage else "storage"
            state = "out"
            if index in self._free or index in self._rooms:
                state = "free"
            elif handle in self._leaving:
                state = "leaving"
            rows.append({"qubit": index, "role": role, "state": "" if role == "data" else state, "handle": handle})
        return rows
