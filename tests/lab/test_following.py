"""Following one pair: through layers, over nodes, through swaps; `bellwire trace` and the dissector name it alike."""

import ast
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from command_lab import WITHIN_S, endless_toy, running
from engine_lab import Ran, local
from slice_lab import SCENARIOS
from wireshark_lab import Packet, Reader

from protocols import wire
from protocols.wire import HEADER_BYTES, RelData, WireError, decode, parse
from testbed import dissector
from testbed.circuits import compile_jobs
from testbed.cli import main
from testbed.plan.compose import compose
from testbed.scenario import load_scenario, with_options
from testbed.trace import read_trace
from testbed.trace.pairs import Pairs, Topics
from testbed.trace.spans import time_text
from testbed.trace.story import Arrow, Choice, Story, read_story
from testbed.trace.words import EVENTS


@pytest.fixture
def reader(require_tool: Callable[[str], str], tmp_path: Path) -> Reader:
    return Reader(require_tool("tshark"), tmp_path)


def ran(folder: Path, name: str, shots: int | None = None, **top: object) -> Ran:
    text = yaml.safe_load((SCENARIOS / f"{name}.yaml").read_text()) | top
    path = folder.parent / f"{name}.yaml"
    path.write_text(yaml.safe_dump(text, sort_keys=False))
    (folder.parent / "ghz-4.qasm").write_text((SCENARIOS / "ghz-4.qasm").read_text())
    scenario = with_options(load_scenario(path), shots=shots)
    run = local(compose(scenario, "local", compile_jobs(scenario)), folder)
    shutil.rmtree(folder / ".spool")
    return run


def topics_of(frames: list[bytes]) -> list[Topics]:
    """What each of these frames is about, by `testbed.trace.pairs`, when all have been read."""
    pairs = Pairs()
    found = []
    for frame in frames:
        try:
            header = parse(frame)
            message = decode(header, frame[HEADER_BYTES:])
            kind = (header.protocol, header.message)
            if isinstance(message, RelData) and not message.more:
                kind = (message.protocol, message.message)
                message = decode(message, message.payload)
            found.append(pairs.frame(header, message, kind))
        except WireError:
            found.append(Topics())
    return found


def names(topics: Topics, kind: str) -> str:
    return ",".join(thing.label for thing in topics if thing.kind == kind)


def agree(rows: list[dict[str, str]], topics: list[Topics]) -> None:
    said = [(row["bellwire.ebit"], row["bellwire.pair"]) for row in rows]
    assert said == [(names(one, "ebit"), names(one, "pair")) for one in topics]


COLUMNS = ["bellwire.ebit", "bellwire.pair", "_ws.expert.message"]
LOSSY = {"loss": 0.05, "duplicate": 0.05, "corrupt": 0.05}


@pytest.mark.parametrize(
    ("name", "top"),
    [
        ("repeater-chain", {"requests": [{"from": "west", "to": "east", "pairs": 4, "ahead": 4}]}),
        ("two-qpus-teleport", {"teleport": {"from": "west", "to": "east", "states": ["plus"], "rounds": 3}}),
    ],
)
def test_the_dissector_and_the_terminal_name_pairs_alike(name, top, reader, tmp_path):
    run = ran(tmp_path / "run", name, **top)
    frames = [traced.frame for traced in read_trace(run.folder / "trace.pcapng")]
    topics = topics_of(frames)
    agree(reader.read_capture(run.folder / "trace.pcapng", COLUMNS, twice=True), topics)
    assert any(names(one, "pair") for one in topics)
    found = [i + 1 for i, one in enumerate(topics) if "1/1" in one.names]
    only = reader.read_capture(run.folder / "trace.pcapng", ["frame.number"], only='bellwire.pair == "1/1"', twice=True)
    assert [int(row["frame.number"]) for row in only] == found


# ------------------------------------------------------------ frames by hand


def frame(source: int, destination: int, message, incarnation: int = 1, sequence: int = 0) -> bytes:
    body = message.pack()
    about = (1, message.PROTOCOL, message.MESSAGE, 0, HEADER_BYTES + len(body))
    return struct.pack("!BBBBHHHHI", *about, source, destination, incarnation, sequence) + bytes(16) + body


