"""What a person can get wrong: one clear line with file, place and remedy, exit code 2, and nothing left behind."""

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from testbed.cli import main

SCENARIOS = Path(__file__).parents[1] / "testbed" / "scenarios"
GOOD: dict[str, Any] = yaml.safe_load((SCENARIOS / "two-qpus.yaml").read_text())
QASM = (SCENARIOS / "ghz-4.qasm").read_text()

Edit = Callable[[dict[str, Any]], object]


def put(*path: str | int, value: Any) -> Edit:
    def edit(text: dict[str, Any]) -> None:
        place: Any = text
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return edit


LINK = ("links", "west-east")
EDITS: dict[str, tuple[Edit, list[str]]] = {
    "unknown node in a link": (put(*LINK, "a", value="wst"), ["wst", "west"]),
    "link to nowhere": (put(*LINK, "b", value="nowhere"), ["nowhere"]),
    "station that is no station": (put(*LINK, "station", value="east"), ["east"]),
    "link to itself": (put(*LINK, "b", value="west"), ["west"]),
    "fidelity above one": (put("devices", "ion", "gate_2q_fidelity", value=1.2), ["gate_2q_fidelity", "1.2"]),
    "visibility above one": (put(*LINK, "visibility", value=1.2), ["visibility"]),
    "negative length": (put(*LINK, "length_m", value=-2), ["length_m"]),
    "a length below a nanosecond": (put(*LINK, "length_m", value=0.1), ["length_m"]),
    "length that is no number": (put(*LINK, "length_m", value="far"), ["length_m"]),
    "length not a number": (put(*LINK, "length_m", value=float("nan")), ["length_m"]),
    "infinite time": (put("devices", "ion", "t2_s", value=float("inf")), ["t2_s"]),
    "T2 beyond 2 T1": (put("devices", "ion", "t1_s", value=0.1), ["t2_s"]),
    "negative duration": (put("devices", "ion", "gate_1q_s", value=-1e-6), ["gate_1q_s"]),
    "unknown device": (put("nodes", "west", "device", value="ionn"), ["ionn"]),
    "unknown kind": (put("nodes", "mid", "kind", value="statoin"), ["statoin", "station"]),
    "unknown key": (put(*LINK, "lenght_m", value=2), ["lenght_m"]),
    "unknown model": (put(*LINK, "model", value="triple-click"), ["triple-click"]),
    "unknown grade": (put(*LINK, "grade", value="exact"), ["exact"]),
    "seed not whole": (put("seed", value=1.5), ["seed"]),
    "no shots": (put("job", "shots", value=0), ["shots"]),
    "a qubit mapped twice": (put("job", "mapping", value={"west": [0, 1], "east": [1, 2]}), ["mapping"]),
    "a qubit not mapped": (put("job", "mapping", value={"west": [0, 1], "east": [2]}), ["mapping", "3"]),
    "more qubits than a QPU has": (put("job", "mapping", value={"west": [0, 1, 2], "east": [3]}), ["west"]),
    "mapping to a station": (put("job", "mapping", value={"west": [0, 1], "mid": [2, 3]}), ["mid"]),
    "missing circuit": (put("job", "circuit", value="gone.qasm"), ["gone.qasm"]),
    "circuit is a folder": (put("job", "circuit", value="."), ["circuit"]),
    "fault of an unknown node": (put("faults", value=[{"kill": "wes", "at_s": 1}]), ["wes"]),
    "restart of a living node": (put("faults", value=[{"restart": "west", "at_s": 1}]), ["west"]),
    "loss of 120 %": (put("channel", value={"loss": 1.2}), ["loss"]),
}

CIRCUITS: dict[str, tuple[str, list[str]]] = {
    "does not parse": (QASM.replace("cx q[0], q[1];", "cx q[0] q[1];"), ["bad.qasm", "line"]),
    "unknown gate": (QASM.replace("h q[0];", "frobnicate q[0];"), ["bad.qasm", "line"]),
    "reset": (QASM.replace("h q[0];", "h q[0];\nreset q[0];"), ["bad.qasm", "line", "reset"]),
    "feed-forward": (QASM.replace("h q[0];", "h q[0];\nif(c==1) x q[1];"), ["bad.qasm", "line"]),
    "empty": ("", ["bad.qasm"]),
}

