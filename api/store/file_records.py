"""Adds committed files to the database, with all that changes with them: sequence number, counters, event.

`lost_files.py` takes them back. Statements are built once, with parameters.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection, bindparam, func, insert, select, update

from api.database.tables import add_event, data_folder, files, now, sessions
from api.store.on_disk import FileRow
from api.store.upload import Upload

_ADD = insert(files)
_COUNT = (
    update(sessions)
    .where(sessions.c.id == bindparam("of_session"))
    .values(file_count=sessions.c.file_count + 1, file_bytes=sessions.c.file_bytes + bindparam("added_bytes"))
)
_NEXT = (
    update(data_folder)
    .where(data_folder.c.id == 1)
    .values(sequence=data_folder.c.sequence + 1)
    .returning(data_folder.c.sequence, data_folder.c.folder_id)
)


def add_file(connection: Connection, upload: Upload, root_digest: str, mtime_ns: int) -> tuple[FileRow, UUID | None]:
    """Record the published file of an upload; return its row and the data folder's id.

    Parameters
    ----------
    mtime_ns
        The published file's time stamp.
    """
    sequence, folder_id = _next_sequence(connection)
    file = {
        "session_id": upload.session_id,
        "path": upload.path,
        "revision": upload.revision,
        "size_bytes": upload.size_bytes,
        "digest": root_digest,
        "location": upload.location,
        "committed_at": now(),
        "sequence": sequence,
        "mtime_ns": mtime_ns,
    }
    added = connection.execute(_ADD, file).inserted_primary_key
    assert added is not None
    connection.execute(_COUNT, {"of_session": upload.session_id, "added_bytes": upload.size_bytes})
    detail = f"revision {upload.revision}, {upload.size_bytes} bytes"
    add_event(connection, upload.session_id, "file-committed", upload.path, detail)
    return _row_of(upload, added[0], root_digest, sequence, mtime_ns), folder_id


def _row_of(upload: Upload, file_id: int, root_digest: str, sequence: int, mtime_ns: int) -> FileRow:
    return FileRow(
        id=file_id,
        session_id=upload.session_id,
        session=upload.session,
        path=upload.path,
        revision=upload.revision,
        size_bytes=upload.size_bytes,
        digest=root_digest,
        location=upload.location,
        mtime_ns=mtime_ns,
        sha256=None,
        sequence=sequence,
        is_noted_lost=False,
    )


def _next_sequence(connection: Connection) -> tuple[int, UUID | None]:
    """Raise the number of the newest commit in the data folder; return it, and the folder's id."""
    if row := connection.execute(_NEXT).one_or_none():
        return row.sequence, row.folder_id
    sequence = (connection.scalar(select(func.max(files.c.id))) or 0) + 1
    first = {"id": 1, "folder_id": None, "sequence": sequence, "losses": 0, "file_check": ""}
    connection.execute(insert(data_folder).values(first))
    return sequence, None
