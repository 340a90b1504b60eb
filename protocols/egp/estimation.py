"""Fidelity estimation of one link: from device data, and from test rounds interspersed among the pairs.

What may live here: what test rounds say, with an error bar; both sources in one estimate; the brightness for an
asked fidelity.
"""

from bisect import bisect_left
from typing import Final

from protocols.correlations import DEVIATIONS, Estimate, Tally, shift_scale, sign
from protocols.egp.facts import LinkFacts, Setting, at_alpha, between
from protocols.egp.service import Expectation
from protocols.measuring import FULL
from protocols.wire.codec import BellIndex, EgpKind, EgpTest

CONTRADICTION: Final = 4.0
"""Standard deviations beyond their own bar at which test rounds overrule device data.  They are compared anew after
every round, and what one comparison leaves to chance once in a hundred times, hundreds of them leave for long."""

REMEMBERED: Final = 64
"""Brightnesses whose test rounds are kept apart; the oldest is forgotten."""


class Estimator:
    """Of one link at one of its nodes."""

    def __init__(self, facts: LinkFacts) -> None:
        self._facts = facts
        self._tallies: dict[tuple[bool, int], Tally] = {}  # by (measured directly, alpha)
        self._choices = facts.settings or (facts.own,)

    def record(self, measured: bool, alpha: int, test: EgpTest, bell: BellIndex, here: int, there: int) -> None:
        """One test round: this node's result and its peer's."""
        key = (measured, alpha)
        tally = self._tallies.get(key)
        if tally is None:
            if len(self._tallies) >= REMEMBERED:
                del self._tallies[next(iter(self._tallies))]
            tally = self._tallies[key] = Tally()
        tally.add(test, sign(test, bell), (here, there), (self._facts.readout, self._facts.peer_readout))

    def estimate(self, measured: bool, setting: Setting) -> Estimate:
        """What is to be believed of such pairs.

        The sharper of device data and test rounds counts.  They are not mixed: what device data leave open is no
        scatter that averages out, and no mixture has a smaller worst case than the better of the two.  Where they
        contradict each other, device data are out of date, and test rounds count however few there are.  Where they
        only seem to, the bar reaches to what test rounds say: it costs sharpness for a while, and not the truth.
        Device data that were overruled at one brightness are taken to be off as much at every other.
        """
        off, doubt = self._correction(measured)
        return self._believed(measured, setting, off, doubt)

    def _believed(self, measured: bool, setting: Setting, off: int = 0, doubt: int = 0) -> Estimate:
        """The same, the device data being off by so much, give or take `doubt`."""
        facts = self._facts
        device = min(max(setting.fidelity(measured) + off, 0), FULL)
        error = min(facts.error + setting.error + doubt, FULL)
        tally = self._tallies.get((measured, setting.alpha))
        tested = None if tally is None else tally.fidelity(self._scale())
        if tested is None:
            return Estimate(device, error)
        fidelity, half = tested[0], DEVIATIONS * tested[1]
        apart = abs(fidelity - device / FULL)
        agree = apart <= error / FULL + CONTRADICTION * tested[1]
        if agree and error / FULL <= half:
            doubtful = apart > error / FULL + half
            return Estimate(device, min(round((apart + half) * FULL), FULL) if doubtful else error)
        return Estimate(round(min(max(fidelity, 0.0), 1.0) * FULL), min(round(half * FULL), FULL))

    def prepared(self, setting: Setting) -> Estimate:
        """Of a state prepared remotely: one half was measured at emission, the other waits.  So it lies between what is
        believed of pairs that are measured and of pairs that are kept, wherever the longer wait is."""
        kept = self.estimate(False, setting)
        apart = setting.measured - setting.kept
        fidelity = min(max(kept.fidelity + apart // 2, 0), FULL)
        return Estimate(fidelity, min(kept.error + (abs(apart) + 1) // 2, FULL))

    def tested(self, measured: bool, setting: Setting) -> tuple[float, float, int] | None:
        """From test rounds alone: fidelity, standard deviation, number of rounds."""
        tally = self._tallies.get((measured, setting.alpha))
        found = None if tally is None else tally.fidelity(self._scale())
        return None if tally is None or found is None else (*found, sum(tally.rounds))

    def choose(self, measured: bool, minimum: int) -> Setting | None:
        """The brightest setting that promises the minimum, or None (UNSUPP).

        A request without a minimum gets the link's own brightness.  Where test rounds have overruled the device data,
        every setting is taken to be off by as much as the one that was tested last.
        """
        if not minimum:
            return self._facts.own
        wanted = minimum - self._correction(measured)[0]
        choices = self._choices
        for i in range(len(choices) - 1, -1, -1):
            if choices[i].promise(measured) >= wanted:
                bright = i + 1 < len(choices)
                return between(choices[i], choices[i + 1], wanted, measured) if bright else choices[i]
        return None

    def expects(self, kind: EgpKind, minimum: int) -> Expectation:
        """What a request of this kind and minimum fidelity can hope for."""
        directly = kind == EgpKind.MEASURE
        setting = self.choose(directly, minimum)
        used = setting or self._facts.own
        return Expectation(self._facts.pair_ps(kind, used), *self.estimate(directly, used), setting is not None)

    def setting(self, alpha: int) -> Setting:
        """What the device data say of a brightness that the peer has named."""
        own, choices = self._facts.own, self._choices
        if alpha == own.alpha or len(choices) < 2:
            return own
        index = min(max(bisect_left([s.alpha for s in choices], alpha), 1), len(choices) - 1)
        low, high = choices[index - 1], choices[index]
        if alpha in (low.alpha, high.alpha):
            return low if alpha == low.alpha else high
        return at_alpha(low, high, alpha)

    def _correction(self, measured: bool) -> tuple[int, int]:
        """How far test rounds have shown device data to be off, where they did so last, and their error bar."""
        for directly, alpha in reversed(self._tallies):
            if directly == measured:
                setting = self.setting(alpha)
                estimate = self._believed(measured, setting)
                off = estimate.fidelity - setting.fidelity(measured)
                if abs(off) > estimate.error:
                    return off, estimate.error
        return 0, 0

    def _scale(self) -> float:
        return shift_scale(self._facts.readout)[1] * shift_scale(self._facts.peer_readout)[1]
