"""Conditions of a Qiskit circuit as clauses over results of measurements.

What may live here: the translation.  All clauses of a condition must hold; each compares some bits with a number, so
"and" of comparisons can be said, and "or" where it is the opposite of such an "and".
"""

from collections.abc import Mapping
from typing import Any

from stack.application.compiler.circuit import Clause


class TooComplex(Exception):
    """No list of clauses says it; what is in the way."""


def clauses(condition: Any, wanted: bool, numbers: Mapping[Any, int]) -> tuple[Clause, ...] | None:
    """Those that hold where `condition` is `wanted`; None if it never is.  `numbers`: of classical bits.  Raises
    TooComplex."""
    if isinstance(condition, tuple):  # (bit or register, value)
        return (equals(condition[0], int(condition[1]), numbers, not wanted),)
    return _of(condition, wanted, numbers)


def equals(target: Any, value: int, numbers: Mapping[Any, int], negated: bool = False) -> Clause:
    """`target` (bit, register or an expression of one) has this value.  Raises TooComplex."""
    return Clause(_bits(target, numbers), value, negated)


def _bits(target: Any, numbers: Mapping[Any, int]) -> tuple[int, ...]:
    """Least significant first."""
    kind = type(target).__name__
    if kind in ("Cast",):
        return _bits(target.operand, numbers)
    if kind == "Index":
        register = _bits(target.target, numbers)
        index = getattr(target.index, "value", None)
        if not isinstance(index, int) or not 0 <= index < len(register):
            raise TooComplex("an index that is no constant")
        return (register[index],)
    bit = getattr(target, "var", target)
    if bit in numbers:
        return (numbers[bit],)
    try:
        return tuple(numbers[part] for part in bit)
    except (TypeError, KeyError):
        raise TooComplex(f"{kind} is no bit and no register") from None


def _of(node: Any, wanted: bool, numbers: Mapping[Any, int]) -> tuple[Clause, ...] | None:
    kind = type(node).__name__
    if kind == "Value":
        return () if bool(node.value) is wanted else None
    if kind == "Unary" and node.op.name in ("LOGIC_NOT", "BIT_NOT") and node.type.__class__.__name__ == "Bool":
        return _of(node.operand, not wanted, numbers)
    if kind == "Cast" and len(_bits(node, numbers)) > 1:
        return (equals(node, 0, numbers, wanted),)  # as a truth value: not zero
    if kind == "Binary":
        return _binary(node, wanted, numbers)
    if kind in ("Var", "Index", "Cast"):
        return (equals(node, 1, numbers, not wanted),)
    raise TooComplex(kind)


def _binary(node: Any, wanted: bool, numbers: Mapping[Any, int]) -> tuple[Clause, ...] | None:
    name, left, right = node.op.name, node.left, node.right
    if name in ("EQUAL", "NOT_EQUAL"):
        equal = wanted is (name == "EQUAL")
        if type(left).__name__ == "Value":
            left, right = right, left
        while type(right).__name__ == "Cast":
            right = right.operand
        if type(right).__name__ != "Value":
            raise TooComplex("a comparison without a number")
        if type(left).__name__ in ("Unary", "Binary"):
            return _of(left, bool(right.value) is equal, numbers)
        return (equals(left, int(right.value), numbers, not equal),)
    boolean = node.type.__class__.__name__ == "Bool"
    if name in ("LOGIC_AND", "BIT_AND") and boolean:
        return _both(left, right, wanted, numbers, True)
    if name in ("LOGIC_OR", "BIT_OR") and boolean:
        return _both(left, right, wanted, numbers, False)
    raise TooComplex(f"the operator {name.lower().replace('_', ' ')}")


def _both(left: Any, right: Any, wanted: bool, numbers: Mapping[Any, int], both: bool) -> tuple[Clause, ...] | None:
    """Both sides are `both`, or (where that is not wanted) not both of them."""
    first, second = _of(left, both, numbers), _of(right, both, numbers)
    all_of = None if first is None or second is None else (*first, *second)
    if wanted is both:
        return all_of
    if all_of is None:
        return ()
    if not all_of:
        return None
    # Not all of them: one clause, if together they are one comparison.
    if any(clause.negated and len(clause.clbits) > 1 for clause in all_of):
        raise TooComplex("an alternative of comparisons of registers")
    values: dict[int, int] = {}
    for clause in all_of:
        for place, clbit in enumerate(clause.clbits):
            value = clause.value >> place & 1 ^ int(clause.negated)
            if values.setdefault(clbit, value) != value:
                return ()  # they exclude each other
        if clause.value >> len(clause.clbits):
            return ()  # no register is as large
    clbits = tuple(values)
    return (Clause(clbits, sum(values[clbit] << place for place, clbit in enumerate(clbits)), True),)
