"""MRC and MRCS movies: modes 0, 1, 2, 6, 12 and 101 (4 bit)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.errors import UnreadableMovie, UnsupportedFormat
from preprocess.movie_warning import MovieWarning
from preprocess.movies.encoded import EncodedFrame, EncodedFrames
from preprocess.movies.float_pixels import FloatPixels
from preprocess.movies.integer_meaning import LESS_16_BIT, bytes_meaning, is_less_32768, restored
from preprocess.movies.movie import Frame, Receive
from preprocess.movies.mrc_header import HEADER_BYTES, MrcHeader, read_mrc_header
from preprocess.movies.packed_pixels import unpacked
from preprocess.movies.prefetch import in_order

_SAMPLES, _SAMPLE_BYTES = 8, 1 << 16


class MrcMovie:
    """A movie in an MRC file; frames come as they are stored, counts from which a constant was subtracted restored."""

    def __init__(self, path: Path, *, threads: int) -> None:
        self.path = path
        self.format = "mrc"
        self.hardware_frames_per_frame = 1
        self.header_total_dose_e_per_a2: float | None = None
        self._threads = threads
        with path.open("rb") as file:
            self._header = header = read_mrc_header(file.read(HEADER_BYTES))
        if header.stored_dtype is None:
            raise UnsupportedFormat(
                f"{path}: MRC mode {header.mode} is not supported (modes 0, 1, 2, 6, 12 and 101 are)"
            )
        self._stored_dtype, self._less, remarks = _meaning(path, header, header.stored_dtype)
        self._remarks = (*remarks, *_surplus_remark(path, header))
        self._float_pixels = FloatPixels(path)
        self.frame_count, self.height, self.width = header.frame_count, header.height, header.width
        self.hardware_frame_count = self.recorded_frame_count = self.frame_count
        self.dtype: np.dtype[Any] = restored(np.empty(0, self._stored_dtype), self._less).dtype.newbyteorder("=")
        self.header_pixel_size_angstrom = known_pixel_size(header.pixel_size_angstrom)

    @property
    def remarks(self) -> tuple[MovieWarning, ...]:
        """Return what a user should know about how the file is read."""
        return (*self._remarks, *self._float_pixels.warnings(self.width))

    @property
    def unbelievable_pixels(self) -> NDArray[np.int64]:
        """Return the pixels, as flat indices, that hold no believable number in a frame handed out so far."""
        return self._float_pixels.pixels

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """Yield frames `start` to `stop` (not included) in order; UnreadableMovie names a frame that is cut off."""
        return in_order(self.path, self._frame, range(self.frame_count)[start:stop], threads=min(self._threads, 2))

    def deliver(self, receive: Receive, start: int = 0, stop: int | None = None) -> Iterator[None]:
        """Hand frames to `receive` in the threads that read them, each thread's in one buffer of its own."""
        indices, of_thread = range(self.frame_count)[start:stop], threading.local()

        def make(index: int) -> None:
            if not hasattr(of_thread, "buffer"):
                of_thread.buffer = self._room_for_frame()
            receive(index - indices.start, self._frame(index, of_thread.buffer))

        return in_order(self.path, make, indices, threads=min(self._threads, 2))

    def encoded(self) -> EncodedFrames | None:
        """Return where the frames lie in the file; None where a constant must be added to what is stored."""
        if self._less:
            return None
        header = self._header
        size = np.array([header.frame_bytes], np.int64)
        offsets = header.data_offset + header.frame_bytes * np.arange(self.frame_count, dtype=np.int64)
        return EncodedFrames(
            frames=tuple(EncodedFrame(offset, size, size) for offset in offsets[:, None]),
            compression="none",
            stored_dtype=self._stored_dtype,
            row_bytes=header.row_bytes,
            differences=False,
            flipped=False,
            packed_4_bit=header.packed_4_bit,
        )

    def _frame(self, index: int, buffer: NDArray[np.uint8] | None = None) -> Frame:
        return self._float_pixels.cleaned(self.stored_frame(index, buffer), index)

    def _room_for_frame(self) -> NDArray[np.uint8]:
        return np.empty((self._header.height, self._header.row_bytes), np.uint8)

    def stored_frame(self, index: int, buffer: NDArray[np.uint8] | None = None) -> Frame:
        """Return a frame with whatever values it holds; it may lie in a buffer that is given."""
        header = self._header
        stored = self._room_for_frame() if buffer is None else buffer
        with self.path.open("rb", buffering=0) as file:
            file.seek(header.data_offset + index * header.frame_bytes)
            # A single read is capped by the system at 2 GB, far above any frame.
            if file.readinto(stored.data) != header.frame_bytes:
                raise UnreadableMovie(f"{self.path}: frame {index + 1} of {self.frame_count} is cut off")
        if header.packed_4_bit:
            return unpacked(stored, header.width)
        values = restored(stored.view(self._stored_dtype), self._less)
        return values if values.dtype.isnative else values.astype(self.dtype)


