"""A controller's journal: what is written is read again, whatever death or the disk does to the file."""

import errno
import os
import sys

import pytest

from protocols.job.book import Accepted, Book, Counted, Freed, Numbered, Over, Placed, Retold, Unplaced, Unwanted
from protocols.job.service import Order
from protocols.job.states import JobState
from protocols.wire import DeviceOpcode
from stack.application import journal as journals
from stack.application.compiler.circuit import Circuit, Clause, Op
from stack.application.journal import Journal

CIRCUIT = Circuit(2, 2, (Op(DeviceOpcode.MEASURE, (0,), clbit=0), Op(DeviceOpcode.X, (1,), when=(Clause((0,), 1),))))
RECORDS = [
    Accepted(1, Order("ä job", 2, 2, 100, CIRCUIT, 0.9, 3), 17),
    Placed(1, 4, (2, 7), 20),
    Counted(1, (("01", 3), ("11", 1)), 2),
    Freed(1, 7, 88),
    Unplaced(1, 90, 8, 60, "q2 was lost", True),
    Unwanted(1),
    Over(1, JobState.CANCELLED, "cancelled", 99),
]
SECOND = RECORDS[0]._replace(job=2)
STORY = [*RECORDS, SECOND, Placed(2, 5, (3, 2), 100), Counted(2, (("00", 1),), 0), Freed(2, 3, 120)]
"""Of one job that is over, and of one that runs."""


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "journals" / "ctl.jsonl")


def write(path, records=RECORDS):
    journal = Journal(path, anew=True)
    for record in records:
        journal.write(record)
    return journal


def test_the_next_life_reads_what_was_written(path):
    write(path)
    assert list(Journal(path, anew=False).records()) == RECORDS
    retold = list(book(STORY).records())
    write(path, retold)
    assert list(Journal(path, anew=False).records()) == retold


def test_the_first_life_begins_with_nothing(path):
    write(path)
    assert list(Journal(path, anew=True).records()) == []


@pytest.mark.parametrize("left", [1, 40])
def test_a_line_that_death_has_cut_is_not_there_and_the_next_one_is_whole(path, left):
    write(path)
    os.truncate(path, os.stat(path).st_size - left)
    journal = Journal(path, anew=False)
    assert list(journal.records()) == RECORDS[:-1]
    journal.write(RECORDS[-1])
    assert (list(Journal(path, anew=False).records()), journal.damaged) == (RECORDS, 0)


@pytest.mark.parametrize("line", [b"[]", b"{", b'{"is":"rumour"}', b'{"is":"placed","job":1}', b"\xff", b'{"is":[]}'])
def test_a_damaged_line_is_counted_and_the_others_are_read(path, line):
    write(path, RECORDS[:2])
    with open(path, "ab") as file:
        file.write(line + b"\n")
    journal = Journal(path, anew=False)
    assert (list(journal.records()), journal.damaged) == (RECORDS[:2], 1)


def test_what_a_full_disk_did_not_take_is_written_when_there_is_room_again(path, monkeypatch):
    journal, pwrite = write(path, RECORDS[:2]), os.pwrite
    room = 10

    def full(file, data, at):
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done, room = pwrite(file, data[:room], at), 0
        return done

    monkeypatch.setattr(os, "pwrite", full)
    journal.write(RECORDS[2])
    journal.write(RECORDS[3])
    assert journal.trouble == "No space left on device"
    with open(path, "rb") as file:
        assert file.read().count(b"\n") == 2
    monkeypatch.setattr(os, "pwrite", pwrite)
    journal.write(RECORDS[4])
    assert journal.trouble == ""
    assert list(Journal(path, anew=False).records()) == RECORDS[:5]


def test_a_journal_that_can_nowhere_be_is_said_and_tried_again(path):
    folder = os.path.dirname(path)
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    with open(folder, "w"):
        journal = write(path, RECORDS[:1])
    assert journal.trouble
    os.unlink(folder)
    journal.catch_up()
    assert (journal.trouble, list(Journal(path, anew=False).records())) == ("", RECORDS[:1])


def book(records):
    found = Book()
    for record in records:
        found.take(record)
    return found


