"""Compares the data folder with its database, both ways: committed files that are lost, and files that no row names.

Only `sessions/NAME/files` and `sessions/NAME/revisions` hold committed files. What registrars make is elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from sqlalchemy import Connection, select, union

from api.checking.committed_rows import BATCH, all_files
from api.checking.findings import cannot_be_opened
from api.database.engine import Database
from api.database.tables import files, sessions, uploads
from api.store.on_disk import FileOnDisk, FileRow, look, read_again
from api.store.storage import Storage, location_of
from transfer.wire.verification import FileCheck

LOOK_BYTES = 4096
"""A look at a file counts like reading so many bytes, in the pace of background work."""

Take = Callable[[int], None]
"""Waits until so many bytes may be read."""


class FindingKind(StrEnum):
    """What is wrong with one file of the data folder."""

    MISSING = "missing"
    CHANGED = "changed"
    UNREADABLE = "unreadable"
    EXTRA = "extra"  # it has the place of a committed file, and no row names it


@dataclass(frozen=True, slots=True)
class FileFinding:
    """One file of the data folder that is not as the database says.

    Attributes
    ----------
    location
        Its path, relative to the data folder.
    file, seen
        The committed file and how it is; None for an extra file.
    """

    kind: FindingKind
    location: str
    detail: str
    file: FileRow | None = None
    seen: FileOnDisk | None = None


def seen_now(storage: Storage, file: FileRow, take: Take, *, deep: bool) -> FileOnDisk:
    """Return how a committed file is: by a look, or by reading it if a look does not decide or `deep` is true."""
    try:
        seen = look(storage, file)
        if seen.check is FileCheck.SAME and (deep or seen.is_doubtful):
            seen = read_again(storage, file, before_read=take)
    except OSError as error:
        return cannot_be_opened(error)
    return seen


def seen_files(
    database: Database, storage: Storage, take: Take, *, deep: bool
) -> Iterator[list[tuple[FileRow, FileOnDisk]]]:
    """Yield how the committed files are, in batches."""
    for batch in all_files(database):
        take(len(batch) * LOOK_BYTES)
        yield [(file, seen_now(storage, file, take, deep=deep)) for file in batch]


def finding_of(file: FileRow, seen: FileOnDisk) -> FileFinding | None:
    """Return what is wrong with a committed file; None if it is as it was committed."""
    if seen.check is FileCheck.SAME:
        return None
    return FileFinding(FindingKind(seen.check.value), file.location, seen.detail, file, seen)


def extra_files(database: Database, storage: Storage, take: Take) -> Iterator[FileFinding]:
    """Yield what has the place of a committed file and is named by no row, neither of a file nor of an upload."""
    for session, places in _places_by_session(storage.data):
        for batch in _batches(places):
            take(len(batch) * LOOK_BYTES)
            with database.read() as connection:
                named = named_locations(connection, session, [path for _, path in batch])
            for location, _ in batch:
                if location not in named:
                    yield FileFinding(FindingKind.EXTRA, location, "the database has no file of this name")


def named_locations(connection: Connection, session: str, paths: Iterable[str]) -> set[str]:
    """Return where the committed files and the open uploads of some paths of a session are, or will be."""
    names = [path for path in paths if _is_text(path)]
    if not names or not _is_text(session):
        return set()
    wanted = union(
        *(
            select(table.c.path, table.c.revision)
            .join_from(table, sessions)
            .where(sessions.c.name == session, table.c.path.in_(names))
            for table in (files, uploads)
        )
    )
    return {location_of(session, path, revision) for path, revision in connection.execute(wanted)}


def _is_text(name: str) -> bool:
    """Return whether a name on the disk can stand in the database at all."""
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes that are no UTF-8
        return False
    return True


Place = tuple[str, str]
"""Something in the place of a committed file: its path relative to the data folder, and its path in the session."""


def _places_by_session(data: Path) -> Iterator[tuple[str, Iterator[Place]]]:
    for session in _sorted_names(data / "sessions"):
        yield session, _places(data, session)


def _places(data: Path, session: str) -> Iterator[Place]:
    top = f"sessions/{session}"
    yield from _below(data, f"{top}/files", "")
    for number in _sorted_names(data / top / "revisions"):
        yield from _below(data, f"{top}/revisions/{number}", "")


def _below(data: Path, top: str, inside: str) -> Iterator[Place]:
    """Yield all that is below a folder and no folder, by name; a symbolic link is never followed."""
    try:
        with os.scandir(data / top / inside) as entries:
            found = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return
    for name, is_folder in found:
        path = f"{inside}/{name}" if inside else name
        if is_folder:
            yield from _below(data, top, path)
        else:
            yield f"{top}/{path}", path


def _sorted_names(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []


def _batches(places: Iterator[Place]) -> Iterator[list[Place]]:
    batch: list[Place] = []
    for place in places:
        batch.append(place)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
