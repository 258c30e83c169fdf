"""A file that is being downloaded, under a hidden name beside its target.

The list of its chunks lets a download continue. Whatever the list says, the digest of the whole file decides.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Self

from transfer.disk.files import name_new_file, open_to_write, sync_descriptor, write_at
from transfer.file_digest import file_digest
from transfer.wire.chunks import split
from transfer.wire.errors import FileCorrupt, NameTaken
from transfer.wire.receipt import Receipt


class PartFile:
    """A file that is not complete yet, and beside it the list of the chunks that it has.

    Several threads may write to it at once.

    Parameters
    ----------
    target
        The name that the file gets.
    receipt
        The size and the digest that it must have.
    shown
        The name for messages; None: `target`.
    """

    def __init__(self, target: Path, receipt: Receipt, shown: Path | None = None) -> None:
        self.target, self.receipt = target, receipt
        self._shown = shown or target
        self._path = target.with_name(f".{receipt.digest[:32]}.part")
        self._list_path = self._path.with_suffix(".chunks")
        self._listing = threading.Lock()

    def __enter__(self) -> Self:
        self._fd = open_to_write(self._path, create=True, mode=0o666)
        try:
            self._list = os.fdopen(open_to_write(self._list_path, create=True, mode=0o666), "r+", encoding="ascii")
        except OSError:
            os.close(self._fd)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._list.close()
        os.close(self._fd)

    def missing(self) -> list[range]:
        """Return the ranges of the chunks that are not on the list."""
        self._list.seek(0)
        have = {int(line) for line in self._list.read().splitlines() if line.isascii() and line.isdecimal()}
        if os.fstat(self._fd).st_size != self.receipt.size_bytes:
            have = set()
            os.ftruncate(self._fd, self.receipt.size_bytes)
        return [chunk for index, chunk in enumerate(split(self.receipt.size_bytes)) if index not in have]

    def write(self, data: memoryview | bytes, offset: int) -> None:
        """Write bytes at their place in the file."""
        write_at(self._fd, data, offset)

    def add(self, chunk: range) -> None:
        """Add a chunk, which is written, to the list."""
        index = chunk.start // len(split(self.receipt.size_bytes)[0])
        with self._listing:
            self._list.seek(0, os.SEEK_END)
            self._list.write(f"{index}\n")
            self._list.flush()

    def publish(self) -> None:
        """Check the digest, write the file to the disk, and give it its name.

        Raises
        ------
        FileCorrupt
            The content is not what the receiver committed. The part file is deleted.
        NameTaken
            Another program created a file of this name meanwhile.
        """
        if file_digest(self._fd, self.receipt.size_bytes) != self.receipt.digest:
            self._remove()
            raise FileCorrupt(
                f"{self._shown}: the downloaded bytes do not have the digest {self.receipt.digest}, and were deleted"
            )
        sync_descriptor(self._fd)
        try:
            name_new_file(self._path, self.target)
        except FileExistsError as error:
            raise NameTaken(f"{self._shown}: another program created it during the download") from error
        self._remove()

    def _remove(self) -> None:
        self._path.unlink(missing_ok=True)
        self._list_path.unlink(missing_ok=True)
