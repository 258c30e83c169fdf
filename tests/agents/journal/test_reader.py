"""What the reader says of a journal, at which cost, and that it never changes one."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agents.journal import reader as reader_module
from agents.journal.journal import Journal
from agents.journal.opening import NAME, JournalError
from agents.journal.reader import JournalReader, ListedExposure
from agents.journal.schema import MIGRATIONS, SCHEMA_VERSION
from agents.journal.states import UNFINISHED, State
from benchmarks.flow.filled_journal import FilledSession, fill_journal
from tests.agents.journal.old_journal import MOVIES, write_old_journal
from transfer.wire.exposure_record import FileRole

HOUR_S = 3600.0
FILES = {FileRole.MICROGRAPH: (".mrc", 1000), FileRole.THUMBNAIL: (".png", 200)}


def filled(work: Path, count: int, **more: Any) -> FilledSession:
    session = FilledSession(exposure_count=count, failed_every=10, held_every=8, files=FILES, **more)
    fill_journal(work, session)
    return session


def read(work: Path, what: Callable[[JournalReader], Any], **clock: Any) -> Any:
    with JournalReader(work, **clock) as reader:
        return what(reader)


def movies(listed: tuple[list[ListedExposure], int]) -> list[str]:
    return [exposure.movie for exposure in listed[0]]


# ---- what it says


def test_it_says_what_the_journal_says(tmp_path: Path) -> None:
    filled(tmp_path, 40)
    journal = Journal(tmp_path, create=False)
    counts, by_change = journal.counts(), sorted(journal.exposures(), key=lambda e: e.changed_at)
    journal.close()
    with JournalReader(tmp_path) as reader:
        assert reader.about("session") == "s"
        assert reader.about("unknown") is None
        assert reader.counts() == counts
        listed, left_out = reader.listed()
    assert left_out == 0
    for shown, exposure in zip(listed, by_change, strict=True):
        assert shown.published_id == str(exposure.published_id)
        for name in ("movie", "label", "state", "reason", "hint", "revision", "motion_angstrom", "changed_at"):
            assert getattr(shown, name) == getattr(exposure, name)


def test_what_was_sent_is_counted_by_the_hour(tmp_path: Path) -> None:
    session = filled(tmp_path, 100, movies_per_hour=10.0, waiting_count=0)
    released = [number for number in range(1, 101) if session.state(number) == State.RELEASED]
    sent = read(tmp_path, JournalReader.sent, clock=lambda: session.ended_at_s)
    assert (sent.movies, sent.size_bytes) == (len(released), 1200 * len(released))
    lately = [number for number in released if session.found_at_s(number) > session.ended_at_s - 0.95 * HOUR_S]
    assert sent.movies_last_hour - len(lately) in (0, 1)  # the hour begins with a whole minute
    assert sent.bytes_last_hour == 1200 * sent.movies_last_hour
    assert sent.per_hour() == pytest.approx(10.0 * len(released) / 100, rel=0.05)
    later = read(tmp_path, JournalReader.sent, clock=lambda: session.ended_at_s + 2 * HOUR_S)
    assert (later.movies, later.movies_last_hour, later.per_hour()) == (sent.movies, 0, sent.per_hour())


def test_a_few_minutes_are_too_short_for_a_rate(tmp_path: Path) -> None:
    filled(tmp_path, 3, waiting_count=0)
    assert read(tmp_path, JournalReader.sent).per_hour() is None
    (tmp_path / "new").mkdir()
    Journal(tmp_path / "new").close()
    sent = read(tmp_path / "new", JournalReader.sent)
    assert (sent.movies, sent.first_found_at, sent.per_hour()) == (0, None, None)


def test_what_waits_longest_is_named(tmp_path: Path) -> None:
    filled(tmp_path, 20, waiting_count=4)
    journal = Journal(tmp_path, create=False)
    oldest = min(journal.exposures(UNFINISHED), key=lambda exposure: exposure.changed_at)
    assert read(tmp_path, JournalReader.oldest_waiting).movie == oldest.movie
    for exposure in journal.exposures(UNFINISHED):
        journal.change(exposure.exposure_id, State.FAILED, "gone")
    journal.close()
    assert read(tmp_path, JournalReader.oldest_waiting) is None


def test_the_filters_hold_together_and_the_newest_come_last(tmp_path: Path) -> None:
    session = filled(tmp_path, 60, waiting_count=0)
    failed = [session.movie(number) for number in range(10, 61, 10)]
    with JournalReader(tmp_path) as reader:
        assert movies(reader.listed(states=[State.FAILED])) == failed
        newest, left_out = reader.listed(states=[State.FAILED], most=2)
        assert ([exposure.movie for exposure in newest], left_out) == (failed[-2:], 4)
        since = session.found_at_s(40)
        assert movies(reader.listed(states=[State.FAILED], since=since)) == failed[3:]
        assert movies(reader.listed(states=[State.FAILED], since=since, is_wanted=failed[4].__eq__)) == [failed[4]]
        assert reader.listed(since=session.ended_at_s + 1) == ([], 0)
        assert reader.listed(is_wanted=lambda movie: False, most=1) == ([], 0)
        wanted = reader.listed(states=[State.FAILED])[0][1]
        assert reader.listed(is_wanted=lambda movie: False, exposure_id=wanted.published_id) == ([wanted], 0)
        assert len(reader.listed(most=1)[0]) == 1


def test_more_exposures_than_one_query_takes_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "_AT_ONCE", 7)
    filled(tmp_path, 20)
    listed, left_out = read(tmp_path, JournalReader.listed)
    assert (len(listed), left_out) == (20, 0)
    assert [exposure.changed_at for exposure in listed] == sorted(exposure.changed_at for exposure in listed)


# ---- at which cost


def steps_of(work: Path, look: Callable[[Any], Any], opened: Callable[[Path], Any] = JournalReader) -> int:
    """Return how many instructions SQLite's machine does for a look."""
    done = 0

    def count_step() -> int:
        nonlocal done
        done += 1
        return 0

    with closing(opened(work)) as journal:
        journal._db.set_progress_handler(count_step, 1)
        look(journal)
    return done


