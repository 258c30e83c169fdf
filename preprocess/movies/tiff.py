"""TIFF movies: a page a frame, or ImageJ's stacks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.errors import UnreadableMovie
from preprocess.movie_warning import MovieWarning
from preprocess.movies.encoded import EncodedFrame, EncodedFrames, strip_sizes
from preprocess.movies.float_pixels import FloatPixels
from preprocess.movies.integer_meaning import LESS_16_BIT, is_less_32768, restored
from preprocess.movies.movie import Frame, Receive
from preprocess.movies.mrc import known_pixel_size
from preprocess.movies.packed_pixels import has_size_of_packed_frames, hold_second_pixels, unpacked
from preprocess.movies.prefetch import in_order
from preprocess.movies.tiff_description import is_32768_added, named_image_count
from preprocess.movies.tiff_frames import checked_frames, page_warnings
from preprocess.movies.tiff_layout import TiffPage, tiff_pages
from preprocess.movies.tiff_pixels import COMPRESSIONS, is_decoded_here, pixel_dtype, read_page

_AS_THEY_ARE = frozenset({"uint8", "int8", "uint16", "int16", "float16", "float32"})
"""Number types that frames are handed out in; numbers of other types become float32."""
_WHITE_IS_ZERO, _PALETTE = 0, 3


class TiffMovie:
    """A movie in a TIFF file. Frames are flipped in Y on reading, as RELION and IMOD do: row 0 is the bottom."""

    def __init__(self, path: Path, *, threads: int) -> None:
        self.path = path
        self.format = "tiff"
        self.hardware_frames_per_frame = 1
        self.header_total_dose_e_per_a2: float | None = None
        self._threads = threads
        self._scratch = threading.local()
        size = path.stat().st_size
        with path.open("rb", buffering=0) as file:
            pages = list(tiff_pages(file, size))
        self._pages = checked_frames(path, pages)
        first = self._pages[0]
        self.frame_count, self.height, self.width = len(self._pages), first.height, first.width
        self._page_shape = (first.height, first.width)
        self._float_pixels = FloatPixels(path)
        self._packed, self._less = False, 0
        named = named_image_count(first.description, first.value_count)
        self._remarks = (*page_warnings(pages, self._pages, size), *_header_warnings(first, named, self.frame_count))
        self.hardware_frame_count = self.frame_count
        self.recorded_frame_count = max(self.frame_count, named)
        self._stored_dtype = pixel_dtype(path, first)
        self.header_pixel_size_angstrom = known_pixel_size(first.pixel_size_angstrom)
        for page in self._pages:
            self._check_like_first(page)
        self._added = self._stored_dtype == np.uint16 and is_32768_added(first.description)
        if self._added:
            self._say_values("ImageJ added 32768 to signed 16-bit values, by its description: it is subtracted again")
        if first.bits == 8 and self._stored_dtype == np.uint8 and has_size_of_packed_frames(first.height, first.width):
            self._judge_packing()
        elif self._stored_dtype.kind == "i" and self._stored_dtype.itemsize == 2:
            self._judge_sign()
        self.dtype: np.dtype[Any] = self._meant(np.empty(0, self._stored_dtype)).dtype

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
        """Return where the frames' strips lie and how they are encoded; None where only the CPU can decode them."""
        first = self._pages[0]
        if not self._are_decoded_anywhere():
            return None
        row_bytes = first.width * self._stored_dtype.itemsize
        return EncodedFrames(
            frames=tuple(_encoded_frame(page, row_bytes) for page in self._pages),
            compression=COMPRESSIONS[first.compression],
            stored_dtype=self._stored_dtype.newbyteorder(first.byte_order),
            row_bytes=row_bytes,
            differences=first.predictor == 2,
            flipped=True,
            packed_4_bit=self._packed,
        )

    def _are_decoded_anywhere(self) -> bool:
        first = self._pages[0]
        is_meant = not self._less and not self._added and self._stored_dtype.name in _AS_THEY_ARE
        return is_meant and all(
            is_decoded_here(page) and (page.compression, page.predictor) == (first.compression, first.predictor)
            for page in self._pages
        )

    def _buffer(self) -> NDArray[Any]:
        if not hasattr(self._scratch, "image"):
            self._scratch.image = np.empty(self._page_shape, self._stored_dtype.newbyteorder(self._pages[0].byte_order))
        image: NDArray[Any] = self._scratch.image
        return image

    def _frame(self, index: int) -> Frame:
        return np.ascontiguousarray(self._counts(self._page(index), index)[::-1])

    def stored_frame(self, index: int) -> Frame:
        """Return a frame with whatever values it holds."""
        page = self._page(index)
        return np.ascontiguousarray((unpacked(page, self.width) if self._packed else self._meant(page))[::-1])

    def _page(self, index: int) -> NDArray[Any]:
        with self.path.open("rb", buffering=0) as file:
            return read_page(self.path, file, self._pages[index])

    def _counts(self, page: NDArray[Any], index: int) -> NDArray[Any]:
        """Return the pixels of a page, top row first."""
        if self._packed:
            return unpacked(page, self.width)
        return self._float_pixels.cleaned(self._meant(page), index, flipped=True)

    def _meant(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return numbers as they are meant, in a type that frames are handed out in."""
        if self._added:
            signed: NDArray[Any] = np.bitwise_xor(values, np.uint16(LESS_16_BIT)).view(np.int16)
            return signed
        if values.dtype.name not in _AS_THEY_ARE:
            with np.errstate(over="ignore"):  # infinity is looked for afterwards
                return values.astype(np.float32)
        return restored(values, self._less)

    def _say_values(self, text: str) -> None:
        self._remarks = (*self._remarks, MovieWarning("values-judged", text))

    def _judge_packing(self) -> None:
        """Read frames of bytes, whose size only packed ones have, as such, unless their values forbid it."""
        with self.path.open("rb", buffering=0) as file:
            values = read_page(self.path, file, self._pages[0])
        if hold_second_pixels(values):
            self._packed, self.width = True, 2 * self.width
            return
        self._say_values(
            f"frames of {self.height} x {self.width} px (height x width) are usually packed, two pixels of 4 bits in a"
            " byte, but here the second pixels would be empty: each byte is read as one pixel"
        )

    def _judge_sign(self) -> None:
        """Add 32768 to signed values where only that makes counts of them."""
        with self.path.open("rb", buffering=0) as file:
            values = read_page(self.path, file, self._pages[0])
        if is_less_32768(values[:: max(1, values.shape[0] // 64)]):
            self._less = LESS_16_BIT
            self._say_values(
                "16-bit values about -32768 are read as counts from which 32768 was subtracted: it is added"
            )

    def _check_like_first(self, page: TiffPage) -> None:
        if pixel_dtype(self.path, page) != self._stored_dtype:
            raise UnreadableMovie(f"{self.path}: frame {page.number} has another number type than frame 1")


def _encoded_frame(page: TiffPage, row_bytes: int) -> EncodedFrame:
    sizes = strip_sizes(page.strip_offsets.size, page.rows_per_strip * row_bytes, page.height * row_bytes)
    return EncodedFrame(page.strip_offsets.astype(np.int64), page.strip_byte_counts.astype(np.int64), sizes)


def _header_warnings(first: TiffPage, named: int, frame_count: int) -> tuple[MovieWarning, ...]:
    """Return what is to be said about the first page's header."""
    found = []
    if named > frame_count:
        text = (
            f"the file's description names {named} images, but it holds {frame_count} frames: the dose of a frame is"
            " its share of those named; copy the movie from the microscope again"
        )
        found.append(MovieWarning("frame-count-differs", text))
    if first.photometric in {_WHITE_IS_ZERO, _PALETTE}:
        kind = "0 is white" if first.photometric == _WHITE_IS_ZERO else "values are places in a palette of colours"
        text = f"by the file's header {kind}: values are used as counts, as they are stored"
        found.append(MovieWarning("values-judged", text))
    return tuple(found)
