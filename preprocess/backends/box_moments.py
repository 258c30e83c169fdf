"""Boxes of a frame in which its counts are measured: where they end, and the moments of what was added up in them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def box_ends(size: int, boxes: int) -> NDArray[np.int64]:
    """Return where boxes begin along an axis of `size` pixels, and where the last one ends: shape (boxes + 1,)."""
    return np.arange(boxes + 1) * size // boxes


def row_step(height: int, rows: int) -> int:
    """Return every how many rows a box is looked at, so that there are about `rows` of them in a frame."""
    return max(1, height // rows)


def moments_of_sums(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return counts, means and variances from the sums of ones, values and squares, shape (frames, 3, boxes)."""
    counts = np.maximum(sums[:, 0], 1)
    means, squares = sums[:, 1] / counts, sums[:, 2] / counts
    return np.stack([sums[:, 0], means, np.maximum(squares - means**2, 0)], 1)
