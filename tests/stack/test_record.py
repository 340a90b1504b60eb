"""The spool a node writes: what went in comes out, and nothing that was written is ever lost."""

import inspect
import os
import signal
import subprocess
import sys
from enum import IntEnum, StrEnum
from pathlib import Path

import pytest

from stack.record import RECORD_HEAD, SPOOL_HEADER, NullRecorder, Recorder
from testbed.trace.spool import Spool, SpoolEvent, SpoolFrame

PAGE = 4096
REPOSITORY = Path(__file__).resolve().parents[2]


def run_python(program: str, *arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)], stdout=subprocess.PIPE, cwd=REPOSITORY
    )


def test_frames_and_events_come_back_in_order_with_one_counter(tmp_path: Path) -> None:
    path = tmp_path / "a.spool"
    with Recorder(path, node_number=7, incarnation=3) as recorder:
        recorder.frame(0, False, 7, 300, b"sent")
        recorder.event(5, "link", "ok", pair=2**40, kept=True, bell="PSI_PLUS", offset=-1)
        recorder.frame(5, True, 300, 7, b"", "lost")
        recorder.event(2**60, "physical", "herald")

    spool = Spool(path)
    records = list(spool.records())

    assert (spool.node, spool.incarnation, spool.torn, spool.empty) == (7, 3, False, False)
    assert records == [
        SpoolFrame(0, 0, False, 7, 300, b"sent", ""),
        SpoolEvent(5, 1, "link", "ok", {"pair": 2**40, "kept": True, "bell": "PSI_PLUS", "offset": -1}),
        SpoolFrame(5, 2, True, 300, 7, b"", "lost"),
        SpoolEvent(2**60, 3, "physical", "herald", {}),
    ]
    assert list(records[1].fields) == ["pair", "kept", "bell", "offset"]  # type: ignore[union-attr]


def test_records_of_every_size_cross_windows_whole(tmp_path: Path) -> None:
    sizes = [*range(0, 1300, 13), 65_535, 0, PAGE, 3 * PAGE + 1, 1]
    path = tmp_path / "a.spool"
    with Recorder(path, 1, 0, window=PAGE) as recorder:
        for size in sizes:
            recorder.frame(0, False, 1, 2, bytes([size & 255]) * size)
            recorder.event(0, "link", "sized", size=size, text="x" * size)

    records = list(Spool(path).records())

    assert [r.payload for r in records if isinstance(r, SpoolFrame)] == [bytes([s & 255]) * s for s in sizes]
    assert [len(str(r.fields["text"])) for r in records if isinstance(r, SpoolEvent)] == sizes


def test_close_cuts_the_file_and_ends_the_recorder(tmp_path: Path) -> None:
    path = tmp_path / "a.spool"
    recorder = Recorder(path, 1, 0)
    assert path.stat().st_size == 1 << 20

    recorder.frame(0, False, 1, 2, b"12345")
    recorder.close()
    recorder.close()

    assert path.stat().st_size == SPOOL_HEADER.size + RECORD_HEAD.size + 8
    with pytest.raises(ValueError, match="closed"):
        recorder.frame(0, False, 1, 2, b"")
    with pytest.raises(ValueError, match="closed"):
        recorder.event(0, "link", "late")


def test_one_incarnation_has_one_spool(tmp_path: Path) -> None:
    Recorder(tmp_path / "a.spool", 1, 0).close()
    with pytest.raises(FileExistsError):
        Recorder(tmp_path / "a.spool", 1, 0)


def test_time_does_not_run_backwards(tmp_path: Path) -> None:
    with Recorder(tmp_path / "a.spool", 1, 0) as recorder:
        recorder.event(10, "link", "ok")
        with pytest.raises(ValueError, match="9 ps was recorded after something at 10 ps"):
            recorder.frame(9, False, 1, 2, b"")
        with pytest.raises(ValueError, match="9 ps was recorded after something at 10 ps"):
            recorder.event(9, "link", "ok")
        recorder.frame(10, False, 1, 2, b"kept")

    assert [record.counter for record in Spool(tmp_path / "a.spool").records()] == [0, 1]


def test_fields_are_plain(tmp_path: Path) -> None:
    class Verdict(IntEnum):
        BUSY = 1

    class Word(StrEnum):
        KEEP = "keep"

    with Recorder(tmp_path / "a.spool", 1, 0) as recorder:
        recorder.event(0, "link", "ok", verdict=Verdict.BUSY, word=Word.KEEP, yes=True)
        for bad in (1.5, None, b"bytes", [1]):
            with pytest.raises(TypeError, match=r"link\.ok: field figure is a"):
                recorder.event(0, "link", "ok", figure=bad)  # type: ignore[arg-type]
        for reserved in ("t_ps", "node", "layer", "event"):
            with pytest.raises(ValueError, match=reserved):
                recorder.event(0, "link", "ok", **{reserved: 1})

    (event,) = Spool(tmp_path / "a.spool").records()
    assert isinstance(event, SpoolEvent)
    assert event.fields == {"verdict": 1, "word": "keep", "yes": True}
    assert [type(value) for value in event.fields.values()] == [int, str, bool]


def test_a_living_recorders_spool_can_be_read(tmp_path: Path) -> None:
    with Recorder(tmp_path / "a.spool", 1, 0) as recorder:
        assert list(Spool(tmp_path / "a.spool").records()) == []
        recorder.frame(0, False, 1, 2, b"here")
        assert len(list(Spool(tmp_path / "a.spool").records())) == 1


