"""Opens files that others wrote: only regular ones, and small ones whole. It never waits for the writer of a pipe."""

from __future__ import annotations

import errno
import os
import stat
from io import FileIO
from pathlib import Path

from preprocess.platform import OPEN_WITHOUT_WAITING

MOST_TEXT_BYTES = 32 << 20
"""More than any file of text has that describes a movie or a camera: 10,000 sections of an mdoc are half as much."""
_ENCODINGS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
"""What a file begins with that says its own encoding."""


def open_regular(path: Path) -> FileIO:
    """Return a regular file, open for reading without a buffer.

    Raises
    ------
    OSError
        It cannot be opened, or is a folder (EISDIR), or a pipe, a socket or a device (EINVAL).
    """
    file = open(path, "rb", buffering=0, opener=_open_at_once)  # noqa: SIM115 - the caller closes it
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise OSError(errno.EINVAL, "it is a pipe or a device, not a file", os.fspath(path))


def read_small(path: Path, most_bytes: int = MOST_TEXT_BYTES) -> bytes:
    """Return the content of a regular file that is small if it is what its name says.

    Raises
    ------
    OSError
        It cannot be read, is no regular file, or has more than `most_bytes` (EFBIG).
    """
    parts, count = [], 0
    with open_regular(path) as file:
        while part := file.read(most_bytes + 1 - count):
            parts.append(part)
            count += len(part)
            if count > most_bytes:
                raise OSError(errno.EFBIG, f"it has more than {most_bytes:,} bytes", os.fspath(path))
    return b"".join(parts)


def read_small_text(path: Path, encoding: str = "latin-1") -> str:
    """Return the text of a small file; in another encoding if it begins with the mark of UTF-8 or UTF-16.

    Raises
    ------
    OSError
        As `read_small` does.
    """
    content = read_small(path)
    marked = (its_own for mark, its_own in _ENCODINGS.items() if content.startswith(mark))
    return content.decode(next(marked, encoding), "replace")


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | OPEN_WITHOUT_WAITING)
