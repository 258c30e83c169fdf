"""Pixels of float movies that hold no believable number: NaN, infinity, or far more than any camera counts.

A few of them are defects of the camera or of the program that wrote the movie: they become zero, and the caller
replaces them as it does other defects. A frame with many is damaged.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from preprocess.errors import UnreadableMovie
from preprocess.movie_warning import MovieWarning
from preprocess.movies.movie import Movie

_LARGEST_SHARE = 0.01
"""Of a frame's pixels; more are no defects."""
_TIMES_TYPICAL = 1000.0
_LARGEST, _SMALLEST_LIMIT = 1e6, 1e3
"""What is believed where a frame holds nothing to compare with, and in every frame."""
_FLOAT16_LARGEST = float(np.finfo(np.float16).max)
_SAMPLED_SIDE_PX = 256
_LEAST_TRIMMED = 0.999
_ROWS_AT_ONCE = 64


class FloatPixels:
    """Finds such pixels in the frames of one movie; threads may hand in frames at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: dict[int, NDArray[np.int64]] = {}
        self._frame_size = 0
        self._lock = threading.Lock()

    def cleaned(self, frame: NDArray[Any], index: int, *, flipped: bool = False) -> NDArray[Any]:
        """Return a frame (number `index` from 0) with its unbelievable pixels set to zero, in place.

        `flipped` says that the frame's rows lie the other way round than the movie hands them out.

        Raises
        ------
        UnreadableMovie
            There are too many for defects; the text names the frame and the first of them.
        """
        if frame.dtype.kind != "f":
            return frame
        limit = _limit(frame)
        if _all_within(frame, limit):
            return frame
        with np.errstate(invalid="ignore"):
            bad = ~(np.abs(frame, dtype=np.result_type(frame, np.float32)) <= limit)  # the limit may be beyond float16
        seen = bad[::-1] if flipped else bad
        pixels = np.flatnonzero(seen)
        if pixels.size > _LARGEST_SHARE * frame.size:
            y, x = divmod(int(pixels[0]), frame.shape[1])
            value = (frame[::-1] if flipped else frame)[y, x]
            raise UnreadableMovie(
                f"{self._path}: frame {index + 1} has {pixels.size} of {frame.size} pixels whose value is not a finite"
                f" number or is far beyond any count (the first at x {x}, y {y}: {value:g})"
            )
        frame[bad] = 0
        with self._lock:
            self._found[index] = pixels
            self._frame_size = frame.size
        return frame

    @property
    def pixels(self) -> NDArray[np.int64]:
        """Return the pixels found in any frame so far, as flat indices, ascending.

        Raises
        ------
        UnreadableMovie
            There are too many for defects.
        """
        with self._lock:
            found = [self._found[index] for index in sorted(self._found)]
        if not found:
            return np.zeros(0, np.int64)
        pixels = np.unique(np.concatenate(found))
        if pixels.size > _LARGEST_SHARE * self._frame_size:
            index = max(self._found, key=lambda number: self._found[number].size)
            raise UnreadableMovie(
                f"{self._path}: {pixels.size} of {self._frame_size} pixels are not a finite number or far beyond any"
                f" count in one frame or another, most of them in frame {index + 1}"
            )
        return pixels

    def warnings(self, width: int) -> tuple[MovieWarning, ...]:
        """Return what a person should know about them."""
        pixels = self.pixels
        if not pixels.size:
            return ()
        first = min(self._found)
        y, x = divmod(int(self._found[first][0]), width)
        text = (
            f"{pixels.size} pixel{'s' * (pixels.size != 1)} (in {len(self._found)} of the frames, the first in frame"
            f" {first + 1} at x {x}, y {y}) hold NaN, infinity or values far beyond any count:"
            " they are treated as defects"
        )
        return (MovieWarning("unbelievable-pixels", text, first + 1 if len(self._found) == 1 else None),)


def _all_within(frame: NDArray[Any], limit: float) -> bool:
    if frame.dtype.itemsize == 2:  # too slow to compare; their bits have the same order, with NaN at the end
        bits, most = frame.astype(np.float16, copy=False).view(np.uint16), _bits_of_float16(limit)
        # A few rows at a time: all of them would need as much memory again.
        parts = (bits[top : top + _ROWS_AT_ONCE] for top in range(0, len(bits), _ROWS_AT_ONCE))
        return all(int((part & np.uint16(0x7FFF)).max()) <= most for part in parts)
    with np.errstate(invalid="ignore"):
        return bool(frame.min() >= -limit and frame.max() <= limit)  # a comparison with NaN is false


def _bits_of_float16(limit: float) -> int:
    """Return the bits of the largest number in float16 that is not above a limit."""
    largest = np.float16(min(limit, _FLOAT16_LARGEST))
    return int(largest.view(np.uint16)) - bool(largest > np.float32(limit))


def _limit(frame: NDArray[Any]) -> float:
    """Return the largest value that is believed: many times a typical one."""
    sample = frame[:: max(1, frame.shape[0] // _SAMPLED_SIDE_PX), :: max(1, frame.shape[1] // _SAMPLED_SIDE_PX)]
    with np.errstate(invalid="ignore", over="ignore"):
        sizes = np.abs(sample.astype(np.float64)).reshape(-1)
    sizes = sizes[np.isfinite(sizes)]
    if not sizes.size:
        return _LARGEST
    sizes.partition(int(_LEAST_TRIMMED * (sizes.size - 1)))
    typical = float(sizes[: int(_LEAST_TRIMMED * (sizes.size - 1)) + 1].mean())
    return max(_TIMES_TYPICAL * typical, _SMALLEST_LIMIT) if 0 < typical < _LARGEST else _LARGEST


class _ReadByCpu:
    """A movie that says of itself that only the CPU can decode it."""

    def __init__(self, movie: Movie) -> None:
        self._movie = movie

    def __getattr__(self, name: str) -> Any:
        return getattr(self._movie, name)

    def encoded(self) -> None:
        """Return None."""


def read_by_cpu(movie: Movie) -> Movie:
    """Return the movie in a form that devices do not decode themselves, so that its pixels are looked at."""
    return cast(Movie, _ReadByCpu(movie))