def test_a_spool_cut_anywhere_gives_the_records_before_the_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.spool"
    ends = [SPOOL_HEADER.size]
    with Recorder(path, 1, 0) as recorder:
        for n in range(4):
            recorder.frame(n, False, 1, 2, b"\xff" * n, "note" * n)
            recorder.event(n, "link", "ok", n=n)
    whole = list(Spool(path).records())
    data = path.read_bytes()
    at = SPOOL_HEADER.size
    for _ in whole:
        at += int.from_bytes(data[at : at + 4], sys.byteorder)
        ends.append(at)
    assert at == len(data)

    for cut in range(len(data)):
        path.write_bytes(data[:cut])
        spool = Spool(path)
        records = list(spool.records())
        assert records == whole[: max(0, sum(end <= cut for end in ends) - 1)]
        assert spool.torn == (cut not in (0, *ends))


def test_a_record_without_its_length_does_not_exist(tmp_path: Path) -> None:
    path = tmp_path / "a.spool"
    with Recorder(path, 1, 0) as recorder:
        recorder.frame(0, False, 1, 2, b"first")
        first = path.read_bytes().rstrip(b"\0")
        recorder.frame(0, False, 1, 2, b"second")
    data = bytearray(path.read_bytes())
    second = -(-len(first) // 4) * 4
    data[second : second + 4] = bytes(4)  # as after a kill between the body and the length
    path.write_bytes(data)

    spool = Spool(path)

    assert [record.payload for record in spool.records() if isinstance(record, SpoolFrame)] == [b"first"]
    assert not spool.torn


@pytest.mark.parametrize(
    ("place", "bytes_there"),
    [(0, b"\xfc\xff\xff\xff"), (4, b"\x63"), (6, b"\xff\xff"), (12, b"\0" * 8), (24, b"\xff\xff")],
    ids=["length", "kind", "size", "time", "event"],
)
def test_a_spoiled_record_ends_the_spool(tmp_path: Path, place: int, bytes_there: bytes) -> None:
    path = tmp_path / "a.spool"
    with Recorder(path, 1, 0) as recorder:
        recorder.event(10, "link", "ok")
        recorder.event(11, "link", "spoiled")
    data = bytearray(path.read_bytes())
    second = SPOOL_HEADER.size + int.from_bytes(data[16:20], sys.byteorder)
    data[second + place : second + place + len(bytes_there)] = bytes_there
    path.write_bytes(data)

    spool = Spool(path)

    assert [record.t_ps for record in spool.records()] == [10]
    assert spool.torn


@pytest.mark.parametrize("acknowledged", [1, 50, 1000])
def test_kill_9_loses_nothing_that_was_written(tmp_path: Path, acknowledged: int) -> None:
    path = tmp_path / "a.spool"
    program = """
import sys
from stack.record import Recorder
recorder = Recorder(sys.argv[1], 1, 0, window=4096)
for n in range(10**9):
    recorder.frame(n, n & 1, 1, 2, n.to_bytes(4) * (n % 200))
    recorder.event(n, "link", "written", n=n)
    if n < 2000:
        print(n, flush=True)
"""
    with run_python(program, path) as writer:
        assert writer.stdout is not None
        said = [int(writer.stdout.readline()) for _ in range(acknowledged)]
        writer.send_signal(signal.SIGKILL)

    spool = Spool(path)
    records = list(spool.records())

    assert len(records) >= 2 * len(said)
    assert not spool.torn
    for n, record in enumerate(records):
        assert (record.counter, record.t_ps) == (n, n // 2)
        if isinstance(record, SpoolFrame):
            assert record.payload == (n // 2).to_bytes(4) * (n // 2 % 200)
        else:
            assert record.fields == {"n": n // 2}


def test_a_full_disk_keeps_what_was_written_and_the_spool_says_how_much_is_missing(tmp_path: Path) -> None:
    # A limit on the file's size stands in for the full disk: allocating fails in the same call.
    path = tmp_path / "a.spool"
    program = """
import resource, sys
from stack.record import Recorder
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 1_000_000))
recorder = Recorder(sys.argv[1], 1, 0, window=4096)
for n in range(3_000):
    recorder.frame(n, False, 1, 2, b"x" * 100)
print(recorder.missing)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
recorder.hold(False)
while recorder.missing:
    recorder.event(n, "link", "again")
    n += 1
recorder.close()
"""
    with run_python(program, path) as writer:
        assert writer.stdout is not None
        missing = int(writer.stdout.read())
    records = list(Spool(path).records())
    *before, gap, again = records

    assert writer.returncode == 0
    assert 0 < missing < 3_000
    assert [record.t_ps for record in before] == list(range(3_000 - missing))
    assert isinstance(gap, SpoolEvent)
    assert isinstance(again, SpoolEvent)
    assert (gap.name, gap.fields["records"] + len(before)) == ("not recorded", again.t_ps + 1)
    assert again.name == "again"


def test_a_recorder_holds_one_descriptor(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    recorders = [Recorder(tmp_path / f"{n}.spool", n, 0) for n in range(10)]
    assert len(os.listdir("/proc/self/fd")) == before + 10
    for recorder in recorders:
        recorder.close()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("method", ["frame", "event", "hold", "end", "close"])
def test_null_recorder_takes_what_a_recorder_takes(method: str) -> None:
    assert inspect.signature(getattr(NullRecorder, method)) == inspect.signature(getattr(Recorder, method))


def test_null_recorder_keeps_nothing() -> None:
    recorder = NullRecorder()
    recorder.frame(0, False, 1, 2, b"x", "lost")
    recorder.event(0, "link", "ok", n=1)
    recorder.close()


def test_the_window_is_whole_pages(tmp_path: Path) -> None:
    for window in (0, -PAGE, 1000):
        with pytest.raises(ValueError, match="multiple"):
            Recorder(tmp_path / "a.spool", 1, 0, window=window)
