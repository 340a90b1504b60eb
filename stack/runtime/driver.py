"""Drives a sans-IO machine: its sends go to the NIC or the reliable sublayer, its events to a service, its timeout to
the kernel's timer.

What may live here: that loop, once, for every protocol.
"""

from collections.abc import Callable
from typing import Any

from protocols.machine import Machine, Send
from stack.runtime.kernel import Kernel, Timer

Transmit = Callable[[Send], None]


class Driver[M: Machine]:
    """After any call into ``machine`` from outside, call :meth:`flush`."""

    def __init__(
        self,
        kernel: Kernel,
        machine: M,
        transmit: Transmit,
        on_event: Callable[[Any], None],
        allowance_ps: int = 0,
        patient: bool = False,
    ) -> None:
        """``allowance_ps``: so much later than the machine says its timeouts are looked after, for a host that is slow.

        ``patient``: the allowance holds also when something else has the machine polled meanwhile; it may then be told
        a time that is past by so much.
        """
        self.machine = machine
        self.at_rest: Callable[[], bool] | None = None
        """Whether all that is due is to ask, after a pause, who has not been heard (``Timer.rests``)."""
        self._kernel = kernel
        self._transmit = transmit
        self._on_event = on_event
        self._allowance = allowance_ps
        self._patient = patient and allowance_ps > 0
        self._timer: Timer | None = None
        self._busy = False
        self._again = False

    def receive(self, message: Any, source: int) -> None:
        self.machine.receive(message, source, self._kernel.now)
        self.flush()

    def flush(self) -> None:
        """Carry out what the machine wants; an event's handler may call into the machine again."""
        if self._busy:
            self._again = True
            return
        self._busy = True
        machine = self.machine
        try:
            self._again = True
            while self._again:
                self._again = False
                for output in machine.poll(self._poll_time() if self._patient else self._kernel.now):
                    if type(output) is Send:
                        self._transmit(output)
                    else:
                        self._on_event(output)
                        self._again = True
        finally:
            self._busy = False
        self._rearm(machine.next_timeout())

    def _poll_time(self) -> int:
        """Just before what is due, if the host's allowance for that is not over yet."""
        now, due = self._kernel.now, self.machine.next_timeout()
        return now if due is None or not due <= now < due + self._allowance else due - 1

    def _rearm(self, due: int | None) -> None:
        timer = self._timer
        if due is None:
            if timer is not None:
                timer.cancel()
                self._timer = None
            return
        due += self._allowance
        if timer is not None:
            if timer.callback is not None and timer.when == due:
                return
            timer.cancel()
        self._timer = self._kernel.at(due, self._expired)
        self._timer.rests = self.at_rest

    def _expired(self) -> None:
        self._timer = None
        self.flush()