def gen(queue_id: int, slot: int) -> wire.MhpGen:
    return wire.MhpGen(wire.MhpKind.PRODUCE, 1, queue_id, slot, 1, 10, 0, 1)


def reply(sequence: int, queue_id: int, slot: int, outcome=wire.MhpOutcome.PSI_PLUS) -> wire.MhpReply:
    number = int(outcome in (wire.MhpOutcome.PSI_PLUS, wire.MhpOutcome.PSI_MINUS))
    return wire.MhpReply(outcome, wire.MhpError.NONE, 1, sequence, queue_id, queue_id, slot, number, 0)


def install(label: int, position: int) -> wire.QnpInstall:
    hops = (wire.CircuitHop(1, 2, 0, 0, 0), wire.CircuitHop(2, 3, 255, 0, 0))
    return wire.QnpInstall(label, 1, 1, 0, 0, 0, 0, wire.Purification.NONE, 0, 0, position, hops)


def track(label: int, pair_id: int, link: int, sequence: int) -> wire.QnpTrack:
    return wire.QnpTrack(label, pair_id, link, sequence, 0, 0, wire.PairUse.DELIVER, 0, 0, 0, 0, 0)


def cat(gate: int, pair_id: int) -> wire.RgpCat:
    return wire.RgpCat(0, gate, wire.RgpKind.CNOT, pair_id, 0, 0)


def test_names_that_are_used_anew(reader):
    """Nodes 1, 2, 3 in a chain, the station of link 1 is 9: numbers that come again stand for other things."""
    frames = [
        frame(1, 2, install(5, 0)),
        frame(2, 3, install(7, 1)),
        frame(1, 9, gen(1, 100)),
        frame(9, 1, reply(0, 1, 104)),  # ebit 1:0
        frame(9, 2, reply(0, 1, 104)),
        frame(1, 9, gen(2, 200)),
        frame(9, 1, reply(0, 2, 0, wire.MhpOutcome.FAIL)),  # its train has failed: about no ebit
        frame(1, 2, track(5, 1, 1, 0)),  # 1:0 is a hop of pair 1/1
        frame(2, 3, track(7, 1, 2, 40)),  # and 2:40 is the other
        frame(3, 2, track(7, 0, 2, 40)),  # the tail does not know the pair's number
        frame(1, 3, cat(0, 1)),
        frame(3, 1, wire.RgpUncat(0, 0, 0)),
        frame(3, 1, wire.RgpReady(0, 1, wire.RgpKind.CNOT, 0)),  # a gate that has no pair yet
        frame(1, 9, gen(1, 900)),  # the queue id comes again
        frame(9, 1, reply(0, 1, 905)),  # and the sequence: 1:0~2
        frame(1, 2, install(5, 0), incarnation=2),  # the head in its second life
        frame(1, 2, track(5, 1, 1, 0), incarnation=2),  # pair 1.2/1
        frame(1, 3, cat(1, 1), incarnation=2),
        frame(1, 2, wire.EgpExpire(1, 1, 0, 65533, 1)),  # 65533, 65534, 0
        frame(1, 9, gen(7, 2000)),  # a train that goes on after its first success
        frame(9, 1, reply(5, 7, 2004)),
        frame(9, 1, reply(6, 7, 2009)),
    ]
    topics = topics_of(frames)
    assert [",".join(one.names) for one in topics] == [
        "", "", "1:0,1/1", "1:0,1/1", "1:0,1/1", "", "", "1:0,1/1", "2:40,1/1", "2:40,1/1", "1/1", "1/1", "1.2/1",
        "1:0~2,1.2/1", "1:0~2,1.2/1", "", "1:0~2,1.2/1", "1.2/1", "1:65533,1:65534,1:0~2,1.2/1",
        "1:5,1:6", "1:5", "1:6",
    ]  # fmt: skip
    rows = reader.read([Packet(one) for one in frames], ["frame.number"])
    assert len(rows) == len(frames)
    agree(reader.read_capture(reader.folder / "capture.pcap", COLUMNS, twice=True), topics)


