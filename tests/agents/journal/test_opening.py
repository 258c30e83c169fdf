"""Which files are opened as a journal, and what their transactions do."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from agents.journal.opening import JournalError, open_database, whole_or_nothing
from agents.journal.schema import SCHEMA_VERSION


def make(path: Path, version: int) -> Path:
    """Write a database of that version without a table."""
    database = sqlite3.connect(path)
    database.execute(f"PRAGMA user_version = {version}")
    database.close()
    return path


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "j").write_bytes(b"not a database, though long enough to be looked at as one" * 20)
    with pytest.raises(JournalError, match="is damaged: file is not a database"):
        open_database(tmp_path / "j", may_migrate=True)


def test_a_database_without_the_journals_tables_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="not a journal that can be used: no such table"):
        open_database(make(tmp_path / "j", SCHEMA_VERSION), may_migrate=True)


def test_a_journal_of_a_newer_version_is_refused_and_both_versions_are_named(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=rf"newer version.* version 99.* up to {SCHEMA_VERSION}") as refused:
        open_database(make(tmp_path / "j", 99), may_migrate=True)
    assert "newer cryoferry" in refused.value.hint


def test_a_transaction_is_committed_whole_or_not_at_all(tmp_path: Path) -> None:
    db = open_database(tmp_path / "j", may_migrate=True)
    with whole_or_nothing(db):
        db.execute("INSERT INTO about VALUES ('kept', '1')")

    def insert_and_fail() -> None:
        with whole_or_nothing(db):
            db.execute("INSERT INTO about VALUES ('lost', '1')")
            raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        insert_and_fail()
    assert [row["key"] for row in db.execute("SELECT key FROM about")] == ["kept"]
    db.close()
