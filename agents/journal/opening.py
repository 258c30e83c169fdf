"""Opens the journal's database file, creates or migrates its tables, and begins and ends transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from agents.journal.schema import MIGRATIONS, SCHEMA, SCHEMA_VERSION, statements

NAME = "journal.sqlite"
"""The journal's file in the work folder."""


class JournalError(Exception):
    """The journal cannot be used."""

    exit_code: ClassVar[int] = 1
    hint: str = "Look at the work folder; `cryoferry status --work DIR` reads its journal."

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.hint = hint or type(self).hint


class JournalFull(JournalError):
    """The disk of the work folder is full."""

    exit_code = 7
    hint = "Free space on the work folder's disk, then start the same command again; nothing is lost."


class JournalDamaged(JournalError):
    """The journal is damaged, was deleted, or another file lies in its place."""

    exit_code = 7
    hint = (
        "Start the same command again: it sets the journal aside, begins a new one, and asks the receiver which movies"
        " it has. Nothing that was sent is lost."
    )


class JournalUnusable(JournalError):
    """The journal cannot be read or written now: its disk, its permissions, or another process."""

    exit_code = 7
    hint = (
        "Check the disk of the work folder, its permissions and how it is mounted, then start the same command again;"
        " nothing is lost."
    )


JOURNAL_ERRORS = (JournalError, sqlite3.DatabaseError)
"""What the journal's functions raise when it cannot be used: its version or its disk, never an exposure."""

_OF_ONE_VALUE = (sqlite3.DataError, sqlite3.ProgrammingError, sqlite3.IntegrityError)


def concerns_journal(error: Exception) -> bool:
    """Return whether an error concerns the journal as a whole, and not a single value that it does not take."""
    return isinstance(error, JOURNAL_ERRORS) and not isinstance(error, _OF_ONE_VALUE)


@contextmanager
def whole_or_nothing(db: sqlite3.Connection) -> Iterator[None]:
    """Commit everything inside as one transaction, or nothing of it.

    Raises
    ------
    JournalFull
    """
    try:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("COMMIT")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            raise JournalFull(str(error)) from error
        raise
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def open_database(path: Path, *, may_migrate: bool) -> sqlite3.Connection:
    """Open a journal's database with the tables of this version; an empty file gets them.

    Parameters
    ----------
    may_migrate
        Whether the tables of an older version may be changed; not while an agent of that version uses them.

    Raises
    ------
    JournalError
        This version of cryoferry cannot use it.
    """
    db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    db.row_factory = sqlite3.Row
    try:
        db.execute("PRAGMA journal_mode = TRUNCATE")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        with whole_or_nothing(db):
            _create_or_migrate(db, path, may_migrate=may_migrate)
            db.execute("SELECT 1 FROM events LIMIT 1")  # another program's database has no such table
    except sqlite3.DatabaseError as error:
        db.close()
        raise _unusable(path, error) from error
    except JournalError:
        db.close()
        raise
    return db


def _unusable(path: Path, error: sqlite3.DatabaseError) -> JournalError:
    """Return why a journal cannot be opened, and what to do."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return JournalDamaged(f"the journal {path} is damaged: {error}")
    if code == sqlite3.SQLITE_BUSY:
        text = f"the journal {path} is locked by another process for more than 30 s"
        return JournalUnusable(text, hint="Start the same command again.")
    if code != sqlite3.SQLITE_ERROR:
        return JournalUnusable(f"the journal {path} cannot be read and written: {error}")
    return JournalError(f"{path} is not a journal that can be used: {error}")


def _create_or_migrate(db: sqlite3.Connection, path: Path, *, may_migrate: bool) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise JournalError(
            f"{path} was written by a newer version of cryoferry: its schema is version {version}, and this"
            f" cryoferry reads versions up to {SCHEMA_VERSION}",
            hint="Use the newer cryoferry with this work folder, or give another --work.",
        )
    if version == SCHEMA_VERSION:
        return
    if version and not may_migrate:
        raise JournalError(
            f"{path} is used by a running agent of an older version of cryoferry (schema version {version}; this"
            f" cryoferry writes version {SCHEMA_VERSION})",
            hint="Stop that agent and start it again with this version; nothing is lost.",
        )
    scripts = [MIGRATIONS[older] for older in range(version, SCHEMA_VERSION)] if version else [SCHEMA]
    for statement in (statement for script in scripts for statement in statements(script)):
        db.execute(statement)
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