def test_a_look_costs_as_much_in_a_long_session_as_in_a_short_one(tmp_path: Path) -> None:
    looks: dict[str, Callable[[JournalReader], Any]] = {
        "counts": JournalReader.counts,
        "sent": JournalReader.sent,
        "oldest waiting": JournalReader.oldest_waiting,
        "set aside": lambda reader: reader.listed(states=[State.HELD, State.FAILED], most=5),
        "lately": lambda reader: reader.listed(since=3.9e9),
        "a note": lambda reader: reader.about("session"),
    }
    works = {}
    for count in (40, 400):  # in the same time, with as many failures
        works[count] = tmp_path / str(count)
        session = FilledSession(
            exposure_count=count, failed_every=count // 4, held_every=0, files=FILES, movies_per_hour=count * 4
        )
        fill_journal(works[count], session)
    for name, look in looks.items():
        few, many = steps_of(works[40], look), steps_of(works[400], look)
        assert many <= 1.2 * few + 20, (name, few, many)
    for look in (Journal.counts, Journal.newest_set_aside):  # what the agent asks several times a second
        few, many = steps_of(works[40], look, Journal), steps_of(works[400], look, Journal)
        assert many <= 1.2 * few + 20, (look, few, many)
    assert steps_of(works[400], JournalReader.listed) > 3 * steps_of(works[40], JournalReader.listed)


# ---- it changes nothing


def test_a_journal_of_an_older_version_is_read_in_its_own_form_and_stays_as_it_is(tmp_path: Path) -> None:
    before = (write_old_journal(tmp_path) / NAME).read_bytes()
    with JournalReader(tmp_path, clock=lambda: 1000.0) as reader:
        assert set(reader.counts().values()) == {1}
        assert movies(reader.listed(states=[State.FINISHED])) == ["settled.tif"]
        (held,) = reader.listed(states=[State.HELD])[0]
        assert (held.movie, held.state, held.published_id) == ("rejected.tif", State.HELD, str(MOVIES["rejected.tif"]))
        assert reader.sent()[:4] == (2, 0, 2, 0)
        waiting = reader.oldest_waiting()
        assert waiting is not None
        assert waiting.state in UNFINISHED
        assert len(reader.listed()[0]) == 8
    assert (tmp_path / NAME).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_a_journal_of_the_version_before_has_the_same_totals_before_and_after_its_migration(tmp_path: Path) -> None:
    with sqlite3.connect(write_old_journal(tmp_path) / NAME) as database:
        database.executescript(MIGRATIONS[1])
        database.execute(
            "INSERT INTO outputs VALUES (?, 1, 'micrograph', 'x', 'x', 1, 'd', 1234, NULL)",
            (str(MOVIES["committed.tif"]),),
        )
        database.execute("PRAGMA user_version = 2")
    database.close()

    def look() -> tuple[Any, ...]:
        return read(tmp_path, lambda r: (r.counts(), r.sent(), r.listed(), r.oldest_waiting()), clock=lambda: 1000.0)

    content, before = (tmp_path / NAME).read_bytes(), look()
    assert before[1][:4] == (2, 1234, 2, 1234)
    assert (tmp_path / NAME).read_bytes() == content
    Journal(tmp_path).close()  # the agent of this version starts there
    assert look() == before


