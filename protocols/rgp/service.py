"""What passes between RGP and its neighbours in the stack: roles, reasons and events of remote gates.

The programs named here are the driver's to run, each as one device program; ReleaseQubit stands in pairs.py.
"""

from enum import Enum, IntEnum, auto
from typing import NamedTuple

from protocols.wire.codec import RgpKind


class Role(Enum):
    """Which of the gate's two data qubits is here; of a MOVE, whether it goes or comes."""

    CONTROL = auto()
    TARGET = auto()


class RefuseReason(IntEnum):
    """Reason in Refused, on the wire and in GateRefused."""

    KIND_MISMATCH = 1  # the two ends were told to do different gates
    PAIR_LOST = 2
    NO_PAIRS = 3  # the layer below will deliver none
    CANCELLED = 4
    PEER_LOST = 5  # never on the wire
    TOO_EARLY = 6  # a Cat that came before its gate, or more than is kept


class NeedPair(NamedTuple):
    """Event at the control: ask the layer below for one more pair with the peer."""

    job: int
    gate: int
    peer: int


class NeedPairs(NamedTuple):
    """Event at the control: ask the layer below for so many pairs with the peer, for gates to come."""

    peer: int
    number: int


class RunControl(NamedTuple):
    """Event: run CX(data, ebit), measure ebit -> m1, release ebit; then `control_measured`.  Of a MOVE besides, after
    the CX: H(data), measure data -> m0."""

    job: int
    gate: int
    data_qubit: int
    ebit: int
    kind: RgpKind = RgpKind.CNOT


class RunTarget(NamedTuple):
    """Event: run X(ebit) if apply_x; CX(ebit, data) or CZ(ebit, data) as `kind` says, of a COPY what this node has to
    do with the copy on ebit; H(ebit), measure ebit -> m2, release ebit; then `target_measured`.

    Of a MOVE: X(ebit) if apply_x, Z(ebit) if apply_z, SWAP(ebit, data), release ebit; then `target_measured` with 0.
    """

    job: int
    gate: int
    kind: RgpKind
    ebit: int
    data_qubit: int
    apply_x: int
    apply_z: int = 0


class ApplyZ(NamedTuple):
    """Event at the control: run Z(data) if `apply`, before anything else is done to the qubit."""

    job: int
    gate: int
    data_qubit: int
    apply: int


class Done(NamedTuple):
    """Event at both ends, each for its own part: the gate has been done."""

    job: int
    gate: int
    role: Role


class GateRefused(NamedTuple):
    """Event at both ends: the gate was not done.  `intact`: this end has not touched its data qubit."""

    job: int
    gate: int
    role: Role
    reason: RefuseReason
    intact: bool
