"""The node's qubits as handles: which exist, which are free, which generation is current.

What may live here: bookkeeping.  It mirrors what the devices do on RELEASE, so a handle here is good there.
"""

from collections.abc import Callable

from protocols.device import pack_handle, released, unpack_handle
from stack.config import Device


class Memory:
    """Data qubits are numbered from 0, communication qubits after them (as on the device)."""

    def __init__(self, device: Device) -> None:
        self._data = device.data_qubits
        total = device.data_qubits + device.communication_qubits
        self._current = [pack_handle(index) for index in range(total)]
        self._free = list(range(device.data_qubits, total))
        self._watchers: list[Callable[[], None]] = []
        self.release_on_device: Callable[[int], None] | None = None

    def data(self, index: int) -> int:
        if not 0 <= index < self._data:
            raise ValueError(f"there is no data qubit {index}; there are {self._data}")
        return self._current[index]

    def take_communication(self) -> int | None:
        return self._current[self._free.pop(0)] if self._free else None

    @property
    def free_communication(self) -> int:
        return len(self._free)

    def release(self, qubit: int) -> None:
        """Give a communication qubit back; raises ValueError if it is not out."""
        self._check_out(qubit)
        if self.release_on_device is not None:
            self.release_on_device(qubit)
        self._freed(qubit)

    def void(self, qubit: int) -> None:
        """A device program has released the qubit, data or communication; raises ValueError if it was not out."""
        index = unpack_handle(qubit).qubit
        if index < self._data and self._current[index] == qubit:
            self._current[index] = released(qubit)
            return
        self._check_out(qubit)
        self._freed(qubit)

    def _check_out(self, qubit: int) -> None:
        index = unpack_handle(qubit).qubit
        if self._current[index] != qubit or index < self._data or index in self._free:
            raise ValueError(f"qubit {qubit:#x} is not out: it cannot be given back")

    def _freed(self, qubit: int) -> None:
        index = unpack_handle(qubit).qubit
        self._current[index] = released(qubit)
        self._free.append(index)
        self._free.sort()
        for watcher in self._watchers:
            watcher()

    def when_freed(self, callback: Callable[[], None]) -> None:
        self._watchers.append(callback)
