"""The sum of a movie's frames in memory, and which of its pixels are valid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.cpu.row_threads import RowThreads
from preprocess.backends.row_statistics import STATISTICS_PER_ROW, RowStatistics
from preprocess.geometry.image_centre import centre_of
from preprocess.images import PixelStatistics


class CpuFrameSum:
    """A raw sum (height, width) and the gain it is seen with; each row's statistics are kept until they change."""

    def __init__(
        self, raw: NDArray[np.float32], gain: NDArray[np.float32], has_gain: bool, threads: RowThreads
    ) -> None:
        self.shape = raw.shape
        self.threads = threads
        self._seen = (raw, gain, has_gain)
        self._good = np.ones(raw.shape, np.uint8)
        if has_gain:
            threads.run(self.threads.kernels.believe_in_gain, gain, self._good, rows=len(raw))
        self._rows = RowStatistics(np.empty((STATISTICS_PER_ROW, len(raw))), raw.shape[1])
        self._update(np.arange(len(raw)))

    def mean(self) -> float:
        """Return the mean of all pixels."""
        return self._rows.mean_of_all()

    def statistics(self) -> PixelStatistics:
        """Return the statistics of the valid pixels."""
        return self._rows.whole()

    def exclude(self, pixels: NDArray[np.int64]) -> None:
        """Mark these pixels as invalid."""
        self._good.reshape(-1)[pixels] = 0
        self._update(np.unique(pixels // self.shape[1]))

    def excluded(self) -> NDArray[np.int64]:
        """Return the pixels that are not valid."""
        rows = self._rows.with_pixels_left_out()
        y, x = np.nonzero(self._good[rows] == 0)
        excluded: NDArray[np.int64] = rows[y] * self.shape[1] + x
        return excluded

    def between(self, lowest: float, highest: float) -> NDArray[np.int64]:
        """Return the valid pixels whose value lies from lowest to highest."""
        rows = self._rows.with_values_between(lowest, highest)
        counts = np.zeros(len(rows), np.int64)
        arguments = (*self._seen, self._good, (float(lowest), float(highest)), rows)
        self.threads.run(self.threads.kernels.list_between, *arguments, counts, np.empty(0, np.int64), rows=len(rows))
        found = np.empty(counts.sum(), np.int64)
        if found.size:
            self.threads.run(
                self.threads.kernels.list_between, *arguments, np.cumsum(counts) - counts, found, rows=len(rows)
            )
        return found

    def surroundings(self, pixels: NDArray[np.int64], reach: int) -> tuple[NDArray[np.float32], float | None]:
        """Compare with the mean of the valid pixels around."""
        height, width = self.shape
        firsts = np.searchsorted(pixels, np.arange(height + 1) * width)
        around, noise = np.empty(len(pixels), np.float32), np.empty((2, height))
        self.threads.run(
            self.threads.kernels.surroundings,
            *self._seen,
            self._good,
            reach,
            pixels,
            firsts,
            around,
            noise,
            rows=height,
        )
        total, count = noise.sum(1)
        return around, float(total / count) if count else None

    def peaks(self, slope: float, floor: float) -> NDArray[np.int64]:
        """Return the valid pixels that stand out from those 4 px away."""
        marks, counts = np.empty(self.shape, np.uint8), np.empty(self.shape[0], np.int64)
        variance = (float(slope), float(floor))
        self.threads.run(
            self.threads.kernels.mark_peaks, *self._seen, self._good, variance, marks, counts, rows=len(marks)
        )
        rows = np.flatnonzero(counts)
        y, x = np.nonzero(marks[rows])
        found: NDArray[np.int64] = rows[y] * self.shape[1] + x
        return found

    def windows(self, pixels: NDArray[np.int64], reach: int) -> NDArray[np.float32]:
        """Return what lies around pixels, NaN where nothing valid does."""
        found = np.empty((len(pixels), (2 * reach + 1) ** 2), np.float32)
        self.threads.run(
            self.threads.kernels.cut_windows, *self._seen, self._good, pixels, reach, found, rows=len(pixels)
        )
        return found

    def raw_centre(self, side: int) -> NDArray[np.float32]:
        """Return the middle of the sum, without the gain."""
        return centre_of(self._seen[0], side)

    def _update(self, rows: NDArray[np.int64]) -> None:
        self.threads.run(
            self.threads.kernels.sum_statistics, *self._seen, self._good, rows, self._rows.rows, rows=len(rows)
        )
