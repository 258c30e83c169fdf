"""Committed files that the disk has lost or changed: notes them, or frees their names so that they are sent again.

The one place that takes back a commit. Nothing is deleted on the disk: what has a file's name and other content is
moved to `DATA/set-aside/TIME/…` first. `data_folder.losses` rises with each loss; agents that see it rise compare what
they have sent with what is there.
"""

from __future__ import annotations

import logging
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from api.database.tables import add_event, data_folder, files, now, sessions, uploads, withdrawn_uploads
from api.store.on_disk import FileOnDisk, FileRow
from api.store.storage import Storage
from transfer.wire.verification import FileCheck

log = logging.getLogger(__name__)

LOST = "file-lost"
"""The kind of the event."""

_RAISE_LOSSES = update(data_folder).values(losses=data_folder.c.losses + 1)
_NOTE = (
    update(files).where(files.c.id == bindparam("file"), files.c.lost_at.is_(None)).values(lost_at=bindparam("moment"))
)
_NOTE_FOUND = update(files).where(files.c.id == bindparam("file")).values(lost_at=None, mtime_ns=bindparam("ns"))
_REMOVE = delete(files).where(files.c.id == bindparam("file"), files.c.digest == bindparam("of_digest"))


def note_lost(connection: Connection, file: FileRow, seen: FileOnDisk) -> bool:
    """Note that a file is missing or changed, and change nothing else; return False if it was noted before."""
    if not connection.execute(_NOTE, {"file": file.id, "moment": now()}).rowcount:
        return False
    connection.execute(_RAISE_LOSSES)
    add_event(connection, file.session_id, LOST, file.path, f"revision {file.revision}: {seen.check}, {seen.detail}")
    log.error("%s is lost: %s, %s", file.name, seen.check.value, seen.detail)
    return True


def note_same(connection: Connection, file: FileRow, seen: FileOnDisk) -> None:
    """Note the time stamp of a file that is as it was committed, and that it is not lost."""
    connection.execute(_NOTE_FOUND, {"file": file.id, "ns": seen.mtime_ns})


def free_lost(
    connection: Connection, storage: Storage, file: FileRow, seen: FileOnDisk, moment: datetime
) -> str | None:
    """Free the name and revision of a file that is missing or changed, so that it can be sent again.

    What has its name on the disk is set aside, within the transaction: nobody else can commit under the name before.

    Parameters
    ----------
    moment
        Names the folder below `set-aside`.

    Returns
    -------
    str or None
        Where its content is now, relative to the data folder; None if there was none.

    Raises
    ------
    OSError
    """
    if not connection.execute(_REMOVE, {"file": file.id, "of_digest": file.digest}).rowcount:
        return None  # it was freed meanwhile
    aside = None if seen.check is FileCheck.MISSING else storage.set_aside(file.location, moment)
    _remove_upload(connection, file)
    connection.execute(
        update(sessions)
        .where(sessions.c.id == file.session_id)
        .values(file_count=sessions.c.file_count - 1, file_bytes=sessions.c.file_bytes - file.size_bytes)
    )
    connection.execute(_RAISE_LOSSES)
    kept = f"; its content is kept as {aside}" if aside else ""
    detail = f"revision {file.revision}: {seen.check}, {seen.detail}{kept}; it can be sent again"
    add_event(connection, file.session_id, LOST, file.path, detail)
    log.error("%s is lost: %s, %s%s; it can be sent again", file.name, seen.check.value, seen.detail, kept)
    return aside


def _remove_upload(connection: Connection, file: FileRow) -> None:
    """Remove the committed upload that holds a file's name; who asks for it learns that it is gone."""
    held = (
        uploads.c.session_id == file.session_id,
        uploads.c.path == file.path,
        uploads.c.revision == file.revision,
    )
    upload_id = connection.scalar(select(uploads.c.id).where(*held))
    if upload_id is not None:
        connection.execute(delete(uploads).where(uploads.c.id == upload_id))
        connection.execute(insert(withdrawn_uploads).values(id=upload_id, session_id=file.session_id, at=now()))
