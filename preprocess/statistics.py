"""Mean and standard deviation of large images, a few rows at a time: NumPy's own copy the whole image twice."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

ROWS = 64


def mean_and_deviation(image: NDArray[Any], good: NDArray[np.bool_] | None = None) -> tuple[float, float]:
    """Return mean and standard deviation of an image's pixels (height, width), or of the good ones, in float64.

    Without any pixel both are 0.
    """
    count, total, squares = 0, 0.0, 0.0
    for top in range(0, len(image), ROWS):
        rows = image[top : top + ROWS].astype(np.float64)
        values = rows.ravel() if good is None else rows[good[top : top + ROWS]]
        count += values.size
        total += float(values.sum())
        squares += float(np.square(values).sum())
    if count == 0:
        return 0.0, 0.0
    mean = total / count
    return mean, float(np.sqrt(max(squares / count - mean**2, 0.0)))