def test_it_reads_while_the_agent_writes_and_sees_one_moment(tmp_path: Path) -> None:
    filled(tmp_path, 20)
    journal = Journal(tmp_path, create=False)
    with journal.transaction():
        journal.find("new.tif", "new", "new")
        with JournalReader(tmp_path) as reader:
            assert sum(reader.counts().values()) == len(reader.listed()[0]) == 20
    journal.close()
    with JournalReader(tmp_path) as reader:
        assert sum(reader.counts().values()) == len(reader.listed()[0]) == 21


def test_what_an_agent_that_was_killed_has_written_in_part_is_not_shown(tmp_path: Path) -> None:
    filled(tmp_path / "work", 60)
    agent = sqlite3.connect(tmp_path / "work" / NAME, isolation_level=None)
    agent.execute("PRAGMA journal_mode = TRUNCATE")
    agent.execute("PRAGMA cache_size = 2")  # pages: it writes to the file before the commit
    agent.execute("BEGIN IMMEDIATE")
    agent.execute("UPDATE exposures SET state = 'failed', reason = hex(zeroblob(500))")
    shutil.copytree(tmp_path / "work", tmp_path / "killed")
    agent.execute("ROLLBACK")
    agent.close()
    assert (tmp_path / "killed" / f"{NAME}-journal").stat().st_size > 0
    assert (tmp_path / "killed" / NAME).read_bytes() != (tmp_path / "work" / NAME).read_bytes()
    for look in (JournalReader.counts, JournalReader.listed):
        assert read(tmp_path / "killed", look) == read(tmp_path / "work", look)


def test_it_cannot_write(tmp_path: Path) -> None:
    filled(tmp_path, 5)
    with JournalReader(tmp_path) as reader, pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._db.execute("DELETE FROM exposures")


# ---- what is no journal


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "is empty: it has 0 bytes"),
        (b"not a database, though long enough to be looked at as one" * 20, "is damaged: file is not a database"),
    ],
)
def test_a_file_that_is_no_journal_is_named(tmp_path: Path, content: bytes, text: str) -> None:
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(JournalError, match=text) as refused:
        JournalReader(tmp_path)
    assert str(tmp_path / NAME) in str(refused.value)
    assert "asks the receiver what it has" in refused.value.hint
    assert (tmp_path / NAME).read_bytes() == content


def test_damage_inside_is_named_wherever_it_is_met(tmp_path: Path) -> None:
    filled(tmp_path, 200)
    whole = (tmp_path / NAME).read_bytes()
    half = len(whole) // 2 // 4096 * 4096
    for damaged in (whole[:half], whole[:half] + bytes(8 * 4096) + whole[half + 8 * 4096 :]):
        (tmp_path / NAME).write_bytes(damaged)
        with pytest.raises(JournalError, match=r"is damaged"):
            read(tmp_path, lambda reader: (reader.counts(), reader.listed()))


@pytest.mark.parametrize(("column", "value"), [("state", "unheard-of"), ("warnings", "{"), ("changed_at", "never")])
def test_a_row_that_makes_no_sense_is_damage(tmp_path: Path, column: str, value: str) -> None:
    filled(tmp_path, 5)
    with sqlite3.connect(tmp_path / NAME) as database:
        database.execute(f"UPDATE exposures SET {column} = ?", (value,))
    database.close()
    with pytest.raises(JournalError, match=r"is damaged"):
        read(tmp_path, lambda reader: (reader.counts(), reader.listed()))


def test_another_programs_database_and_a_newer_journal_are_refused(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / NAME)
    database.execute("CREATE TABLE bookmarks (url TEXT)")
    database.close()
    with pytest.raises(JournalError, match="another program's database"):
        JournalReader(tmp_path)
    (tmp_path / NAME).unlink()
    Journal(tmp_path).close()
    with sqlite3.connect(tmp_path / NAME) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(JournalError, match=rf"newer version.* version 99.* up to {SCHEMA_VERSION}") as refused:
        JournalReader(tmp_path)
    assert "newer cryoferry" in refused.value.hint


def test_a_folder_of_any_name_can_be_read(tmp_path: Path) -> None:
    for name in ("a b", "50% ?mode=memory#", "Mikroskop ä", "'; --"):
        (tmp_path / name).mkdir()
        Journal(tmp_path / name).close()
        assert read(tmp_path / name, JournalReader.counts)[State.FOUND] == 0


def test_a_folder_without_a_journal_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="there is no journal in"):
        JournalReader(tmp_path)
    assert list(tmp_path.iterdir()) == []
