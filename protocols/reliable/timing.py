"""How long a sender waits for an acknowledgement.

What may live here: the estimate of a peer's round trip, and how the timeout follows it.

It is RFC 6298 in integer picoseconds without its floor of one second, which would outlive every qubit; in
its place stands the peer's possible delay of acknowledgements, as in RFC 9002.  It is made for networks that lose a
third of all frames, and in which waiting relieves nobody, for no frame stands in another's way: the timeout has a
ceiling, and what is late because an acknowledgement was lost moves the estimate little.
"""

from typing import Final

DOUBLINGS: Final = 4
"""Of the timeout, at most."""

GRANULARITY_PS: Final = 1_000
"""G of RFC 6298: no delay in the network is shorter."""

EVERY: Final = 2
"""Timeouts in a row that double it once."""

_BY_CHANCE: Final = 4
"""Acknowledgements in a row that loss may well leave without a sample: one time in sixteen at 30 %."""

_KEPT_DOUBLINGS: Final = 2

_MOST_SAMPLE: Final = 2
"""Smoothed round trips that one sample may count as."""


class RoundTrip:
    """RFC 6298's estimator for one peer, in integer picoseconds.

    srtt is kept times 8 and rttvar times 4 (Jacobson and Karels 1988), so that the gains 1/8 and 1/4 lose
    nothing.
    """

    __slots__ = ("_ack_delay_ps", "_first_ps", "_late", "_rttvar4", "_srtt8", "_unsure", "timeout_ps")

    def __init__(self, configured_ps: int, ack_delay_ps: int) -> None:
        self._ack_delay_ps = ack_delay_ps
        self._srtt8 = 0
        self._rttvar4 = 0
        self._late = 0  # timeouts in a row
        self._unsure = 0  # acknowledgements without a sample in a row
        self._first_ps = self.timeout_ps = 3 * max(configured_ps, GRANULARITY_PS)  # REL-8

    def sample(self, measured_ps: int) -> None:
        """Take in one measured round trip; ends any back-off."""
        if self._srtt8 == 0:
            self._srtt8 = 8 * measured_ps
            self._rttvar4 = 2 * measured_ps
        else:
            # An acknowledgement that was lost makes the next one late, up to the timeout itself: taken as they
            # are, such samples drive the timeout up, and that drives the next ones.  A round trip that has grown
            # is followed all the same, by an eighth with each sample.
            measured_ps = min(measured_ps, _MOST_SAMPLE * self._srtt8 // 8)
            error = measured_ps - self._srtt8 // 8
            self._rttvar4 += abs(error) - self._rttvar4 // 4
            self._srtt8 += error
        self._late = self._unsure = 0
        self.timeout_ps = self._estimate()

    def back_off(self) -> None:
        """A timeout (RFC 6298, 5.5; its 2.5 lets the timeout have a ceiling).  One alone tells of a loss, and the next
        frame is no likelier to be lost; so only every second one doubles."""
        self._late += 1
        if self._late % EVERY == 0:
            self.timeout_ps = min(2 * self.timeout_ps, self._estimate() << DOUBLINGS)

    def progress(self) -> None:
        """Something was acknowledged, but gave no sample.

        Karn keeps the back-off until there is a sample, for the round trip may have grown beyond the timeout; RFC 9002
        ends it here.  When half of all exchanges fail, as at 30 % loss, Karn's rule makes every other exchange wait in
        vain.  So the back-off ends, but when many give no sample in a row, which loss seldom does, the timeout is
        longer, up to two doublings, to get one from a round trip that has grown.
        """
        self._late = 0
        self._unsure += 1
        self.timeout_ps = self._estimate() << min(self._unsure // _BY_CHANCE, _KEPT_DOUBLINGS)

    def _estimate(self) -> int:
        if self._srtt8 == 0:
            return self._first_ps
        # The peer may wait before it acknowledges.  RFC 6298's floor covers that; RFC 9002, 6.2.1 adds it.
        return self._srtt8 // 8 + max(GRANULARITY_PS, self._rttvar4) + self._ack_delay_ps
