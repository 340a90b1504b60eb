"""Routing in whole runs: circuits find their ways by LSR, and leave what is lost."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from engine_lab import local, virtual
from slice_lab import SCENARIOS, Slice, leaks, run_slice, write_and_load

from testbed.errors import BadInput
from testbed.plan.compose import compose

REPEATER = {"kind": "repeater", "device": {"data_qubits": 0, "communication_qubits": 6, "parallel": True}}
QPU = {"kind": "qpu", "device": {"data_qubits": 1, "communication_qubits": 4, "parallel": True}}


def network(links: str, ends: str, **top: Any) -> dict[str, Any]:
    """Links "ab bc" of 10 km each, a station midway; `ends` are QPUs, all other nodes repeaters."""
    names = sorted(set(links) - {" "})
    text: dict[str, Any] = {"nodes": {name: deepcopy(QPU if name in ends else REPEATER) for name in names}, "links": {}}
    for a, b in links.split():
        text["nodes"][f"{a}{b}"] = {"kind": "station"}
        text["links"][f"{a}-{b}"] = {
            "a": a,
            "b": b,
            "station": f"{a}{b}",
            "length_m": 10_000,
            "model": "barrett-kok",
            "grade": "sampled",
            "slot_s": 50e-6,
            "attenuation_db_per_km": 0.0,
        }
    return text | {"routing": {}} | top


def ask(source: str, destination: str, pairs: int = 10, **more: Any) -> dict[str, Any]:
    return {"from": source, "to": destination, "pairs": pairs, **more}


def ways(ran: Slice) -> list[set[str]]:
    """The repeaters over which circuits led, in the order in which they were opened at their heads."""
    opened: dict[tuple[int, int], set[str]] = {}
    for event in ran.events("circuit"):
        opened.setdefault((event["head"], event["number"]), set()).add(event["node"])
    return list(opened.values())


def served(ran: Slice) -> list[int]:
    """Pairs that the requests of node a had when they ended, as they wished."""
    ended = [e for e in ran.events("request ended") if e["node"] == "a"]
    return [e["delivered"] for e in ended if e["cause"] == "FINISHED"]


DIAMOND = "ab bd ac cd"


def quiet(ran: Slice) -> None:
    """Every memory is free."""
    assert [leak for name in ("a", "b", "d") for leak in leaks(ran.node(name))] == []


def test_a_request_at_once_waits_until_the_network_is_known(tmp_path: Path) -> None:
    ran = run_slice(network("ab bc cd", "ad", requests=[ask("a", "d")]), tmp_path, record=True)

    assert ran.finished
    assert served(ran) == [10]
    assert {e["node"] for e in ran.events("neighbour up")} == {"a", "b", "c", "d"}


def test_the_same_bytes_under_both_clocks(tmp_path: Path) -> None:
    text = network(DIAMOND, "ad", requests=[ask("a", "d"), ask("d", "a", at_s=0.05)], channel={"loss": 0.05})
    text["faults"] = [
        {"at_s": 0.02, "cut": "a-b", "for_s": 0.1},
        {"at_s": 0.05, "partition": ["c", "ac"], "for_s": 0.02},
        {"at_s": 0.06, "freeze": "d", "for_s": 0.001},
    ]
    plan = compose(write_and_load(text, tmp_path)[0], "local", [])

    assert local(plan, tmp_path / "local").bytes == virtual(plan, tmp_path / "virtual").bytes


def test_a_repeater_that_dies_is_gone_around(tmp_path: Path) -> None:
    """b has the lower number, so it is first; when it dies the circuit is set up again over c."""
    text = network(DIAMOND, "ad", requests=[ask("a", "d", 400)], faults=[{"at_s": 0.1, "kill": "b"}])

    ran = run_slice(text, tmp_path, record=True)

    assert [w & {"b", "c"} for w in ways(ran)] == [{"b"}, {"c"}]
    assert served(ran) == [400]
    assert {e["node"] for e in ran.events("neighbour down")} >= {"a", "d"}


def test_a_cut_fibre_is_gone_around_as_soon_as_routing_knows(tmp_path: Path) -> None:
    """REL-15: long before a message over the cut has been tried for the last time, which takes more than a second."""
    faults = [{"at_s": 0.1, "cut": "b-d", "for_s": 100}]
    ran = run_slice(network(DIAMOND, "ad", requests=[ask("a", "d", 400)], faults=faults), tmp_path, record=True)

    assert [w & {"b", "c"} for w in ways(ran)] == [{"b"}, {"c"}]
    assert served(ran) == [400]
    (cut,) = ran.events("cut")
    assert (cut["t_ps"], cut["node"], cut["at"]) == (10**11, "b", "b-d")
    heard = {e["node"]: e["t_ps"] for e in ran.events("neighbour down")}
    opened = [e["t_ps"] for e in ran.events("circuit") if e["node"] == "c"]
    assert heard.keys() == {"b", "d"}
    assert opened[0] < min(heard.values()) + 5 * 10**9
    quiet(ran)


def test_parts_that_are_joined_again_go_on(tmp_path: Path) -> None:
    """No frame passes while the network is parted; what waited is served when it has healed."""
    faults = [{"at_s": 0.1, "partition": ["a", "ab"], "for_s": 0.2}]
    ran = run_slice(network("ab bd", "ad", requests=[ask("a", "d", 300)], faults=faults), tmp_path, record=True)

    assert served(ran) == [300]
    assert [e["t_ps"] for e in ran.events("parted") + ran.events("healed")] == [10**11, 3 * 10**11]
    pairs = [e["t_ps"] for e in ran.events("pair") if e["node"] == "a"]
    assert min(pairs) < 10**11
    assert not [t for t in pairs if 1.01 * 10**11 < t < 3 * 10**11]
    quiet(ran)


def test_who_has_no_way_hears_so_when_patience_ends(tmp_path: Path) -> None:
    text = network("ab bd", "ad", requests=[ask("a", "d", at_s=0.2)], faults=[{"at_s": 0.1, "kill": "b"}])

    ran = run_slice(text, tmp_path, record=True)

    (end,) = [e for e in ran.events("request ended") if e["node"] == "a"]
    assert (end["cause"], end["delivered"]) == ("PEER_LOST", 0)
    assert ran.finished


def test_a_repeater_that_comes_back_is_used_again(tmp_path: Path) -> None:
    faults = [{"at_s": 0.1, "kill": "b"}, {"at_s": 0.3, "restart": "b"}]
    text = network("ab bd", "ad", requests=[ask("a", "d", 300)], faults=faults)

    ran = run_slice(text, tmp_path, record=True)

    assert served(ran) == [300]


@pytest.mark.parametrize("routing", [{}, None], ids=["found", "table"])
def test_a_repeater_that_was_lost_before_the_request_is_used_when_it_is_back(
    routing: dict[str, Any] | None, tmp_path: Path
) -> None:
    """QNP-17: its only way has failed as often as it is tried in haste, and no neighbour has ever said that it was
    down.  With routing that it lives again is news; without it is found out after a pause."""
    faults = [{"at_s": 0.03, "kill": "c"}, {"at_s": 0.2, "restart": "c"}]
    text = network("ab bc cd", "ad", requests=[ask("a", "d", 6, at_s=0.05, max_time_s=10)], faults=faults)
    if routing is None:
        del text["routing"]

    ran = run_slice(text, tmp_path, record=True)

    assert served(ran) == [6]
    opened = [e["t_ps"] for e in ran.events("request opened") if e["node"] == "a"]
    assert opened[0] < 2 * 10**11 + (11 * 10**9 if routing == {} else 2 * 10**11)
    quiet(ran)


def test_what_has_been_promised_moves_new_circuits_away(tmp_path: Path) -> None:
    """By rate: the first circuit takes most of what the links over b can do."""
    requests = [ask("a", "d", 300, pairs_per_s=1_000), ask("a", "d", 50, pairs_per_s=100, at_s=0.05)]
    text = network(DIAMOND, "ad", requests=requests, routing={"policy": "rate"})

    ran = run_slice(text, tmp_path, record=True)

    assert [w & {"b", "c"} for w in ways(ran)] == [{"b"}, {"c"}]


def test_a_policy_of_ones_own_decides(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "from stack.network.paths import k_shortest\n\n\n"
        "def paths(graph, source, destination, most):\n"
        "    return k_shortest(graph, source, destination, most, lambda hop: 9 if hop.node == 2 else 1)\n"
    )
    text = network(DIAMOND, "ad", requests=[ask("a", "d")], routing={"policy": "own.py"})

    ran = run_slice(text, tmp_path, record=True)

    assert [w & {"b", "c"} for w in ways(ran)] == [{"c"}]


@pytest.mark.parametrize(
    ("policy", "content", "problem"),
    [
        ("fastest", None, "unknown path policy 'fastest'"),
        ("own.py", None, "does not exist"),
        ("own.py", "x = (", "is no Python"),
        ("own.py", "x = 1", "defines no function paths"),
    ],
)
def test_bad_policies_are_refused_with_their_place(
    tmp_path: Path, policy: str, content: str | None, problem: str
) -> None:
    if content is not None:
        (tmp_path / "own.py").write_text(content)

    with pytest.raises(BadInput, match=r"routing\.policy") as refused:
        write_and_load(network("ab", "ab", routing={"policy": policy}), tmp_path)
    assert problem in str(refused.value)


def test_the_metro_map_serves_twenty_circuits_at_once(tmp_path: Path) -> None:
    """As it is shipped, but for the number of pairs; every promise of fidelity is kept."""
    text = yaml.safe_load((SCENARIOS / "metro.yaml").read_text())
    for request in text["requests"]:
        request["pairs"] = 2

    ran = run_slice(text, tmp_path, record=True)

    ended = [e for e in ran.events("request ended") if e["node"] == ran.scenario.nodes[e["head"] - 1].name]
    assert [(e["cause"], e["delivered"]) for e in ended] == [("FINISHED", 2)] * 20
    assert max(len(way) for way in ways(ran)) >= 3


def test_without_the_section_nothing_of_it_is_on_the_wire(tmp_path: Path) -> None:
    text = network("ab bc", "ac", requests=[ask("a", "c")])
    del text["routing"]

    ran = run_slice(text, tmp_path, record=True)

    assert ran.finished
    assert not [e for e in ran.all_events() if e["layer"] == "routing"]


def test_what_is_heard_before_a_far_neighbour_is_up_reaches_it_all_the_same(tmp_path: Path) -> None:
    """LSR-15: ends near their repeaters are known to them long before the repeaters know each other."""
    text = network("ab bc cd", "ad", requests=[ask("a", "d", 2)])
    for link in ("a-b", "c-d"):
        text["links"][link] |= {"length_m": 20, "slot_s": 10e-6}
    ran = run_slice(text, tmp_path)
    assert ran.finished
    assert len(ran.result("a", "pairs-0")["pairs"]) == 2


def test_what_test_rounds_teach_about_a_link_leads_new_circuits_around_it(tmp_path: Path) -> None:
    """The device data of link b-d promise .95, and it is .80: whoever asks later goes over c, whose links are .92."""
    text = network(DIAMOND, "ad", requests=[ask("a", "d", 150, ahead=4), ask("a", "d", 5, at_s=1.0)])
    for name, link in text["links"].items():
        link["visibility"] = 0.6 if name == "b-d" else 0.84
    text["links"]["a-b"]["visibility"] = 0.9
    text["links"]["b-d"] |= {"device_data_off": 0.15, "test_rounds": 0.6}
    ran = run_slice(text, tmp_path, record=True)
    assert ran.finished
    taught = [e["fidelity"] / 0xFFFFFFFF for e in ran.events("link fidelity")]
    assert taught
    assert abs(taught[-1] - 0.8) < 0.1
    assert ways(ran) == [{"b", "d"}, {"c", "d"}]
    quiet(ran)
