"""Deletes exposures on purpose: their rows and files go, tombstones stay, and nothing of them is accepted again.

One transaction lays the tombstones, removes the rows and changes the counters; from then on nobody can send, claim or
read what was deleted. The files are removed afterwards. A kill in between leaves files that no row names; the same call
again removes them. What registrars have made of an exposure (their projects, and the copies in `registered`) stays.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, Table, delete, insert, select, update

from api.database.engine import Database
from api.database.registrations import change_exposure_count, counted_registrations
from api.database.tables import (
    add_event,
    claimed_exposures,
    committed_uploads,
    exposure_figures,
    exposure_records,
    exposures,
    files,
    lost_files,
    now,
    registrations,
    sessions,
    tombstones,
    uploads,
    withdrawn_uploads,
)
from api.store.judging import remove_verdict
from api.store.receiver_state import no_session
from api.store.storage import Storage
from transfer.wire.errors import NotFound

log = logging.getLogger(__name__)

_A_STATEMENT = 500  # names in one statement: databases limit their number


@dataclass(frozen=True, slots=True)
class Deletion:
    """What a call has deleted; `is_new`: the exposure was not deleted before."""

    is_new: bool
    removed_files: int


def delete_exposure(database: Database, storage: Storage, session: str, exposure_id: UUID, reason: str) -> Deletion:
    """Delete an exposure, published or only claimed, and all revisions of its files; the same again finishes it.

    Parameters
    ----------
    reason
        Why; whoever sends it again is told. The first call's reason stays.

    Raises
    ------
    NotFound
        There is no such session or exposure.
    OSError
        A file could not be removed. Call it again.
    """
    with database.write() as connection:
        session_id = connection.scalar(select(sessions.c.id).where(sessions.c.name == session))
        if session_id is None:
            raise no_session(session)
        is_new = not _is_deleted(connection, session_id, exposure_id)
        paths = _bury(connection, session_id, exposure_id, reason) if is_new else _deleted_paths(connection, session_id)
    if is_new:
        log.info("session %s: exposure %s was deleted on purpose: %r", session, exposure_id, reason)
    locations = (location for path in paths for location in storage.revisions_of(session, path))
    return Deletion(is_new, sum(storage.remove(location) for location in locations))


def _is_deleted(connection: Connection, session_id: int, exposure_id: UUID) -> bool:
    own = tombstones.c.session_id == session_id, tombstones.c.exposure_id == exposure_id
    return connection.execute(select(tombstones.c.id).where(*own)).first() is not None


def _deleted_paths(connection: Connection, session_id: int) -> list[str]:
    wanted = select(tombstones.c.path).where(tombstones.c.session_id == session_id, tombstones.c.path.is_not(None))
    return [path for path in connection.scalars(wanted) if path is not None]


def _bury(connection: Connection, session_id: int, exposure_id: UUID, reason: str) -> list[str]:
    """Lay the tombstones of an exposure and its files, and remove the rows; return the files' paths."""
    key = _key_of(connection, exposures, session_id, exposure_id)
    if key is None and _key_of(connection, claimed_exposures, session_id, exposure_id) is None:
        raise NotFound(f"there is no exposure {exposure_id}", hint="Check the id; list the session's exposures.")
    paths = [] if key is None else _paths_of(connection, key)
    common = {"session_id": session_id, "deleted_at": now(), "reason": reason}
    connection.execute(insert(tombstones).values(exposure_id=exposure_id, **common))
    for path in paths:
        connection.execute(insert(tombstones).values(path=path, **common))
    if key is not None:
        with counted_registrations(connection, session_id, [key]):
            connection.execute(delete(registrations).where(registrations.c.exposure == key))
        remove_verdict(connection, session_id, key)
        for table in (exposure_figures, exposure_records):
            connection.execute(delete(table).where(table.c.exposure == key))
        connection.execute(delete(exposures).where(exposures.c.id == key))
        change_exposure_count(connection, session_id, -1)
    for some in _parts(paths):
        _remove_files(connection, session_id, some)
    add_event(connection, session_id, "exposure-deleted", str(exposure_id), reason)
    return paths


def _key_of(connection: Connection, table: Table, session_id: int, exposure_id: UUID) -> int | None:
    columns = table.c
    wanted = select(columns.id).where(columns.session_id == session_id, columns.exposure_id == exposure_id)
    key: int | None = connection.scalar(wanted)
    return key


def _paths_of(connection: Connection, key: int) -> list[str]:
    """Return the paths of the files of all revisions of an exposure."""
    kept = connection.scalars(select(exposure_records.c.record).where(exposure_records.c.exposure == key))
    return sorted({file["path"] for record in kept for file in json.loads(record)["files"]})


def _parts(paths: list[str]) -> Iterable[list[str]]:
    return (paths[start : start + _A_STATEMENT] for start in range(0, len(paths), _A_STATEMENT))


def _remove_files(connection: Connection, session_id: int, paths: Collection[str]) -> None:
    """Remove the rows of files and of the uploads of them, whose clients learn that they are gone."""
    named = files.c.session_id == session_id, files.c.path.in_(paths)
    rows = connection.execute(select(files.c.id, files.c.size_bytes).where(*named)).all()
    of_files = select(committed_uploads.c.id).where(committed_uploads.c.file.in_([row.id for row in rows]))
    begun = select(uploads.c.id).where(uploads.c.session_id == session_id, uploads.c.path.in_(paths))
    for upload_id in (*connection.scalars(of_files).all(), *connection.scalars(begun).all()):
        connection.execute(insert(withdrawn_uploads).values(id=upload_id, session_id=session_id, at=now()))
    connection.execute(delete(files).where(*named))
    connection.execute(delete(uploads).where(uploads.c.session_id == session_id, uploads.c.path.in_(paths)))
    connection.execute(delete(lost_files).where(lost_files.c.session_id == session_id, lost_files.c.path.in_(paths)))
    connection.execute(
        update(sessions)
        .where(sessions.c.id == session_id)
        .values(
            file_count=sessions.c.file_count - len(rows),
            file_bytes=sessions.c.file_bytes - sum(row.size_bytes for row in rows),
        )
    )
