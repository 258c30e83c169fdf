"""Tells whether an image repeats itself, as a crystal's does: then a frame fits in several places equally well."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

AS_HIGH = 0.8
"""Part of the middle's height that another peak of the correlation has where the image repeats itself."""
DIP = 0.5
"""Part of a peak's height below which the correlation falls between; along an edge it does not."""
SURE = 20.0
"""Standard errors by which the middle stands out."""
NEAREST = 2


def repetition(windows: NDArray[np.float32], overlap: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return after how many samples (y, x) an image repeats itself; None if it does not, or noise hides it.

    Parameters
    ----------
    windows : NDArray[np.float32]
        Correlations of the aligned frames with the sum of the others around zero shift, (frames, side, side).
    overlap : NDArray[np.float64]
        Part of the field, (side, side), that an image shares with itself displaced so far.
    """
    count, side, _ = windows.shape
    mean = windows.mean(0, dtype=np.float64)
    error = float(np.median(windows.std(0, dtype=np.float64))) / np.sqrt(count)
    mean = (mean - np.median(mean)) / overlap
    radius = side // 2
    middle = float(mean[radius - 1 : radius + 2, radius - 1 : radius + 2].max())
    if radius < NEAREST + 1 or middle < SURE * error:
        return None
    inner = mean[1:-1, 1:-1]
    neighbours = [mean[1 + y : side - 1 + y, 1 + x : side - 1 + x] for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x]
    highest = (inner > AS_HIGH * middle) & (inner >= np.max(neighbours, 0))
    places = np.argwhere(highest) + 1 - radius
    for place in sorted(places.tolist(), key=lambda place: place[0] ** 2 + place[1] ** 2):
        distance = float(np.hypot(*place))
        if distance >= NEAREST and _dips(mean, place, radius):
            return np.array(place, np.float64)
    return None


def _dips(mean: NDArray[np.float64], place: list[int], radius: int) -> bool:
    """Tell whether the correlation falls between the middle and another peak."""
    steps = np.linspace(0, 1, 2 * max(abs(place[0]), abs(place[1])) + 1)
    y, x = (np.rint(radius + steps * value).astype(np.int64) for value in place)
    return bool(mean[y, x].min() < DIP * mean[radius + place[0], radius + place[1]])