def known(records):
    made = book(records)
    return made.jobs, made.last_job, made.last_lease


def kept(path):
    return known(Journal(path, anew=False).records())


def test_a_journal_that_has_grown_long_says_the_same_in_short(path, monkeypatch):
    """The next life has the same jobs and numbers, those of a job that was forgotten too, and writes on behind them;
    and again when it is twice as long as it was then."""
    monkeypatch.setattr(journals, "LONG", 100)
    journal, told = write(path, STORY), book(STORY)
    del told.jobs[1]
    long = os.stat(path).st_size
    journal.shorten(told.records)
    short = os.stat(path).st_size
    assert short < long
    assert [type(record) for record in Journal(path, anew=False).records()] == [Numbered, Retold]
    assert kept(path) == (told.jobs, 2, 5)
    assert told.jobs[2].order.circuit == CIRCUIT
    journal.write(later := Counted(2, (("11", 1),), 1))
    told.take(later)
    journal.shorten(lambda: pytest.fail("it is not twice as long yet"))
    assert kept(path)[0][2].counts == {"00": 1, "11": 1}
    while os.stat(path).st_size < 2 * short:
        journal.write(later)
        told.take(later)
    journal.shorten(told.records)
    assert os.stat(path).st_size < short + 20
    assert kept(path) == (told.jobs, 2, 5)


def test_what_is_over_is_retold_without_its_circuit(path, monkeypatch):
    monkeypatch.setattr(journals, "LONG", 0)
    write(path, STORY).shorten(book(STORY).records)
    jobs, *_ = kept(path)
    assert jobs == book(STORY).jobs
    assert (jobs[1].order.circuit, jobs[1].state, jobs[1].counts) == (None, JobState.CANCELLED, {"01": 3, "11": 1})


class Dead(BaseException):
    pass


@pytest.mark.parametrize(("module", "call"), [("builtins", "open"), ("os", "replace")])
@pytest.mark.parametrize("before", [True, False])
def test_whoever_dies_while_it_is_shortened_has_lost_nothing(path, monkeypatch, module, call, before):
    """Killed just before, and just behind, what the disk is asked to do; half of the new one may be there."""
    monkeypatch.setattr(journals, "LONG", 0)
    journal, told = write(path, STORY), book(STORY)
    right = getattr(sys.modules[module], call)

    def killed(*arguments):
        if not before:
            made = right(*arguments)
            if call == "open":
                made.write(b'{"is":"numbered","last_')
                made.close()
        raise Dead

    with monkeypatch.context() as patched:
        patched.setattr(sys.modules[module], call, killed)
        with pytest.raises(Dead):
            journal.shorten(told.records)
    assert kept(path) == known(STORY)
    assert os.listdir(os.path.dirname(path)) == ["ctl.jsonl"], "what it has left is cleared away"


def no_room(*paths):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("trouble", ["said", "met"])
def test_without_room_for_a_second_one_the_first_stays_and_grows(path, monkeypatch, trouble):
    monkeypatch.setattr(journals, "LONG", 0)
    full = False
    journal = Journal(path, True, lambda: full)
    for record in STORY[:-1]:
        journal.write(record)
    with monkeypatch.context() as patched:
        if trouble == "said":
            full = True
        else:
            patched.setattr(os, "replace", no_room)
        journal.shorten(book(STORY[:-1]).records)
    full = False
    journal.write(STORY[-1])
    assert list(Journal(path, anew=False).records()) == STORY
    assert os.listdir(os.path.dirname(path)) == ["ctl.jsonl"]


def test_a_damaged_one_is_left_to_people(path, monkeypatch):
    monkeypatch.setattr(journals, "LONG", 0)
    write(path, STORY)
    with open(path, "ab") as file:
        file.write(b"what?\n")
    journal = Journal(path, anew=False)
    assert len(list(journal.records())) == len(STORY)
    journal.shorten(lambda: pytest.fail("it is damaged"))


def test_without_a_folder_nothing_is_kept():
    journal = Journal("", anew=True)
    journal.write(RECORDS[0])
    assert (list(journal.records()), journal.trouble) == ([], "")
