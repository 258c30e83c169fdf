"""Statistics of an image, from sums over its rows: added up in one order, wherever rows were summed.

Each row is summed in 32 lanes (lane l has columns l, l + 32, …, added from left to right); lanes are added from the
first to the last. A device can do this with a thread for each lane, and comes to the same bits as the CPU does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preprocess.images import PixelStatistics

LANES = 32
COUNT, TOTAL, SQUARES, LOWEST, HIGHEST, EVERY = range(6)
"""What is known of each row: how many values, their sum, that of their squares, the extremes (infinite if there is no
value), and the sum of all pixels, those that are left out as well."""
STATISTICS_PER_ROW = 6
FLOAT16_LARGEST = float(np.finfo(np.float16).max)


class RowStatistics:
    """The statistics of an image's rows, shape (STATISTICS_PER_ROW, height), of `width` pixels each."""

    def __init__(self, rows: NDArray[np.float64], width: int) -> None:
        self.rows = rows
        self.width = width

    def whole(self) -> PixelStatistics:
        """Return the statistics of the image."""
        rows, count = self.rows, int(self.rows[COUNT].sum())
        if count == 0:
            return PixelStatistics(0, 0.0, 0.0, np.inf, -np.inf)
        mean = float(rows[TOTAL].sum()) / count
        if np.isnan(mean):  # no comparison with NaN finds an extreme
            return PixelStatistics(count, mean, mean, mean, mean)
        variance = max(float(rows[SQUARES].sum()) / count - mean**2, 0.0)
        return PixelStatistics(
            count, mean, float(np.sqrt(variance)), float(rows[LOWEST].min()), float(rows[HIGHEST].max())
        )

    def mean_of_all(self) -> float:
        """Return the mean of all pixels, those that are left out as well."""
        total = float(self.rows[EVERY].sum())
        return total / (len(self.rows[EVERY]) * self.width)

    def with_values_between(self, lowest: float, highest: float) -> NDArray[np.int64]:
        """Return the rows that may have values from `lowest` to `highest`."""
        return np.flatnonzero((self.rows[HIGHEST] >= lowest) & (self.rows[LOWEST] <= highest))

    def with_pixels_left_out(self) -> NDArray[np.int64]:
        """Return the rows of which not all pixels count."""
        return np.flatnonzero(self.rows[COUNT] < self.width)
