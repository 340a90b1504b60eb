"""The gates that devices know, one record each.

What may live here: the table that joins the device's opcodes to Qiskit's gate classes. What a gate does to a
state is the quantum plane's business.
"""

from typing import Final, NamedTuple

from protocols.device import DeviceOpcode


class GateRecord(NamedTuple):
    """A device gate: its opcode, Qiskit's class and the method that appends it, and its form."""

    opcode: DeviceOpcode
    qiskit_class: str
    method: str
    qubits: int
    has_angle: bool


GATES: Final = tuple(
    GateRecord(*row)
    for row in (
        (DeviceOpcode.X, "XGate", "x", 1, False),
        (DeviceOpcode.Y, "YGate", "y", 1, False),
        (DeviceOpcode.Z, "ZGate", "z", 1, False),
        (DeviceOpcode.H, "HGate", "h", 1, False),
        (DeviceOpcode.S, "SGate", "s", 1, False),
        (DeviceOpcode.SDG, "SdgGate", "sdg", 1, False),
        (DeviceOpcode.T, "TGate", "t", 1, False),
        (DeviceOpcode.TDG, "TdgGate", "tdg", 1, False),
        (DeviceOpcode.SX, "SXGate", "sx", 1, False),
        (DeviceOpcode.RX, "RXGate", "rx", 1, True),
        (DeviceOpcode.RY, "RYGate", "ry", 1, True),
        (DeviceOpcode.RZ, "RZGate", "rz", 1, True),
        (DeviceOpcode.CX, "CXGate", "cx", 2, False),
        (DeviceOpcode.CZ, "CZGate", "cz", 2, False),
        (DeviceOpcode.SWAP, "SwapGate", "swap", 2, False),
        (DeviceOpcode.CP, "CPhaseGate", "cp", 2, True),
    )
)

BY_CLASS: Final = {gate.qiskit_class: gate for gate in GATES}
METHOD: Final = {gate.opcode: gate for gate in GATES}
