"""Writes movies from strips that are encoded, or damaged, already."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

Fields = list[tuple[int, list[int]]]


def write_tiff_of_strips(
    path: Path,
    pages: Sequence[Sequence[bytes]],
    shape: tuple[int, int],
    compression: int,
    *,
    rows_per_strip: int | None = None,
    bits: int = 8,
) -> None:
    """Write one page of unsigned numbers for each sequence of strips."""
    height, width = shape
    fields: Fields = [(256, [width]), (257, [height]), (258, [bits]), (259, [compression])]
    _write_pages(path, pages, [[*fields, (277, [1]), (278, [rows_per_strip or height])]] * len(pages))


def write_eer_of_codes(
    path: Path,
    hardware_frames: Sequence[Sequence[bytes]],
    shape: tuple[int, int],
    compression: int = 65001,
    bits: Sequence[tuple[int, int, int]] | None = None,
    gap: bytes = b"",
) -> None:
    """Write one hardware frame for each sequence of strips; `bits` of each one's codes go into fields of their own.

    A `gap` lies behind each strip in the file.
    """
    fields: Fields = [(256, [shape[1]]), (257, [shape[0]]), (259, [compression])]
    of_code = [
        [(65007 + place, [count]) for place, count in enumerate(each)] for each in bits or [()] * len(hardware_frames)
    ]
    rows = [(278, [-(-shape[0] // len(strips))]) for strips in hardware_frames]
    _write_pages(path, hardware_frames, [[*fields, row, *more] for row, more in zip(rows, of_code, strict=True)], gap)


def _write_pages(path: Path, pages: Sequence[Sequence[bytes]], fields: Sequence[Fields], gap: bytes = b"") -> None:
    """Write a BigTIFF: each page's strips, its long values, its header, the link from the page before."""
    file = bytearray(b"II+\0" + struct.pack("<HHQ", 8, 0, 0))
    link_at = 8
    for strips, others in zip(pages, fields, strict=True):
        offsets = []
        for strip in strips:
            offsets.append(len(file))
            file += strip + gap
        entries = []
        for tag, values in sorted([*others, (273, offsets), (279, [len(strip) for strip in strips])]):
            value = values[0]
            if len(values) > 1:
                value = len(file)
                file += struct.pack(f"<{len(values)}Q", *values)
            entries.append(struct.pack("<HHQQ", tag, 16, len(values), value))
        struct.pack_into("<Q", file, link_at, len(file))
        file += struct.pack("<Q", len(entries)) + b"".join(entries)
        link_at = len(file)
        file += bytes(8)
    path.write_bytes(file)
