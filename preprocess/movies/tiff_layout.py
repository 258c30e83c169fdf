"""Where a TIFF file's pages and strips lie, from its headers alone.

The walk is our own because it must also say what is missing from a file that is still being written, and must stay
quick for movies with a strip for each row (K3: 4092 a frame) and for EER's thousands of pages. It reads classic TIFF
and BigTIFF in both byte orders (TIFF 6.0 section 2, BigTIFF proposal). Images that follow the only page's without
headers of their own, as ImageJ writes them, are pages here too.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from preprocess.movies.tiff_description import named_image_count

NEW_SUBFILE_TYPE, SUBFILE_TYPE, PHOTOMETRIC, DESCRIPTION, PLANAR = 254, 255, 262, 270, 284
WIDTH, HEIGHT, BITS, COMPRESSION, FILL_ORDER = 256, 257, 258, 259, 266
STRIP_OFFSETS, SAMPLES_PER_PIXEL, ROWS_PER_STRIP, STRIP_BYTE_COUNTS = 273, 277, 278, 279
X_RESOLUTION, RESOLUTION_UNIT, PREDICTOR, SAMPLE_FORMAT = 282, 296, 317, 339
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_BYTE_COUNTS, DEPTH = 322, 323, 324, 325, 32997
EER_METADATA, EER_SKIP_BITS, EER_HORIZONTAL_BITS, EER_VERTICAL_BITS = 65001, 65007, 65008, 65009

_NUMBER_TYPES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_TYPE_BYTES = {2: 1, 5: 8, 7: 1, 10: 8, 11: 4, 12: 8} | {k: struct.calcsize(v) for k, v in _NUMBER_TYPES.items()}
_SHORT_TYPES = {1: "B", 3: "H", 4: "I"}
"""Types of numbers that stand in the entry itself, in both dialects."""
_ABSENT = (0, 0, b"")
_WANTED = {
    NEW_SUBFILE_TYPE, SUBFILE_TYPE, PHOTOMETRIC, DESCRIPTION, PLANAR, TILE_WIDTH, TILE_HEIGHT, DEPTH,
    WIDTH, HEIGHT, BITS, COMPRESSION, FILL_ORDER, STRIP_OFFSETS, SAMPLES_PER_PIXEL, ROWS_PER_STRIP, STRIP_BYTE_COUNTS,
    X_RESOLUTION, RESOLUTION_UNIT, PREDICTOR, SAMPLE_FORMAT, TILE_OFFSETS, TILE_BYTE_COUNTS,
    EER_METADATA, EER_SKIP_BITS, EER_HORIZONTAL_BITS, EER_VERTICAL_BITS,
}  # fmt: skip


ByteOrder = Literal["<", ">"]


class LayoutIncompleteError(ValueError):
    """The headers promise more than the file holds."""


@dataclass(frozen=True, slots=True)
class TiffPage:
    """One page: a frame's shape, its number type and where its strips or tiles lie. `number` counts from 1."""

    number: int
    header_offset: int
    height: int
    width: int
    bits: int
    sample_format: int  # 1 unsigned, 2 signed, 3 float
    samples_per_pixel: int
    in_planes: bool  # samples of a pixel lie in planes of their own
    depth: int
    photometric: int
    is_reduced: bool  # another page's image with fewer pixels, by its header
    compression: int
    predictor: int
    fill_order: int
    rows_per_strip: int
    tile: tuple[int, int] | None  # height and width
    strip_offsets: NDArray[np.uint64]
    strip_byte_counts: NDArray[np.uint64]
    pixel_size_angstrom: float | None
    eer_metadata: bytes
    eer_bits: tuple[int, int, int] | None
    byte_order: ByteOrder
    description: str  # of the first page alone

    @property
    def row_bytes(self) -> int:
        """Return the bytes of an uncompressed row."""
        return (self.width * self.bits * self.samples_per_pixel + 7) // 8

    @property
    def value_count(self) -> int:
        """Return the number of values: pixels, times colours and sections."""
        return self.height * self.width * self.samples_per_pixel * self.depth

    @property
    def part(self) -> str:
        """Return what its image is cut into."""
        return "tile" if self.tile else "strip"


@dataclass(frozen=True, slots=True)
class _Dialect:
    """Byte order and field widths of classic TIFF or BigTIFF."""

    order: ByteOrder
    big: bool

    @property
    def count_format(self) -> str:
        return self.order + ("Q" if self.big else "H")

    @property
    def offset_format(self) -> str:
        return self.order + ("Q" if self.big else "I")

    @property
    def entry_bytes(self) -> int:
        return 20 if self.big else 12


def is_tiff(start: bytes) -> bool:
    """Tell whether a file that begins with these bytes is a TIFF or BigTIFF."""
    return start[:4] in {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}


