"""Decodes a TIFF page: strips without compression, with LZW or deflate here, all else by tifffile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from preprocess.backends.compiled.available import compiled_kernels
from preprocess.errors import UnreadableMovie, UnsupportedFormat
from preprocess.movies.encoded import Compression
from preprocess.movies.tiff_layout import TiffPage

_NONE, _LZW = 1, 5
_DEFLATE = (8, 32946)
COMPRESSIONS: Mapping[int, Compression] = {_NONE: "none", _LZW: "lzw", **dict.fromkeys(_DEFLATE, "deflate")}
"""What is decoded here, and on devices."""
_DECODED_BY_TIFFFILE = {*COMPRESSIONS, 32773, 34925, 34926, 50000}  # also PackBits, LZMA and Zstandard
_OTHER_COMPRESSIONS = {
    2: "CCITT", 3: "CCITT fax 3", 4: "CCITT fax 4", 6: "JPEG", 7: "JPEG", 34712: "JPEG 2000", 34887: "LERC",
    33003: "JPEG 2000", 33004: "JPEG 2000", 33005: "JPEG 2000", 48124: "Jetraw", 50001: "WebP", 50002: "JPEG XL",
}  # fmt: skip
_UNDEFINED = 4  # numbers of a kind that the file does not name: unsigned, as the format has it
_DTYPES = {
    (8, 1): "u1", (8, 2): "i1", (16, 1): "u2", (16, 2): "i2", (32, 1): "u4", (32, 2): "i4", (64, 1): "u8",
    (64, 2): "i8", (16, 3): "f2", (32, 3): "f4", (64, 3): "f8",
}  # fmt: skip
_FEWER_BITS = {1: "u1", 2: "u1", 4: "u1", 10: "u2", 12: "u2", 14: "u2"}
_KINDS = {1: "unsigned integers", 2: "signed integers", 3: "floating point", 5: "complex integers", 6: "complex"}
_COLOURS = {2: "RGB colour", 5: "CMYK colour", 6: "YCbCr colour", 8: "Lab colour"}
_CONVERT = "Give the camera's own file, or convert this one, for example to MRC with IMOD's tif2mrc."


def pixel_dtype(path: Path, page: TiffPage) -> np.dtype[Any]:
    """Return the number type in which `read_page` hands out a page.

    Raises
    ------
    UnsupportedFormat
        The page cannot be read; the text says what it is.
    """
    where = f"{path}: frame {page.number}"
    if page.samples_per_pixel != 1:
        kind = _COLOURS.get(page.photometric, "several channels")
        if page.in_planes:
            kind += ", each in a plane of its own"
        raise UnsupportedFormat(f"{where} has {page.samples_per_pixel} values a pixel ({kind}), not one", hint=_CONVERT)
    if page.depth != 1:
        raise UnsupportedFormat(f"{where} is a volume of {page.depth} sections, not an image", hint=_CONVERT)
    if page.compression not in _DECODED_BY_TIFFFILE:
        name = _OTHER_COMPRESSIONS.get(page.compression)
        kind = f"{name} (TIFF compression {page.compression})" if name else f"TIFF compression {page.compression}"
        text = f"{where} has {kind}, which is not read; none, LZW, deflate, Zstandard, LZMA and PackBits are"
        raise UnsupportedFormat(text, hint=_CONVERT)
    sample_format = 1 if page.sample_format == _UNDEFINED else page.sample_format
    code = _DTYPES.get((page.bits, sample_format)) or (_FEWER_BITS.get(page.bits) if sample_format == 1 else None)
    if code is None:
        kind = _KINDS.get(sample_format, f"sample format {sample_format}")
        raise UnsupportedFormat(f"{where} has pixels of {page.bits} bits ({kind}), which are not read", hint=_CONVERT)
    if page.predictor not in ({1, 2, 3} if code[0] == "f" else {1, 2}) or (page.predictor != 1 and page.bits < 8):
        raise UnsupportedFormat(f"{where} has TIFF predictor {page.predictor}, which is not read", hint=_CONVERT)
    return np.dtype(code)


def is_decoded_here(page: TiffPage) -> bool:
    """Tell whether a page that can be read needs no help of tifffile, so that devices can decode it too."""
    return (
        page.tile is None
        and page.fill_order == 1
        and page.compression in COMPRESSIONS
        and page.bits in {8, 16, 32, 64}
        and (page.predictor == 1 or (page.predictor == 2 and page.sample_format != 3))
    )


def read_page(path: Path, file: BinaryIO, page: TiffPage, buffer: NDArray[Any] | None = None) -> NDArray[Any]:
    """Return one page as stored (top row first), shape (height, width), in native byte order.

    It may be decoded into `buffer`, if one of that shape is given.

    Raises
    ------
    UnreadableMovie
        A strip or tile cannot be decoded or holds too little; the text names frame and strip.
    """
    dtype = pixel_dtype(path, page)
    if not is_decoded_here(page):
        from preprocess.movies.tiff_segments import read_segments  # noqa: PLC0415 - tifffile is slow to import

        return read_segments(path, file, page, dtype)
    stored_dtype = dtype.newbyteorder(page.byte_order)
    image: NDArray[Any] = np.empty((page.height, page.width), stored_dtype)
    if buffer is not None and buffer.dtype == stored_dtype:
        image = buffer
    block, begins = _encoded_strips(file, page)
    counts = page.strip_byte_counts.astype(np.int64)
    strip_bytes = page.rows_per_strip * page.width * stored_dtype.itemsize
    ends = begins + counts
    corrupt = int(ends.argmax()) if ends.max() > len(block) else -1  # the file was cut after it was opened
    if corrupt < 0:
        corrupt = _DECODERS[page.compression](block, begins, counts, image.reshape(-1).view(np.uint8), strip_bytes)
    if corrupt >= 0:
        raise UnreadableMovie(f"{path}: frame {page.number}, strip {corrupt + 1} is corrupt")
    if not stored_dtype.isnative:
        image = image.astype(dtype)
    return np.add.accumulate(image, axis=1, dtype=image.dtype) if page.predictor == 2 else image


def _encoded_strips(file: BinaryIO, page: TiffPage) -> tuple[bytes, NDArray[np.int64]]:
    """Return a page's strips as one block, and where each begins in it."""
    offsets, counts = page.strip_offsets.astype(np.int64), page.strip_byte_counts.astype(np.int64)
    begin, end = int(offsets.min()), int((offsets + counts).max())
    if end - begin <= 1.1 * int(counts.sum()) + 65536:  # strips that lie together are read at once
        file.seek(begin)
        return file.read(end - begin), offsets - begin
    parts = []
    for offset, count in zip(offsets.tolist(), counts.tolist(), strict=True):
        file.seek(offset)
        parts.append(file.read(count))
    return b"".join(parts), np.cumsum(counts) - counts


