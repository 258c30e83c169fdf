"""Which errors say something about the agent's own machine, and what to do then."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from agents.journal.opening import JournalDamaged, JournalFull
from agents.own_faults import WorkFolderFault, own_fault

WORK = Path("/work-folder")


def sqlite_error(code: int) -> sqlite3.DatabaseError:
    error = sqlite3.OperationalError("what SQLite says")
    error.sqlite_errorcode = code
    return error


def os_error(number: int, path: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), path)


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (os_error(errno.ENOSPC), "Free space"),
        (os_error(errno.EDQUOT, "/work-folder/exposures/a"), "Free space"),
        (os_error(errno.EROFS), "how it is mounted"),
        (os_error(errno.EIO, "/work-folder/journal.sqlite"), "Check the disk"),
        (os_error(errno.EFBIG, "/work-folder/exposures/a"), "ulimit -f"),
        (os_error(errno.EACCES, "/work-folder/exposures/a"), "permissions"),
        (os_error(errno.ENOENT, "/work-folder/exposures"), "put back"),
        (os_error(errno.EEXIST, "/work-folder/exposures"), "put back"),
        (os_error(errno.EMFILE, "/share/a.mrc"), "ulimit -n"),
        (os_error(errno.ENFILE), "ulimit -n"),
        (os_error(errno.ENOMEM), "fewer --workers"),
        (MemoryError(), "Free memory"),
        (RuntimeError("can't start new thread"), "ulimit -u"),
        (WorkFolderFault("not written"), "Check the disk"),
        (JournalFull("full"), "Free space"),
        (sqlite_error(sqlite3.SQLITE_FULL), "Free space"),
        (sqlite_error(sqlite3.SQLITE_IOERR_FSYNC), "ulimit -f"),
        (sqlite_error(sqlite3.SQLITE_READONLY_ROLLBACK), "how it is mounted"),
        (sqlite_error(sqlite3.SQLITE_CANTOPEN), "permissions"),
    ],
)
def test_the_agent_waits_and_says_what_to_do(error: BaseException, hint: str) -> None:
    fault = own_fault(error, WORK)
    assert fault is not None
    assert hint in fault.hint
    assert fault.text
    assert not fault.is_journal_lost


@pytest.mark.parametrize(
    "error",
    [
        JournalDamaged("gone"),
        sqlite_error(sqlite3.SQLITE_CORRUPT),
        sqlite_error(sqlite3.SQLITE_CORRUPT_INDEX),
        sqlite_error(sqlite3.SQLITE_NOTADB),
        sqlite_error(sqlite3.SQLITE_READONLY_DBMOVED),
    ],
)
def test_a_journal_that_is_damaged_or_replaced_is_lost(error: Exception) -> None:
    fault = own_fault(error, WORK)
    assert fault is not None
    assert fault.is_journal_lost


@pytest.mark.parametrize(
    "error",
    [
        os_error(errno.EIO, "/share/a.mrc"),
        os_error(errno.EIO),
        os_error(errno.ENOENT, "/share/a.mrc"),
        os_error(errno.ESTALE, "/work-folders/a"),
        RuntimeError("something else"),
        ValueError("a defect"),
        sqlite3.ProgrammingError("a defect"),
    ],
)
def test_other_errors_say_nothing_about_the_machine(error: Exception) -> None:
    assert own_fault(error, WORK) is None
