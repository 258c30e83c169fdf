"""Reads the rows of committed files in batches, so that a check of all files never holds all rows in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import Select, and_, distinct, exists, func, select

from api.database.engine import Database
from api.database.tables import files, sessions
from api.store.on_disk import FILE_COLUMNS, FileRow, file_row

BATCH = 500

_newer = files.alias("newer")
_ROWS = select(*FILE_COLUMNS).join_from(files, sessions)
_IS_NEWEST = ~exists().where(
    _newer.c.session_id == files.c.session_id,
    _newer.c.path == files.c.path,
    _newer.c.revision > files.c.revision,
)
WITHOUT_SHA256 = _ROWS.where(files.c.sha256.is_(None), files.c.lost_at.is_(None)).order_by(files.c.id)
NOTED_LOST = _ROWS.where(files.c.lost_at.is_not(None)).order_by(files.c.id)
COUNT_NOTED_LOST = select(func.count()).where(files.c.lost_at.is_not(None))


def all_files(database: Database) -> Iterator[list[FileRow]]:
    """Yield batches of all committed files with all their revisions, oldest first."""
    last = 0
    while batch := _read(database, _ROWS.where(files.c.id > last).order_by(files.c.id).limit(BATCH)):
        yield batch
        last = batch[-1].id


def files_without_sha256(database: Database, after: int) -> list[FileRow]:
    """Return a batch of the files that have no SHA-256 yet and are not lost, by row number, from `after` on."""
    return _read(database, WITHOUT_SHA256.where(files.c.id > after).limit(BATCH))


def files_noted_lost(database: Database) -> list[FileRow]:
    """Return the first files that were noted as lost, at most a batch."""
    return _read(database, NOTED_LOST.limit(BATCH))


def count_noted_lost(database: Database) -> int:
    """Return how many files were noted as lost and are still missing or changed."""
    with database.read() as connection:
        return int(connection.scalar(COUNT_NOTED_LOST) or 0)


def sessions_with_files(database: Database) -> list[str]:
    """Return the names of the sessions that have committed files."""
    with database.read() as connection:
        wanted = select(sessions.c.name).where(exists().where(files.c.session_id == sessions.c.id))
        return list(connection.scalars(wanted))


def files_of_session(database: Database, session_id: int) -> Iterator[list[FileRow]]:
    """Yield batches of the newest revision of each committed file of a session, by path."""
    last = ""
    while True:
        wanted = _ROWS.where(files.c.session_id == session_id, files.c.path > last, _IS_NEWEST)
        batch = _read(database, wanted.order_by(files.c.path).limit(BATCH))
        if not batch:
            return
        yield batch
        last = batch[-1].path


def named_files(database: Database, session_id: int, paths: Sequence[str]) -> Iterator[tuple[list[FileRow], list[str]]]:
    """Yield batches of the newest revision of the files that have these paths, and the paths that no file has."""
    for start in range(0, len(paths), BATCH):
        names = paths[start : start + BATCH]
        wanted = _ROWS.where(and_(files.c.session_id == session_id, files.c.path.in_(names), _IS_NEWEST))
        found = _read(database, wanted.order_by(files.c.path))
        yield found, sorted(set(names) - {file.path for file in found})


def count_files(database: Database, session_id: int) -> int:
    """Return how many paths of a session have committed files."""
    with database.read() as connection:
        wanted = select(func.count(distinct(files.c.path))).where(files.c.session_id == session_id)
        return int(connection.scalar(wanted) or 0)


def _read(database: Database, wanted: Select[tuple[object, ...]]) -> list[FileRow]:
    with database.read() as connection:
        return [file_row(row) for row in connection.execute(wanted)]
