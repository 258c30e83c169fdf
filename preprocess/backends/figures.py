"""Figures of an image, from sums over its rows: added up in one order, wherever rows were summed.

Each row is summed in 32 lanes (lane l has columns l, l + 32, …, added from left to right); lanes are added from the
first to the last. A device can do this with a thread for each lane, and comes to the same bits as the CPU does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LANES = 32
COUNT, TOTAL, SQUARES, LOWEST, HIGHEST, EVERY = range(6)
"""What is known of each row: how many values, their sum, that of their squares, the extremes (infinite if there is no
value), and the sum of all pixels, those that are left out as well."""
ROW_FIGURES = 6


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of an image's values, or of some of them; without any, mean and deviation are 0, extremes infinite."""

    count: int
    mean: float
    deviation: float
    lowest: float
    highest: float


def figures_of(rows: NDArray[np.float64]) -> Figures:
    """Return the figures of an image from those of its rows, shape (ROW_FIGURES, height)."""
    count = int(rows[COUNT].sum())
    if count == 0:
        return Figures(0, 0.0, 0.0, np.inf, -np.inf)
    mean = float(rows[TOTAL].sum()) / count
    variance = float(rows[SQUARES].sum()) / count - mean**2
    if np.isnan(mean):  # no comparison with it tells an extreme
        return Figures(count, mean, mean, mean, mean)
    return Figures(
        count, mean, float(np.sqrt(max(variance, 0.0))), float(rows[LOWEST].min()), float(rows[HIGHEST].max())
    )
