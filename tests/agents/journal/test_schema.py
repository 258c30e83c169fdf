"""Journals of older versions become ones of this version, whole or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from agents.journal.journal import Journal
from agents.journal.opening import NAME, JournalError
from agents.journal.schema import MIGRATIONS, SCHEMA_VERSION
from agents.journal.states import State
from agents.work_folder import WorkLock
from tests.agents.journal.old_journal import MOVIES, write_old_journal


@pytest.fixture
def old_work(tmp_path: Path) -> Path:
    """Return a work folder whose journal a cryoferry of schema version 1 wrote: one exposure in each state."""
    return write_old_journal(tmp_path)


def columns(path: Path) -> dict[str, list[tuple[str, str]]]:
    with sqlite3.connect(path) as database:
        tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {
            table: sorted((row[1], row[2]) for row in database.execute(f"PRAGMA table_info({table})"))
            for table in tables
        }
    database.close()
    return found


@pytest.fixture
def journal(old_work: Path) -> Iterator[Journal]:
    journal = Journal(old_work)
    yield journal
    journal.close()


def test_the_states_get_their_new_names_and_nothing_else_changes(journal: Journal) -> None:
    assert {exposure.movie: exposure.state for exposure in journal.exposures()} == {
        "found.tif": State.FOUND,
        "settled.tif": State.FINISHED,
        "aligned.tif": State.ALIGNED,
        "sending.tif": State.SENDING,
        "committed.tif": State.COMMITTED,
        "released.tif": State.RELEASED,
        "rejected.tif": State.HELD,
        "failed.tif": State.FAILED,
    }
    assert {exposure.movie: exposure.exposure_id for exposure in journal.exposures()} == MOVIES
    assert all(exposure.changes == {"settings": {"bin_factor": 2}} for exposure in journal.exposures())
    assert journal.events(MOVIES["settled.tif"]) == [("finished", "why")]
    assert journal.events(MOVIES["rejected.tif"]) == [("held", "why")]
    assert journal.about("session") == "s"
    assert journal.next_revision("a.mrc") == 4


def test_work_goes_on_in_a_migrated_journal(journal: Journal) -> None:
    again = journal.begin_again(MOVIES["rejected.tif"], "a person decided")
    assert again.state == State.FOUND
    failed = journal.change(MOVIES["settled.tif"], State.HELD, "the gain does not fit")
    assert journal.events(failed.exposure_id)[-1] == ("held", "the gain does not fit")


def test_a_migrated_journal_has_the_tables_of_a_new_one(
    old_work: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    new_work = tmp_path_factory.mktemp("new")
    for work in (old_work, new_work):
        Journal(work).close()
        Journal(work).close()  # a second opening changes nothing
    assert columns(old_work / NAME) == columns(new_work / NAME)


def test_every_older_version_can_be_migrated() -> None:
    assert sorted(MIGRATIONS) == list(range(1, SCHEMA_VERSION))


def test_a_migration_that_fails_changes_nothing(old_work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (old_work / NAME).read_bytes()
    monkeypatch.setitem(MIGRATIONS, 1, MIGRATIONS[1] + "ALTER TABLE absent ADD COLUMN x TEXT;\n")
    with pytest.raises(JournalError, match="no such table: absent"):
        Journal(old_work)
    assert (old_work / NAME).read_bytes() == before
    monkeypatch.undo()
    Journal(old_work).close()


def test_a_journal_is_not_migrated_while_an_older_agent_uses_it(old_work: Path) -> None:
    with WorkLock(old_work):  # held by the agent of the older version
        with pytest.raises(
            JournalError, match=rf"running agent of an older version.* 1; .* {SCHEMA_VERSION}"
        ) as refused:
            Journal(old_work, create=False)
        assert "Stop that agent" in refused.value.hint
    journal = Journal(old_work, create=False)  # `status` and `retry` may do it once that agent has ended
    assert UUID(str(MOVIES["found.tif"])) in {exposure.exposure_id for exposure in journal.exposures()}
    journal.close()


def definitions(path: Path) -> set[tuple[str, str]]:
    database = sqlite3.connect(path)
    found = set(database.execute("SELECT type, name FROM sqlite_master"))
    database.close()
    return found


def test_a_migrated_journal_has_the_indexes_and_triggers_of_a_new_one(
    old_work: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    new_work = tmp_path_factory.mktemp("new")
    for work in (old_work, new_work):
        Journal(work).close()
    assert definitions(old_work / NAME) == definitions(new_work / NAME)


def test_a_migrated_journal_counts_what_it_holds(old_work: Path, journal: Journal) -> None:
    assert set(journal.counts().values()) == {1}
    journal.change(MOVIES["sending.tif"], State.COMMITTED)
    assert journal.counts()[State.COMMITTED] == 2
    with sqlite3.connect(old_work / NAME) as database:
        assert database.execute("SELECT sum(movies) FROM sent WHERE minute = 0").fetchone()[0] == 2
    database.close()


def test_what_a_scan_reads_of_all_exposures_comes_from_an_index(journal: Journal) -> None:
    statements: list[str] = []
    journal._db.set_trace_callback(statements.append)
    journal.standing(["a.tiff", "b.tiff"])
    journal.standing(range(1_000_000))
    journal.standing_of_found()
    journal._db.set_trace_callback(None)
    plans = [journal._db.execute(f"EXPLAIN QUERY PLAN {statement}").fetchone()["detail"] for statement in statements]
    assert all("COVERING INDEX exposures_by_movie" in plan for plan in plans[:2])
    assert "USING INDEX exposures_by_" in plans[2]


def test_an_old_journal_knows_no_digests_and_nothing_was_claimed(journal: Journal) -> None:
    for exposure in journal.exposures():
        assert (exposure.sampled_digest, exposure.movie_digest, exposure.receiver_exposure_id) == (None, None, None)
        assert (exposure.published_id, exposure.published_stem) == (exposure.exposure_id, exposure.remote_stem)
        assert exposure.claim_reason == "new"
