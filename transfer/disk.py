"""Files, folders and locks on a disk: open, read, write, sync, make in one step, lock.

Every call for files that exists only on POSIX systems is in this module; `transfer.platform` holds the others. The
module can be imported everywhere. Where a system lacks a call, a function uses a portable one instead, or raises
OSError with the reason. Nobody has run the replacements on Windows; tests run most of them on Linux.
"""

from __future__ import annotations

import errno
import importlib
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from struct import pack
from types import TracebackType
from typing import Any, Self

try:
    import fcntl

    _HAS_FCNTL = True
except ImportError:
    _HAS_FCNTL = False

_HAS_POSITIONED_READS = hasattr(os, "pread")
_BINARY = getattr(os, "O_BINARY", 0)  # Windows opens descriptors as text without it
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_NO_BLOCK = getattr(os, "O_NONBLOCK", 0)
_FOLDER = getattr(os, "O_DIRECTORY", None)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK)
_LOCK_OFFSET = 1 << 30  # Windows refuses reads of locked bytes: the locked byte is far behind a lock file's content
_seeking = threading.Lock()


def is_full(error: OSError) -> bool:
    """Return whether a disk or a quota is full."""
    return error.errno in _FULL


def _unsupported(what: str) -> OSError:
    return OSError(errno.ENOTSUP, f"this system cannot {what}")


# open, read, write


def open_to_read(path: Path) -> int:
    """Return a descriptor of a file, open for reading. It never waits for the writer of a pipe.

    Raises
    ------
    OSError
    """
    return os.open(path, os.O_RDONLY | _BINARY | _NO_BLOCK)


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
    flags = os.O_RDWR | _BINARY | _NO_FOLLOW
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
    flags = os.O_RDONLY if _FOLDER is not None else os.O_RDWR  # Windows syncs what is open for writing only
    descriptor = os.open(path, flags | _BINARY)
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
    if _FOLDER is None:
        return
    descriptor = os.open(folder, os.O_RDONLY | _FOLDER)
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


class OpenFolder:
    """A folder that is held open by its descriptor.

    Its methods act in this folder, even if a folder of its path is replaced by a symbolic link meanwhile. They never
    follow symbolic links.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a folder by its path, which may contain symbolic links.

        Raises
        ------
        OSError
        """
        if _FOLDER is None or os.open not in os.supports_dir_fd:
            raise _unsupported("open a file in a folder that is held open; the receiver needs Linux")
        return cls(os.open(path, os.O_RDONLY | _FOLDER))

    @property
    def path(self) -> Path | None:
        """A path of this process to the folder, wherever it is moved; None if the system has none."""
        path = Path(f"/proc/self/fd/{self._descriptor}")
        try:
            is_this = os.path.samestat(path.stat(), os.fstat(self._descriptor))
        except OSError:
            return None
        return path if is_this else None

    def folder(self, name: str, *, make: bool) -> OpenFolder:
        """Open a folder in this one; `make` makes it if it does not exist.

        Raises
        ------
        NotADirectoryError
            There is a file or a symbolic link of that name.
        FileNotFoundError
        OSError
        """
        if make:
            with suppress(FileExistsError):
                os.mkdir(name, 0o700 | os.fstat(self._descriptor).st_mode & 0o777, dir_fd=self._descriptor)
        flags = os.O_RDONLY | (_FOLDER or 0) | _NO_FOLLOW
        try:
            return OpenFolder(os.open(name, flags, dir_fd=self._descriptor))
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name) from error
            raise

    def open_file(self, name: str) -> int:
        """Return a descriptor of a file in this folder, open for reading. It never waits for the writer of a pipe.

        Raises
        ------
        OSError
            With ELOOP for a symbolic link.
        """
        return os.open(name, os.O_RDONLY | _NO_FOLLOW | _NO_BLOCK, dir_fd=self._descriptor)

    def link(self, source: Path, name: str) -> None:
        """Give a file a further name, in this folder.

        Raises
        ------
        FileExistsError
            The name is taken.
        OSError
        """
        os.link(source, name, dst_dir_fd=self._descriptor, follow_symlinks=False)

    def status(self, name: str) -> os.stat_result:
        """Return the status of what has a name in this folder.

        Raises
        ------
        FileNotFoundError
        """
        return os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)

    def moved(self, name: str, target: OpenFolder) -> bool:
        """Move what has a name in this folder into another one; return False if that has something of this name.

        Raises
        ------
        FileNotFoundError
        OSError
        """
        with suppress(FileNotFoundError):
            target.status(name)
            return False
        os.rename(name, name, src_dir_fd=self._descriptor, dst_dir_fd=target._descriptor)
        return True

    def remove(self, name: str) -> None:
        """Remove a file from this folder."""
        os.unlink(name, dir_fd=self._descriptor)

    def sync(self) -> None:
        """Wait until this folder's entries are on the disk."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._descriptor)


@contextmanager
def open_folders(root: Path, names: Sequence[str], *, make: bool) -> Iterator[list[OpenFolder]]:
    """Hold a folder and a path of folders below it open: the root first.

    Parameters
    ----------
    root
        The first folder; must exist.
    names
        The folders below it, each in the one before.
    make
        Make the folders that do not exist.

    Raises
    ------
    NotADirectoryError
        One of the names belongs to a file or a symbolic link.
    FileNotFoundError
    OSError
    """
    with ExitStack() as opened:
        chain = [OpenFolder.open(root)]
        opened.callback(chain[0].close)
        for name in names:
            chain.append(chain[-1].folder(name, make=make))
            opened.callback(chain[-1].close)
        yield chain


@contextmanager
def held_folder(root: Path, names: Sequence[str]) -> Iterator[Path]:
    """Make a path of folders below a folder; yield a path to the last one that stays valid whatever is renamed.

    No symbolic link below `root` is followed. Where the system cannot hold a folder open, the path is the plain one.

    Parameters
    ----------
    root
        The first folder. It is made if need be, and may be a link itself.
    names
        The folders below it, each in the one before.

    Raises
    ------
    NotADirectoryError
        One of the names belongs to a file or a symbolic link.
    OSError
    """
    root.mkdir(parents=True, exist_ok=True)
    if _FOLDER is None or os.open not in os.supports_dir_fd:
        plain = root.joinpath(*names)
        plain.mkdir(parents=True, exist_ok=True)
        yield plain
        return
    with open_folders(root, names, make=True) as chain:
        yield chain[-1].path or root.joinpath(*names)


# lock


class FileLock:
    """A lock between processes on a file; the system frees it when the process that holds it ends, however it ends.

    Parameters
    ----------
    path
        The lock file. Its folder must exist; the file is made if need be and stays.
    mode
        Permissions of a lock file that is made.
    """

    def __init__(self, path: Path, *, mode: int = 0o600) -> None:
        self.path = path
        self._mode = mode
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._descriptor is not None

    def try_acquire(self, *, shared: bool = False, wait: bool = False) -> bool:
        """Take the lock; return whether this object holds it now.

        Parameters
        ----------
        shared
            Several processes may hold it, all of them shared.
        wait
            Wait until it is free.

        Raises
        ------
        OSError
        """
        if self._descriptor is not None:
            return True
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | _BINARY, self._mode)
        try:
            if _lock(descriptor, shared=shared, wait=wait):
                self._descriptor = descriptor
        finally:
            if self._descriptor != descriptor:
                os.close(descriptor)
        return self._descriptor is not None

    def release(self) -> None:
        """Free the lock, if it is held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


