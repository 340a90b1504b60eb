"""QPUs that are wrong about gates with others."""

from typing import Any

from protocols import bell
from protocols.rgp.node import Rgp
from protocols.rgp.service import Role
from protocols.rgp.states import CONTROL_TABLE, TARGET_TABLE, Do, GateInput, GateState
from protocols.wire import RgpCat, RgpReady, RgpRefused, RgpUncat
from protocols.wire.codec import DeviceOpcode, DeviceProgram
from testbed.conformance.mutants import Wrong, breaks
from testbed.conformance.mutants.means import both, commands, instead, never_says, nothing, rows, says, value

_S, _I = GateState, GateInput


@breaks("RGP-1")
def takes_any_pair() -> Wrong:
    """A control uses a pair that the peer asked for."""

    def ask(right: Any, one: Rgp, gate: Any) -> None:
        for key, pair in list(one._pool.items()):
            if key[0] == gate.peer and pair is not None:
                del one._pool[key]
                one._entangle(gate, pair)
                return
        right(one, gate)

    return instead(Rgp, "_ask", ask)


@breaks("RGP-2")
def leaves_a_gate_out() -> Wrong:
    """The target measures its ebit in Z."""
    return commands(
        DeviceProgram,
        lambda program: DeviceProgram(tuple(op for op in program.ops if op.opcode != DeviceOpcode.H)),
    )


@breaks("RGP-2")
def turns_the_gate_round() -> Wrong:
    """The ebit controls the data qubit at the control, too."""

    def turned(program: DeviceProgram) -> DeviceProgram:
        swap = DeviceOpcode.CX
        return DeviceProgram(
            tuple(op._replace(qubit=op.other, other=op.qubit) if op.opcode == swap else op for op in program.ops)
        )

    return commands(DeviceProgram, turned)


@breaks("RGP-2")
def applies_no_z() -> Wrong:
    """The Uncat's outcome does not reach the user."""
    key = (_S.NEEDS_UNCAT, _I.UNCAT)
    return rows(CONTROL_TABLE, {key: (_S.ENDED, (Do.DONE,))})


@breaks("RGP-3")
def forgets_x() -> Wrong:
    """Cat has what was measured, whatever the pair's Bell state."""
    return value(bell, "cat_correction", lambda pair, m1: m1)


@breaks("RGP-4")
def forgets_z() -> Wrong:
    """Uncat has what was measured."""
    return value(bell, "uncat_correction", lambda pair, m2: m2)


@breaks("RGP-5")
def keeps_nothing() -> Wrong:
    """What comes before its gate is lost."""

    def keep(right: Any, one: Rgp, source: int, name: Any, message: Any) -> None:
        if isinstance(message, RgpCat):
            right(one, source, name, message)

    return instead(Rgp, "_keep", keep)


@breaks("RGP-5")
def keeps_refusals() -> Wrong:
    """A Refused that comes before its gate ends the gate when that is started."""
    early: set[Any] = set()

    def keep(right: Any, one: Rgp, source: int, name: Any, message: Any) -> None:
        right(one, source, name, message)
        if isinstance(message, RgpRefused):
            early.add(name)

    def start(right: Any, one: Rgp, job: int, gate: int, *rest: Any) -> None:
        right(one, job, gate, *rest)
        if (known := one._gates.get((job, gate))) is not None and (job, gate) in early:  # type: ignore[call-overload]
            one._move(known, _I.REFUSED)

    return both(instead(Rgp, "_keep", keep), instead(Rgp, "start", start))


@breaks("RGP-5")
def says_it_once() -> Wrong:
    """Who asks for a gate that was refused gets no answer."""

    def keep(right: Any, one: Rgp, source: int, name: Any, message: Any) -> None:
        if name not in one._told:
            right(one, source, name, message)

    return instead(Rgp, "_keep", keep)