FILES: dict[str, bytes] = {
    "empty": b"",
    "only blanks": b"   \n\n",
    "binary": bytes(range(256)) * 4,
    "not UTF-8": b"name: caf\xe9\n",
    "not YAML": b"nodes: [west, {\n",
    "a list": b"- west\n- east\n",
    "a key twice": (SCENARIOS / "two-qpus.yaml")
    .read_bytes()
    .replace(b"  mid: {kind: station}", b"  west: {kind: station}"),
    "an alias bomb": b"a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
}


def refused(capfd: pytest.CaptureFixture[str], arguments: list[str], words: list[str], out: Path) -> str:
    """Run; exactly one line on stderr with the words, nothing on stdout, exit code 2, no output folder."""
    code = main(["run", *arguments, "--out", str(out), "--clock", "local"])
    captured = capfd.readouterr()
    assert code == 2
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].count(": ") >= 2
    assert ";" in lines[0]
    for word in words:
        assert word in lines[0]
    assert not out.exists()
    return lines[0]


@pytest.mark.parametrize("case", EDITS)
def test_scenarios_that_cannot_be(case, tmp_path, capfd):
    edit, words = EDITS[case]
    text = copy.deepcopy(GOOD)
    edit(text)
    (tmp_path / "ghz-4.qasm").write_text(QASM)
    path = tmp_path / "case.yaml"
    path.write_text(yaml.safe_dump(text, sort_keys=False))
    line = refused(capfd, [str(path)], words, tmp_path / "out")
    assert "case.yaml" in line
    assert "line" in line


@pytest.mark.parametrize("case", CIRCUITS)
def test_circuits_that_cannot_be(case, tmp_path, capfd):
    qasm, words = CIRCUITS[case]
    path = tmp_path / "bad.qasm"
    path.write_text(qasm)
    refused(capfd, [str(SCENARIOS / "two-qpus.yaml"), "--circuit", str(path)], words, tmp_path / "out")


@pytest.mark.parametrize("case", FILES)
def test_files_that_are_no_scenario(case, tmp_path, capfd):
    path = tmp_path / "case.yaml"
    path.write_bytes(FILES[case])
    refused(capfd, [str(path)], ["case.yaml"], tmp_path / "out")


def test_places_that_are_no_file(tmp_path, capfd):
    refused(capfd, [str(tmp_path / "gone.yaml")], ["gone.yaml"], tmp_path / "out")
    refused(capfd, [str(tmp_path)], [str(tmp_path)], tmp_path / "out")
    if os.geteuid() != 0:
        closed = tmp_path / "closed.yaml"
        closed.write_text("x")
        closed.chmod(0)
        refused(capfd, [str(closed)], ["closed.yaml"], tmp_path / "out")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--seed", "-1"),
        ("--shots", "0"),
        ("--processes", "0"),
        ("--dilation", "0"),
        ("--mqtt", "mqtt"),
        ("--replay", "x"),
    ],
)
def test_options_that_cannot_be(option, value, tmp_path, capfd):
    refused(capfd, [str(SCENARIOS / "two-qpus.yaml"), option, value], [value], tmp_path / "out")


@pytest.mark.parametrize(
    "arguments", [["run", "--clock", "sideways", "x.yaml"], ["frolic"], [], ["run", "--shots", "many", "x"]]
)
def test_a_command_line_that_cannot_be_parsed(arguments, capfd):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert len(capfd.readouterr().err.splitlines()) == 1


def test_a_folder_with_something_in_it_is_left_alone(tmp_path, capfd):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("precious")
    code = main(["run", str(SCENARIOS / "two-qpus.yaml"), "--out", str(out), "--clock", "local", "--shots", "1"])
    assert code == 2
    assert "--force" in capfd.readouterr().err
    assert [p.name for p in out.iterdir()] == ["thesis.tex"]
