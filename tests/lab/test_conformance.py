"""The conformance kit: its catalogue, its scripts in emulated time, and its command on real sockets."""

import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from testbed.conformance.catalogue import CatalogueError, gaps, load
from testbed.conformance.command import Wanted, conformance
from testbed.conformance.kit import hunt, judge, simulate
from testbed.conformance.mutants import load as load_mutants
from testbed.conformance.report import lines
from testbed.conformance.results import FAIL, PASS, Result
from testbed.conformance.scene import ECHO
from testbed.conformance.scripts import ScriptError, decides
from testbed.conformance.scripts import load as load_scripts
from testbed.conformance.traces import load as load_rules
from testbed.conformance.traces import looked
from testbed.conformance.traces.tape import Tape
from testbed.conformance.traces.trace import Trace
from testbed.errors import BadInput

CATALOGUE = load()
SCRIPTS = load_scripts()
MUTANTS = load_mutants()
RULES = load_rules()
ROOT = Path(__file__).parents[2]

# Nothing of this file is collected while a MUST that can be decided is decided by nothing.
if undecided := gaps(CATALOGUE.values(), [*SCRIPTS.values(), *RULES.values()]):
    raise CatalogueError(f"no script decides {', '.join(undecided)}")


@pytest.mark.parametrize("name", SCRIPTS)
def test_our_node_passes(name):
    """By the script, and by every rule for traces: what these call wrong is wrong, whatever peers do."""
    script, tape = SCRIPTS[name], Tape()
    result = simulate(script, tape)
    assert result.verdict == PASS, "\n".join((result.why, *result.evidence))
    trace = Trace(tape.captured(), script.scene.key, tape.end_ps)
    for rule in RULES.values():
        _, broken = looked(rule, trace, [script.scene.node])
        assert broken == [], rule.name


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_node_is_caught(name):
    trial = hunt(MUTANTS[name], SCRIPTS.values())
    assert trial.caught_by is not None, MUTANTS[name].text
    assert "is gone" not in trial.why, "a node that breaks down proves nothing"


def test_every_decided_requirement_has_a_wrong_node():
    decided = {name for script in SCRIPTS.values() for name in script.decides}
    assert decided == {mutant.breaks for mutant in MUTANTS.values()}


def test_the_table_of_wrong_nodes(tmp_path):
    said: list[str] = []
    assert conformance(Wanted(mutants=True, only="ECHO-1", json=tmp_path / "m.json"), said.append) == 0
    count = sum(mutant.breaks == "ECHO-1" for mutant in MUTANTS.values())
    assert said[-1] == f"{count} mutants of 1 requirements, {count} caught, 0 not"
    rows = json.loads((tmp_path / "m.json").read_text())["mutants"]
    assert {row["caught_by"] for row in rows} == {"echo.a_ping_is_answered"}


def test_every_script_decides_what_there_is():
    for script in SCRIPTS.values():
        assert set(script.decides) <= set(CATALOGUE), script.name


def test_what_the_code_and_the_tests_cite_exists():
    families = {r.family for r in CATALOGUE.values()}
    cited = re.compile(rf"\b({'|'.join(sorted(families))})-(\d+)\b")
    for folder in ("protocols", "stack", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            for match in cited.finditer(path.read_text()):
                assert match.group() in CATALOGUE, f"{path.relative_to(ROOT)} cites {match.group()}"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('id = "X-1"\nlevel = "MUST"\nrole = "r"\nsource = "s"', "has no 'text'"),
        ('id = "X-1"\nlevel = "MAY"\nrole = "r"\nsource = "s"\ntext = "t"', "neither MUST nor SHOULD"),
        ('id = "X-1"\nlevel = "MUST"\nrole = "r"\nsource = "s"\ntext = "t"\ndecided = "none"', "decided by none"),
    ],
)
def test_a_wrong_catalogue_is_refused(tmp_path, text, what):
    (tmp_path / "x.toml").write_text(f"[[requirement]]\n{text}\n")
    with pytest.raises(CatalogueError, match=what):
        load(tmp_path)


