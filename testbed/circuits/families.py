"""Circuits to measure with, written as OpenQASM 2: known families of any size, and random ones.

What may live here: generators of text.  Each family is what its name says up to local phases; qft and grover are put
between gates that give them an answer to find, since the QFT of a basis state alone is flat.
"""

import random
from collections.abc import Callable
from math import acos, pi
from typing import Final


def text(family: str, qubits: int, seed: int = 1) -> str:
    """A circuit of that family, all qubits measured at its end.  Raises ValueError for sizes that it does not have."""
    make = FAMILIES[family]
    lines = make(qubits, random.Random(f"{family} {qubits} {seed}"))
    extra = MORE_QUBITS[family](qubits) if family in MORE_QUBITS else 0
    if family == "teleport":
        return "\n".join([*_HEAD, *lines]) + "\n"
    declared = [f"qreg q[{qubits + extra}];", f"creg c[{qubits}];"]
    measured = [f"measure q[{i}] -> c[{i}];" for i in range(qubits)]
    return "\n".join([*_HEAD, *declared, *lines, *measured]) + "\n"


_HEAD: Final = ["OPENQASM 2.0;", 'include "qelib1.inc";']


def _ghz(n: int, rng: random.Random) -> list[str]:
    """A star from qubit 0, then turned so that its phase shows."""
    return ["h q[0];", *(f"cx q[0],q[{i}];" for i in range(1, n)), *(f"h q[{i}];" for i in range(n))]


def _graph(n: int, rng: random.Random) -> list[str]:
    """A random graph state, its qubits measured along random axes of X, Y and Z."""
    edges = [(i, i + 1) for i in range(n - 1)]
    edges += [(a, b) for a in range(n) for b in range(a + 2, n) if rng.random() < 2 / n]
    turns = [rng.choice(["h q[{}];", "sdg q[{0}]; h q[{0}];", ""]).format(i) for i in range(n)]
    return [f"h q[{i}];" for i in range(n)] + [f"cz q[{a}],q[{b}];" for a, b in edges] + turns


def _w(n: int, rng: random.Random) -> list[str]:
    """One excitation, handed on with the right share at each step (Cruz et al., Adv. Quantum Technol. 2, 2019)."""
    lines = ["x q[0];"]
    for i in range(n - 1):
        theta = 2 * acos((n - i) ** -0.5)
        lines += [f"cry({theta:.12f}) q[{i}],q[{i + 1}];", f"cx q[{i + 1}],q[{i}];"]
    return lines


def _qft(n: int, rng: random.Random) -> list[str]:
    """The inverse QFT of the phases of a number that is no whole one: a peak with tails."""
    value = rng.random() * (1 << n)
    lines = []
    for i in range(n):
        lines += [f"h q[{i}];", f"p({2 * pi * value * (1 << i) / (1 << n):.12f}) q[{i}];"]
    # Qubit i holds the phase 2 pi value 2^i / 2^n; the textbook's circuit, without its swaps.
    for i in reversed(range(n)):
        lines += [f"cp({-pi / (1 << (j - i)):.12f}) q[{j}],q[{i}];" for j in reversed(range(i + 1, n))]
        lines.append(f"h q[{i}];")
    return lines


def _grover(n: int, rng: random.Random) -> list[str]:
    """One round for one marked number; controls meet in Toffoli gates over n - 3 qubits beside (n at least 3)."""
    if n < 3:
        raise ValueError(f"qubits: Grover here has at least 3, not {n}")
    marked = rng.getrandbits(n)
    flip = [f"x q[{i}];" for i in range(n) if not marked >> i & 1]
    all_h = [f"h q[{i}];" for i in range(n)]
    all_x = [f"x q[{i}];" for i in range(n)]
    phase = _all_ones(n)
    return all_h + flip + phase + flip + all_h + all_x + phase + all_x + all_h


