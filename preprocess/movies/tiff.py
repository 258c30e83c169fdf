"""TIFF movies: uncompressed, LZW or deflate, 8 and 16 bit (and float), one strip or many for each frame."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from preprocess.errors import UnreadableMovie, UnsupportedFormat
from preprocess.movie_warning import MovieWarning
from preprocess.movies.encoded import Compression, EncodedFrame, EncodedFrames, strip_sizes
from preprocess.movies.float_pixels import FloatPixels
from preprocess.movies.integer_meaning import LESS_16_BIT, is_less_32768, restored
from preprocess.movies.movie import Frame, Receive
from preprocess.movies.mrc import known_pixel_size
from preprocess.movies.packed_pixels import has_size_of_packed_frames, hold_second_pixels, unpacked
from preprocess.movies.prefetch import in_order
from preprocess.movies.tiff_layout import TiffPage, tiff_pages

_NONE, _LZW = 1, 5
_DEFLATE = (8, 32946)
_COMPRESSIONS: Mapping[int, Compression] = {_NONE: "none", _LZW: "lzw", **dict.fromkeys(_DEFLATE, "deflate")}
_DTYPES = {(8, 1): "u1", (8, 2): "i1", (16, 1): "u2", (16, 2): "i2", (16, 3): "f2", (32, 3): "f4"}
_GAIN_DTYPES = _DTYPES | {(32, 1): "u4", (32, 2): "i4", (64, 3): "f8"}  # gain references, no movies


class TiffMovie:
    """A movie in a TIFF file. Frames are flipped in Y on reading, as RELION and IMOD do: row 0 is the bottom."""

    def __init__(self, path: Path, *, threads: int) -> None:
        self.path = path
        self.format = "tiff"
        self.hardware_frames_per_frame = 1
        self.header_total_dose_e_per_a2: float | None = None
        self._threads = threads
        self._scratch = threading.local()
        with path.open("rb", buffering=0) as file:
            self._pages = list(tiff_pages(file, path.stat().st_size))
        first = self._pages[0]
        self.frame_count, self.height, self.width = len(self._pages), first.height, first.width
        self._page_shape = (first.height, first.width)
        self._float_pixels = FloatPixels(path)
        self._packed, self._less = False, 0
        self._remarks: tuple[MovieWarning, ...] = ()
        self.hardware_frame_count = self.recorded_frame_count = self.frame_count
        self._stored_dtype = _movie_dtype(path, first)
        self.header_pixel_size_angstrom = known_pixel_size(first.pixel_size_angstrom)
        for page in self._pages:
            self._check_like_first(page)
        if self._stored_dtype == np.uint8 and has_size_of_packed_frames(first.height, first.width):
            self._judge_packing()
        elif self._stored_dtype.kind == "i" and self._stored_dtype.itemsize == 2:
            self._judge_sign()
        self.dtype: np.dtype[Any] = restored(np.empty(0, self._stored_dtype), self._less).dtype.newbyteorder("=")

    @property
    def remarks(self) -> tuple[MovieWarning, ...]:
        """Return what a user should know about how the file is read."""
        return (*self._remarks, *self._float_pixels.warnings(self.width))

    @property
    def unbelievable_pixels(self) -> NDArray[np.int64]:
        """Return the pixels, as flat indices, that hold no believable number in a frame handed out so far."""
        return self._float_pixels.pixels

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """Yield frames `start` to `stop` (not included) in order, decoded ahead in threads, one frame each."""
        return in_order(self.path, self._frame, range(self.frame_count)[start:stop], threads=self._threads)

    def deliver(self, receive: Receive, start: int = 0, stop: int | None = None) -> Iterator[None]:
        """Hand frames to `receive` in the threads that decode them, each thread's in one buffer of its own."""
        indices = range(self.frame_count)[start:stop]

        def make(index: int) -> None:
            with self.path.open("rb", buffering=0) as file:
                page = read_page(self.path, file, self._pages[index], self._buffer())
            receive(index - indices.start, self._counts(page, index)[::-1])

        return in_order(self.path, make, indices, threads=self._threads)

    def encoded(self) -> EncodedFrames | None:
        """Return where the frames' strips lie and how they are encoded; None where frames differ in that."""
        first = self._pages[0]
        if self._less or any(
            (page.compression, page.predictor) != (first.compression, first.predictor) for page in self._pages
        ):
            return None
        row_bytes = first.width * self._stored_dtype.itemsize
        return EncodedFrames(
            frames=tuple(_encoded_frame(page, row_bytes) for page in self._pages),
            compression=_COMPRESSIONS[first.compression],
            stored_dtype=self._stored_dtype,
            row_bytes=row_bytes,
            differences=first.predictor == 2,
            flipped=True,
            packed_4_bit=self._packed,
        )

    def _buffer(self) -> NDArray[Any]:
        if not hasattr(self._scratch, "image"):
            self._scratch.image = np.empty(self._page_shape, self._stored_dtype)
        image: NDArray[Any] = self._scratch.image
        return image

    def _frame(self, index: int) -> Frame:
        with self.path.open("rb", buffering=0) as file:
            page = read_page(self.path, file, self._pages[index])
        return np.ascontiguousarray(self._counts(page, index)[::-1])

    def _counts(self, page: NDArray[Any], index: int) -> NDArray[Any]:
        """Return the pixels of a page, top row first."""
        if self._packed:
            return unpacked(page, self.width)
        return restored(self._float_pixels.cleaned(page, index, flipped=True), self._less)

    def _judge_packing(self) -> None:
        """Read frames of bytes, whose size only packed ones have, as such, unless their values forbid it."""
        with self.path.open("rb", buffering=0) as file:
            values = read_page(self.path, file, self._pages[0])
        if hold_second_pixels(values):
            self._packed, self.width = True, 2 * self.width
            return
        text = (
            f"frames of {self.height} x {self.width} px (height x width) are usually packed, two pixels of 4 bits in a"
            " byte, but here the second pixels would be empty: each byte is read as one pixel"
        )
        self._remarks = (MovieWarning("values-judged", text),)

    def _judge_sign(self) -> None:
        """Add 32768 to signed values where only that makes counts of them."""
        with self.path.open("rb", buffering=0) as file:
            values = read_page(self.path, file, self._pages[0])
        if is_less_32768(values[:: max(1, values.shape[0] // 64)]):
            self._less = LESS_16_BIT
            text = "16-bit values about -32768 are read as counts from which 32768 was subtracted: it is added"
            self._remarks = (MovieWarning("values-judged", text),)

    def _check_like_first(self, page: TiffPage) -> None:
        if (page.height, page.width) != self._page_shape:
            raise UnreadableMovie(
                f"{self.path}: frame {page.number} is {page.height} x {page.width} px,"
                f" frame 1 is {self.height} x {self.width} px"
            )
        if _movie_dtype(self.path, page) != self._stored_dtype:
            raise UnreadableMovie(f"{self.path}: frame {page.number} has another number type than frame 1")


def _encoded_frame(page: TiffPage, row_bytes: int) -> EncodedFrame:
    sizes = strip_sizes(page.strip_offsets.size, page.rows_per_strip * row_bytes, page.height * row_bytes)
    return EncodedFrame(page.strip_offsets.astype(np.int64), page.strip_byte_counts.astype(np.int64), sizes)


def _movie_dtype(path: Path, page: TiffPage) -> np.dtype[Any]:
    dtype = _page_dtype(path, page)
    if (page.bits, page.sample_format) not in _DTYPES:
        raise UnsupportedFormat(
            f"{path}: frame {page.number} has pixels of type {dtype.name}, which is not supported for movies"
        )
    return dtype


def _page_dtype(path: Path, page: TiffPage) -> np.dtype[Any]:
    """Return a page's number type in the file's byte order, or raise UnsupportedFormat with the reason."""
    where = f"{path}: frame {page.number}"
    if page.tiled or page.samples_per_pixel != 1 or page.fill_order != 1:
        raise UnsupportedFormat(f"{where} is tiled, in colour or bit-reversed, which is not supported")
    if page.compression not in _DECODERS:
        raise UnsupportedFormat(
            f"{where} has TIFF compression {page.compression}; only none, LZW and deflate are supported"
        )
    if (page.bits, page.sample_format) not in _GAIN_DTYPES:
        raise UnsupportedFormat(
            f"{where} has {page.bits} bits of sample format {page.sample_format}, which is not supported"
        )
    dtype = np.dtype(page.byte_order + _GAIN_DTYPES[page.bits, page.sample_format])
    if page.predictor not in {1, 2} or (page.predictor == 2 and dtype.kind == "f"):
        raise UnsupportedFormat(f"{where} has TIFF predictor {page.predictor}, which is not supported")
    return dtype


def read_page(path: Path, file: BinaryIO, page: TiffPage, buffer: NDArray[Any] | None = None) -> NDArray[Any]:
    """Return one page as stored (top row first), shape (height, width), in native byte order.

    It is decoded into `buffer`, if one of that shape and of the stored number type is given.

    Raises
    ------
    UnreadableMovie
        A strip cannot be decoded or holds too little; the text names frame and strip.
    """
    stored_dtype = _page_dtype(path, page)
    image: NDArray[Any] = np.empty((page.height, page.width), stored_dtype) if buffer is None else buffer
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
        image = image.astype(stored_dtype.newbyteorder("="))
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
    from preprocess.movies.lzw import decode_strips  # noqa: PLC0415 - numba is slow to import, and other movies need none

    return int(decode_strips(np.frombuffer(block, np.uint8), begins, counts, image, strip_bytes))


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
