"""Writes an image as a DM4 file, as Gatan's DigitalMicrograph does: tags within tags, a small preview first."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DIRECTORY, _DATA, _ARRAY = 20, 21, 20
_TYPES = {"i2": 2, "i4": 3, "u2": 4, "u4": 5, "f4": 6, "f8": 7}
"""Codes of number types in tags."""
_UNSIGNED_LONG = 5


def write_dm4(path: Path, image: NDArray[Any]) -> None:
    """Write an image (height, width), or a stack of them, as it lies, row 0 first."""
    preview = np.zeros((4, 4), np.int32)
    images = _directory("ImageList", [_image(preview), _image(image)])
    content = _directory_content([images])
    path.write_bytes(struct.pack(">IQI", 4, len(content), 1) + content + bytes(8))


def _image(image: NDArray[Any]) -> bytes:
    kind = image.dtype.str[1:]
    pixels = np.ascontiguousarray(image, np.dtype(f"<{kind}")).tobytes()
    array = struct.pack(">4q", 3, _ARRAY, _TYPES[kind], image.size) + pixels
    sizes = [_tag("", struct.pack(">2q", 1, _UNSIGNED_LONG) + struct.pack("<I", size)) for size in image.shape[::-1]]
    return _directory("", [_directory("ImageData", [_tag("Data", array), _directory("Dimensions", sizes)])])


def _tag(name: str, described: bytes) -> bytes:
    value = b"%%%%" + described
    return _named(_DATA, name) + struct.pack(">Q", len(value)) + value


def _directory(name: str, entries: list[bytes]) -> bytes:
    content = _directory_content(entries)
    return _named(_DIRECTORY, name) + struct.pack(">Q", len(content)) + content


def _directory_content(entries: list[bytes]) -> bytes:
    return struct.pack(">BBQ", 1, 0, len(entries)) + b"".join(entries)


def _named(kind: int, name: str) -> bytes:
    return struct.pack(">BH", kind, len(name)) + name.encode("ascii")
