"""Attached programs: one sequential session each, and time that stands still while they think."""

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest
from command_lab import bellwire, run_facts, three, together, write

from stack.sdk import SessionEnded, attach
from testbed.trace import read_events

TALK = """
    import time
    from stack.sdk import attach

    with attach() as node:
        for turn in range(2):
            time.sleep({think})
            answer = node.call("ping", destination={peer}, count=2)
            assert answer["answered"] == 2, answer
            before = node.t_ps
            time.sleep({think})
            after = node.call("sleep", duration_ps={sleep})
            assert after == node.t_ps and (after == before + {sleep} or {loose}), (before, after)
        {end}
"""


def talk(peer: int, think: float = 0.0, end: str = "pass", sleep: int = 10**6, loose: bool = False) -> str:
    return TALK.format(peer=peer, think=think, end=end, sleep=sleep, loose=loose)


def scenario(folder: Path, left: str, right: str | None = None, **top: Any) -> Path:
    """Two nodes 100 m apart, a program at each."""
    folder.mkdir(exist_ok=True)
    programs = {"a": left} | ({"b": right} if right is not None else {})
    for node, text in programs.items():
        (folder / f"at-{node}.py").write_text(textwrap.dedent(text))
    text = {
        "nodes": {"a": {"kind": "controller"}, "b": {"kind": "controller"}},
        "links": {"a-b": {"kind": "classical", "a": "a", "b": "b", "length_m": 100}},
        "programs": [{"node": node, "run": f"at-{node}.py"} for node in programs],
        "duration_s": 1.0,
    }
    return write(folder, {key: value for key, value in (text | top).items() if value is not None})


def events(folder: Path, name: str) -> list[dict[str, Any]]:
    return [event for event in read_events(folder / "events.jsonl") if event["event"] == name]


def both_clocks(path: Path, code: int = 0) -> list[bytes]:
    """Run under virtual and local: the same exit code and bytes."""
    outs = [path.parent / "virtual", path.parent / "local"]
    for done in together(*([path, "--out", out, "--clock", out.name] for out in outs)):
        assert done.returncode == code, done.stderr
    assert three(outs[0]) == three(outs[1])
    return three(outs[0])


def test_programs_see_one_time_in_every_placement_however_long_they_think(tmp_path):
    quick = scenario(tmp_path / "quick", talk(2), talk(1))
    slow = scenario(tmp_path / "slow", talk(2, think=0.2), talk(1))
    runs = {"virtual": [quick], "local": [slow, "--clock", "local"], "packed": [slow, "--processes", "1"]}
    for done in together(*([*how, "--out", tmp_path / way] for way, how in runs.items())):
        assert done.returncode == 0, done.stderr
    assert len(events(tmp_path / "virtual", "call")) == 8
    assert three(tmp_path / "virtual") == three(tmp_path / "local") == three(tmp_path / "packed")


