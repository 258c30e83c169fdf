"""Exposures in a receiver's database, published by its own function, without files on a disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import Connection, insert

from api.database.engine import Database
from api.database.migrate import upgrade
from api.database.tables import files, now, sessions
from tests.records import record_of_files
from transfer.wire.exposure_record import ExposureRecord

DIGEST = "0" * 64
_NAMESPACE = UUID(int=1)


def database_with_sessions(url: str, folder: Path, count: int) -> Database:
    """Return a database with the sessions s1, s2, …, whose keys are 1, 2, …; each has one committed file."""
    database = Database(url)
    upgrade(database, folder)
    with database.write() as connection:
        for number in range(1, count + 1):
            connection.execute(insert(sessions).values(id=number, name=f"s{number}", state="open", created_at=now()))
            add_file(connection, number, "a.mrc")
    return database


def add_file(connection: Connection, session_id: int, path: str, revision: int = 1) -> None:
    """Add the row of a committed file of one byte."""
    file = {"path": path, "revision": revision, "size_bytes": 1, "digest": DIGEST, "location": path}
    connection.execute(insert(files).values(session_id=session_id, committed_at=now(), **file))


def record_of(number: int, revision: int = 1, **more: Any) -> ExposureRecord:
    """Return the record of an exposure that names the file `a.mrc`."""
    file = {"path": "a.mrc", "revision": 1, "size_bytes": 1, "digest": DIGEST}
    known = {"revision": revision, "movie": f"{number}.tiff", "label": f"{number}"}
    return ExposureRecord.model_validate(record_of_files(uuid5(_NAMESPACE, str(number)), [file], **(known | more)))
