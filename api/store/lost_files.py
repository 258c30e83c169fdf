"""Committed files that the disk has lost or changed: notes them, or frees their names so that they are sent again.

The one place that takes back a commit. Nothing is deleted on the disk: what has a file's name and other content is
moved to `DATA/set-aside/TIME/…` first. `data_folder.losses` rises with each loss; agents that see it rise compare what
they have sent with what is there.
"""

from __future__ import annotations

import logging
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, func, insert, or_, select, update

from api.database.tables import (
    add_event,
    committed_uploads,
    data_folder,
    files,
    lost_files,
    now,
    sessions,
    uploads,
    withdrawn_uploads,
)
from api.store.on_disk import FileOnDisk, FileRow
from api.store.storage import Storage, location_of

log = logging.getLogger(__name__)

LOST = "file-lost"
"""The kind of the event."""

_RAISE_LOSSES = update(data_folder).values(losses=data_folder.c.losses + 1)
_NOTE = (
    update(files).where(files.c.id == bindparam("file"), files.c.lost_at.is_(None)).values(lost_at=bindparam("moment"))
)
_NOTE_FOUND = update(files).where(files.c.id == bindparam("file")).values(lost_at=None, mtime_ns=bindparam("ns"))
_REMOVE = delete(files).where(  # SQLite gives the number of a removed row to the next one
    files.c.id == bindparam("file"),
    files.c.digest == bindparam("of_digest"),
    func.coalesce(files.c.sequence, 0) == bindparam("of_commit"),
)
_UPLOADS = select(committed_uploads.c.id).where(committed_uploads.c.file == bindparam("file"))


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
    Only what belongs to other committed files stays: then the name is taken.

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
    upload_ids = connection.scalars(_UPLOADS, {"file": file.id}).all()
    commit = {"file": file.id, "of_digest": file.digest, "of_commit": file.sequence or 0}
    if not connection.execute(_REMOVE, commit).rowcount:
        return None  # it was freed meanwhile
    in_the_way = storage.in_the_way(file.location)
    aside = None
    if in_the_way and not _belongs_to_others(connection, file, in_the_way):
        aside = storage.set_aside(in_the_way, moment)
    for upload_id in upload_ids:  # who asks for it learns that it is gone
        connection.execute(insert(withdrawn_uploads).values(id=upload_id, session_id=file.session_id, at=now()))
    _remember_name(connection, file)
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


def _belongs_to_others(connection: Connection, file: FileRow, location: str) -> bool:
    """Return whether a place belongs to another committed file or open upload, which has it or a place below it.

    What stands in the place of a folder is no folder, and nothing can be below it.
    """
    if location != file.location:
        below = None
        is_theirs = files.c.location == location
    else:
        below = f"{location}/"
        is_theirs = or_(files.c.location == location, files.c.location.startswith(below, autoescape=True))
    if connection.execute(select(files.c.id).where(files.c.session_id == file.session_id, is_theirs).limit(1)).first():
        return True
    named = select(uploads.c.path, uploads.c.revision).where(uploads.c.session_id == file.session_id)
    begun = (location_of(file.session, path, revision) for path, revision in connection.execute(named))
    return any(place == location or (below is not None and place.startswith(below)) for place in begun)


def _remember_name(connection: Connection, file: FileRow) -> None:
    """Remember that this revision was there: it may be sent again, whichever other revisions are there."""
    name = {"session_id": file.session_id, "path": file.path, "revision": file.revision}
    connection.execute(delete(lost_files).filter_by(**name))
    connection.execute(insert(lost_files).values(**name, lost_at=now()))