def test_a_paced_run_serves_programs_too(tmp_path):
    # Wall time goes on while a program thinks, so it cannot ask for equal times.
    path = scenario(tmp_path, talk(2, loose=True), talk(1, loose=True), duration_s=30.0)
    done = bellwire(path, "--clock", "paced", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert len(events(tmp_path / "out", "detached")) == 2


# ------------------------------------------------------------------ many programs of one run, each its own way

BAD_CALLS = """
        import json, os, socket
        from stack.sdk import CallFailed, Session

        raw = socket.socket(fileno=int(os.environ["BELLWIRE_SESSION"]))
        stream = raw.makefile("rwb")

        def say(line):
            stream.write(line + b"\\n")
            stream.flush()
            return json.loads(stream.readline())

        for line in (
            b"", b"hello", b"\\xff\\xfe", b"[]", b"7", b"null", b'{}', b'{"call": 5}', b'{"call": null, "args": {}}',
            b'{"call": "sleep", "args": [1]}', b'{"call": "sleep", "args": 1}', b"[" * 100_000,
            b'{"call": "levitate"}', b'{"call": "__class__"}',
        ):
            reply = say(line)
            assert set(reply) == {"t_ps", "error"}, (line, reply)
            assert reply["t_ps"] == 0 and "\\n" not in reply["error"] and len(reply["error"]) < 300, reply

        node = Session(raw, "bad-calls")
        for name, arguments, word in (
            ("levitate", {}, "ping, rest, rise, sleep"),
            ("rest", {}, "depend on the machine"),
            ("sleep", {}, "duration_ps"),
            ("sleep", {"duration_ps": -1}, "duration_ps"),
            ("sleep", {"duration_ps": "long"}, "duration_ps"),
            ("sleep", {"duration_ps": 1.5}, "duration_ps"),
            ("sleep", {"duration_ps": True}, "duration_ps"),
            ("sleep", {"duration_ps": 10**30}, "duration_ps"),
            ("sleep", {"duration_ps": 1, "pillow": 1}, "pillow"),
            ("ping", {"destination": 99}, "node 99"),
            ("ping", {"destination": "b"}, "destination"),
            ("ping", {"destination": 2, "count": 0}, "count"),
            ("ping", {"destination": 2, "padding": 10**6}, "padding"),
            ("ping", {"destination": 2, "in_flight": 0}, "in_flight"),
            ("ping", {"destination": 2, "timeout_ps": 0}, "timeout_ps"),
            ("ping", {"destination": 2, "attempts": -1}, "attempts"),
        ):
            try:
                node.call(name, **arguments)
            except CallFailed as refused:
                assert word in str(refused), refused
            else:
                raise AssertionError((name, arguments))
        assert node.t_ps == 0
        assert node.call("ping", destination=2)["answered"] == 1
"""

MOURNER = """
    import time
    from stack.sdk import SessionEnded, attach
    node = attach()
    try:
        node.call("sleep", duration_ps=10**12)
    except SessionEnded:
        print("heard", flush=True)
        {reaction}
    else:
        raise AssertionError("the node should have died")
"""

AT_HOME = """
    import json, sys
    import helper
    from pathlib import Path
    if __name__ == "__main__":
        Path(__file__).with_name("said.json").write_text(json.dumps([helper.WORD, sys.argv]))
"""

SLEEPER = "from stack.sdk import attach\nimport os, sys\nnode = attach()\nnode.call('sleep', duration_ps=5)\n"

CROWD = {
    "bad-calls": BAD_CALLS,
    "talks": talk(1),
    "exits": SLEEPER + "sys.exit()",
    "vanishes": SLEEPER + "os._exit(0)",
    "never-calls": "print('nothing to do')",
    "server": SLEEPER + "while True:\n    node.call('sleep', duration_ps=10**9)\n",
    "dies-loudly": MOURNER.format(reaction="raise"),
    "dies-never": MOURNER.format(reaction="time.sleep(600)"),
    "at-home": AT_HOME,
}
"""A program for each node; its number is its place in the log's name, too."""


@pytest.fixture(scope="module")
def crowd(tmp_path_factory) -> Path:
    """The folder of a run, of equal bytes under both clocks: all nodes around the second, which is the one asked."""
    folder = tmp_path_factory.mktemp("crowd")
    (folder / "helper.py").write_text("WORD = 'beside'\n")
    for node, program in CROWD.items():
        (folder / f"at-{node}.py").write_text(textwrap.dedent(program))
    dying = [{"kill": f"dies-{how}", "at_s": 0.001} for how in ("loudly", "never")]
    dying += [{"restart": f"dies-{how}", "at_s": 0.002} for how in ("loudly", "never")]
    text = {
        "nodes": {node: {"kind": "controller"} for node in CROWD},
        "links": {
            f"to-{node}": {"kind": "classical", "a": "talks", "b": node, "length_m": 100}
            for node in CROWD
            if node != "talks"
        },
        "programs": [{"node": node, "run": f"at-{node}.py"} for node in CROWD],
        "faults": dying,
        "duration_s": 0.01,
    }
    both_clocks(write(folder, text))
    return folder


def log(folder: Path, clock: str, node: str) -> str:
    return (folder / clock / "logs" / f"program-{list(CROWD).index(node)}.log").read_text()


def detached(folder: Path) -> set[str]:
    return {event["node"] for event in events(folder / "local", "detached")}


def test_a_bad_call_is_answered_with_an_error_and_the_node_lives(crowd):
    """The program fails, and the run with it, if an answer is not as it should be."""
    assert [e["call"] for e in events(crowd / "local", "call") if e["node"] == "bad-calls"][-1] == "ping"
    assert "bad-calls" in detached(crowd)


def test_a_program_may_just_end(crowd):
    assert detached(crowd) >= {"exits", "vanishes", "talks"}


def test_a_program_that_never_calls_does_not_hold_the_run(crowd):
    assert "nothing to do" in log(crowd, "virtual", "never-calls")


@pytest.mark.parametrize("how", ["loudly", "never"])
def test_a_session_ends_with_its_node(crowd, how):
    """The node dies by plan while its program sleeps: the program hears of it, the run goes on to its end."""
    for clock in ("virtual", "local"):
        said = log(crowd, clock, f"dies-{how}")
        assert "heard" in said
        assert ("had to be killed" in said) == (how == "never")
    mine = [e["event"] for e in read_events(crowd / "local" / "events.jsonl") if e["node"] == f"dies-{how}"]
    assert mine[-2:] == ["killed", "started"]


def test_a_program_that_outlasts_the_run_is_cut_off_without_blame(crowd):
    """A server has no end of its own: the scenario's duration is its end."""
    assert "server" not in detached(crowd)
    assert "SessionEnded" in log(crowd, "virtual", "server")


def test_a_programs_own_folder_and_name_are_what_python_gives_it(crowd):
    assert json.loads((crowd / "said.json").read_text()) == ["beside", [str(crowd / "at-at-home.py")]]


# ------------------------------------------------------------------ how runs with programs end


@pytest.mark.parametrize(
    ("clock", "end", "word"),
    [
        ("virtual", "raise SystemExit(7)", "exit code 7"),
        ("local", "raise ValueError('no more tea')", "no more tea"),
    ],
)
def test_a_program_that_fails_ends_the_run_and_is_named(tmp_path, clock, end, word):
    out = tmp_path / "out"
    done = bellwire(scenario(tmp_path, talk(2, end=end), talk(1)), "--out", out, "--clock", clock)
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "program-0 (at-a.py)" in done.stderr
    assert word in done.stderr
    assert run_facts(out)["exit_code"] == 3
    assert events(out, "started"), "the trace so far is there"


def test_a_run_in_which_all_wait_for_ever_says_who(tmp_path):
    """The only answer is lost with the dead node, and nobody has set a timeout."""
    program = "from stack.sdk import attach\nattach().call('ping', destination=2)\n"
    both_clocks(scenario(tmp_path, program, faults=[{"kill": "b", "at_s": 1e-7}], duration_s=None), code=1)
    assert "a: program-0 (at-a.py)" in run_facts(tmp_path / "virtual")["trouble"]


def test_attach_says_so_to_a_program_that_nobody_attached(monkeypatch):
    for fd in ("", "not a number"):
        monkeypatch.setenv("BELLWIRE_SESSION", fd)
        with pytest.raises(SessionEnded, match="programs:"):
            attach()
