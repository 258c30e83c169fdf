"""Locks between processes: on a whole file, and on a part of one for a descriptor."""

from __future__ import annotations

import errno
import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import pack
from types import TracebackType
from typing import Any, Self

from transfer.disk.flags import BINARY, unsupported

try:
    import fcntl

    _HAS_FCNTL = True
except ImportError:
    _HAS_FCNTL = False

_LOCK_OFFSET = 1 << 30  # Windows refuses reads of locked bytes: the locked byte is far behind a lock file's content


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
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | BINARY, self._mode)
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
        descriptor = os.open(path, (os.O_RDONLY if _HAS_FCNTL else os.O_RDWR) | BINARY)
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
        raise unsupported("share a lock between processes; the receiver needs Linux")
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
        raise unsupported("lock a part of a file for one descriptor; the receiver needs Linux")
    start, length = (span.start, len(span)) if span else (0, 0)
    wanted = pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, start, length, 0)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wanted)
    except BlockingIOError:
        return False
    return True
