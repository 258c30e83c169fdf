"""Tells errors of the agent's own machine from others: its disk, its journal, its memory, its open files.

None of them says anything about a movie. Most pass, so the agent waits; a damaged journal is replaced by a new one.
"""

from __future__ import annotations

import errno
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from agents.journal.opening import JournalDamaged, JournalError, JournalFull
from transfer.machine_limits import denial_of

OWN_ERRORS = (OSError, MemoryError, RuntimeError, ImportError, JournalError, sqlite3.DatabaseError)
"""Classes of errors that may be such a fault; `own_fault` decides."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_DISK = frozenset({errno.EROFS, errno.EIO, errno.EFBIG, errno.ENODEV, errno.ENXIO, errno.EACCES, errno.EPERM})
_CHANGED = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ELOOP})
_NO_FILES = frozenset({errno.EMFILE, errno.ENFILE})
_NO_MEMORY = frozenset({errno.ENOMEM, errno.EAGAIN})
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_SCHEMA})
_WAITS = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_NOMEM,
    }
)
_FREE_SPACE = "Free space on that disk."
_CHECK_DISK = "Check the disk of the work folder, its permissions, and how it is mounted."
_CHECK_DISK_OR_LIMIT = f"{_CHECK_DISK} If it has no fault, raise the limit of file sizes (`ulimit -f`)."
_RAISE_LIMIT = "Raise the limit (`ulimit -n`, or LimitNOFILE= of the service)."


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnFault:
    """A fault of the agent's own machine.

    Attributes
    ----------
    text
        What is wrong, for people.
    hint
        What to do.
    is_journal_lost
        Whether the journal cannot be used any more, so that a new one has to be begun.
    """

    text: str
    hint: str
    is_journal_lost: bool = False


class WorkFolderFault(Exception):
    """A worker could not write to the work folder."""


def own_fault(error: BaseException, work: Path) -> OwnFault | None:
    """Return the fault of the agent's own machine that an error shows; None: it shows none."""
    match error:
        case sqlite3.DatabaseError():
            return _of_sqlite(error)
        case JournalError():
            return _of_journal(error, work)
        case OSError():
            return _of_system(error, work)
        case _:
            return _of_process(error)


def _of_journal(error: JournalError, work: Path) -> OwnFault | None:
    if isinstance(error, JournalDamaged):
        return OwnFault(text=str(error), hint="", is_journal_lost=True)
    if isinstance(error, JournalFull):
        return OwnFault(text=f"the disk of the work folder {work} is full", hint=_FREE_SPACE)
    return None


def _of_process(error: BaseException) -> OwnFault | None:
    if isinstance(error, WorkFolderFault):
        return OwnFault(text=str(error), hint="Check the disk of the work folder.")
    if (denial := denial_of(error)) is not None:
        return OwnFault(text=denial.text, hint=f"{denial.what_to_do} Fewer --workers need less.")
    return None


def _of_sqlite(error: sqlite3.DatabaseError) -> OwnFault | None:
    extended = getattr(error, "sqlite_errorcode", None)
    if extended is None:
        return None
    code = extended & 0xFF
    if code in _DAMAGED or extended == sqlite3.SQLITE_READONLY_DBMOVED:
        return OwnFault(text=f"the journal is damaged ({error})", hint="", is_journal_lost=True)
    if code == sqlite3.SQLITE_FULL:
        return OwnFault(text="the disk of the work folder is full: the journal cannot be written", hint=_FREE_SPACE)
    if code in _WAITS:
        hint = _CHECK_DISK_OR_LIMIT if code == sqlite3.SQLITE_IOERR else _CHECK_DISK
        return OwnFault(text=f"the journal in the work folder cannot be used ({error})", hint=hint)
    return None


def _of_system(error: OSError, work: Path) -> OwnFault | None:
    where = str(error.filename) if error.filename else str(work)
    if error.errno in _NO_FILES:
        return OwnFault(text=f"too many files are open ({error.strerror})", hint=_RAISE_LIMIT)
    if error.errno in _NO_MEMORY:
        return OwnFault(text=f"the machine has too little memory ({error.strerror})", hint="Run fewer --workers.")
    if error.errno in _FULL:  # the agent writes nowhere but to its work folder
        return OwnFault(text=f"{where} cannot be written: {error.strerror}", hint=_FREE_SPACE)
    is_ours = Path(where).is_relative_to(work) if error.filename else False
    if error.errno == errno.EROFS or (error.errno in _DISK and is_ours):
        hint = _CHECK_DISK_OR_LIMIT if error.errno == errno.EFBIG else _CHECK_DISK
        return OwnFault(text=f"{where} cannot be used: {error.strerror}", hint=hint)
    if error.errno in _CHANGED and is_ours:
        hint = "Another program changed the agent's work folder: put back what it changed, or give another --work."
        return OwnFault(text=f"{where} is missing or something else: {error.strerror}", hint=hint)
    return None
