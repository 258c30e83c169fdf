"""How a committed file is on the disk: by a look at its size and time stamp, or by reading all of it again."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from api.database.tables import files, sessions
from api.store.storage import StatusReader, Storage
from transfer.disk.files import file_identity, forget_cached, read_at, sync_descriptor
from transfer.wire.chunks import split
from transfer.wire.digest import new_hasher, root_digest
from transfer.wire.errors import NameTaken, NotFound
from transfer.wire.verification import FileCheck

READ_BYTES = 1 << 20

FILE_COLUMNS = (
    files.c.id,
    files.c.session_id,
    sessions.c.name.label("session"),
    files.c.path,
    files.c.revision,
    files.c.size_bytes,
    files.c.digest,
    files.c.location,
    files.c.mtime_ns,
    files.c.sha256,
    files.c.sequence,
    files.c.lost_at,
)
"""What a statement selects to make `FileRow`s; it joins `files` with `sessions`."""


@dataclass(frozen=True, slots=True)
class FileRow:
    """One row of `files`, with its session's name.

    Attributes
    ----------
    mtime_ns
        The file's time stamp at its commit; None if an older version committed it.
    sequence
        The number of its commit; None if an older version committed it.
    is_noted_lost
        Whether it was noted before that the disk has lost it.
    """

    id: int
    session_id: int
    session: str
    path: str
    revision: int
    size_bytes: int
    digest: str
    location: str
    mtime_ns: int | None
    sha256: str | None
    sequence: int | None
    is_noted_lost: bool

    @property
    def name(self) -> str:
        """The file's name in messages."""
        return f"{self.session}/{self.path}" + (f" revision {self.revision}" if self.revision > 1 else "")


_NAMES = tuple(column.name for column in FILE_COLUMNS[:-1])


def file_row(row: Any, prefix: str = "") -> FileRow:
    """Return the file of a row that has the columns `FILE_COLUMNS`, their names perhaps behind a prefix."""
    values = {name: getattr(row, prefix + name) for name in _NAMES}
    return FileRow(**values, is_noted_lost=getattr(row, f"{prefix}lost_at") is not None)


class FileOnDisk(NamedTuple):
    """How a file is on the disk.

    Attributes
    ----------
    mtime_ns
        Its time stamp now; None if there is no such file.
    is_doubtful
        Its size is right, but its time stamp is not the one at its commit, or it was noted as lost: only reading it can
        decide.
    root, sha256
        The digests of what was read, in hex; None if it was not read to its end.
    identity
        Tells it from other files, see `transfer.disk.files.file_identity`; None unless its size is right.
    """

    check: FileCheck
    detail: str = ""
    mtime_ns: int | None = None
    is_doubtful: bool = False
    root: str | None = None
    sha256: str | None = None
    identity: str | None = None


def look(storage: Storage | StatusReader, file: FileRow) -> FileOnDisk:
    """Return how a file is by its size and its time stamp. A file without a known time stamp is judged by its size.

    Parameters
    ----------
    storage
        The data folder, or what reads the status of many files there.
    file
        The file.

    Raises
    ------
    OSError
        The disk reports an error; it says nothing about the file.
    """
    try:
        status = storage.status(file.location)
    except NotFound:
        return FileOnDisk(FileCheck.MISSING, "it is not on the disk")
    except NameTaken as error:
        return FileOnDisk(FileCheck.MISSING, str(error))
    return _judged(file, status)


def _judged(file: FileRow, status: os.stat_result) -> FileOnDisk:
    if not stat.S_ISREG(status.st_mode):
        return FileOnDisk(FileCheck.CHANGED, "it is no regular file any more", status.st_mtime_ns)
    if status.st_size != file.size_bytes:
        detail = f"it has {status.st_size} bytes; {file.size_bytes} were committed"
        return FileOnDisk(FileCheck.CHANGED, detail, status.st_mtime_ns)
    is_doubtful = file.is_noted_lost or file.mtime_ns not in (None, status.st_mtime_ns)
    return FileOnDisk(FileCheck.SAME, "", status.st_mtime_ns, is_doubtful, identity=file_identity(status))


def must_be_read(file: FileRow, seen: FileOnDisk) -> bool:
    """Return whether a look does not tell if a file is as it was committed.

    So it is with another time stamp, and after the file was noted as lost: reading may have found other bytes.
    """
    return seen.is_doubtful or (seen.check is FileCheck.SAME and file.is_noted_lost)


def read_again(
    storage: Storage,
    file: FileRow,
    *,
    before_read: Callable[[int], None] | None = None,
    from_disk: bool = True,
) -> FileOnDisk:
    """Read a committed file to its end, and compare its root digest with the one at its commit.

    Parameters
    ----------
    before_read
        Called before each read with the number of bytes; it may wait, or raise to end the reading.
    from_disk
        Have the system forget first what it keeps of the file in memory, so that the disk's own bytes are read, and
        afterwards what was read.

    Raises
    ------
    OSError
        The file may be there, and the system cannot open it: too many open files, no permission, an unmounted disk.
    """
    seen = look(storage, file)
    if seen.check is not FileCheck.SAME:
        return seen
    try:
        descriptor = storage.open_committed(file.location)
    except (NotFound, NameTaken) as error:
        return FileOnDisk(FileCheck.MISSING, str(error))
    except OSError as error:
        if error.errno == errno.ELOOP:
            return FileOnDisk(FileCheck.CHANGED, "a symbolic link is in its place")
        raise
    try:
        seen = _judged(file, os.fstat(descriptor))
        if seen.check is not FileCheck.SAME:
            return seen
        return _compared(file, descriptor, seen, before_read or (lambda _: None), from_disk=from_disk)
    finally:
        os.close(descriptor)


def _compared(
    file: FileRow, descriptor: int, seen: FileOnDisk, before_read: Callable[[int], None], *, from_disk: bool
) -> FileOnDisk:
    try:
        if from_disk:
            sync_descriptor(descriptor)  # only what is on the disk can be forgotten
            forget_cached(descriptor)
        root, sha256 = _digests(descriptor, file.size_bytes, before_read)
        if from_disk:
            forget_cached(descriptor)  # others may need the memory
    except EOFError:
        return FileOnDisk(FileCheck.CHANGED, "it became shorter while it was read", seen.mtime_ns)
    except OSError as error:
        return FileOnDisk(FileCheck.UNREADABLE, f"the disk reports: {error.strerror or error}", seen.mtime_ns)
    if root != file.digest:
        detail = f"its root digest is {root}; {file.digest} was committed"
        return FileOnDisk(FileCheck.CHANGED, detail, seen.mtime_ns, root=root, sha256=sha256)
    return FileOnDisk(FileCheck.SAME, "", seen.mtime_ns, root=root, sha256=sha256)


def _digests(descriptor: int, size_bytes: int, before_read: Callable[[int], None]) -> tuple[str, str]:
    """Return the root digest and the SHA-256 of an open file, in hex, in one read."""
    chunks, whole = [], hashlib.sha256()
    for span in split(size_bytes):
        chunk, offset = new_hasher("blake3"), span.start
        while offset < span.stop:
            wanted = min(READ_BYTES, span.stop - offset)
            before_read(wanted)
            block = read_at(descriptor, wanted, offset)
            if not block:
                raise EOFError
            chunk.update(block)
            whole.update(block)
            offset += len(block)
        chunks.append(chunk.digest())
    return root_digest(chunks), whole.hexdigest()
