"""MRC and MRCS movies: modes 0, 1, 2, 6, 12 and 101 (4 bit)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.errors import UnreadableMovie, UnsupportedFormat
from preprocess.movies.encoded import EncodedFrame, EncodedFrames
from preprocess.movies.movie import Frame, Receive
from preprocess.movies.mrc_header import HEADER_BYTES, read_mrc_header
from preprocess.movies.prefetch import in_order


class MrcMovie:
    """A movie in an MRC file; frames come as they are stored."""

    def __init__(self, path: Path, *, threads: int) -> None:
        self.path = path
        self.format = "mrc"
        self.hardware_frames_per_frame = 1
        self.header_total_dose_e_per_a2: float | None = None
        self.remarks: tuple[str, ...] = ()
        self._threads = threads
        with path.open("rb") as file:
            self._header = header = read_mrc_header(file.read(HEADER_BYTES))
        if header.stored_dtype is None:
            raise UnsupportedFormat(
                f"{path}: MRC mode {header.mode} is not supported (modes 0, 1, 2, 6, 12 and 101 are)"
            )
        self._stored_dtype = header.stored_dtype
        self.frame_count, self.height, self.width = header.frame_count, header.height, header.width
        self.hardware_frame_count = self.frame_count
        self.dtype: np.dtype[Any] = self._stored_dtype.newbyteorder("=")
        self.header_pixel_size_angstrom = known_pixel_size(header.pixel_size_angstrom)

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """Yield frames `start` to `stop` (not included) in order; UnreadableMovie names a frame that is cut off."""
        return in_order(self.path, self._frame, range(self.frame_count)[start:stop], threads=min(self._threads, 2))

    def deliver(self, receive: Receive, start: int = 0, stop: int | None = None) -> Iterator[None]:
        """Hand frames to `receive` in the threads that decode them."""
        indices = range(self.frame_count)[start:stop]

        def make(index: int) -> None:
            receive(index - indices.start, self._frame(index))

        return in_order(self.path, make, indices, threads=min(self._threads, 2))

    def encoded(self) -> EncodedFrames:
        """Return where the frames lie in the file."""
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

    def _frame(self, index: int) -> Frame:
        header = self._header
        stored: NDArray[Any] = np.empty((header.height, header.row_bytes), np.uint8)
        with self.path.open("rb", buffering=0) as file:
            file.seek(header.data_offset + index * header.frame_bytes)
            # A single read is capped by the system at 2 GB, far above any frame.
            if file.readinto(stored.data) != header.frame_bytes:
                raise UnreadableMovie(f"{self.path}: frame {index + 1} of {self.frame_count} is cut off")
        if header.packed_4_bit:
            return _unpack_4_bit(stored, header.width)
        values = stored.view(self._stored_dtype)
        return values if values.dtype.isnative else values.astype(self.dtype)


def known_pixel_size(angstrom: float | None) -> float | None:
    """Return a header's pixel size where it means something: 0, exactly 1 Å and printers' resolutions mean unknown."""
    believable = angstrom is not None and 0.02 < angstrom < 1000.0 and abs(angstrom - 1.0) > 1e-6
    return angstrom if believable else None


def _unpack_4_bit(packed: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """Return two values for each byte, the low half first."""
    values = np.empty((packed.shape[0], packed.shape[1] * 2), np.uint8)
    np.bitwise_and(packed, 15, out=values[:, 0::2])
    np.right_shift(packed, 4, out=values[:, 1::2])
    return values if values.shape[1] == width else np.ascontiguousarray(values[:, :width])
