"""How much of the field electrons reach, and how much of it is saturated, by the counts of boxes of the raw frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BRIGHT_PERCENTILE = 90.0
"""Of the boxes' means: what a place that the beam reaches has."""
EMPTY_BELOW = 0.1
"""A box with less than this part of that is empty: behind a grid bar, or outside of the beam or an aperture."""
SATURATED_BELOW = 0.1
"""Counts scatter by their root. A box with less than this part of the usual ratio of variance to mean is saturated."""


@dataclass(frozen=True, slots=True)
class LitArea:
    """Shares of the field, from 0 to 1."""

    empty: float
    saturated: float


def lit_area(moments: NDArray[np.float64]) -> LitArea | None:
    """Return which shares of the field are empty and saturated; None where counts have an offset that hides it.

    Parameters
    ----------
    moments : NDArray[np.float64]
        How many pixels each box of a frame has, their mean and variance: shape (frames, 3, boxes).
    """
    if not len(moments) or not np.isfinite(moments).all():
        return None
    means, variances = moments[:, 1].mean(0), moments[:, 2].mean(0)
    bright = float(np.percentile(means, BRIGHT_PERCENTILE))
    if bright <= 0 or means.min() < 0:
        return None
    empty = means < EMPTY_BELOW * bright
    scatter = variances / np.where(empty, 1, means)
    usual = float(np.median(scatter[~empty]))
    saturated = ~empty & (scatter < SATURATED_BELOW * usual)
    return LitArea(float(empty.mean()), float(saturated.mean()))