def known_pixel_size(angstrom: float | None) -> float | None:
    """Return a header's pixel size where it means something: 0, exactly 1 Å and printers' resolutions mean unknown."""
    believable = angstrom is not None and 0.02 < angstrom < 1000.0 and abs(angstrom - 1.0) > 1e-6
    return angstrom if believable else None


def _meaning(
    path: Path, header: MrcHeader, stored_dtype: np.dtype[Any]
) -> tuple[np.dtype[Any], int, tuple[MovieWarning, ...]]:
    """Return the type of what is stored, what was subtracted from it, and what a user should know about that."""
    if header.meaning_known:
        return stored_dtype, header.less, ()
    values = _sampled_values(path, header, stored_dtype)
    if header.mode == 1:
        if not is_less_32768(values):
            return stored_dtype, 0, ()
        return stored_dtype, LESS_16_BIT, (_judged("its 16-bit values", "counts less 32768, which is added"),)
    meaning = bytes_meaning(values)
    if meaning == "less 128":
        return stored_dtype, 128, (_judged("its bytes", "counts less 128, which is added"),)
    if meaning == "signed":
        return np.dtype("i1"), 0, ()
    known_alike = float((values > 127).mean()) == 0.0
    return stored_dtype, 0, () if known_alike else (_judged("its bytes", "unsigned counts"),)


def _judged(what: str, reading: str) -> MovieWarning:
    text = (
        f"the header does not say what {what} mean: by their values they are read as {reading};"
        " if that is wrong, convert the movie to 16-bit unsigned (MRC mode 6)"
    )
    return MovieWarning("values-judged", text)


def _sampled_values(path: Path, header: MrcHeader, stored_dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return some values, evenly from the whole movie."""
    last = max(0, header.frame_count * header.frame_bytes - _SAMPLE_BYTES)
    blocks = []
    with path.open("rb", buffering=0) as file:
        for place in sorted({int(place) for place in np.linspace(0, last, _SAMPLES)}):
            file.seek(header.data_offset + place - place % stored_dtype.itemsize)
            block = file.read(_SAMPLE_BYTES)
            blocks.append(block[: len(block) - len(block) % stored_dtype.itemsize])
    return np.frombuffer(b"".join(blocks), stored_dtype)


def _surplus_remark(path: Path, header: MrcHeader) -> tuple[MovieWarning, ...]:
    surplus = path.stat().st_size - header.data_offset - header.frame_count * header.frame_bytes
    if surplus <= 0:
        return ()
    more = surplus // header.frame_bytes
    room = f", room for {more} more frame{'s' * (more != 1)}, which are not read" if more else ""
    text = f"the file has {surplus} bytes after the {header.frame_count} frames that its header names{room}"
    return (MovieWarning("surplus-bytes", text),)
