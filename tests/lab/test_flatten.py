"""OpenQASM 3 beyond what Qiskit's importer knows: it means what it says, and mistakes keep their lines."""

import pytest

from testbed.circuits.flatten import flatten
from testbed.circuits.ideal import ideal_histogram
from testbed.circuits.lower import lower
from testbed.circuits.parse import parse
from testbed.circuits.source import read_source
from testbed.errors import BadInput, Place

HEAD = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'
COIN = HEAD + "qubit[3] q;\nbit[2] c;\nbit r;\nh q[0];\nh q[1];\nc[0] = measure q[0];\nc[1] = measure q[1];\n"
"""Two fair coins in c; then what turns q[2], read into r, the leftmost bit."""


def outcomes(text, folder):
    path = folder / "circuit.qasm"
    path.write_text(text)
    return ideal_histogram(lower(parse(read_source(path, Place("test", "circuit")))))


def turned(condition, folder, body="x q[2];"):
    """For which values of c (as numbers) q[2] is turned."""
    found = outcomes(COIN + condition.replace("BODY", body) + "\nr = measure q[2];\n", folder)
    assert sum(found.values()) == pytest.approx(1)
    return {int(key[1:], 2) for key, p in found.items() if key[0] == "1" and p > 1e-9}


@pytest.mark.parametrize(
    ("condition", "values"),
    [
        ("if (c[0] == 1) { BODY }", {1, 3}),
        ("if (c[0] == 0) { BODY }", {0, 2}),
        ("if (c[0] != 1) { BODY }", {0, 2}),
        ("if (c[1]) { BODY }", {2, 3}),
        ("if (!c[1]) { BODY }", {0, 1}),
        ("if (c[0] == 1 && c[1] == 0) { BODY }", {1}),
        ("if (c[0] || c[1]) { BODY }", {1, 2, 3}),
        ("if (!(c[0] && c[1])) { BODY }", {0, 1, 2}),
        ("if (c[0] && c[1]) { } else { BODY }", {0, 1, 2}),
        ("if (c != 2) { BODY }", {0, 1, 3}),
        ("if (int(c) == 2) { BODY }", {2}),
        ("if (c[0] == 1) { if (c[1] == 1) { BODY } }", {3}),
        ("if (c[0] == 1) { z q[2]; } else if (c[1] == 1) { BODY }", {2}),
        ("switch (int(c)) { case 0 { z q[2]; } case 1, 2 { BODY } default { z q[2]; } }", {1, 2}),
        ("switch (int(c)) { case 3 { } default { BODY } }", {0, 1, 2}),
        ("for int i in [0:1] { if (c[i] == 1) { BODY } }", {1, 2}),
    ],
)
def test_conditions(condition, values, tmp_path):
    assert turned(condition, tmp_path) == values


def test_constants_and_loops(tmp_path):
    text = HEAD + """const int n = 3; const float turn = pi / 2;
qubit[n] q; output bit[n] c;
for uint i in [0:n - 1] { rx(2 * turn * (i - 1)) q[i]; }
for int j in [n - 1:-1:1] { cx q[j], q[j - 1]; }
for int k in {0, 2} { x q[k]; }
c = measure q;
"""
    # rx(-pi), nothing, rx(pi): 101; the CNOTs 2->1, 1->0: 110; then X on 0 and 2: 011.
    assert outcomes(text, tmp_path) == pytest.approx({"011": 1.0})


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (COIN + "for int i in [0:1] {\n  h q[i];\n}\nfoo q[0];\n", 13),
        (COIN + "if (c[0] == 1) {\n  x q[7];\n}\n", 10),
        (COIN + "if (c > 1) { x q[2]; }\n", 10),
        (COIN + "while (c[0] == 1) { x q[2]; }\n", 10),
        (COIN + "for int i in [0:3] {\n  x q[i];\n}\n", 10),
        (HEAD + "qubit q;\nfor int i in [0:10000000] { h q; }\n", 4),
    ],
)
def test_what_is_refused_says_where(text, line, tmp_path):
    with pytest.raises(BadInput, match=rf"line {line}: "):
        outcomes(text, tmp_path)


def test_what_needs_nothing_stays_as_it_is():
    for text in (COIN, "no program at all {", HEAD + "def f(qubit a) { h a; }\n"):
        assert flatten(text) == text
