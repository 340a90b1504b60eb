"""Keys in the whole stack: the same bytes under both clocks, a link that is too bad, and no secret in its events."""

import json
from pathlib import Path
from typing import Any

import yaml
from command_lab import bellwire, three
from slice_lab import IDEAL, PERFECT, two_qpus

from protocols.key.service import FULL
from protocols.key.service import Terms as Usual
from stack.sdk.keys import Terms

WANTED = {"from": "west", "to": "east", "keys": 1, "key_bits": 16, "block_pairs": 600}
QUICK = {"secrecy_bits": 1, "correctness_bits": 4}


def case(folder: Path, link: dict[str, Any] = PERFECT, **wanted: Any) -> Path:
    """The path of a scenario in which west makes keys with east."""
    text = two_qpus({"keys": [WANTED | QUICK | wanted]}, IDEAL | {"communication_qubits": 4}, link)
    path = folder / "case.yaml"
    path.write_text(yaml.safe_dump(text))
    return path


def figures(out: Path) -> dict[str, float]:
    rows = json.loads((out / "report.json").read_text())["figures"]
    return {row["name"]: row["value"] for row in rows if row["subject"] == "west-east-0"}


def events(out: Path, event: str) -> list[dict[str, Any]]:
    rows = map(json.loads, (out / "events.jsonl").read_text().splitlines())
    return [row for row in rows if row["event"] == event]


def test_keys_are_equal_at_both_ends_and_the_same_bytes_under_both_clocks(tmp_path: Path) -> None:
    path = case(tmp_path)
    runs = []
    for clock in ("local", "virtual"):
        done = bellwire(path, "--clock", clock, "--out", tmp_path / clock)
        assert done.returncode == 0, done.stderr
        assert "1 of 1 keys of 16 bits, 1 equal at both ends" in done.stdout
        runs.append(three(tmp_path / clock))
    assert runs[0] == runs[1]
    found = figures(tmp_path / "local")
    assert found["keys_made"] == found["keys_equal"] == 1
    assert found["key_qber_x"] == found["key_qber_z"] == 0
    assert found["key_pairs"] % 600 == 0
    # What is measured for keys is in no event; what is known to anybody anyway is.
    measured = events(tmp_path / "local", "pair measured")
    assert len(measured) == 2 * found["key_pairs"]
    assert not any("outcome" in row for row in measured)
    assert [row["node"] for row in events(tmp_path / "local", "handed out")] == ["west", "east"]


def test_where_links_are_bad_there_is_no_key_and_both_ends_know_why(tmp_path: Path) -> None:
    """A visibility of 1/2 is an error rate of 1/4 in X, as of whoever intercepts every half and sends another."""
    path = case(tmp_path, PERFECT | {"visibility": 0.5}, block_pairs=120, patience=2)
    done = bellwire(path, "--clock", "local", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "NOISY" in done.stderr + done.stdout
    given_up = events(tmp_path / "out", "block given up")
    assert [(row["node"], row["why"]) for row in given_up] == 2 * [("west", "NOISY"), ("east", "NOISY")]
    assert {row["why"] for row in events(tmp_path / "out", "session ended")} == {"FRUITLESS"}
    assert not events(tmp_path / "out", "handed out")
    assert figures(tmp_path / "out")["keys_made"] == 0


def test_programs_have_the_usual_terms() -> None:
    """The SDK says them once more, for it reads no codec."""
    usual, terms = Usual(), Terms()
    assert terms == (usual.key_bits, usual.block_pairs, 0.5, usual.secrecy, usual.correctness, usual.most_errors)
    assert usual.x_chance == FULL // 2