@contextmanager
def file_lock(path: Path, *, wait: bool, shared: bool = False) -> Iterator[None]:
    """Hold a `FileLock` for a block.

    Raises
    ------
    BlockingIOError
        Another process holds it and `wait` is false.
    """
    with FileLock(path) as lock:
        if not lock.try_acquire(shared=shared, wait=wait):
            raise BlockingIOError(errno.EAGAIN, "another process holds the lock", str(path))
        yield


def is_locked(path: Path) -> bool:
    """Return whether a process holds the lock of a file for itself alone; a file that does not exist is not locked.

    Raises
    ------
    OSError
        The file cannot be opened.
    """
    try:
        descriptor = os.open(path, (os.O_RDONLY if _HAS_FCNTL else os.O_RDWR) | _BINARY)
    except FileNotFoundError:
        return False
    try:
        return not _lock(descriptor, shared=_HAS_FCNTL, wait=False)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, *, shared: bool, wait: bool) -> bool:
    """Lock an open file; return False if another process holds it and `wait` is false."""
    if not _HAS_FCNTL:
        return _lock_on_windows(descriptor, shared=shared, wait=wait)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def _lock_on_windows(descriptor: int, *, shared: bool, wait: bool) -> bool:
    """Do what `_lock` does by the C library of Windows; untried there."""
    if shared:
        raise _unsupported("share a lock between processes; the receiver needs Linux")
    msvcrt: Any = importlib.import_module("msvcrt")
    os.lseek(descriptor, _LOCK_OFFSET, os.SEEK_SET)
    while True:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno == errno.EDEADLK and wait:  # LK_LOCK gives up after 10 s
                continue
            if error.errno in (errno.EACCES, errno.EDEADLK) and not wait:
                return False
            raise
        return True


def try_lock_span(descriptor: int, span: range | None) -> bool:
    """Lock some bytes of an open file (None: all of them) for this descriptor; return whether it holds them now.

    The lock belongs to the open file, not to the process: it keeps other descriptors of this process out, too. Closing
    the descriptor frees it. Linux calls this an open file description lock.

    Raises
    ------
    OSError
    """
    if not _HAS_FCNTL or not hasattr(fcntl, "F_OFD_SETLK"):
        raise _unsupported("lock a part of a file for one descriptor; the receiver needs Linux")
    start, length = (span.start, len(span)) if span else (0, 0)
    wanted = pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, start, length, 0)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wanted)
    except BlockingIOError:
        return False
    return True


def why_not_writable(folder: Path, least_bytes: int) -> str:
    """Return why nothing can be written to a folder's disk now, for people; empty: it is not known to fail.

    Parameters
    ----------
    least_bytes
        A disk with less space than this is full.
    """
    if not hasattr(os, "statvfs"):
        return ""
    try:
        disk = os.statvfs(folder)
    except OSError as error:
        return f"{folder} cannot be read: {error.strerror}"
    if disk.f_flag & os.ST_RDONLY:
        return "its disk is mounted read only"
    if disk.f_bavail * disk.f_frsize < least_bytes:
        return "its disk is full; the agent waits for free space"
    if disk.f_files and not disk.f_favail:
        return "its disk is full: it can hold no more files"
    return ""


_ESCAPED_BYTE = re.compile(rb"\\([0-7]{3})")


def mount_points() -> frozenset[str]:
    """Return the absolute paths where something is mounted; nothing where the system does not list them."""
    with suppress(OSError):
        fields = [line.split(b" ") for line in Path("/proc/self/mountinfo").read_bytes().splitlines()]
        return frozenset(os.fsdecode(_ESCAPED_BYTE.sub(_unescaped_byte, each[4])) for each in fields if len(each) > 4)
    return frozenset()


def _unescaped_byte(found: re.Match[bytes]) -> bytes:
    return bytes([int(found[1], 8) & 0xFF])
