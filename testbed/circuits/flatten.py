"""OpenQASM 3 made plainer before Qiskit's importer, which knows no more than a part of it, reads it.

Constants are put in, loops over constants written out, conditions joined by && || ! and switches become nested ifs that
compare one bit or register each, `output` bits are bits.  What a statement becomes stands in the line in which it
began, so that whatever is said about the text says the right line.  What is not understood here is left to the
importer, as it is.

What may live here: that rewriting, statement by statement, of the syntax tree.
"""

from collections.abc import Callable, Iterable
from copy import deepcopy
from math import e, pi
from typing import Any, Final

from openqasm3 import ast, dumps, parse
from openqasm3.visitor import QASMTransformer

MOST_STATEMENTS: Final = 20_000
_KNOWN: Final = {"pi": pi, "π": pi, "tau": 2 * pi, "τ": 2 * pi, "euler": e, "ℇ": e}

type Number = int | float


class _LeftAlone(Exception):
    """Not understood here."""


def flatten(text: str) -> str:
    """The same program in fewer words of the language; the text as it is, if nothing is to be done or it is not
    understood."""
    try:
        program = parse(text)
        flat = _Flattener()
        lines: dict[int, list[str]] = {}
        for statement in program.statements:
            start = statement.span.start_line if statement.span is not None else 1
            for made in flat.statement(statement):
                lines.setdefault(start, []).append(" ".join(dumps(made).split()))
    except Exception:  # the importer will say what is wrong, or take it
        return text
    if not flat.changed:
        return text
    version = next(n for n, line in enumerate(text.splitlines(), 1) if "OPENQASM" in line)
    lines.setdefault(version, []).insert(0, f"OPENQASM {program.version};")
    return "\n".join(" ".join(lines.get(n, [])) for n in range(1, max(lines) + 1)) + "\n"


class _Flattener:
    def __init__(self) -> None:
        self.changed = False
        self._bits: set[str] = set()  # declared as single bits
        self._registers: set[str] = set()
        self._made = 0
        self._constants: dict[str, Number] = {}

    def statement(self, statement: Any, known: dict[str, Number] | None = None) -> list[Any]:
        """What it becomes.  `known`: values of constants and loop variables; constants of the top level are added."""
        self._made += 1
        if self._made > MOST_STATEMENTS:
            raise _LeftAlone
        known = self._constants if known is None else known
        if isinstance(statement, ast.ConstantDeclaration):
            self.changed = True
            value = self._number(statement.init_expression, known)
            whole = isinstance(statement.type, ast.IntType | ast.UintType)
            if whole and not isinstance(value, int):
                raise _LeftAlone
            known[statement.identifier.name] = value if whole else float(value)
            return []
        if isinstance(statement, ast.ForInLoop):
            return self._loop(statement, known)
        if isinstance(statement, ast.BranchingStatement):
            self.changed = True
            return self._if(self._put(statement.condition, known), statement.if_block, statement.else_block, known)
        if isinstance(statement, ast.SwitchStatement):
            return self._switch(statement, known)
        if isinstance(statement, ast.IODeclaration) and statement.io_identifier.name == "output":
            self.changed = True
            statement = ast.ClassicalDeclaration(statement.type, statement.identifier)
        if isinstance(statement, ast.ClassicalDeclaration) and isinstance(statement.type, ast.BitType):
            (self._bits if statement.type.size is None else self._registers).add(statement.identifier.name)
        if statement.annotations:
            self.changed = True
        made = self._put(statement, known)
        made.annotations = []
        return [made]

    def block(self, statements: Iterable[Any], known: dict[str, Number]) -> list[Any]:
        inner = dict(known)
        return [made for statement in statements for made in self.statement(statement, inner)]

    # Loops.

    def _loop(self, loop: Any, known: dict[str, Number]) -> list[Any]:
        self.changed = True
        made = []
        for value in self._values(loop.set_declaration, known):
            made += self.block(loop.block, {**known, loop.identifier.name: value})
        return made

    def _values(self, declared: Any, known: dict[str, Number]) -> list[int]:
        if isinstance(declared, ast.DiscreteSet):
            return [self._whole(value, known) for value in declared.values]
        if not isinstance(declared, ast.RangeDefinition) or declared.start is None or declared.end is None:
            raise _LeftAlone
        step = 1 if declared.step is None else self._whole(declared.step, known)
        first, last = self._whole(declared.start, known), self._whole(declared.end, known)
        return list(range(first, last + (1 if step > 0 else -1), step))  # both ends count

    # Conditions.

    def _if(self, condition: Any, then: list[Any], otherwise: list[Any], known: dict[str, Number]) -> list[Any]:
        """`then` if the condition holds."""
        match condition:
            case ast.BinaryExpression(op=op, lhs=left, rhs=right) if op.name == "&&":
                inner = self._if(right, then, otherwise, known)
                return self._branch(left, inner, self.block(otherwise, known), known)
            case ast.BinaryExpression(op=op, lhs=left, rhs=right) if op.name == "||":
                inner = self._if(right, then, otherwise, known)
                return self._branch(left, self.block(then, known), inner, known)
            case ast.UnaryExpression(op=op, expression=inner) if op.name in ("!", "~"):
                return self._if(inner, otherwise, then, known)
        return self._branch(condition, self.block(then, known), self.block(otherwise, known), known)

    def _branch(self, condition: Any, then: list[Any], otherwise: list[Any], known: dict[str, Number]) -> list[Any]:
        """The same of branches that are made."""
        match condition:
            case ast.BinaryExpression(op=op, lhs=left, rhs=right) if op.name == "&&":
                return self._branch(left, self._branch(right, then, otherwise, known), deepcopy(otherwise), known)
            case ast.BinaryExpression(op=op, lhs=left, rhs=right) if op.name == "||":
                return self._branch(left, then, self._branch(right, deepcopy(then), otherwise, known), known)
            case ast.UnaryExpression(op=op, expression=inner) if op.name in ("!", "~"):
                return self._branch(inner, otherwise, then, known)
            case ast.BooleanLiteral(value=value):
                return then if value else otherwise
        target, value, equal = self._comparison(condition, known)
        if not equal:
            then, otherwise = otherwise, then
        test = ast.BinaryExpression(ast.BinaryOperator["=="], target, value)
        return [ast.BranchingStatement(test, then, otherwise)] if then or otherwise else []

    def _comparison(self, condition: Any, known: dict[str, Number]) -> tuple[Any, Any, bool]:
        """A bit or register, the value it is compared with, and whether it is to be equal."""
        equal = True
        value: Number | None = None
        if isinstance(condition, ast.BinaryExpression):
            if condition.op.name not in ("==", "!="):
                raise _LeftAlone
            equal = condition.op.name == "=="
            left, right = condition.lhs, condition.rhs
            if isinstance(left, ast.IntegerLiteral | ast.BooleanLiteral):
                left, right = right, left
            value = int(right.value) if isinstance(right, ast.BooleanLiteral) else self._whole(right, known)
            condition = left
        while isinstance(condition, ast.Cast):
            condition = condition.argument
        if isinstance(condition, ast.Identifier) and condition.name in self._registers:
            if value is None:  # as a truth value: not zero
                return condition, ast.IntegerLiteral(0), False
            return condition, ast.IntegerLiteral(int(value)), equal
        single = isinstance(condition, ast.IndexExpression) or (
            isinstance(condition, ast.Identifier) and condition.name in self._bits
        )
        if not single or value not in (None, 0, 1):
            raise _LeftAlone
        return condition, ast.BooleanLiteral((value != 0) is equal), True

    def _switch(self, switch: Any, known: dict[str, Number]) -> list[Any]:
        self.changed = True
        target = self._put(switch.target, known)
        made = [] if switch.default is None else self.block(switch.default.statements, known)
        for values, body in reversed(switch.cases):
            for value in values:
                test = ast.BinaryExpression(ast.BinaryOperator["=="], target, self._put(value, known))
                made = self._branch(test, self.block(body.statements, known), made, known)
        return made

    # Numbers.

    def _put(self, node: Any, known: dict[str, Number]) -> Any:
        return _Put(known, self._note).visit(deepcopy(node))

    def _note(self) -> None:
        self.changed = True

    def _whole(self, node: Any, known: dict[str, Number]) -> int:
        value = self._number(node, known)
        if not isinstance(value, int):
            raise _LeftAlone
        return value

    def _number(self, node: Any, known: dict[str, Number]) -> Number:
        match node:
            case ast.IntegerLiteral(value=value) | ast.FloatLiteral(value=value):
                return value
            case ast.Identifier(name=name) if name in known:
                return known[name]
            case ast.Identifier(name=name) if name in _KNOWN:
                return _KNOWN[name]
            case ast.UnaryExpression(op=op, expression=inner) if op.name == "-":
                return -self._number(inner, known)
            case ast.BinaryExpression(op=op, lhs=left, rhs=right) if op.name in _ARITHMETIC:
                return _ARITHMETIC[op.name](self._number(left, known), self._number(right, known))
        raise _LeftAlone


