"""The journal: which state may follow which, what survives, who may use it."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from uuid import UUID

import pytest

from agents.journal.changes import Change, ExposureChanged, NoteChanged
from agents.journal.file_identity import FileIdentity
from agents.journal.journal import Journal, WrongTransition
from agents.journal.opening import JournalFull
from agents.journal.outputs import Output
from agents.journal.rows import ExposureRow
from agents.journal.states import TRANSITIONS, State
from agents.work_folder import WorkFolderTaken, WorkLock, check_apart, is_in_use
from configuration import ConfigError
from transfer.wire.exposure_record import (
    AcquisitionRecord,
    ExposureRecord,
    FileReference,
    FileRole,
    ShiftsRecord,
    WarningRecord,
)
from transfer.wire.receipt import Receipt

IDENTITY = FileIdentity(10, 2, 3, (1 << 63) - 1, 4)
WAY = [State.FINISHED, State.ALIGNED, State.SENDING, State.COMMITTED, State.RELEASED]


@pytest.fixture
def journal(tmp_path: Path):
    journal = Journal(tmp_path)
    yield journal
    journal.close()


def record_of(exposure: ExposureRow, output: Output) -> ExposureRecord:
    return ExposureRecord(
        exposure_id=exposure.exposure_id,
        revision=exposure.revision,
        movie=exposure.movie,
        label=exposure.label,
        micrograph_pixel_size_angstrom=1.0,
        micrograph_width_px=2,
        micrograph_height_px=2,
        acquisition=AcquisitionRecord(
            voltage_kv=300, cs_mm=2.7, amplitude_contrast=0.1, movie_pixel_size_angstrom=1.0, frame_count=1
        ),
        shifts=ShiftsRecord(first_frame=1, y_px=(0.0,), x_px=(0.0,)),
        figures={"motion_total_angstrom": 1.5},
        warnings=(WarningRecord(code="look", text="look"),),
        files=(
            FileReference(
                role=FileRole(output.role),
                path=output.remote_path,
                revision=output.file_revision,
                size_bytes=output.size_bytes,
                digest=output.digest,
            ),
        ),
    )


def seal(journal: Journal, exposure: ExposureRow) -> Output:
    name = f"{exposure.remote_stem}.mrc"
    output = Output(
        role="micrograph",
        local_path="x",
        remote_path=name,
        file_revision=journal.next_revision(name),
        digest="0" * 64,
        size_bytes=3,
    )
    journal.seal(exposure.exposure_id, settings={}, outputs=[output], record=record_of(exposure, output))
    return output


def receive(journal: Journal, exposure: ExposureRow, output: Output) -> None:
    receipt = Receipt(
        session="s", path=output.remote_path, revision=output.file_revision, size_bytes=3, digest=output.digest
    )
    journal.keep_receipt(exposure.exposure_id, exposure.revision, output.role, receipt)


def go(journal: Journal, exposure: ExposureRow, until: State) -> ExposureRow:
    for state in WAY[: WAY.index(until) + 1]:
        if state == State.FINISHED:
            journal.finish(exposure.exposure_id, IDENTITY)
        elif state == State.ALIGNED:
            output = seal(journal, exposure)
        else:
            if state == State.COMMITTED:
                receive(journal, exposure, output)
            journal.change(exposure.exposure_id, state)
    return journal.exposure(exposure.exposure_id)


@pytest.mark.parametrize("start", State)
@pytest.mark.parametrize("to", State)
def test_only_the_table_decides_which_state_follows(journal: Journal, start: State, to: State) -> None:
    exposure = journal.find("a.tif", "a", "a")
    with sqlite3.connect(journal._db.execute("PRAGMA database_list").fetchone()["file"]) as other:
        other.execute("UPDATE exposures SET state = ?", (start,))
    other.close()
    if to in TRANSITIONS[start]:
        assert journal.change(exposure.exposure_id, to).state == to
    else:
        with pytest.raises(WrongTransition, match=rf"a\.tif is {start}"):
            journal.change(exposure.exposure_id, to)
        assert journal.exposure(exposure.exposure_id).state == start


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    exposure = go(journal, journal.find("d/a.tif", "a", "d/a"), State.SENDING)
    journal.note(session="s")
    journal.close()
    journal = Journal(tmp_path)
    assert journal.exposure(exposure.exposure_id) == exposure
    assert exposure.motion_angstrom == 1.5
    assert exposure.warnings == ("look",)
    assert exposure.identity is not None
    assert exposure.identity.same_content(IDENTITY)
    assert [output.remote_path for output in journal.outputs(exposure.exposure_id, 1)] == ["d/a.mrc"]
    assert journal.about("session") == "s"
    assert [kind for kind, _ in journal.events(exposure.exposure_id)] == ["finished", "aligned", "sending"]
    journal.close()


def test_what_was_published_gets_the_next_revision(journal: Journal) -> None:
    exposure = go(journal, journal.find("a.tif", "a", "a"), State.RELEASED)
    again = journal.begin_again(exposure.exposure_id, "new gain", {"settings": {"bin_factor": 2}})
    assert (again.state, again.revision, again.changes) == (State.FOUND, 2, {"settings": {"bin_factor": 2}})
    journal.finish(again.exposure_id, IDENTITY)
    assert seal(journal, again).file_revision == 2


def test_what_was_sealed_but_not_published_keeps_its_revision(journal: Journal) -> None:
    exposure = go(journal, journal.find("a.tif", "a", "a"), State.SENDING)
    journal.change(exposure.exposure_id, State.FAILED, "refused")
    again = journal.begin_again(exposure.exposure_id, "tried again")
    assert again.revision == 1
    journal.finish(again.exposure_id, IDENTITY)
    assert seal(journal, again).file_revision == 1  # the receiver demands revisions without gaps


def test_a_file_that_was_committed_without_its_record_gets_its_own_next_revision(journal: Journal) -> None:
    exposure = go(journal, journal.find("a.tif", "a", "a"), State.SENDING)
    receive(journal, exposure, journal.outputs(exposure.exposure_id, 1)[0])
    journal.change(exposure.exposure_id, State.FAILED, "refused")
    again = journal.begin_again(exposure.exposure_id, "tried again")
    journal.finish(again.exposure_id, IDENTITY)
    assert (again.revision, seal(journal, again).file_revision) == (1, 2)


def test_two_movies_that_would_share_a_name_do_not(journal: Journal) -> None:
    names = [journal.find(movie, "a", "a").remote_stem for movie in ("a.tif", "a.mrc", "a.eer")]
    assert names == ["a", "a-2", "a-3"]
    with pytest.raises(sqlite3.IntegrityError):
        journal.find("a.tif", "a", "a")


def test_a_transaction_happens_whole_or_not_at_all_and_is_announced_only_then(tmp_path: Path) -> None:
    announced: list[Change] = []
    journal = Journal(tmp_path, announce=announced.append)

    def half() -> None:
        with journal.transaction():
            journal.find("a.tif", "a", "a")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert journal.exposures() == []
    with journal.transaction():
        found = journal.find("b.tif", "b", "b")
        journal.note(work_full="yes")
        assert announced == []
    journal.note(work_full="yes")  # no change
    journal.note(work_full=None)
    assert announced == [
        ExposureChanged.of(found),
        NoteChanged(key="work_full", value="yes"),
        NoteChanged(key="work_full", value=None),
    ]
    journal.close()


def test_what_another_process_changes_is_announced_once_before_later_changes(tmp_path: Path) -> None:
    announced: list[Change] = []
    journal = Journal(tmp_path, announce=announced.append)
    one, two = (journal.find(f"{name}.tif", name, name) for name in "ab")
    for exposure in (one, two):
        journal.change(exposure.exposure_id, State.FAILED, "unreadable", "Copy it again.")
    announced.clear()
    assert not journal.announce_changes_of_others()
    retrying = Journal(tmp_path, create=False)  # as `cryoferry retry` does
    retrying.begin_again(one.exposure_id, "tried again")
    assert announced == []
    assert journal.announce_changes_of_others()
    assert states_of(announced) == [("a.tif", "found", "tried again")]
    assert not journal.announce_changes_of_others()
    retrying.begin_again(two.exposure_id, "tried again")
    journal.finish(two.exposure_id, IDENTITY)  # the agent went on before it looked
    retrying.close()
    assert states_of(announced)[1:] == [("b.tif", "found", "tried again"), ("b.tif", "finished", "")]
    assert not journal.announce_changes_of_others()
    journal.close()


def test_what_another_process_changed_is_not_lost_when_a_transaction_fails(tmp_path: Path) -> None:
    announced: list[Change] = []
    journal = Journal(tmp_path, announce=announced.append)
    exposure = journal.find("a.tif", "a", "a")
    journal.change(exposure.exposure_id, State.FAILED, "unreadable")
    retrying = Journal(tmp_path, create=False)
    retrying.begin_again(exposure.exposure_id, "tried again")
    retrying.close()
    with pytest.raises(WrongTransition):
        journal.change(exposure.exposure_id, State.RELEASED)
    journal.announce_changes_of_others()
    assert states_of(announced)[-1] == ("a.tif", "found", "tried again")
    journal.close()


def states_of(announced: list[Change]) -> list[tuple[str, str, str]]:
    return [(c.movie, c.state, c.reason) for c in announced if isinstance(c, ExposureChanged)]


def test_many_threads_and_two_connections_lose_nothing(tmp_path: Path) -> None:
    journals = [Journal(tmp_path), Journal(tmp_path)]

    def enter(number: int) -> None:
        for n in range(10):
            journals[number % 2].find(f"{number}-{n}.tif", "x", f"{number}-{n}")

    threads = [threading.Thread(target=enter, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(journals[0].exposures()) == 40
    for journal in journals:
        journal.close()


def test_what_waits_comes_by_state_and_by_when_it_was_found(journal: Journal) -> None:
    found = [journal.find(movie, movie, movie) for movie in "cab"]
    go(journal, found[1], State.ALIGNED)

    def waiting(*states: State, most: int = 9, newest_first: bool = False) -> list[UUID]:
        return [row.exposure_id for row in journal.waiting(states, most, newest_first=newest_first)]

    c, a, b = (exposure.exposure_id for exposure in found)
    assert waiting(State.FOUND) == [c, b]
    assert waiting(State.ALIGNED, State.FOUND, newest_first=True) == [a, b, c]
    assert waiting(State.FOUND, State.ALIGNED, most=1) == [c, a]
    assert waiting(State.SENDING) == waiting() == []


def test_durable_as_promised(journal: Journal) -> None:
    assert journal._db.execute("PRAGMA journal_mode").fetchone()[0] == "truncate"
    assert journal._db.execute("PRAGMA synchronous").fetchone()[0] == 2


def test_one_agent_for_each_work_folder(tmp_path: Path) -> None:
    with WorkLock(tmp_path / "work"):
        assert is_in_use(tmp_path / "work")
        with pytest.raises(WorkFolderTaken, match="another agent"):
            WorkLock(tmp_path / "work")
    assert not is_in_use(tmp_path / "work")
    with WorkLock(tmp_path / "work"):
        pass


def test_the_work_folder_never_lies_in_the_source(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "source")
    for work in (tmp_path / "source", tmp_path / "source/work", tmp_path / "link/work"):
        with pytest.raises(ConfigError, match="lies in the source"):
            check_apart(work, tmp_path / "source")
    check_apart(tmp_path / "source-work", tmp_path / "source")


def test_a_full_disk_is_said_as_such_and_nothing_is_half_written(journal: Journal) -> None:
    pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
    journal._db.execute(f"PRAGMA max_page_count = {pages + 1}")  # the database's own word for a full disk
    entered: list[ExposureRow] = []

    def fill() -> None:
        while True:
            entered.append(journal.find(f"{len(entered)}.tif", "x", f"{len(entered)}"))

    with pytest.raises(JournalFull) as full:
        fill()
    assert full.value.exit_code == 7
    journal._db.execute("PRAGMA max_page_count = 100000")
    assert journal.exposures() == entered
    journal.find("again.tif", "x", "again")


def test_the_counts_are_those_of_the_exposures_whatever_happened(journal: Journal) -> None:
    def counted() -> dict[State, int]:
        states = [exposure.state for exposure in journal.exposures()]
        return {state: states.count(state) for state in State}

    def fail_half_way() -> None:
        with journal.transaction():
            journal.find("lost.tif", "lost", "lost")
            raise ZeroDivisionError

    assert journal.counts() == counted()
    for number, until in enumerate(WAY):
        go(journal, journal.find(f"{number}.tif", "x", f"{number}"), until)
        assert journal.counts() == counted()
    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    journal.begin_again(journal.exposures([State.RELEASED])[0].exposure_id, "tried again")
    assert journal.counts() == counted() == dict.fromkeys(State, 0) | dict.fromkeys([State.FOUND, *WAY[:4]], 1)


def test_what_was_released_without_sending_is_counted_while_it_is_so(journal: Journal) -> None:
    sent = go(journal, journal.find("a.tiff", "a", "a"), State.RELEASED)
    had = go(journal, journal.find("b.tiff", "b", "b"), State.FINISHED)
    journal.change(had.exposure_id, State.RELEASED, "the receiver has it")
    assert journal.counts()[State.RELEASED] == 2
    assert journal.released_unsent_count() == 1
    journal.take_up_lost(had.exposure_id, "the receiver has lost it")
    assert journal.released_unsent_count() == 0
    go(journal, journal.exposure(had.exposure_id), State.RELEASED)
    assert journal.released_unsent_count() == 0
    assert journal.exposure(sent.exposure_id).reason == ""


def test_what_was_set_aside_last_is_found(journal: Journal) -> None:
    assert journal.newest_set_aside() is None
    for number, state in enumerate((State.HELD, State.FAILED, State.HELD)):
        exposure = journal.find(f"{number}.tif", "x", f"{number}")
        journal.finish(exposure.exposure_id, IDENTITY)
        journal.change(exposure.exposure_id, state, "why")
        assert journal.newest_set_aside() == journal.exposure(exposure.exposure_id)
