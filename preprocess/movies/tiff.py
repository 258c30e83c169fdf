"""TIFF movies: uncompressed, LZW or deflate, 8 and 16 bit (and float), one strip or many for each frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from preprocess.errors import UnreadableMovie, UnsupportedFormat
from preprocess.movies.movie import Frame
from preprocess.movies.mrc import known_pixel_size
from preprocess.movies.prefetch import in_order
from preprocess.movies.tiff_layout import TiffPage, tiff_pages

_NONE, _LZW = 1, 5
_DEFLATE = frozenset({8, 32946})
_DTYPES = {(8, 1): "u1", (8, 2): "i1", (16, 1): "u2", (16, 2): "i2", (16, 3): "f2", (32, 3): "f4"}
_GAIN_DTYPES = _DTYPES | {(32, 1): "u4", (32, 2): "i4", (64, 3): "f8"}  # gain references, no movies


class TiffMovie:
    """A movie in a TIFF file. Frames are flipped in Y on reading, as RELION and IMOD do: row 0 is the bottom."""

    def __init__(self, path: Path, *, threads: int) -> None:
        self.path = path
        self.format = "tiff"
        self.hardware_frames_per_frame = 1
        self.header_total_dose_e_per_a2: float | None = None
        self.remarks: tuple[str, ...] = ()
        self._threads = threads
        with path.open("rb", buffering=0) as file:
            self._pages = list(tiff_pages(file, path.stat().st_size))
        first = self._pages[0]
        self.frame_count, self.height, self.width = len(self._pages), first.height, first.width
        self.hardware_frame_count = self.frame_count
        self._stored_dtype = _movie_dtype(path, first)
        self.dtype: np.dtype[Any] = self._stored_dtype.newbyteorder("=")
        self.header_pixel_size_angstrom = known_pixel_size(first.pixel_size_angstrom)
        for page in self._pages:
            self._check_like_first(page)

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """Yield frames `start` to `stop` (not included) in order, decoded ahead in threads, one frame each."""
        return in_order(self._frame, range(self.frame_count)[start:stop], threads=self._threads)

    def _frame(self, index: int) -> Frame:
        with self.path.open("rb", buffering=0) as file:
            return np.ascontiguousarray(read_page(self.path, file, self._pages[index])[::-1])

    def _check_like_first(self, page: TiffPage) -> None:
        if (page.height, page.width) != (self.height, self.width):
            raise UnreadableMovie(
                f"{self.path}: frame {page.number} is {page.height} x {page.width} px,"
                f" frame 1 is {self.height} x {self.width} px"
            )
        if _movie_dtype(self.path, page) != self._stored_dtype:
            raise UnreadableMovie(f"{self.path}: frame {page.number} has another number type than frame 1")


def _movie_dtype(path: Path, page: TiffPage) -> np.dtype[Any]:
    dtype = _page_dtype(path, page)
    if (page.bits, page.sample_format) not in _DTYPES:
        raise UnsupportedFormat(f"{path}: frame {page.number} has numbers of type {dtype.name}, which no movie has")
    return dtype


def _page_dtype(path: Path, page: TiffPage) -> np.dtype[Any]:
    """Return a page's number type in the file's byte order, or raise UnsupportedFormat with the reason."""
    where = f"{path}: frame {page.number}"
    if page.tiled or page.samples_per_pixel != 1 or page.fill_order != 1:
        raise UnsupportedFormat(f"{where} is tiled, in colour or bit-reversed, which no camera writes")
    if page.compression not in {_NONE, _LZW} | _DEFLATE:
        raise UnsupportedFormat(f"{where} has TIFF compression {page.compression}; none, LZW and deflate are read")
    if (page.bits, page.sample_format) not in _GAIN_DTYPES:
        raise UnsupportedFormat(f"{where} has {page.bits} bits of sample format {page.sample_format}")
    dtype = np.dtype(page.byte_order + _GAIN_DTYPES[page.bits, page.sample_format])
    if page.predictor not in {1, 2} or (page.predictor == 2 and dtype.kind == "f"):
        raise UnsupportedFormat(f"{where} has TIFF predictor {page.predictor}")
    return dtype


def read_page(path: Path, file: BinaryIO, page: TiffPage) -> NDArray[Any]:
    """Return one page as stored (top row first), shape (height, width), in native byte order.

    Raises
    ------
    UnreadableMovie
        A strip cannot be decoded or holds too little; the text names frame and strip.
    """
    stored_dtype = _page_dtype(path, page)
    image: NDArray[Any] = np.empty((page.height, page.width), stored_dtype)
    image_bytes = image.reshape(-1).view(np.uint8).data
    strip_bytes = page.rows_per_strip * page.width * stored_dtype.itemsize
    decode = _decoder(page)
    begin, block = _page_bytes(file, page)
    places = zip(page.strip_offsets.tolist(), page.strip_byte_counts.tolist(), strict=True)
    for index, (offset, count) in enumerate(places):
        if block is not None:
            encoded = block[offset - begin : offset - begin + count]
        else:
            file.seek(offset)
            encoded = file.read(count)
        problem = decode(encoded, image_bytes[index * strip_bytes : (index + 1) * strip_bytes])
        if problem is not None:
            raise UnreadableMovie(f"{path}: frame {page.number}, strip {index + 1} is corrupt ({problem})")
    if not stored_dtype.isnative:
        image = image.astype(stored_dtype.newbyteorder("="))
    return np.add.accumulate(image, axis=1, dtype=image.dtype) if page.predictor == 2 else image


def _page_bytes(file: BinaryIO, page: TiffPage) -> tuple[int, bytes | None]:
    """Return a page's strips as one block read at once and its offset; None where they lie scattered in the file."""
    begin = int(page.strip_offsets.min())
    end = int((page.strip_offsets + page.strip_byte_counts).max())
    if end - begin > 1.1 * int(page.strip_byte_counts.sum()) + 65536:
        return begin, None
    file.seek(begin)
    return begin, file.read(end - begin)


Decoder = Callable[[bytes, memoryview], str | None]


def _decoder(page: TiffPage) -> Decoder:
    """Return the function that decodes a strip into its place; it returns what is wrong, or None."""
    if page.compression == _NONE:
        return _copy_strip
    decode = imagecodecs.lzw_decode if page.compression == _LZW else imagecodecs.zlib_decode

    def decode_strip(encoded: bytes, place: memoryview) -> str | None:
        try:
            decoded = decode(encoded, out=place)
        except (imagecodecs.LzwError, imagecodecs.ZlibError) as error:
            return str(error)
        return None if len(decoded) == len(place) else f"{len(decoded)} of {len(place)} bytes"

    return decode_strip


def _copy_strip(encoded: bytes, place: memoryview) -> str | None:
    if len(encoded) < len(place):
        return f"{len(encoded)} of {len(place)} bytes"
    place[:] = encoded[: len(place)]
    return None
