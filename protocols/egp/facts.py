"""What a node knows of one of its links: ways and times, and what attempts bring at each brightness.

What may live here: the data, and the arithmetic of slots that follows from it.  What trains have taught is in
estimation.py.
"""

from dataclasses import dataclass
from math import ceil, exp, log, log1p, sqrt
from typing import Final, NamedTuple

from protocols.wire.codec import EgpKind

TRAIN_FAILURE: Final = 1e-3
"""A train is so long that it fails with about this probability, unless its request has less time."""

HOPELESS: Final = 0.01
"""A request whose chance to get all its pairs in time is surely smaller has no time."""

_LONGEST: Final = 0xFFFFFFFF
_ENDLESS: Final = 1 << 48

# The station's device tells of a herald this much after knowing (DEV-5), and a train stops this much later
# still.
_DEVICE_PS: Final = 2_000


class Setting(NamedTuple):
    """A brightness of attempts, and what the device data say of it; fidelities are u32 over 2^32 - 1."""

    alpha: int  # bright-state population, of 2^32 - 1; 0 = the device's own
    success_probability: float
    kept: int
    """Fidelity of a pair as its nodes find it: heralds arrived, halves moved where they are moved."""
    measured: int
    """Fidelity of the state that pairs measured right after emission are measured in."""
    error: int = 0
    """By how much the formula behind these figures may be off at this brightness."""

    def fidelity(self, measured: bool) -> int:
        return self.measured if measured else self.kept

    def promise(self, measured: bool) -> int:
        """What such pairs surely have if the device data are right."""
        return self.fidelity(measured) - self.error


KEEPALIVE_PS: Final = 100_000_000_000