def test_what_became_of_frames_is_expert_information(reader, tmp_path):
    run = ran(tmp_path / "run", "two-qpus", shots=3, channel=LOSSY)
    rows = reader.read_capture(run.folder / "trace.pcapng", [*COLUMNS, "_ws.expert"])
    for traced, row in zip(read_trace(run.folder / "trace.pcapng"), rows, strict=True):
        said = [one.split("): ")[0] for one in row["_ws.expert"].split("Expert Info (")[1:]]
        sequence = "Warning/Sequence" if traced.note == "lost" or "dropped" in traced.note else "Note/Sequence"
        assert (sequence in said) or not traced.note, (traced, row)
        if not traced.note:
            assert "Warning/Sequence" not in said
    notes = {traced.note for traced in read_trace(run.folder / "trace.pcapng")}
    assert {"", "lost", "duplicate", "dropped: tag"} <= notes
    assert any("was sent before" in row["_ws.expert.message"] for row in rows), "what is lost is sent again"


# ------------------------------------------------------------ the terminal


@pytest.fixture(scope="module")
def telegates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ran(tmp_path_factory.mktemp("telegates") / "run", "two-qpus", shots=1).folder


def story_of(folder: Path) -> Story:
    return read_story(folder / "trace.pcapng", folder / "events.jsonl")


def test_a_pair_is_followed_from_its_train_to_its_gate(telegates, capsys):
    assert main(["trace", str(telegates), "--pair", "1/2"]) == 0
    said = capsys.readouterr().out.splitlines()
    steps = ["EGP Train ", "MHP Gen", "physical: heralded", "MHP Reply", "link: ok", "QNP Track", "network: pair"]
    steps += ["gates: began", "RGP Cat", "RGP Uncat", "gates: done"]
    first = {step: next(i for i, line in enumerate(said) if f"  {step}" in line) for step in steps}
    order = ["EGP Train ", "MHP Gen", "MHP Reply", "QNP Track", "network: pair", "RGP Cat", "RGP Uncat", "gates: done"]
    assert [first[step] for step in order] == sorted({first[step] for step in order})
    assert first["network: pair"] < first["gates: began"] < first["RGP Cat"]
    assert not [line for line in said if "queue_id=1 " in line], "the first pair is another story"


def test_what_is_about_one_pair_is_about_no_other(telegates):
    story = story_of(telegates)
    one, two = ({id(s) for s in story.steps if name in s.about.names} for name in ("1/1", "1/2"))
    assert one
    assert two
    assert not one & two
    assert {"1/1", "1/2", "1:0", "1:1"} <= set(story.pair_names)


def test_choices(telegates):
    story = story_of(telegates)

    def chosen(**choice) -> tuple:
        return story.chosen(Choice(**choice)).steps

    assert all("mid" in step.nodes for step in chosen(nodes=["mid"]))
    assert {step.protocol for step in chosen(protocols=["mhp"])} == {"MHP"}
    assert {step.layer for step in chosen(protocols=["link"])} == {"link"}
    assert {step.kind for step in chosen(kinds=["track", "ok"])} == {"Track", "ok"}
    assert {isinstance(step, Arrow) for step in chosen(events=False)} == {True}
    assert {isinstance(step, Arrow) for step in chosen(frames=False)} == {False}
    times = [step.t_ps for step in chosen(start_ps=770_026_000, end_ps=770_042_000)]
    assert times == sorted(times)
    assert (times[0], times[-1]) == (770_026_000, 770_042_000)
    assert len(chosen(acknowledgements=True)) > len(chosen())
    assert len(chosen(nodes=["west"], protocols=["MHP"])) < len(chosen(protocols=["MHP"]))


def test_ladder_and_drawing(telegates, tmp_path, capsys):
    shown = ["trace", str(telegates), "--node", "west", "--node", "mid", "--node", "east", "--kind", "Reply"]
    assert main([*shown, "--kind", "heralded", "--limit", "3", "--ladder"]) == 0
    head, left, right, star, more = capsys.readouterr().out.splitlines()
    assert head.split() == ["west", "mid", "east"]
    assert "│◄──────────┤           │        MHP Reply" in left
    assert left.startswith("770.026 µs")
    assert "│           ├──────────►│        MHP Reply" in right
    assert "│           ●           │        physical: heralded" in star
    assert more.startswith("... and")
    assert main([*shown, "--svg", str(tmp_path / "drawn.svg")]) == 0
    texts = [e.text for e in ElementTree.parse(tmp_path / "drawn.svg").iter("{http://www.w3.org/2000/svg}text")]
    assert [text for text in texts if text and text.startswith("MHP Reply")]


