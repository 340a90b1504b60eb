"""The run folder: what is refused, what force removes and what it never touches, and the form of its
documents."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from testbed.errors import BadInput
from testbed.rundir import Figure, RunFolder, report_document, write_json

MADE = [
    "events.jsonl", "inputs.jsonl", "keys.json", "report.json", "report.html", "run.json", "trace.pcapng",
    "telegate.svg", "sync-error.svg", "cutoffs.svg",
]  # fmt: skip


def fill(folder: Path) -> None:
    """Put there what a whole run leaves."""
    run = RunFolder.create(folder)
    for name in MADE:
        (folder / name).write_text("of the last run")
    (folder / ".report.json.tmp").write_text("half a document")
    run.log("ada").write_text("of the last run")
    run.spool(1, 0).write_text("of the last run")


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_a_missing_folder_is_made_with_all_above_it(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "a" / "b")

    assert everything(tmp_path / "a" / "b") == {"logs", ".spool"}
    assert run.log("ada") == tmp_path / "a" / "b" / "logs" / "ada.log"
    assert run.spool(7, 2).parent == tmp_path / "a" / "b" / ".spool"
    assert run.spool(7, 2) != run.spool(7, 3) != run.spool(8, 2)


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    RunFolder.create(tmp_path)
    assert everything(tmp_path) == {"logs", ".spool"}


@pytest.mark.parametrize("there", ["report.json", ".hidden", "notes.txt"])
def test_a_folder_with_anything_in_it_is_refused(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("x")
    with pytest.raises(BadInput, match=r"it is not empty; name another folder, or give --force"):
        RunFolder.create(tmp_path)
    assert everything(tmp_path) == {there}


def test_force_removes_what_a_run_made_and_nothing_else(tmp_path: Path) -> None:
    fill(tmp_path)
    kept = {"notes.txt", "logs/notes.txt", ".spool/notes.txt", "sub", "sub/report.json", "logs/sub.log"}
    (tmp_path / "sub").mkdir()
    (tmp_path / "logs" / "sub.log").mkdir()
    for name in kept - {"sub", "logs/sub.log"}:
        (tmp_path / name).write_text("mine")

    RunFolder.create(tmp_path, force=True)

    assert everything(tmp_path) == kept | {"logs", ".spool"}
    assert all((tmp_path / name).read_text() == "mine" for name in kept - {"sub", "logs/sub.log"})


@pytest.mark.parametrize("name", [*MADE, "logs", ".spool"])
def test_force_does_not_follow_symbolic_links(tmp_path: Path, name: str) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "run"
    fill(outside)
    fill(folder)
    there = everything(outside)
    if (folder / name).is_dir():
        for path in (folder / name).iterdir():
            path.unlink()
        (folder / name).rmdir()
    else:
        (folder / name).unlink()
    (folder / name).symlink_to(outside / name)
    before = everything(folder)

    with pytest.raises(BadInput, match="it is a symbolic link; remove it yourself"):
        RunFolder.create(folder, force=True)

    assert everything(outside) == there
    assert everything(folder) == before


def test_force_leaves_links_among_the_logs_alone(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside.log", tmp_path / "run"
    outside.write_text("mine")
    fill(folder)
    (folder / "logs" / "link.log").symlink_to(outside)

    RunFolder.create(folder, force=True)

    assert outside.read_text() == "mine"
    assert everything(folder) == {"logs", "logs/link.log", ".spool"}


@pytest.mark.parametrize("name", ["report.json", "logs"])
def test_force_does_not_remove_what_a_run_does_not_make(tmp_path: Path, name: str) -> None:
    (tmp_path / "trace.pcapng").write_text("of the last run")
    if name == "logs":
        (tmp_path / name).write_text("a file")
    else:
        (tmp_path / name).mkdir()
    before = everything(tmp_path)

    with pytest.raises(BadInput, match="not what a run makes there"):
        RunFolder.create(tmp_path, force=True)

    assert everything(tmp_path) == before


def test_a_place_that_cannot_be_a_folder_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInput, match="it is not a folder"):
        RunFolder.create(tmp_path / "file")
    with pytest.raises(BadInput, match="it cannot be used"):
        RunFolder.create(tmp_path / "file" / "below")
    with pytest.raises(BadInput, match="it cannot be used"):
        RunFolder.create(Path("/proc/nothing/here"))
    with pytest.raises(BadInput, match="it cannot be used"):
        RunFolder.create(tmp_path / ("x" * 300))
    assert (tmp_path / "file").read_text() == "x"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", ".hidden", "a\0b", "a\nb"])
def test_a_log_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be part of a file's name"):
        RunFolder(tmp_path).log(name)


def test_spools_go_after_the_merge(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path)
    run.spool(1, 0).write_text("x")
    run.drop_spools()
    assert everything(tmp_path) == {"logs"}


def test_spools_beside_something_else_go_without_it(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path)
    run.spool(1, 0).write_text("x")
    (run.spools / "notes.txt").write_text("mine")
    run.drop_spools()
    assert everything(tmp_path) == {"logs", ".spool", ".spool/notes.txt"}


def test_the_report_has_one_form(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path)
    figures = [
        Figure("link_fidelity", "ada-béla", 0.123456789123, "1", n=200, stderr=1 / 3),
        Figure("pairs", "ada-béla", np.int64(400), "1", n=200),  # type: ignore[arg-type]
        Figure("virtual_time_per_shot", "all", np.float64(-0.0), "µs", n=200, stderr=2.5e-10),
    ]

    def row(name: str, subject: str, value: float, unit: str, stderr: float | None) -> dict[str, object]:
        return {"name": name, "subject": subject, "value": value, "unit": unit, "n": 200, "stderr": stderr}

    run.write_report("two-qpus", 7, figures, pairs_used=400, counts={"0011": 2, "0000": np.int64(198)})

    text = run.report.read_text(encoding="utf-8")
    assert json.loads(text) == {
        "schema": "bellwire.report/1",
        "scenario": "two-qpus",
        "seed": 7,
        "figures": [
            row("link_fidelity", "ada-béla", 0.123456789, "1", 0.333333333),
            row("pairs", "ada-béla", 400, "1", None),
            row("virtual_time_per_shot", "all", 0.0, "µs", 2.5e-10),
        ],
        "counts": {"0000": 198, "0011": 2},
        "pairs_used": 400,
    }
    assert list(json.loads(text)) == ["schema", "scenario", "seed", "figures", "counts", "pairs_used"]
    assert list(json.loads(text)["counts"]) == ["0000", "0011"]
    assert "-0.0" not in text
    assert "béla" in text
    assert "µs" in text
    assert text.endswith("}\n")


def test_equal_reports_make_equal_bytes_whatever_the_order_of_filling() -> None:
    one = report_document("s", 1, [], counts={"01": 1, "10": 2}, more={"b": [1.0], "a": True})
    two = report_document("s", 1, [], more={"a": True, "b": (1.0 + 1e-12,)}, counts={"10": 2, "01": 1})
    assert json.dumps(one) == json.dumps(two)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), np.float64("nan")])
def test_what_is_no_number_is_refused(tmp_path: Path, value: float) -> None:
    run = RunFolder.create(tmp_path)
    with pytest.raises(ValueError, match=r"figures\[1\]\.stderr is"):
        run.write_report("s", 1, [Figure("a", "b", 1, "s", 1), Figure("a", "b", 1, "s", 1, stderr=value)])
    with pytest.raises(ValueError, match=r"histogram\.a\[0\] is"):
        run.write_report("s", 1, [], histogram={"a": [value]})
    assert not run.report.exists()


def test_what_json_does_not_know_is_refused() -> None:
    with pytest.raises(TypeError, match=r"counts\.a is a set"):
        report_document("s", 1, [], counts={"a": {1}})
    with pytest.raises(ValueError, match="may not be called schema"):
        report_document("s", 1, [], schema=2)


def test_a_document_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_json(path, {"attempt": 1})
    for spoiled in ({"attempt": float("nan")}, {"attempt": {2}}, {"attempt": "\ud800"}):
        with pytest.raises((ValueError, TypeError)):
            write_json(path, spoiled)
        assert json.loads(path.read_text()) == {"attempt": 1}
        assert everything(tmp_path) == {"run.json"}
    write_json(path, {"attempt": 2})
    assert json.loads(path.read_text()) == {"attempt": 2}
    assert everything(tmp_path) == {"run.json"}


def test_a_document_that_cannot_be_put_in_place_leaves_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_json(tmp_path / "run.json", {"attempt": 1})
    assert everything(tmp_path) == set()


def test_keys_are_for_nobody_elses_eyes(tmp_path: Path) -> None:
    """Not even if a draft that others may read was left over."""
    run = RunFolder.create(tmp_path / "run")
    draft = run.path / ".keys.json.tmp"
    draft.write_text("")
    draft.chmod(0o666)

    run.write_keys({"west": {"east": "00ff"}})

    assert run.keys.stat().st_mode & 0o777 == 0o600
    assert json.loads(run.keys.read_text()) == {"west": {"east": "00ff"}}
