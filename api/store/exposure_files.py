"""Looks whether the files of published exposures are on the disk, before a claim is answered "committed"."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, bindparam, select

from api.database.tables import exposure_records, exposures, files, sessions
from api.store.lost_files import free_lost, note_same
from api.store.on_disk import FILE_COLUMNS, FileOnDisk, FileRow, file_row, look, must_be_read, read_again
from api.store.storage import Storage
from transfer.wire.verification import FileCheck

READ_AGAIN_BYTES = 256 << 20
"""At most so many bytes are read again, of files with another time stamp, before a request is answered."""

_RECORDS = (
    select(exposures.c.exposure_id, exposure_records.c.record)
    .join(
        exposure_records,
        (exposure_records.c.exposure == exposures.c.id) & (exposure_records.c.revision == exposures.c.revision),
    )
    .where(
        exposures.c.session_id == bindparam("session_id"),
        exposures.c.exposure_id.in_(bindparam("exposure_ids", expanding=True)),
    )
)
_FILES = (
    select(*FILE_COLUMNS)
    .join_from(files, sessions)
    .where(files.c.session_id == bindparam("session_id"), files.c.path.in_(bindparam("paths", expanding=True)))
)


@dataclass
class FoundFiles:
    """What a look at the disk has found.

    Attributes
    ----------
    lost_exposures
        Exposures of whose newest record some file is missing or changed.
    lost, same
        Files of which the database must be told, and how they are.
    """

    lost_exposures: set[UUID] = field(default_factory=set)
    lost: list[tuple[FileRow, FileOnDisk]] = field(default_factory=list)
    same: list[tuple[FileRow, FileOnDisk]] = field(default_factory=list)


def files_of_newest(
    connection: Connection, session_id: int, exposure_ids: Collection[UUID]
) -> dict[UUID, list[FileRow | None]]:
    """Return the files of the newest records of some exposures; None for a file that is not committed any more."""
    if not exposure_ids:
        return {}
    wanted: dict[UUID, list[tuple[str, int]]] = {}
    for row in connection.execute(_RECORDS, {"session_id": session_id, "exposure_ids": list(exposure_ids)}):
        wanted[row.exposure_id] = [(file["path"], file["revision"]) for file in json.loads(row.record)["files"]]
    paths = list({path for named in wanted.values() for path, _ in named})
    rows = [file_row(row) for row in connection.execute(_FILES, {"session_id": session_id, "paths": paths})]
    by_name = {(row.path, row.revision): row for row in rows}
    return {exposure_id: [by_name.get(name) for name in named] for exposure_id, named in wanted.items()}


def find_files(storage: Storage, exposure_files: Mapping[UUID, Sequence[FileRow | None]]) -> FoundFiles:
    """Look at the files of exposures on the disk, and read those again whose time stamp is another one.

    Raises
    ------
    OSError
        The disk reports an error; it says nothing about a file.
    """
    found, left_bytes = FoundFiles(), READ_AGAIN_BYTES
    for exposure_id, rows in exposure_files.items():
        for row in rows:
            if row is None:
                found.lost_exposures.add(exposure_id)
                continue
            seen = look(storage, row)
            if must_be_read(row, seen) and row.size_bytes <= left_bytes:
                left_bytes -= row.size_bytes
                seen = read_again(storage, row, from_disk=False)
            if seen.check in (FileCheck.MISSING, FileCheck.CHANGED):
                found.lost_exposures.add(exposure_id)
                found.lost.append((row, seen))
            elif seen.root is not None or (row.mtime_ns is None and seen.mtime_ns is not None):
                found.same.append((row, seen))
    return found


def note_found(connection: Connection, storage: Storage, found: FoundFiles, moment: datetime) -> None:
    """Tell the database what was found: the names of lost files are free again."""
    for row, seen in found.same:
        note_same(connection, row, seen)
    for row, seen in found.lost:
        free_lost(connection, storage, row, seen, moment)
