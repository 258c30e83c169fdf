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
_LOOKED_AT, _MOST_OTHER = 4096, 0.1
"""So many bytes tell UTF-16 without a mark: of Latin text one half of each pair is zero, the other hardly ever."""


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
    """Return the text of a small file; see `text_of`.

    Raises
    ------
    OSError
        As `read_small` does.
    """
    return text_of(read_small(path), encoding)


def text_of(content: bytes, encoding: str = "latin-1") -> str:
    """Return bytes as text whose lines end with a line feed alone, whichever way they ended (CR, LF, both).

    The text is UTF-16 or UTF-8 if it is that, with or without a mark, and in `encoding` otherwise. Zero bytes at the
    end are left out: a program that gave the file its size at once, or a power cut, left them there.
    """
    content = content.rstrip(b"\0")
    marked = next((its_own for mark, its_own in _ENCODINGS.items() if content.startswith(mark)), None)
    found = marked or _utf_16_without_mark(content)
    if found is None:
        try:
            text = content.decode()
        except UnicodeDecodeError:
            text = content.decode(encoding, "replace")
    else:
        if found.startswith("utf-16") and len(content) % 2:
            content += b"\0"  # the second half of the last character, which was taken for padding
        text = content.decode(found, "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _utf_16_without_mark(content: bytes) -> str | None:
    start = content[:_LOOKED_AT]
    zeros = [start[half::2].count(0) / max(1, len(start) // 2) for half in (0, 1)]
    if len(start) < 4 or max(zeros) < 1 - _MOST_OTHER or min(zeros) > _MOST_OTHER:
        return None
    return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | OPEN_WITHOUT_WAITING)