def tiff_pages(file: BinaryIO, size: int) -> Iterator[TiffPage]:
    """Yield the pages of an open TIFF file of `size` bytes, each checked to lie wholly inside the file.

    Raises
    ------
    LayoutIncompleteError
        A page's header or one of its strips lies beyond the end of the file, or there is no page; the text says which.
    """
    reader = _Reader(file, size)
    dialect, offset = _first_page(reader)
    if offset == 0:
        raise LayoutIncompleteError("the file has no frame yet")
    seen: set[int] = set()
    number = 0
    while offset:
        number += 1
        if offset in seen:
            raise LayoutIncompleteError(f"the header of frame {number} points back to an earlier one")
        seen.add(offset)
        header_offset = offset
        entries, offset = _read_entries(reader, dialect, offset, number)
        page = _page(reader, dialect, entries, number, header_offset)
        yield page
        if number == 1 and not offset:
            yield from _images_without_headers(page, size)


def _images_without_headers(page: TiffPage, size: int) -> Iterator[TiffPage]:
    """Yield the images behind the only page's, as many as its description names (ImageJ's stacks)."""
    count = named_image_count(page.description, page.value_count)
    if count < 2:
        return
    image_bytes = int(page.strip_byte_counts.sum())
    ends = page.strip_offsets + page.strip_byte_counts
    if (
        page.compression != 1
        or image_bytes != page.height * page.row_bytes
        or np.any(ends[:-1] != page.strip_offsets[1:])
    ):
        raise LayoutIncompleteError(f"the file's description names {count} images, but it holds one page")
    for number in range(2, count + 1):
        offsets = page.strip_offsets + np.uint64((number - 1) * image_bytes)
        if int(offsets[-1]) + int(page.strip_byte_counts[-1]) > size:
            raise LayoutIncompleteError(f"frame {number} of {count} lies beyond the end of the file")
        yield replace(page, number=number, strip_offsets=offsets, description="")


class _Reader:
    """Reads ranges of a file and refuses ranges beyond its end. Keeps the last block: headers lie close together."""

    _BLOCK_BYTES = 4096

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size
        self._block, self._block_offset = b"", 0

    @property
    def size(self) -> int:
        return self._size

    def read(self, offset: int, length: int, what: str) -> bytes:
        if offset + length > self._size:
            raise LayoutIncompleteError(f"{what} lies beyond the end of the file")
        start = offset - self._block_offset
        if start < 0 or start + length > len(self._block):
            self._file.seek(offset)
            self._block = self._file.read(max(length, self._BLOCK_BYTES))
            self._block_offset, start = offset, 0
            if len(self._block) < length:
                raise LayoutIncompleteError(f"{what} lies beyond the end of the file")
        return self._block[start : start + length]


def _first_page(reader: _Reader) -> tuple[_Dialect, int]:
    start = reader.read(0, 8, "the file's header")
    if not is_tiff(start):
        raise LayoutIncompleteError("the file does not begin like a TIFF file")
    order: ByteOrder = "<" if start[:2] == b"II" else ">"
    if b"+" not in start[2:4]:
        return _Dialect(order, big=False), struct.unpack(order + "I", start[4:8])[0]
    start = reader.read(0, 16, "the file's header")
    return _Dialect(order, big=True), struct.unpack(order + "Q", start[8:16])[0]


def _read_entries(
    reader: _Reader, dialect: _Dialect, offset: int, number: int
) -> tuple[dict[int, tuple[int, int, bytes]], int]:
    """Return a page's wanted fields as (type, count, value or its offset), and the next page's offset."""
    what = f"the header of frame {number}"
    count_bytes = struct.calcsize(dialect.count_format)
    (count,) = struct.unpack(dialect.count_format, reader.read(offset, count_bytes, what))
    body_bytes = count * dialect.entry_bytes
    offset_bytes = struct.calcsize(dialect.offset_format)
    body = reader.read(offset + count_bytes, body_bytes + offset_bytes, what)
    entries = {}
    for start in range(0, body_bytes, dialect.entry_bytes):
        tag, kind = struct.unpack_from(dialect.order + "HH", body, start)
        if tag in _WANTED:
            (values,) = struct.unpack_from(dialect.offset_format, body, start + 4)
            entries[tag] = (kind, values, body[start + 4 + offset_bytes : start + dialect.entry_bytes])
    (following,) = struct.unpack_from(dialect.offset_format, body, body_bytes)
    return entries, following


def _raw(reader: _Reader, dialect: _Dialect, entry: tuple[int, int, bytes], number: int) -> bytes:
    kind, count, inline = entry
    length = count * _TYPE_BYTES.get(kind, 1)
    if length <= len(inline):
        return inline[:length]
    (offset,) = struct.unpack(dialect.offset_format, inline)
    return reader.read(offset, length, f"part of the header of frame {number}")


