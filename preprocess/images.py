"""A finished image on its way to a file, and the statistics of its pixels: what backends hand to those who write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class PixelStatistics:
    """Statistics of an image's values, or of some of them.

    Without any value, `mean` and `deviation` are 0 and the extremes infinite.
    """

    count: int
    mean: float
    deviation: float
    lowest: float
    highest: float


class ArrivingImage(Protocol):
    """An image in the number type that is written, on its way from the device that computed it."""

    @property
    def statistics(self) -> PixelStatistics:
        """Return the statistics of its values, as written."""

    @property
    def beyond_float16(self) -> bool:
        """Return whether it is float32 because values lie beyond float16's range."""

    def pixels(self) -> NDArray[np.float16] | NDArray[np.float32]:
        """Return the pixels, shape (height, width); waits until all have arrived. Any thread may ask, repeatedly."""