def test_an_id_stands_once(tmp_path):
    row = '[[requirement]]\nid = "X-1"\nlevel = "MUST"\nrole = "r"\nsource = "s"\ntext = "t"\n'
    (tmp_path / "x.toml").write_text(row * 2)
    with pytest.raises(CatalogueError, match="twice"):
        load(tmp_path)


def test_the_report_says_whether_every_must_is_decided():
    results = [Result(script.name, script.decides, PASS, "", ()) for script in SCRIPTS.values()]
    assert "every MUST decided and passed" in lines(judge(CATALOGUE.values(), results), results)
    others = [result for result in results if "JOB-9" not in result.decides]
    assert "1 MUST not decided: JOB-9" in lines(judge(CATALOGUE.values(), others), others)
    failed = [r._replace(verdict=FAIL) if "JOB-9" in r.decides else r for r in results]
    assert "2 MUST not met: JOB-9, JOB-10" in lines(judge(CATALOGUE.values(), failed), failed)


def test_what_nothing_decides_is_found():
    left_out = [script for script in SCRIPTS.values() if "MHP-6" not in script.decides]
    assert "MHP-6" in gaps(CATALOGUE.values(), left_out)


def test_a_script_that_decides_nothing_is_refused():
    with pytest.raises(ScriptError, match="decides nothing"):
        decides(scene=ECHO)(test_what_nothing_decides_is_found)
    with pytest.raises(ScriptError, match="does not say what it does"):
        decides("ECHO-1", scene=ECHO)(test_what_nothing_decides_is_found)


def test_a_failed_script_fails_its_requirement_whatever_else_passed():
    two = [s for s in SCRIPTS.values() if "ECHO-5" in s.decides]
    results = [simulate(script) for script in two]
    results[1] = results[1]._replace(verdict=FAIL, why="because")
    (verdict,) = judge([CATALOGUE["ECHO-5"]], results)
    assert (verdict.verdict, verdict.why) == (FAIL, "because")


def test_on_sockets_our_node_is_one_implementation_among_others(tmp_path):
    said: list[str] = []
    wanted = Wanted(own=True, only="MHP-6", json=tmp_path / "v.json", junit=tmp_path / "v.xml")
    assert conformance(wanted, said.append) == 0, said
    assert said[-1] == "every MUST decided and passed"
    document = json.loads(wanted.json.read_text())
    assert [(r["id"], r["verdict"]) for r in document["requirements"]] == [("MHP-6", "pass")]
    assert all(script["evidence"] for script in document["scripts"])
    suite = ElementTree.parse(wanted.junit).getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("1", "0")


# An ECHO responder in nobody's language, of which one line is wrong.
WRONG = """
import hashlib, hmac, json, socket, struct, sys
told = json.loads(sys.stdin.readline())["configure"]
if told["role"] != "echo":
    sys.exit(127)
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("127.0.0.1", 0))
print(json.dumps({"ready": {"address": sock.getsockname()}}), flush=True)
key, back = bytes.fromhex(told["peers"]["2"]["key"]), tuple(told["peers"]["2"]["address"])
for sequence in range(1, 99):
    frame = sock.recv(2000)
    token, hops = struct.unpack_from("!IH", frame, 32)
    body = struct.pack("!IH", token, (hops + HOPS) % 65536) + frame[38:]
    head = struct.pack("!BBBBHHHHI", 1, 0, 2, 0, 32 + len(body), 1, 2, 1, sequence)
    tag = hmac.digest(key, head + bytes(16) + body, "sha256")[:16]
    sock.sendto(head + tag + body, back)
"""


def outputs(tmp_path):
    """Options that have the verdicts written down as JSON and as JUnit."""
    return {"json": tmp_path / "verdicts.json", "junit": tmp_path / "verdicts.xml"}


