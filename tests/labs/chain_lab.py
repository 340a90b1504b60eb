"""The text of scenarios with chains of repeaters.

What may live here: how such a scenario is written.  What must hold is in the tests.
"""

from typing import Any

DEVICE = {"data_qubits": 2, "communication_qubits": 4, "parallel": True}
LINK = {
    "length_m": 200,
    "model": "barrett-kok",
    "grade": "sampled",
    "slot_s": 4e-6,
    "round_gap_s": 1e-6,
    "attenuation_db_per_km": 0.0,
}


def chain(hops: int, work: dict[str, Any], **more: Any) -> dict[str, Any]:
    """QPUs n0 and nK, K hops apart; `more` is merged over the top level, `link` and `device` over theirs."""
    link = LINK | more.pop("link", {})
    device = DEVICE | more.pop("device", {})
    nodes: dict[str, Any] = {}
    for index in range(hops + 1):
        nodes[f"n{index}"] = {"kind": "qpu" if index in (0, hops) else "repeater", "device": dict(device)}
    for index in range(hops):
        nodes[f"s{index}"] = {"kind": "station"}
    links = {f"l{i}": {"a": f"n{i}", "b": f"n{i + 1}", "station": f"s{i}", **link} for i in range(hops)}
    return {"seed": 1, "nodes": nodes, "links": links, **work, **more}


def request(hops: int, pairs: int, **more: Any) -> dict[str, Any]:
    return {"from": "n0", "to": f"n{hops}", "pairs": pairs, "ahead": 2, **more}
