"""A camera's gain, estimated from what its movies counted.

Each kind of structure (columns, rows, boxes, single pixels, regions) is measured in two halves of the movies. What the
halves have in common is the camera's; how they differ tells the error. Each value is shrunk towards 1 by the share of
its variance that is error (empirical Bayes), so that the estimate is never worse than none, with few movies too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from preprocess.gains.background import BOX_PX, between_boxes, box_sums, over_pixels
from preprocess.gains.pixel_counts import PixelCounts

SURE = 5.0
"""By how many standard errors the halves must have a pattern in common."""
LEAST_PATTERN = 0.003
"""A camera whose pixels differ by less (root mean square) is corrected already."""
FEWEST_MOVIES = 2
_RUN_PX = 128
_DEAD, _HOT = 0.1, 1.5
_HOT_DEVIATIONS = 8.0
_ENOUGH_COUNTS = 30.0
_BLOCK_PX = 32
_ALIKE = 0.7
"""Slow changes over the whole field that correlate so much in both halves are not there by chance."""

Figure = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class GainEstimate:
    """An estimated gain, and how good it is.

    Attributes
    ----------
    sensitivity : NDArray[np.float32]
        How much each pixel counts relative to the mean; 0: a defect.
    pattern, error : float
        Root mean square, over pixels: of the camera's own pattern, and of what is left of it after correction.
    standard_errors : float
        By how many standard errors there is a pattern.
    counts : float
        Counts a pixel that the estimate is made of.
    noise : float
        Variance of the counts over their mean, as movies differ: 1 is counting statistics alone.
    hot, dead : int
        Numbers of defects.
    """

    sensitivity: NDArray[np.float32]
    pattern: float
    error: float
    standard_errors: float
    counts: float
    noise: float
    movies: int
    hot: int
    dead: int

    @property
    def is_sure(self) -> bool:
        """Return whether the movies show that the camera's pixels differ."""
        return self.standard_errors >= SURE and self.pattern >= LEAST_PATTERN

    def movies_for(self, error: float) -> int:
        """Return how many movies such as these are needed for an error of the gain (root mean square)."""
        if error >= self.pattern or not self.counts:
            return FEWEST_MOVIES
        variance = error**2 * self.pattern**2 / (self.pattern**2 - error**2)
        return max(FEWEST_MOVIES, math.ceil(self.movies * self.noise / self.counts / variance))


def estimate_gain(counts: PixelCounts) -> GainEstimate:
    """Return the gain that the movies show. There must be two at least."""
    halves = [counts.relative(half) for half in range(2)]
    expected = [counts.expected(half) for half in range(2)]
    hot, dead = _defects(halves, expected)
    good = ~(hot | dead)
    for relative in halves:
        np.subtract(relative, 1, out=relative)
        relative[~good] = 0
    noise = _noise(halves, expected, good)
    pattern_of_halves = halves[0] * halves[1]
    signal, error_of_signal = _mean_of_blocks(pattern_of_halves, good, expected)
    del pattern_of_halves
    total = np.zeros(counts.shape, np.float32)
    height, width = counts.shape
    sizes = [(height, 1), (_RUN_PX, 1), (1, width), (1, _RUN_PX), (BOX_PX, BOX_PX), (4, 4), (2, 2), (1, 1)]
    for size in sizes:
        _take_out(halves, expected, good, noise, size, total)
    sensitivity = (1 + total) * between_boxes(_regions(counts), counts.shape)
    sensitivity /= sensitivity[good].mean(dtype=np.float64)
    np.maximum(sensitivity, np.float32(_DEAD), out=sensitivity)
    sensitivity[~good] = 0
    pattern, counted = math.sqrt(max(signal, 0)), float(np.mean(expected[0] + expected[1]))
    return GainEstimate(
        sensitivity=sensitivity,
        pattern=pattern,
        error=math.sqrt(signal * noise / (signal * counted + noise)) if signal > 0 else 0.0,
        standard_errors=signal / error_of_signal if error_of_signal > 0 else 0.0,
        counts=counted,
        noise=noise,
        movies=counts.movies,
        hot=int(np.count_nonzero(hot)),
        dead=int(np.count_nonzero(dead)),
    )