@dataclass(frozen=True, slots=True)
class LinkFacts:
    """What a node knows of one of its links; `arm` is the quantum way to the station, `delay` the classical
    one."""

    number: int
    peer: int
    station: int
    slot_ps: int
    arm_ps: int
    peer_arm_ps: int
    delay_to_peer_ps: int
    delay_to_station_ps: int
    delay_peer_to_station_ps: int
    attempt_ps: int
    """From a slot until the station's device knows what came of it."""
    spacing_slots: int
    """Between two attempts with the same qubit whose half is kept; see `least_spacing`."""
    own: Setting
    """The link's own brightness: what requests get that ask for no fidelity."""
    settings: tuple[Setting, ...] = ()
    """Others to choose from, by rising alpha; none if the link has no brightness."""
    measuring_slots: int = 1
    """Between two attempts whose half is measured right after emission."""
    error: int = 0
    """Half width of what the device data leave open, of 2^32 - 1; what the formula leaves open comes on top."""
    readout: tuple[float, float] = (0.0, 0.0)
    """This node's chances of reading 1 from |0> and 0 from |1>."""
    peer_readout: tuple[float, float] = (0.0, 0.0)
    test_share: float = 0.0
    """Share of trains whose pair is measured by both nodes to learn the fidelity."""
    capacity: int = _LONGEST
    """Pairs that this node can keep at a time."""
    margin_ps: int = 10_000
    """Slack of a proposed train: jitter of the network, and time for device commands, go in here."""
    lead_ps: int = 2_000
    """A node takes no part in a train whose Gen would reach the station later than this before its first
    slot."""
    keepalive_ps: int = KEEPALIVE_PS
    """A peer that was silent so long, with requests open, is tried."""
    switched: bool = False
    """Its station is a switch: a train needs a grant of an analyser (see protocols.srp)."""

    @property
    def round_trip_ps(self) -> int:
        return 2 * self.delay_to_peer_ps

    def spacing(self, kind: EgpKind) -> int:
        """Slots between two attempts for a request of this kind: only M need not wait for heralds."""
        return self.measuring_slots if kind == EgpKind.MEASURE else self.spacing_slots

    @property
    def notice_ps(self) -> int:
        """From the proposal of a train to its first slot, at least: both nodes can still send their Gens and emit in
        time."""
        own = self.round_trip_ps + max(self.arm_ps, self.delay_to_station_ps)
        peer = self.delay_to_peer_ps + max(self.peer_arm_ps, self.delay_peer_to_station_ps)
        return max(own, peer) + self.lead_ps + self.margin_ps

    def first_slot(self, now: int) -> int:
        """First slot of a train proposed at `now`."""
        return -(-(now + self.notice_ps) // self.slot_ps)

    def in_time(self, first_slot: int, now: int) -> bool:
        """Can this node, from now on, take part in a train?"""
        return now <= self.latest(first_slot)

    def latest(self, first_slot: int) -> int:
        """When this node must know that it takes part in a train, at the latest."""
        return first_slot * self.slot_ps - max(self.arm_ps, self.delay_to_station_ps) - self.lead_ps

    def waits(self, spacing: int) -> bool:
        """Is the Reply of an attempt at either node so early that the next attempt's Gen can follow it?"""
        way_ps = max(self.delay_to_station_ps, self.delay_peer_to_station_ps)
        needed_ps = self.attempt_ps + _DEVICE_PS + 2 * (way_ps + self.margin_ps) + self.lead_ps
        return spacing * self.slot_ps >= needed_ps

    def reply_due(self, last_slot: int) -> int:
        """When this node will have heard of the slot, if nothing is lost."""
        known = last_slot * self.slot_ps + self.attempt_ps + _DEVICE_PS
        return known + self.delay_to_station_ps + self.margin_ps

    def attempts(self, first_slot: int, deadline: int | None, p: float, spacing: int, pairs: int = 1) -> int:
        """Attempts of a train: enough that it has its pairs all but surely, as many as fit before the deadline; >=
        0."""
        if p <= 0:
            count = _LONGEST
        elif p >= 1:
            count = pairs
        elif pairs == 1:
            count = ceil(log(TRAIN_FAILURE) / log1p(-p))
        else:
            # Chernoff's bound of the binomial distribution's lower tail: P(X <= n) <= exp(-(mu - n)^2/(2 mu)).
            surely = -log(TRAIN_FAILURE)
            count = ceil((pairs + surely + sqrt(surely**2 + 2 * pairs * surely)) / p)
        count = max(1, min(count, _LONGEST))
        if deadline is not None:
            count = min(count, self.fitting(first_slot, deadline, spacing))
        return count

    def fitting(self, first_slot: int, deadline: int, spacing: int) -> int:
        """Attempts from that slot on whose outcome both nodes can know by the deadline."""
        back = self.attempt_ps + max(self.delay_to_station_ps, self.delay_peer_to_station_ps) + _DEVICE_PS
        left_ps = deadline - back - first_slot * self.slot_ps
        return max(0, left_ps // (spacing * self.slot_ps) + 1)

    def pair_ps(self, kind: EgpKind, setting: Setting) -> float:
        """Mean time per pair: attempts, and agreeing on a train."""
        p = setting.success_probability
        attempts = self.spacing(kind) * self.slot_ps / p if p > 0 else float("inf")
        return attempts + self.round_trip_ps + self.delay_to_station_ps + self.arm_ps

    def cycles(self, kind: EgpKind, setting: Setting) -> int:
        """Estimated slots per pair, as schedulers count."""
        p = setting.success_probability
        return min(ceil(self.spacing(kind) / p), _ENDLESS) if p > 0 else _ENDLESS


def hopeless(pairs: int, attempts: float, p: float) -> bool:
    """Is the chance of so many successes in so many attempts surely below HOPELESS?

    Chernoff's bound of the Poisson distribution: P(X >= n) <= exp(n - mu) (mu/n)^n for n > mu.
    """
    mean = attempts * p
    if mean >= pairs:
        return False
    return mean <= 0 or exp(pairs - mean + pairs * log(mean / pairs)) < HOPELESS


def between(low: Setting, high: Setting, minimum: int, measured: bool) -> Setting:
    """The brightest setting between two neighbours that promises the minimum, all figures taken as straight lines.

    `low` promises it, `high` does not.
    """
    good, bad = low.promise(measured), high.promise(measured)
    # Rounded down: no setting promises more than the line does.
    return at_alpha(low, high, int(low.alpha + (good - minimum) / (good - bad) * (high.alpha - low.alpha)))


def at_alpha(low: Setting, high: Setting, alpha: int) -> Setting:
    """The setting between two neighbours, all figures taken as straight lines."""
    share = (alpha - low.alpha) / (high.alpha - low.alpha)

    def mix(a: float, b: float) -> float:
        return a + share * (b - a)

    p = mix(low.success_probability, high.success_probability)
    kept, measured = round(mix(low.kept, high.kept)), round(mix(low.measured, high.measured))
    return Setting(alpha, p, kept, measured, max(low.error, high.error))


def least_spacing(slot_ps: int, longest_way_ps: int, attempt_ps: int, emission_ps: int, margin_ps: int = 0) -> int:
    """Slots between two attempts such that the herald of one stops the next, in slots.

    The way is quantum arm plus classical delay between the station and the farther node: one photon there,
    one Reply back.  numbers of the published METRO link: emission + 2 x the longest arm.
    """
    return max(1, -(-(emission_ps + longest_way_ps + attempt_ps + _DEVICE_PS + margin_ps) // slot_ps))