def test_what_is_spoken_elsewhere_is_no_mistake(telegates, capsys):
    assert main(["trace", str(telegates), "--protocol", "TTP", "--kind", "Request", "--kind", "pair lost"]) == 0
    assert capsys.readouterr().out == "nothing of that kind\n"


def test_every_event_that_is_written_is_known():
    root = Path(__file__).parents[2]
    written = set()
    for file in (file for room in ("stack", "testbed") for file in (root / room).rglob("*.py")):
        for call in (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)):
            if isinstance(call.func, ast.Attribute) and call.func.attr in ("event", "note"):
                said = [one.value for one in call.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
                if len(said) == 2:
                    written.add(tuple(said))
    known = {(layer, name) for layer, names in EVENTS.items() for name in names}
    assert len(written) > 50
    assert written <= known


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--node", "north"], "name one of"),
        (["--pair", "9/9"], "such as 1/1"),
        (["--from", "3"], "write a number and its unit"),
        (["--limit", "0"], "give 1 or more"),
        (["--protocol", "EPG"], "there is no protocol or layer 'EPG'; did you mean EGP? this trace has EGP, MHP,"),
        (["--kind", "Replay"], "there is no message or event 'Replay'; did you mean Reply? this trace has "),
        (["--from", "2ms", "--to", "1ms"], "1ms is before --from 2ms"),
        (["--svg", "/nowhere/x.svg"], "name another file"),
    ],
)
def test_mistakes(arguments, said, telegates, capsys):
    assert main(["trace", str(telegates), *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_what_is_no_trace_is_bad_input(tmp_path, capsys):
    (tmp_path / "trace.pcapng").write_bytes(b"no capture")
    assert main(["trace", str(tmp_path)]) == 2
    assert main(["trace", str(tmp_path / "nothing")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_times_are_exact():
    assert [time_text(t) for t in (0, 1, 1_500, 770_026_000, 10**12, 3_600 * 10**12 + 1)] == [
        "0 s", "1 ps", "1.5 ns", "770.026 µs", "1 s", "3,600.000000000001 s",
    ]  # fmt: skip


def test_the_programs_in_the_docs_run(telegates, capsys):
    page = (Path(__file__).parents[2] / "docs" / "traces.md").read_text()
    programs = [block.partition("```")[0] for block in page.split("```python\n")[1:]]
    assert len(programs) == 2
    for program in programs:
        exec(program.replace("out/two-qpus", str(telegates)), {})
    said = capsys.readouterr().out
    assert "2 pairs heralded" in said
    assert said.count("MHP Reply") == 2, "the ladder of one pair"


def test_the_columns_in_the_docs_are_tsharks(require_tool, telegates, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "traces.md").read_text()
    (command,) = [block for block in page.split("```") if "\ntshark -2" in block]
    (tmp_path / "bellwire.lua").write_text(dissector.lua())
    command = command.replace("out/two-qpus", str(telegates)).replace("\ntshark", require_tool("tshark"), 1)
    shown = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "west MHP 1/2 sent Gen" in " ".join(shown.split())


def test_a_run_whose_launcher_was_killed_is_shown_and_its_spools_go(tmp_path, capsys):
    with running(endless_toy(tmp_path)) as run:
        run.process.kill()
        run.process.wait()
        assert run.left(WITHIN_S) == []
        assert any((run.out / ".spool").iterdir())
        assert main(["trace", str(run.out), "--limit", "5"]) == 0
        said = capsys.readouterr()
        assert len(said.out.splitlines()) == 6, "five lines, and how many more there are"
        assert "ECHO Ping" in said.out
        assert "frames, " in said.err
        assert not (run.out / ".spool").exists()
        assert main(["trace", str(run.out), "--limit", "5"]) == 0
        assert capsys.readouterr().out == said.out