def _page(
    reader: _Reader, dialect: _Dialect, entries: dict[int, tuple[int, int, bytes]], number: int, header_offset: int
) -> TiffPage:
    def numbers(tag: int) -> NDArray[np.uint64]:
        if tag not in entries:
            return np.empty(0, np.uint64)
        code = _NUMBER_TYPES.get(entries[tag][0])
        if code is None:
            raise LayoutIncompleteError(f"the header of frame {number} is corrupt (field {tag})")
        return np.frombuffer(_raw(reader, dialect, entries[tag], number), np.dtype(dialect.order + code)).astype(
            np.uint64
        )

    def one(tag: int, default: int) -> int:
        kind, count, inline = entries.get(tag, _ABSENT)
        if count == 1 and kind in _SHORT_TYPES:  # quick: an EER file has thousands of pages with a dozen of these
            return int(struct.unpack_from(dialect.order + _SHORT_TYPES[kind], inline)[0])
        values = numbers(tag)
        return int(values[0]) if values.size else default

    height, width = one(HEIGHT, 0), one(WIDTH, 0)
    if not height or not width:
        raise LayoutIncompleteError(f"the header of frame {number} gives no image size")
    tile = (one(TILE_HEIGHT, 0), one(TILE_WIDTH, 0)) if TILE_OFFSETS in entries else None
    if tile is not None and 0 in tile:
        raise LayoutIncompleteError(f"the header of frame {number} gives no tile size")
    rows_per_strip = min(one(ROWS_PER_STRIP, height) or height, height)
    page = TiffPage(
        number=number,
        header_offset=header_offset,
        height=height,
        width=width,
        bits=one(BITS, 1),
        sample_format=one(SAMPLE_FORMAT, 1),
        samples_per_pixel=one(SAMPLES_PER_PIXEL, 1),
        in_planes=one(PLANAR, 1) == 2,
        depth=one(DEPTH, 1),
        photometric=one(PHOTOMETRIC, 1),
        is_reduced=bool(one(NEW_SUBFILE_TYPE, 0) & 1) or one(SUBFILE_TYPE, 1) == 2,
        compression=one(COMPRESSION, 1),
        predictor=one(PREDICTOR, 1),
        fill_order=one(FILL_ORDER, 1),
        rows_per_strip=rows_per_strip,
        tile=tile,
        strip_offsets=numbers(TILE_OFFSETS if tile else STRIP_OFFSETS),
        strip_byte_counts=numbers(TILE_BYTE_COUNTS if tile else STRIP_BYTE_COUNTS),
        pixel_size_angstrom=_pixel_size_angstrom(reader, dialect, entries, number, one(RESOLUTION_UNIT, 2)),
        eer_metadata=_raw(reader, dialect, entries[EER_METADATA], number) if EER_METADATA in entries else b"",
        eer_bits=(one(EER_SKIP_BITS, 7), one(EER_HORIZONTAL_BITS, 2), one(EER_VERTICAL_BITS, 2))
        if EER_SKIP_BITS in entries
        else None,
        byte_order=dialect.order,
        description=_raw(reader, dialect, entries[DESCRIPTION], number).decode("utf-8", "replace")
        if number == 1 and DESCRIPTION in entries
        else "",
    )
    _check_strips(page, reader.size)
    return page


def _check_strips(page: TiffPage, file_bytes: int) -> None:
    offsets, counts = page.strip_offsets, page.strip_byte_counts
    if not offsets.size or offsets.size != counts.size:
        raise LayoutIncompleteError(f"the header of frame {page.number} does not say where its {page.part}s lie")
    expected = _expected_parts(page)
    if page.depth == 1 and offsets.size != expected:
        raise LayoutIncompleteError(f"frame {page.number} has {offsets.size} of {expected} {page.part}s")
    outside = np.flatnonzero((offsets == 0) | (counts == 0) | (offsets + counts > np.uint64(file_bytes)))
    if outside.size:
        part = int(outside[0])
        place = "is not written yet" if not (offsets[part] and counts[part]) else "lies beyond the end of the file"
        raise LayoutIncompleteError(f"{page.part} {part + 1} of frame {page.number} {place}")


def _expected_parts(page: TiffPage) -> int:
    height, width = page.tile or (page.rows_per_strip, page.width)
    planes = page.samples_per_pixel if page.in_planes else 1
    return math.ceil(page.height / height) * math.ceil(page.width / width) * planes


def _pixel_size_angstrom(
    reader: _Reader, dialect: _Dialect, entries: dict[int, tuple[int, int, bytes]], number: int, unit: int
) -> float | None:
    """Return the pixel size that the resolution fields give, which may be a printer's (72 dpi)."""
    if X_RESOLUTION not in entries or entries[X_RESOLUTION][0] != 5 or unit not in {2, 3}:
        return None
    numerator, denominator = struct.unpack(
        dialect.order + "II", _raw(reader, dialect, entries[X_RESOLUTION], number)[:8]
    )
    if not numerator or not denominator:
        return None
    angstrom_per_unit = 2.54e8 if unit == 2 else 1e8
    return float(angstrom_per_unit * denominator / numerator)
