"""What a movie is, whatever file it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from preprocess.movie_warning import MovieWarning
from preprocess.movies.encoded import Encoded

Frame = NDArray[Any]
"""One frame, shape (height, width), in the movie's own number type, in RELION's orientation."""

Receive = Callable[[int, Frame], None]
"""Takes a frame and its number, from 0 at the first one asked for; the frame may be used during the call alone."""


class Movie(Protocol):
    """A movie's frames, handed out one by one; the caller decides what to keep.

    Frames come in RELION's orientation (TIFF flipped in Y, MRC and EER as stored) and in the file's own number type
    (`uint8`, `int8`, `int16`, `uint16`, `float16`, `float32`). A frame handed out belongs to the caller.
    """

    @property
    def path(self) -> Path:
        """Return the movie's file."""

    @property
    def format(self) -> str:
        """Return `mrc`, `tiff` or `eer`."""

    @property
    def frame_count(self) -> int:
        """Return the number of frames that `frames` hands out (EER: groups of hardware frames)."""

    @property
    def height(self) -> int:
        """Return a frame's number of rows."""

    @property
    def width(self) -> int:
        """Return a frame's number of columns."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the frames' number type."""

    @property
    def header_pixel_size_angstrom(self) -> float | None:
        """Return the header's pixel size; None if it says nothing (0, 1.0 Å and 72 dpi mean nothing)."""

    @property
    def header_total_dose_e_per_a2(self) -> float | None:
        """Return the whole movie's dose, where the header knows it (EER)."""

    @property
    def hardware_frames_per_frame(self) -> int:
        """Return how many hardware frames make one frame (1 except for EER)."""

    @property
    def hardware_frame_count(self) -> int:
        """Return how many hardware frames the file holds, left out ones included (`frame_count` except for EER)."""

    @property
    def recorded_frame_count(self) -> int:
        """Return how many hardware frames the camera recorded by the header; some may be missing from the file."""

    @property
    def remarks(self) -> tuple[MovieWarning, ...]:
        """Return what a user should know about how the file is read; more is known when all frames were read."""

    @property
    def unbelievable_pixels(self) -> NDArray[np.int64]:
        """Return the pixels (flat indices, ascending) that held no believable number in the frames read so far."""

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """Yield frames `start` (from 0) to `stop` (not included) in order.

        Raises
        ------
        UnreadableMovie
            A frame cannot be decoded; the text names the frame.
        """

    def deliver(self, receive: Receive, start: int = 0, stop: int | None = None) -> Iterator[None]:
        """Hand frames `start` to `stop` (not included) to `receive`, in the threads that decode them.

        Yields once for each frame, in order, when it has been received. Errors are those of `frames`.
        """

    def encoded(self) -> Encoded | None:
        """Return where the frames lie in the file and how they are encoded; None where only the CPU can decode them."""
