"""Files: open, read, write, sync, make in one step."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

from transfer.disk.flags import BINARY, FOLDER, NO_BLOCK, NO_FOLLOW

_HAS_POSITIONED_READS = hasattr(os, "pread")
_NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK)
_seeking = threading.Lock()


# open, read, write


def open_to_read(path: Path) -> int:
    """Return a descriptor of a file, open for reading. It never waits for the writer of a pipe.

    Raises
    ------
    OSError
    """
    return os.open(path, os.O_RDONLY | BINARY | NO_BLOCK)


def open_to_write(path: Path, *, create: bool = False, exclusive: bool = False, mode: int = 0o644) -> int:
    """Return a descriptor of a file, open for reading and writing; a symbolic link is not followed.

    Parameters
    ----------
    create
        Make the file if it does not exist, with the permissions `mode`.
    exclusive
        Make the file, which must not exist.

    Raises
    ------
    FileExistsError
        The file exists and `exclusive` is true.
    FileNotFoundError
        The file does not exist and is not to be made.
    OSError
    """
    flags = os.O_RDWR | BINARY | NO_FOLLOW
    if create or exclusive:
        flags |= os.O_CREAT
    if exclusive:
        flags |= os.O_EXCL
    return os.open(path, flags, mode)


def read_at(descriptor: int, size_bytes: int, offset: int) -> bytes:
    """Return at most `size_bytes` bytes of an open file from `offset` on; nothing at the file's end."""
    if _HAS_POSITIONED_READS:
        return os.pread(descriptor, size_bytes, offset)
    with _seeking:
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.read(descriptor, size_bytes)


def read_into_at(descriptor: int, buffer: memoryview, offset: int) -> int:
    """Read bytes of an open file from `offset` on into a buffer; return how many, 0 at the file's end."""
    if _HAS_POSITIONED_READS:
        return os.preadv(descriptor, [buffer], offset)
    block = read_at(descriptor, len(buffer), offset)
    buffer[: len(block)] = block
    return len(block)


def write_at(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write all bytes of `data` into an open file, from `offset` on.

    Raises
    ------
    OSError
    """
    rest = memoryview(data)
    while rest:
        written = _write_some_at(descriptor, rest, offset)
        if written == 0:
            raise OSError(errno.EIO, "the disk took no bytes")
        rest, offset = rest[written:], offset + written


def _write_some_at(descriptor: int, data: memoryview, offset: int) -> int:
    if _HAS_POSITIONED_READS:
        return os.pwrite(descriptor, data, offset)
    with _seeking:
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.write(descriptor, data)


def may_have_holes(descriptor: int, size_bytes: int) -> bool:
    """Return whether a file of this size may have parts that were never written; True where the system cannot say."""
    if not hasattr(os, "SEEK_HOLE"):
        return size_bytes > 0
    return size_bytes > 0 and os.lseek(descriptor, 0, os.SEEK_HOLE) < size_bytes


# sync


def file_identity(status: os.stat_result) -> str:
    """Return what tells a file from others, on this machine and on those that have its folder mounted.

    It is the inode, with the time stamp in whole seconds because some network file systems keep no fractions.
    """
    return f"{status.st_ino}-{int(status.st_mtime)}"


def sync_descriptor(descriptor: int) -> None:
    """Wait until everything that was written to an open file is on the disk.

    Raises
    ------
    OSError
    """
    os.fsync(descriptor)


def sync_file(path: Path) -> None:
    """Wait until everything that was written to a file is on the disk.

    Raises
    ------
    OSError
    """
    flags = os.O_RDONLY if FOLDER is not None else os.O_RDWR  # Windows syncs what is open for writing only
    descriptor = os.open(path, flags | BINARY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Wait until a folder's entries are on the disk. Windows cannot sync a folder; there this does nothing.

    Raises
    ------
    OSError
    """
    if FOLDER is None:
        return
    descriptor = os.open(folder, os.O_RDONLY | FOLDER)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def forget_cached(descriptor: int) -> bool:
    """Have the system forget what it keeps in memory of an open, synced file, so that the next reads ask the disk.

    Return whether the system can do that. Parts that are mapped or not yet on the disk stay in memory.

    Raises
    ------
    OSError
    """
    if not hasattr(os, "posix_fadvise"):
        return False
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    return True


# make in one step


def make_file(path: Path, write: Callable[[Path], None]) -> None:
    """Make or replace a file in one step: other programs see all of it or nothing, also after a power cut.

    Parameters
    ----------
    path
        The file. Its folder is made if need be.
    write
        Makes the file under the temporary name that it is given.

    Raises
    ------
    OSError
    """
    temporary = _temporary_beside(path)
    write(temporary)
    sync_file(temporary)
    temporary.replace(path)
    sync_folder(path.parent)


def make_link(path: Path, target: Path) -> None:
    """Make `path` a relative symbolic link to `target`; an existing link is replaced in one step.

    Raises
    ------
    OSError
    """
    way = os.path.relpath(target, path.parent)
    if path.is_symlink() and os.readlink(path) == way:  # noqa: PTH115 - Path.readlink normalizes
        return
    temporary = _temporary_beside(path)
    temporary.symlink_to(way)
    temporary.replace(path)
    sync_folder(path.parent)


def _temporary_beside(path: Path) -> Path:
    """Return a free temporary name in the folder of `path`, which exists afterwards."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    return temporary


def name_new_file(written: Path, path: Path) -> None:
    """Give a synced file the name `path` in the same file system; an existing file is never replaced.

    The name is on the disk on return. The old name may remain: the caller removes it. On a file system without hard
    links the name is checked first and the file then renamed; a file that appears in between would be replaced.

    Raises
    ------
    FileExistsError
        Another file has that name.
    OSError
    """
    try:
        os.link(written, path)
    except OSError as error:
        if isinstance(error, FileExistsError) or error.errno not in _NO_HARD_LINKS:
            raise
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from error
        written.rename(path)
    sync_folder(path.parent)
