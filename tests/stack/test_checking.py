"""Programs that come over the wire: what the compiler writes is let through, what could break a QPU is not."""

import copy
import json
from typing import Any

import pytest

from protocols.device import MAX_OPS
from protocols.job.service import Order
from protocols.wire import DeviceOpcode
from stack.application.compiler.checking import check_steps
from stack.application.compiler.circuit import Circuit, Clause, Op
from stack.application.planner import CutPlanner

H, CX, X, MEASURE = DeviceOpcode.H, DeviceOpcode.CX, DeviceOpcode.X, DeviceOpcode.MEASURE
ROOM = 2
FINE: list[Any] = [
    ["local", [[int(DeviceOpcode.INIT), 0, 0, 0], [int(CX), 0, 1, 0]]],
    ["telegate", {"gate": 0, "kind": "CNOT", "role": "control", "peer": 2, "qubit": 0}],
    ["telegate", {"gate": 1, "kind": "COPY", "role": "target", "peer": 2, "ops": [[int(CX), -1, 1, 0]]}],
    ["move", {"gate": 2, "role": "source", "peer": 2, "qubit": 1}],
    ["tell", {"results": [[0, 3]], "peers": [2]}],
    ["hear", {"results": [[0, 3]], "peer": 2}],
    ["if", {"when": [[[0, 3], 1, False]], "steps": [["measure", [[0, 1]]]]}],
]


def check(steps: Any) -> None:
    check_steps(steps, ROOM, lambda node: node == 2)


def test_what_the_compiler_writes_is_fine():
    """With gates between QPUs, a qubit that decides something elsewhere, and measurements in the middle."""
    ops = [Op(H, (0,)), *(Op(CX, (0, n)) for n in range(1, 4)), Op(MEASURE, (0,), 0, 0)]
    ops += [Op(X, (3,), when=(Clause((0,), 1),)), *(Op(MEASURE, (n,), 0, n) for n in range(1, 4))]
    circuit = Circuit(4, 4, tuple(ops))
    planner = CutPlanner({1: {2: 1.0}, 2: {1: 1.0}}, {1: 1, 2: 1})
    parts = planner.place(Order("x", 4, 4, 1, circuit), {1: ROOM, 2: ROOM}, ())
    assert sorted(parts) == [1, 2]
    for node, part in parts.items():
        check_steps(json.loads(part.program)["steps"], ROOM, lambda peer, node=node: peer == 3 - node)
    check(FINE)


def spoilt(step: int, *path: Any, value: Any) -> Any:
    steps = copy.deepcopy(FINE)
    place = steps[step][1]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return steps


@pytest.mark.parametrize(
    "steps",
    [
        None,
        [["dance", []]],
        [["local"]],
        [["local", {}]],
        spoilt(0, 0, 1, value=2),  # a qubit that is not there
        spoilt(0, 0, 1, value=-1),  # a copy outside a telegate
        spoilt(0, 0, 1, value=True),
        spoilt(0, 1, 2, value=0),  # a gate between a qubit and itself
        spoilt(0, 0, 0, value=int(DeviceOpcode.RELEASE)),
        spoilt(0, 0, 0, value=int(MEASURE)),
        spoilt(0, 0, 3, value=1 << 31),
        spoilt(1, "peer", value=3),  # no way leads there
        spoilt(1, "kind", value="MOVE"),
        spoilt(1, "gate", value=1 << 32),
        spoilt(1, "role", value="source"),
        spoilt(2, "ops", value=[[int(X), 0, 0, 0]] * MAX_OPS),
        spoilt(4, "peers", value=2),
        spoilt(5, "peer", value=9),
        spoilt(6, "when", value=[[[0], "1", False]]),
        spoilt(6, "steps", value=[["if", {"when": []}]]),
    ],
)
def test_what_could_break_a_qpu_is_refused(steps):
    with pytest.raises((ValueError, TypeError, KeyError, IndexError)):
        check(steps)


def test_conditions_do_not_nest_without_end():
    steps: list[Any] = []
    for _ in range(20):
        steps = [["if", {"when": [], "steps": steps}]]
    with pytest.raises(ValueError, match="too deep"):
        check(steps)


@pytest.mark.parametrize("field", ["qubits", "opcode", "angle", "clbit", "same", "value"])
def test_a_circuit_that_is_none_is_refused(field):
    good = Circuit(2, 1, (Op(CX, (0, 1)), Op(MEASURE, (0,), 0, 0, (Clause((0,), 0),)))).to_json()
    assert Circuit.from_json(json.loads(json.dumps(good))).to_json() == good
    bad = json.loads(json.dumps(good))
    match field:
        case "qubits":
            bad[0] = "2"
        case "opcode":
            bad[2][0][0] = int(DeviceOpcode.RELEASE)
        case "angle":
            bad[2][0][2] = 1 << 31
        case "clbit":
            bad[2][1][3] = -1
        case "same":
            bad[2][0][1] = [1, 1]
        case _:
            bad[2][1][4][0][1] = 0.5
    with pytest.raises((ValueError, TypeError, KeyError)):
        Circuit.from_json(bad)
