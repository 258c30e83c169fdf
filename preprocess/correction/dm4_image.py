"""The image in a DM4 file of Gatan's DigitalMicrograph, such as a gain reference that SerialEM copied beside frames.

The package `dm4` reads the file's tags. A file holds a small preview and the image itself: the largest one is meant.
Rows count from the top, as in TIFF; DM3, an older format, is not read.
"""

from __future__ import annotations

import errno
import math
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.errors import UnreadableMovie
from preprocess.input_files import open_regular

DM4_EXTENSIONS = frozenset({".dm4"})
_DAMAGE = (
    struct.error, ValueError, LookupError, EOFError, OverflowError, MemoryError, RecursionError, AssertionError,
    TypeError, AttributeError,
)  # fmt: skip
"""What `dm4` raises where the bytes are not what the format says."""
_BEGINNING = struct.Struct(">IQI")
"""Version, length and byte order."""
_VERSION, _LITTLE_ENDIAN = 4, 1
_MARK, _MOST_NUMBERS = b"%%%%", 1 << 16
_BYTES_BEFORE_ARRAY = 4 + 8 + 3 * 8
"""Of a tag that holds an array: a mark, how many numbers describe the array, and these."""


class _TagReader(BufferedReader):
    """Stops at a damaged tag that asks for gigabytes, for which `dm4` would make room before it reads."""

    _is_after_mark = False

    def read(self, size: int | None = -1, /) -> bytes:
        """Read bytes; right behind a tag's mark they say how many numbers describe its value."""
        if size is not None and size > max(_BEGINNING.size, os.fstat(self.fileno()).st_size):
            raise EOFError
        content = super().read(size)
        if self._is_after_mark and int.from_bytes(content, "big") > _MOST_NUMBERS:
            raise ValueError(content)
        self._is_after_mark = content == _MARK
        return content


def dm4_image(path: Path) -> NDArray[Any]:
    """Return the largest image of a DM4 file as it is stored, shape (height, width); of a stack, the first.

    Raises
    ------
    OSError
        The file cannot be read.
    UnreadableMovie
        It is cut off, corrupt, or no DM4 file.
    """
    with _opened(path) as (dm4_file, file_bytes):
        width, height, *more, tag = _largest(dm4_file)
        pixels = math.prod((width, height, *more))
        if pixels > tag.byte_length - _BYTES_BEFORE_ARRAY or tag.data_offset + tag.byte_length > file_bytes:
            raise EOFError
        stored = np.asarray(dm4_file.read_tag_data(tag))
        first: NDArray[Any] = stored.reshape(-1, height, width)[0]
        return first


def dm4_shape(path: Path) -> tuple[int, int]:
    """Return height and width of the largest image of a DM4 file; raise as `dm4_image` does."""
    with _opened(path) as (dm4_file, _):
        width, height, *_ = _largest(dm4_file)
        return height, width


def dm4_image_count(path: Path) -> int:
    """Return how many images the largest stack of a DM4 file has; raise as `dm4_image` does."""
    with _opened(path) as (dm4_file, _):
        _, _, *more, _ = _largest(dm4_file)
        return math.prod(more)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, int]]:
    """Yield a DM4 file that is open, and its size in bytes; what goes wrong with its content is said."""
    from dm4 import DM4File  # noqa: PLC0415 - few movies have such a gain reference

    with _TagReader(open_regular(path)) as file:
        _check_beginning(file.read(_BEGINNING.size))
        try:
            yield DM4File(file), os.fstat(file.fileno()).st_size
        except _DAMAGE as error:
            raise UnreadableMovie("the DM4 file is cut off or damaged") from error
        except OSError as error:
            if error.errno != errno.EINVAL:  # a tag points to where no file reaches
                raise
            raise UnreadableMovie("the DM4 file is damaged") from error


def _check_beginning(beginning: bytes) -> None:
    if len(beginning) < _BEGINNING.size:
        raise UnreadableMovie("the DM4 file is cut off")
    version, _, byte_order = _BEGINNING.unpack(beginning)
    if version != _VERSION:
        raise UnreadableMovie("it is a DM3 file" if version == 3 else "the file is not a DM4 file")
    if byte_order != _LITTLE_ENDIAN:
        raise UnreadableMovie("its numbers are not stored as in DM4 files, least significant byte first")


def _largest(dm4_file: Any) -> tuple[Any, ...]:
    """Return width, height, any further sizes, and the tag with the pixels of the largest image."""
    found = []
    for entry in dm4_file.read_directory().named_subdirs["ImageList"].unnamed_subdirs:
        image = entry.named_subdirs["ImageData"]
        sizes = [int(dm4_file.read_tag_data(tag)) for tag in image.named_subdirs["Dimensions"].unnamed_tags]
        if len(sizes) >= 2 and min(sizes) > 0:
            found.append((*sizes, image.named_tags["Data"]))
    return max(found, key=lambda each: math.prod(each[:-1]))