@breaks("RGP-6")
def gives_up_in_silence() -> Wrong:
    """The peer is not told that a gate will not be."""
    return never_says(RgpRefused)


@breaks("RGP-6")
def minds_no_kind() -> Wrong:
    """Ends that were told different gates go on."""

    def hear(right: Any, one: Rgp, gate: Any, message: Any, now: int) -> None:
        if isinstance(message, RgpReady):
            message = message._replace(kind=gate.kind)
        right(one, gate, message, now)

    return instead(Rgp, "_hear", hear)


@breaks("RGP-6")
def waits_for_its_pair() -> Wrong:
    """A pair that does not come is waited for."""

    def set_up(right: Any, one: Rgp, node: int, **named: Any) -> None:
        right(one, node, **named, hold_ps=10**18)

    return instead(Rgp, "__init__", set_up)


@breaks("RGP-7")
def calls_every_qubit_intact() -> Wrong:
    """A refusal after the control's part is told as one before it."""
    key = (_S.NEEDS_UNCAT, _I.REFUSED)
    return rows(CONTROL_TABLE, {key: (_S.ENDED, (Do.REFUSE,))})


@breaks("RGP-7")
def hears_no_refusal() -> Wrong:
    """A gate that the peer refuses does not end."""

    def hear(right: Any, one: Rgp, gate: Any, message: Any, now: int) -> None:
        if not isinstance(message, RgpRefused):
            right(one, gate, message, now)

    return instead(Rgp, "_hear", hear)


@breaks("RGP-8")
def waits_for_the_lost() -> Wrong:
    """A lost peer changes nothing."""
    return nothing(Rgp, "peer_lost")


@breaks("RGP-8")
def speaks_to_the_lost() -> Wrong:
    """A peer that knows nothing of a gate hears that it is refused."""
    key = (_S.NEEDS_CAT, _I.PEER_LOST)
    return rows(TARGET_TABLE, {key: (_S.ENDED, (Do.TELL, Do.REFUSE))})


@breaks("RGP-8")
def keeps_the_pairs_of_the_lost() -> Wrong:
    """What a lost peer asked for stays."""
    return nothing(Rgp, "drop_pairs")


@breaks("RGP-9")
def keeps_halves() -> Wrong:
    """A half whose partner is used up stays."""
    return nothing(Rgp, "_void_pair")


@breaks("RGP-9")
def forgets_what_is_void() -> Wrong:
    """A half that comes later is kept."""

    def void_pair(right: Any, one: Rgp, peer: int, pair_id: int) -> None:
        right(one, peer, pair_id)
        one._pool.pop((peer, pair_id), None)

    return instead(Rgp, "_void_pair", void_pair)


@breaks("RGP-10")
def asks_before_the_target_is_ready() -> Wrong:
    """A control asks for its pair when it starts."""

    def start(right: Any, one: Rgp, job: int, gate: int, role: Role, *rest: Any) -> None:
        right(one, job, gate, role, *rest)
        known = one._gates.get((job, gate))  # type: ignore[call-overload]
        if role is Role.CONTROL and known is not None and known.state is _S.NEEDS_READY:
            one._move(known, _I.READY)

    return instead(Rgp, "start", start)


@breaks("RGP-10")
def does_not_say_that_it_is_ready() -> Wrong:
    """A target waits in silence."""
    return says(RgpReady, lambda message: message if message.control else None)


@breaks("RGP-11")
def forgets_the_phase() -> Wrong:
    """A qubit moves with half of its correction."""
    return says(RgpCat, lambda message: message._replace(phase=0))


@breaks("RGP-11")
def has_a_phase_too_many() -> Wrong:
    """Every Cat has one."""
    return says(RgpCat, lambda message: message._replace(phase=1))


@breaks("RGP-11")
def answers_a_move_with_what_it_read() -> Wrong:
    """The Uncat of a MOVE is not 0."""
    return says(RgpUncat, lambda message: message._replace(outcome=1))