def _divided(a: Number, b: Number) -> Number:
    if isinstance(a, int) and isinstance(b, int):
        if a % b:
            raise _LeftAlone  # whole numbers divide to whole numbers, which few who write 1/2 mean
        return a // b
    return a / b


def _power(a: Number, b: Number) -> Number:
    if abs(b) > 64:
        raise _LeftAlone
    return a**b


_ARITHMETIC: Final[dict[str, Callable[[Number, Number], Number]]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": _divided,
    "**": _power,
}


class _Put(QASMTransformer[None]):
    """Puts numbers in place of names, and works out what then has none."""

    def __init__(self, known: dict[str, Number], note: Callable[[], None]) -> None:
        self._known = known
        self._note = note

    def visit_Identifier(self, node: Any) -> Any:
        if node.name not in self._known:
            return node
        self._note()
        return _literal(self._known[node.name])

    def visit_IndexedIdentifier(self, node: Any) -> Any:
        """`q[i][j]` has lists of lists, which the visitor of the package passes by."""
        node.indices = [
            [self.visit(index) for index in several] if isinstance(several, list) else self.visit(several)
            for several in node.indices
        ]
        return node

    def visit_BinaryExpression(self, node: Any) -> Any:
        node = self.generic_visit(node)
        left, right = _value(node.lhs), _value(node.rhs)
        if left is None or right is None or node.op.name not in _ARITHMETIC:
            return node
        return _literal(_ARITHMETIC[node.op.name](left, right))


def _value(node: Any) -> Number | None:
    if isinstance(node, ast.IntegerLiteral | ast.FloatLiteral):
        return node.value
    if isinstance(node, ast.UnaryExpression) and node.op.name == "-":
        inner = _value(node.expression)
        return None if inner is None else -inner
    return None


def _literal(value: Number) -> Any:
    if value < 0:
        return ast.UnaryExpression(ast.UnaryOperator["-"], _literal(-value))
    return ast.IntegerLiteral(value) if isinstance(value, int) else ast.FloatLiteral(value)
