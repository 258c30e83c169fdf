"""Samples an image between its pixels, from cubic B-spline coefficients."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.compiled_code import compiled


@compiled()
def sample_cubic_spline(
    coefficients: NDArray[np.float32],
    first_row: int,
    first_column: int,
    offset_y: NDArray[np.float64],
    offset_x: NDArray[np.float64],
    out: NDArray[np.float32],
) -> Any:
    """Fill `out` with the image at (first_row + row + offset_y, first_column + column + offset_x) of each pixel.

    Places beyond the image take its edge's coefficients; the canvas has a margin against that.
    """
    height, width = coefficients.shape
    weights_y, weights_x = np.empty(4, np.float32), np.empty(4, np.float32)
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            y = first_row + row + offset_y[row, column]
            x = first_column + column + offset_x[row, column]
            top, left = int(np.floor(y)), int(np.floor(x))
            _weigh(y - top, weights_y)
            _weigh(x - left, weights_x)
            total = 0.0
            for step_y in range(4):
                at_y = min(max(top - 1 + step_y, 0), height - 1)
                along = 0.0
                for step_x in range(4):
                    at_x = min(max(left - 1 + step_x, 0), width - 1)
                    along += weights_x[step_x] * coefficients[at_y, at_x]
                total += weights_y[step_y] * along
            out[row, column] = total


@compiled()
def _weigh(part: float, weights: NDArray[np.float32]) -> Any:
    """Fill the cubic B-spline's weights of the four pixels around a place `part` of the way from the second."""
    rest = 1 - part
    weights[0] = rest * rest * rest / 6
    weights[1] = (4 - 6 * part * part + 3 * part * part * part) / 6
    weights[2] = (4 - 6 * rest * rest + 3 * rest * rest * rest) / 6
    weights[3] = part * part * part / 6
