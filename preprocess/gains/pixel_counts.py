"""Adds up what movies count, against what they would count if all pixels were alike: two halves of the movies apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preprocess.gains.background import BOX_PX, Background, background_of, between_boxes, over_pixels

_EVEN = (0.7, 1.4)
"""Of what is usual: only ice and carbon of about the same thickness tell how sensitive a region is."""


class PixelCounts:
    """What movies of one camera counted.

    Two halves are apart: what they have in common is the camera, in what they differ is noise and specimen. Memory is
    that of two images, however many movies come.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        boxes = tuple(-(-side // BOX_PX) for side in shape)
        self.shape, self.movies = shape, 0
        self._counted = [np.zeros(shape, np.float32) for _ in range(2)]
        self._expected = [np.zeros(boxes) for _ in range(2)]
        self._region = [np.zeros(boxes) for _ in range(2)]
        self._region_weight = [np.zeros(boxes) for _ in range(2)]

    def add(self, raw: NDArray[np.float32]) -> None:
        """Add one movie by its raw sum, whose memory is used."""
        half, self.movies = self.movies % 2, self.movies + 1
        background = background_of(raw)
        counts, weight = background.counts, background.weight
        raw *= over_pixels(weight * counts, self.shape)
        raw /= np.maximum(between_boxes(counts, self.shape), np.float32(1e-3))
        self._counted[half] += raw
        self._expected[half] += weight * counts
        self._add_region(half, background)

    def _add_region(self, half: int, background: Background) -> None:
        counts, weight = background.counts.astype(np.float64), (background.weight > 0).astype(np.float64)
        for _ in range(2):  # the second time without what is uneven
            usual = float(np.sum(weight * counts) / max(float(weight.sum()), 1.0)) or 1.0
            relative = counts / usual
            weight = weight * (relative > _EVEN[0]) * (relative < _EVEN[1])
        self._region[half] += weight * relative
        self._region_weight[half] += weight

    def relative(self, half: int) -> NDArray[np.float32]:
        """Return each pixel's counts over those of its surroundings, in one half of the movies; 1 where none tells."""
        expected = over_pixels(self._expected[half], self.shape)
        return np.divide(self._counted[half], expected, out=np.ones(self.shape, np.float32), where=expected > 0)

    def expected(self, half: int) -> NDArray[np.float64]:
        """Return how many counts a pixel of each box was to have in one half, shape (boxes along y, along x)."""
        return self._expected[half]

    def region(self, half: int) -> NDArray[np.float64]:
        """Return each box's counts over the mean of its movie, in one half; 1 where none tells."""
        weight = self._region_weight[half]
        return np.divide(self._region[half], weight, out=np.ones_like(weight), where=weight > 0)
