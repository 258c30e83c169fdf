"""What follows from what was seen of a committed file on the disk: notes in the database, nothing on the disk."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import bindparam, select, update

from api.database.engine import Database
from api.database.tables import files, sessions
from api.store.lost_files import note_lost, note_same
from api.store.on_disk import FILE_COLUMNS, FileOnDisk, FileRow, file_row, look
from api.store.storage import Storage
from transfer.wire.verification import FileCheck

PROBLEMS = (FileCheck.MISSING, FileCheck.CHANGED)

_ROW = select(*FILE_COLUMNS).join_from(files, sessions).where(files.c.id == bindparam("file"))
_SET_SHA256 = (
    update(files)
    .where(files.c.id == bindparam("file"), files.c.digest == bindparam("of_digest"))
    .values(sha256=bindparam("whole"))
)


def cannot_be_opened(error: OSError) -> FileOnDisk:
    """Return what is known of a file when the system could not even look at it."""
    return FileOnDisk(FileCheck.UNREADABLE, f"it cannot be opened: {error.strerror or error}")


def needs_note(file: FileRow, seen: FileOnDisk) -> bool:
    """Return whether the database does not say yet what was seen of a file."""
    if seen.check is FileCheck.SAME:
        return (file.is_noted_lost and seen.root is not None) or (
            file.mtime_ns != seen.mtime_ns and not seen.is_doubtful
        )
    return seen.check in PROBLEMS and not file.is_noted_lost


def note(database: Database, storage: Storage, seen_files: Iterable[tuple[FileRow, FileOnDisk]]) -> None:
    """Note in the database what was seen of files, in one transaction; a file that was sent again since is left alone.

    Raises
    ------
    StorageFailed
        The whole data folder is missing, so that nothing is known of the files.
    OSError, DBAPIError
    """
    new = [(file, seen) for file, seen in seen_files if needs_note(file, seen)]
    if not new:
        return
    storage.require_mounted()
    with database.write() as connection:
        for file, seen in new:
            row = connection.execute(_ROW, {"file": file.id}).one_or_none()
            if row is None or not _is_same_commit(file_row(row), file):
                continue
            if seen.check is FileCheck.SAME:
                note_same(connection, file, seen)
            elif seen.check is not FileCheck.MISSING or look(storage, file).check is FileCheck.MISSING:
                note_lost(connection, file, seen)


def _is_same_commit(now: FileRow, before: FileRow) -> bool:
    return (now.location, now.digest, now.mtime_ns) == (before.location, before.digest, before.mtime_ns)


def note_sha256(database: Database, computed: Iterable[tuple[FileRow, FileOnDisk]]) -> None:
    """Note the SHA-256 of files that were read to their end and are as they were committed."""
    values = [
        {"file": file.id, "of_digest": file.digest, "whole": seen.sha256}
        for file, seen in computed
        if seen.check is FileCheck.SAME and seen.sha256 is not None and file.sha256 is None
    ]
    if values:
        with database.write() as connection:
            connection.execute(_SET_SHA256, values)
