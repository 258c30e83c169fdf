"""How much a micrograph's brightness varies on the scale of particles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SQUARE_ANGSTROM = 40.0
FEWEST_SQUARES = 16


def image_contrast(boxes: NDArray[np.float32], box_angstrom: tuple[float, float]) -> float | None:
    """Return the standard deviation of the means of squares of about 40 Å over the mean of the image.

    None for an image of fewer than 16 squares, or of a mean that is not greater than zero.

    Parameters
    ----------
    boxes : NDArray[np.float32]
        Means of boxes of the image.
    box_angstrom : tuple[float, float]
        Their height and width.
    """
    along_y, along_x = (max(round(SQUARE_ANGSTROM / size), 1) for size in box_angstrom)
    rows, columns = boxes.shape[0] // along_y, boxes.shape[1] // along_x
    if rows * columns < FEWEST_SQUARES:
        return None
    whole = boxes[: rows * along_y, : columns * along_x]
    squares = whole.reshape(rows, along_y, columns, along_x).mean((1, 3), dtype=np.float64)
    mean = float(squares.mean())
    return float(squares.std()) / mean if np.isfinite(mean) and mean > 0 else None
