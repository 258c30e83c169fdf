"""A file that is opened for sending, and the check that it stays the file that was opened."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from transfer.disk.files import file_identity, open_to_read, read_into_at
from transfer.file_digest import file_digest
from transfer.wire.digest import new_hasher
from transfer.wire.errors import SourceChanged, SourceUnreadable


class Identity(NamedTuple):
    """What changes when a file is replaced or written to."""

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int


class FileNumber(NamedTuple):
    """What tells one file from all others, whatever its name and its content."""

    device: int
    inode: int


def file_number(status: os.stat_result) -> FileNumber:
    """Return which file or folder a status is of."""
    return FileNumber(status.st_dev, status.st_ino)


def _identity(status: os.stat_result) -> Identity:
    return Identity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


class Source:
    """A regular file, open for reading.

    It is read with `pread` and never mapped, because the kernel kills a process whose mapped file becomes shorter.

    Raises
    ------
    SourceUnreadable
        The file cannot be opened, or is not a regular file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._fd = open_to_read(path)
        except OSError as error:
            raise SourceUnreadable(f"{path} cannot be read: {error.strerror}") from error
        status = os.fstat(self._fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(self._fd)
            raise SourceUnreadable(f"{path} is not a regular file", hint="Give files, or folders with files.")
        self.identity = _identity(status)

    @property
    def number(self) -> FileNumber:
        """Which file was opened."""
        return FileNumber(self.identity.device, self.identity.inode)

    @property
    def size_bytes(self) -> int:
        """The file's size when it was opened."""
        return self.identity.size_bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)

    def read_into(self, buffer: memoryview, offset: int) -> None:
        """Fill the buffer with the file's bytes from `offset` on.

        Raises
        ------
        SourceChanged
            The file ends before the buffer is full.
        SourceUnreadable
        """
        filled = 0
        while filled < len(buffer):
            try:
                count = read_into_at(self._fd, buffer[filled:], offset + filled)
            except OSError as error:
                raise SourceUnreadable(
                    f"{self.path} cannot be read at byte {offset + filled}: {error.strerror}"
                ) from error
            if count == 0:
                raise self.ended(offset + filled)
            filled += count

    def digest(self, part: range, buffer: memoryview) -> bytes:
        """Return the BLAKE3 digest (32 bytes) of a part, read through the buffer.

        Raises
        ------
        SourceChanged, SourceUnreadable
        """
        hasher = new_hasher("blake3")
        for offset in range(part.start, part.stop, len(buffer)):
            piece = buffer[: min(len(buffer), part.stop - offset)]
            self.read_into(piece, offset)
            hasher.update(piece)
        return hasher.digest()

    def fileno(self) -> int:
        """Return the file descriptor."""
        return self._fd

    def ended(self, offset: int) -> SourceChanged:
        """Return the error for a file that ends before its size when it was opened."""
        return SourceChanged(
            f"{self.path} became shorter while it was read: it had {self.size_bytes} bytes and ends at byte {offset}"
        )

    def check_unchanged(self) -> None:
        """Check that the path still names this file, and that nothing was written to it.

        Raises
        ------
        SourceChanged
        """
        try:
            now = {_identity(os.fstat(self._fd)), _identity(self.path.stat())}
        except OSError as error:
            raise SourceChanged(f"{self.path} cannot be found any more: {error.strerror}") from error
        if now != {self.identity}:
            raise SourceChanged(f"{self.path} was written to or replaced while it was read")


def digest_of(path: Path) -> str:
    """Return the root digest of a file; nothing may write to it meanwhile.

    Raises
    ------
    SourceUnreadable, SourceChanged
    """
    with Source(path) as source:
        try:
            digest = file_digest(source.fileno(), source.size_bytes)
        except EOFError as error:
            raise SourceChanged(f"{path}: {error}") from error
        source.check_unchanged()
        return digest


def has_identity(path: Path, identity: str | None) -> bool:
    """Return whether a file, or what a link leads to, has an identity (`transfer.disk.files.file_identity`)."""
    try:
        return file_identity(path.stat()) == identity
    except OSError:
        return False


def delete_unchanged(path: Path, sent: Identity) -> None:
    """Delete a file if it is still the one that was sent, and unchanged.

    Raises
    ------
    SourceChanged
        It was replaced or written to. It is not deleted.
    SourceUnreadable
    """
    try:
        if _identity(path.stat()) != sent:
            raise SourceChanged(f"{path} was written to or replaced after it was sent; it is not deleted")
        path.unlink()
    except OSError as error:
        raise SourceUnreadable(f"{path} cannot be deleted: {error.strerror}") from error