def written(tmp_path):
    """Verdicts by requirement, as JSON says them; JUnit says the same, in elements that its readers know."""
    document = json.loads((tmp_path / "verdicts.json").read_text())
    assert document["schema"] == "bellwire.conformance/1"
    verdicts = {row["id"]: row["verdict"] for row in document["requirements"]}
    suite = ElementTree.parse(tmp_path / "verdicts.xml").getroot()
    cases = {case.get("name"): case for case in suite.iter("testcase")}
    assert set(cases) == set(verdicts)
    for name, case in cases.items():
        wanted = {"pass": [], "fail": ["failure"]}.get(verdicts[name], ["skipped"])
        assert [child.tag for child in case] == wanted
        assert case.get("classname") == CATALOGUE[name].family
        assert all(child.get("message") for child in case)
    tally = [sum(v == "fail" for v in verdicts.values()), sum(v not in ("pass", "fail") for v in verdicts.values())]
    assert [int(suite.get("failures")), int(suite.get("skipped"))] == tally
    assert int(suite.get("tests")) == len(verdicts)
    return verdicts


@pytest.mark.parametrize(("hops", "code", "verdict"), [(1, 0, "pass"), (2, 1, "fail")])
def test_a_program_in_another_language_is_judged(tmp_path, hops, code, verdict):
    program = tmp_path / "echo.py"
    program.write_text(WRONG.replace("HOPS", str(hops)))
    said: list[str] = []
    wanted = Wanted(command=f"{sys.executable} {program}", only="echo.a_ping_is_answered", **outputs(tmp_path))
    assert conformance(wanted, said.append) == code, said
    assert any("hops = 1" in line for line in said) == bool(code)
    assert written(tmp_path) == {"ECHO-1": verdict}


def test_what_it_cannot_play_is_not_held_against_it(tmp_path):
    program = tmp_path / "echo.py"
    program.write_text(WRONG.replace("HOPS", "1"))
    said: list[str] = []
    wanted = Wanted(command=f"{sys.executable} {program}", only="MHP-9", **outputs(tmp_path))
    assert conformance(wanted, said.append) == 0
    assert said[0].startswith("not supported")
    assert written(tmp_path) == {"MHP-9": "not supported"}


def test_from_outside_only_what_can_be_seen_is_decided(tmp_path):
    program = tmp_path / "echo.py"
    program.write_text(WRONG.replace("HOPS", "1"))
    key = "5a" * 32
    with subprocess.Popen([sys.executable, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as iut:
        peers = {"2": {"key": key, "address": ["127.0.0.1", 57722]}}
        iut.stdin.write(json.dumps({"configure": {"role": "echo", "peers": peers}}) + "\n")
        iut.stdin.flush()
        host, port = json.loads(iut.stdout.readline())["ready"]["address"]
        said: list[str] = []
        address = f"udp:{host}:{port}"
        wanted = Wanted(address=address, key=key, peers=("2=57722",), only="echo", **outputs(tmp_path))
        assert conformance(wanted, said.append) == 0
        iut.kill()
    verdicts = {r.id: "inconclusive" for r in CATALOGUE.values() if r.family == "ECHO"} | {"ECHO-1": "pass"}
    assert written(tmp_path) == verdicts
    (row,) = [line for line in said if line.startswith("ECHO")]
    assert row.split() == ["ECHO", "MUST", "1", str(len(verdicts) - 1)]


@pytest.mark.parametrize(
    ("wanted", "what"),
    [
        (Wanted(address="127.0.0.1:9"), "is no address"),
        (Wanted(address="udp:127.0.0.1:99999"), "is no address"),
        (Wanted(address="udp:127.0.0.1:9", key="00"), "is no key"),
        (Wanted(address="udp:127.0.0.1:9", peers=("2",)), "is no peer"),
        (Wanted(command="there-is-no-such-program"), "there is no command"),
        (Wanted(command="'"), "no closing quotation"),
        (Wanted(own=True, key="5a" * 32), "it is for --iut"),
        (Wanted(command="true", virtual=True), "it is for --self"),
        (Wanted(own=True, only="nothing"), "nothing is called nothing"),
    ],
)
def test_bad_arguments_are_named(wanted, what):
    with pytest.raises(BadInput, match=what):
        conformance(wanted, lambda line: None)
