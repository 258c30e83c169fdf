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


def all_files(database: Database) -> Iterator[list[FileRow]]:
    """Yield batches of all committed files with all their revisions, oldest first."""
    last = 0
    while batch := _read(database, _ROWS.where(files.c.id > last).order_by(files.c.id).limit(BATCH)):
        yield batch
        last = batch[-1].id


def files_without_sha256(database: Database, after: int) -> list[FileRow]:
    """Return a batch of the files whose SHA-256 is not known, from the oldest one above the row number `after` on."""
    wanted = _ROWS.where(files.c.sha256.is_(None), files.c.id > after).order_by(files.c.id)
    return _read(database, wanted.limit(BATCH))


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