Decoder = Callable[[bytes, NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8], int], int]
"""Decodes strips (block, begins, counts) into an image's bytes; returns the first corrupt strip's index, or -1."""


def _decode_lzw(
    block: bytes, begins: NDArray[np.int64], counts: NDArray[np.int64], image: NDArray[np.uint8], strip_bytes: int
) -> int:
    strips = (np.frombuffer(block, np.uint8), begins, counts, image, strip_bytes)
    if (kernels := compiled_kernels()) is not None:
        return kernels.decode_strips(*strips)
    from preprocess.movies.lzw import decode_strips  # noqa: PLC0415 - numba is slow to import

    return int(decode_strips(*strips))


def _decode_deflate(
    block: bytes, begins: NDArray[np.int64], counts: NDArray[np.int64], image: NDArray[np.uint8], strip_bytes: int
) -> int:
    for index, (begin, count) in enumerate(zip(begins.tolist(), counts.tolist(), strict=True)):
        place = image[index * strip_bytes : (index + 1) * strip_bytes].data
        try:
            decoded = imagecodecs.zlib_decode(block[begin : begin + count], out=place)
        except imagecodecs.ZlibError:
            return index
        if len(decoded) != len(place):
            return index
    return -1


def _copy(
    block: bytes, begins: NDArray[np.int64], counts: NDArray[np.int64], image: NDArray[np.uint8], strip_bytes: int
) -> int:
    for index, (begin, count) in enumerate(zip(begins.tolist(), counts.tolist(), strict=True)):
        place = image[index * strip_bytes : (index + 1) * strip_bytes]
        if count < place.size:
            return index
        place[:] = np.frombuffer(block, np.uint8, place.size, begin)
    return -1


_DECODERS: Mapping[int, Decoder] = {_NONE: _copy, _LZW: _decode_lzw} | dict.fromkeys(_DEFLATE, _decode_deflate)