def _all_ones(n: int) -> list[str]:
    """A phase of -1 on |1…1>."""
    if n == 3:
        return ["h q[2];", "ccx q[0],q[1],q[2];", "h q[2];"]
    ladder = ["ccx q[0],q[1]," + f"q[{n}];"]
    ladder += [f"ccx q[{i}],q[{n + i - 2}],q[{n + i - 1}];" for i in range(2, n - 2)]
    last = [f"h q[{n - 1}];", f"ccx q[{n - 2}],q[{2 * n - 4}],q[{n - 1}];", f"h q[{n - 1}];"]
    return ladder + last + ladder[::-1]


def _qaoa(n: int, rng: random.Random) -> list[str]:
    """Two layers for the cut of a random graph of degree about three."""
    edges = [(i, (i + 1) % n) for i in range(n)] + [(i, (i + n // 2) % n) for i in range(n // 2)]
    lines = [f"h q[{i}];" for i in range(n)]
    for _ in range(2):
        gamma, beta = rng.uniform(0.2, 1.2), rng.uniform(0.2, 1.2)
        lines += [f"rzz({gamma:.12f}) q[{a}],q[{b}];" for a, b in edges if a != b]
        lines += [f"rx({2 * beta:.12f}) q[{i}];" for i in range(n)]
    return lines


def _clifford_t(n: int, rng: random.Random) -> list[str]:
    """Six gates a qubit."""
    lines = [f"h q[{i}];" for i in range(n)]
    for _ in range(6 * n):
        a, b = rng.sample(range(n), 2)
        lines.append(rng.choice([f"h q[{a}];", f"s q[{a}];", f"t q[{a}];", f"tdg q[{a}];", f"cx q[{a}],q[{b}];"]))
    return lines + [f"h q[{i}];" for i in range(n)]


def _random(n: int, rng: random.Random) -> list[str]:
    """Ten gates a qubit, of any kind."""
    lines = []
    for _ in range(10 * n):
        a, b = rng.sample(range(n), 2)
        angle = rng.uniform(-pi, pi)
        kinds = [f"h q[{a}];", f"t q[{a}];", f"rx({angle:.9f}) q[{a}];", f"cx q[{a}],q[{b}];", f"cz q[{a}],q[{b}];"]
        lines.append(rng.choice([*kinds, f"cp({angle:.9f}) q[{a}],q[{b}];", f"cx q[{b}],q[{a}];"]))
    return lines


def _teleport(n: int, rng: random.Random) -> list[str]:
    """A random state goes n hops from qubit to qubit, each time by measuring and correcting; then it is turned."""
    theta, phi = rng.uniform(0.3, 2.8), rng.uniform(0.3, 2.8)
    lines = [f"qreg q[{2 * n + 1}];", *(f"creg m{i}[1]; creg x{i}[1];" for i in range(n)), "creg c[1];"]
    lines.append(f"ry({theta:.12f}) q[0]; rz({phi:.12f}) q[0];")
    for i in range(n):
        a, b, c = 2 * i, 2 * i + 1, 2 * i + 2
        lines += [f"h q[{b}];", f"cx q[{b}],q[{c}];", f"cx q[{a}],q[{b}];", f"h q[{a}];"]
        lines += [f"measure q[{a}] -> m{i}[0];", f"measure q[{b}] -> x{i}[0];"]
        lines += [f"if(x{i}==1) x q[{c}];", f"if(m{i}==1) z q[{c}];"]
    return [*lines, f"rz({-phi / 2:.12f}) q[{2 * n}];", f"rx(0.7) q[{2 * n}];", f"measure q[{2 * n}] -> c[0];"]


FAMILIES: Final[dict[str, Callable[[int, random.Random], list[str]]]] = {
    "ghz": _ghz,
    "graph": _graph,
    "w": _w,
    "qft": _qft,
    "grover": _grover,
    "qaoa": _qaoa,
    "clifford-t": _clifford_t,
    "random": _random,
    "teleport": _teleport,
}

MORE_QUBITS: Final[dict[str, Callable[[int], int]]] = {"grover": lambda n: max(0, n - 3), "teleport": lambda n: n + 1}
"""Qubits besides those that are measured, or hops."""
