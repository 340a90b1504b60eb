"""TTP at one node: it asks its server, and answers whoever asks.  TTP-n: ttp.toml.

What may live here: exchanges, and TABLE at work.
"""

from collections import deque
from typing import Final, NamedTuple

from protocols.ignored import Ignored
from protocols.machine import Output, Send
from protocols.ttp.servo import Servo
from protocols.ttp.states import TABLE, Do, Exchange, Steer, TimeInput, TimeState, Turned
from protocols.wire.codec import TtpRequest, TtpResponse

HOLD: Final = 8
"""So many exchanges settle a clock; so many in a row without an answer show that its server is silent."""

_COMPARED: Final = 32
"""Delays among which an exchange must be one of the quickest: where a quarter are quick, that many hold one."""

_NOISE_PS: Final = 1_000_000
"""No timestamp is wrong by as much."""

_FAR_PS: Final = 10_000_000
"""How far a clock may be off, beyond what the delay explains, before it is set anew."""

_SEQUENCES: Final = 1 << 32
_LIFE_SEQUENCES: Final = 1 << 20
"""Between the first numbers of two lives of a node: what is late from the one answers nothing of the other."""

MOST_HOPS: Final = 255


class _Open(NamedTuple):
    """The exchange that waits for its answer."""

    sequence: int
    sent: int | None  # t1, when the driver has told it


class Ttp:
    """`server`: the node whose clock is this one's model; None: this is the master.  An exchange that takes longer
    than the quickest by no more than `slack_ps` is believed all the same.

    Times are node time, and `now` in `receive` is the NIC's timestamp of the frame.  After a Request has been sent
    the driver tells when, by `stamped`; into a Response it writes when it leaves.
    """

    def __init__(
        self, server: int | None, interval_ps: int, slack_ps: int = 1_000, incarnation: int = 1, now: int = 0
    ) -> None:
        if interval_ps < 1:
            raise ValueError(f"an interval of {interval_ps} ps")
        self.state = TimeState.TRACKING if server is None else TimeState.UNSET
        self.hops = 0 if server is None else MOST_HOPS
        self._server = server
        self._interval_ps = interval_ps
        self._slack_ps = slack_ps
        self._servo = Servo(interval_ps)
        self._sequence = incarnation * _LIFE_SEQUENCES % _SEQUENCES
        self._open: _Open | None = None
        self._due: int | None = None if server is None else now
        self._delays: deque[int] = deque(maxlen=_COMPARED)
        self._set_at = 0
        self._good = self._unanswered = 0
        self._slewing = False
        self._outputs: list[Output] = []

    @property
    def serves(self) -> bool:
        """Its clock is one to go by (TTP-5)."""
        return self.state in (TimeState.TRACKING, TimeState.HOLDOVER)

    def stamped(self, sequence: int, sent: int) -> None:
        """The Request with this number has left at `sent`, t1."""
        if self._open is not None and self._open.sequence == sequence:
            self._open = _Open(sequence, sent)

    def receive(self, message: NamedTuple, source: int, now: int) -> None:
        match message:
            case TtpRequest(sequence):
                if self.serves:
                    # `sent` is filled in as it leaves.
                    self._outputs.append(Send(source, TtpResponse(sequence, self.hops, now, now)))  # TTP-1
                else:
                    self._outputs.append(Ignored(source, "TtpRequest", "this clock has not been set"))  # TTP-5
            case TtpResponse():
                self._on_response(message, source, now)
            case _:
                raise TypeError(f"{type(message).__name__} is not a message of TTP")

    def poll(self, now: int) -> list[Output]:
        # A step moves all times: it is carried out, and then the clock read again, before anything can be due.
        if not self._outputs and self._due is not None and now >= self._due:
            self._ask(now)
        outputs, self._outputs = self._outputs, []
        return outputs

    def next_timeout(self) -> int | None:
        return self._due

    # Exchanges.

    def _ask(self, now: int) -> None:
        assert self._server is not None
        if self._open is not None:
            self._missed()
        self._sequence = (self._sequence + 1) % _SEQUENCES
        self._open = _Open(self._sequence, None)
        self._due = now + self._interval_ps
        self._outputs.append(Send(self._server, TtpRequest(self._sequence)))

    def _missed(self) -> None:
        """No answer within an interval (TTP-4)."""
        self._unanswered += 1
        if self._unanswered % HOLD == 0:
            self._good = 0
            self._move(TimeInput.SILENT, 0, 0)
        else:
            self._coast()

    def _on_response(self, response: TtpResponse, source: int, now: int) -> None:
        asked = self._open
        if source != self._server:
            self._outputs.append(Ignored(source, "TtpResponse", "not this node's time server"))  # TTP-2
            return
        if asked is None or asked.sequence != response.sequence or asked.sent is None:
            return  # TTP-2: a copy, or too late
        there, back = response.received - asked.sent, now - response.sent
        delay = there + back
        if min(delay, response.sent - response.received, now - asked.sent) < -_NOISE_PS:
            self._outputs.append(Ignored(source, "TtpResponse", "times that cannot be"))  # TTP-2
            return
        self._open = None
        self._unanswered = 0
        self.hops = min(response.hops + 1, MOST_HOPS)
        offset = (there - back) // 2
        used = delay <= min(self._delays, default=delay) + self._slack_ps  # TTP-3
        self._delays.append(delay)
        self._outputs.append(Exchange(offset, delay, used))
        if not used:
            self._coast()
        elif abs(offset) > delay + _FAR_PS:
            self._move(TimeInput.FAR, offset, now)
        else:
            self._good += 1
            settled = self.state is TimeState.SETTLING and self._good >= HOLD
            self._move(TimeInput.SETTLED if settled else TimeInput.NEAR, offset, now)

    # What comes of them.

    def _move(self, stimulus: TimeInput, offset: int, now: int) -> None:
        before = self.state
        self.state, do = TABLE[before, stimulus]
        match do:
            case Do.STEP:
                self._good = 0
                self._set(now, offset, self._servo.rate)
            case Do.RATE:
                self._good = 0
                self._set(now, offset, self._servo.learn(offset, max(1, now - self._set_at)))
            case Do.SLEW:
                self._slewing = True
                self._outputs.append(Steer(0, self._servo.slew(offset)))
            case Do.COAST:
                self._coast()
        if self.state is not before:
            self._outputs.append(Turned(self.state))

    def _set(self, now: int, step_ps: int, rate: int) -> None:
        """The clock jumps, and with it all times of this machine (TTP-6)."""
        self._slewing = False
        self._delays.clear()  # they were measured by another clock
        self._outputs.append(Steer(step_ps, rate))
        self._set_at = now + step_ps
        self._due = self._set_at + self._interval_ps

    def _coast(self) -> None:
        """What the proportional part was to make up for has been made up for by now (TTP-4)."""
        if self._slewing:
            self._slewing = False
            self._outputs.append(Steer(0, self._servo.rate))