def _defects(halves: list[Figure], expected: list[Figure]) -> tuple[Figure, Figure]:
    shape = halves[0].shape
    share = expected[0] / np.maximum(expected[0] + expected[1], 1e-9)
    weight = over_pixels(share, shape)
    together = halves[0] * weight + halves[1] * (1 - weight)
    known = over_pixels(expected[0] + expected[1], shape)
    low, middle, high = np.percentile(together[::3, ::3], [15.87, 50, 84.13])
    fewer = np.sqrt(np.median(known) / np.maximum(known, np.float32(1e-3)))  # counts, and so a larger error
    limit = middle + np.maximum(_HOT - 1, _HOT_DEVIATIONS * (high - low) / 2 * np.maximum(fewer, 1))
    return (together > limit) & (known > 0), (together < _DEAD) & (known > _ENOUGH_COUNTS)


def _noise(halves: list[Figure], expected: list[Figure], good: Figure) -> float:
    """Return the variance of counts over their mean."""
    both = np.minimum(*expected)
    known = both > 0.1 * np.median(both)
    weight = np.divide(1, 1 / np.maximum(expected[0], 1e-9) + 1 / np.maximum(expected[1], 1e-9))
    squares = box_sums(np.where(good, np.square(halves[0] - halves[1]), 0)) * weight
    numbers = box_sums(good.astype(np.float32))
    return float(squares[known].sum() / max(numbers[known].sum(), 1))


def _mean_of_blocks(values: Figure, good: Figure, expected: list[Figure]) -> tuple[float, float]:
    """Return the mean of values and its standard error, which the spread of blocks gives."""
    both = np.minimum(*expected)
    known = over_pixels(both > 0.1 * np.median(both), values.shape) > 0
    values = np.where(good & known, values, 0)
    numbers = box_sums((good & known).astype(np.float32), (_BLOCK_PX, _BLOCK_PX))
    sums = box_sums(values, (_BLOCK_PX, _BLOCK_PX))
    mean = float(sums.sum() / max(numbers.sum(), 1))
    spread = np.square(sums - mean * numbers).sum()
    return mean, math.sqrt(spread) / max(float(numbers.sum()), 1)


def _take_out(
    halves: list[Figure], expected: list[Figure], good: Figure, noise: float, size: tuple[int, int], total: Figure
) -> None:
    """Move the structure that has the size of such boxes from the halves to the total."""
    shape = total.shape
    sums, weights = [], []
    for half, counts in zip(halves, expected, strict=True):
        weight = over_pixels(counts, shape) * good
        weights.append(box_sums(weight, size))
        sums.append(box_sums(half * weight, size))
    means = [np.divide(s, w, out=np.zeros_like(s), where=w > 0) for s, w in zip(sums, weights, strict=True)]
    known = (weights[0] > 0) & (weights[1] > 0)
    trust = np.where(known, np.minimum(*weights), 0)
    variance = float((trust * means[0] * means[1]).sum() / max(trust.sum(), 1e-9))
    together = weights[0] + weights[1]
    error = np.divide(noise, together, out=np.full_like(together, np.inf), where=together > 0)
    if variance <= 0:
        return
    shrunk = (
        variance
        / (variance + error)
        * np.divide(sums[0] + sums[1], together, out=np.zeros_like(together), where=together > 0)
    )
    found = over_pixels(shrunk, shape, size)
    total += found
    for half in halves:
        np.subtract(half, found, out=half)


def _regions(counts: PixelCounts) -> NDArray[np.float64]:
    """Return the sensitivity of regions, from a few boxes to half the field, octave by octave."""
    halves = [counts.region(half) - 1 for half in range(2)]
    found, reach = np.zeros_like(halves[0]), 1.5
    before = [scipy.ndimage.gaussian_filter(half, 0.5, mode="reflect") for half in halves]
    while reach <= max(halves[0].shape) / 4:
        wider = [scipy.ndimage.gaussian_filter(half, reach, mode="reflect") for half in halves]
        found += _shrunk_mean(before[0] - wider[0], before[1] - wider[1], reach)
        before, reach = wider, 2 * reach
    return 1 + found + _shrunk_mean(before[0], before[1], reach)


def _shrunk_mean(one: Figure, other: Figure, reach: float) -> Figure:
    """Return what two images have in common; nothing if that may be by chance."""
    common, mean = float(np.mean(one * other)), (one + other) / 2
    independent = max(one.size / (4 * np.pi * reach**2), 1)
    chance = min(2 / math.sqrt(independent), _ALIKE) * math.sqrt(float(np.mean(one**2) * np.mean(other**2)))
    return common / float(np.mean(mean**2)) * mean if common > chance else np.zeros_like(mean)
