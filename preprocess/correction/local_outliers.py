"""Which pixels differ from all that is around them: hot and dead ones, and no part of a bright or dark region.

A camera's defects are small and sharp: one pixel, a few together, a part of a row or column; what the optics show is
wider than that. So a pixel is compared with the median of the 9 by 9 pixels around it, and must not be part of a
region: the pixels as bright (or as dark) as it are few, or lie in one or two lines, and its other neighbours do not
rise towards it. The edge of a hole, a grid bar, a diffraction spot and an image of two levels stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.contract import FrameSum

REACH_PX = 4
SIDE_PX = 2 * REACH_PX + 1
SAMPLES = 64
"""Windows along each axis from which the noise is known."""
HOT_SIGMA = 6.0
LARGEST_CLUSTER, LARGEST_LINES, LINES_PX = 9, 18, 2
"""Pixels of a defect in a window: 3 by 3, or two lines through it."""
HALF, LEAK = 0.5, 0.12
"""What counts as bright as a pixel, and how much of its height its other neighbours may have on average."""
DARK = 0.25
EXPECTED_BY_CHANCE = 0.01
MOST_CANDIDATES = 1 / 50
"""Part of the pixels that may stand out; where more do, the image is not what this can judge."""
CHUNK = 20_000

_MIDDLE = SIDE_PX * SIDE_PX // 2
_ROWS, _COLUMNS = np.divmod(np.arange(SIDE_PX * SIDE_PX), SIDE_PX)
_DISTANCE = np.maximum(np.abs(_ROWS - REACH_PX), np.abs(_COLUMNS - REACH_PX))

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Noise:
    """The variance of a pixel's value: slope * mean + floor. Counts have a slope and no floor."""

    slope: float
    floor: float


def noise_of(total: FrameSum) -> Noise | None:
    """Return the usual noise of a sum, from windows all over it; None if it has none."""
    height, width = total.shape
    rows, columns = (np.unique(np.linspace(0, size - 1, SAMPLES).astype(np.int64)) for size in (height, width))
    values = total.windows((rows[:, None] * width + columns).ravel(), REACH_PX).astype(np.float64)
    valid = np.isfinite(values)
    counts = valid.sum(1)
    values, counts = np.where(valid, values, 0)[counts > 1], counts[counts > 1]
    means = values.sum(1) / counts
    variances = np.maximum((values**2).sum(1) / counts - means**2, 0)
    if total.statistics().lowest >= 0:
        slopes = variances[means > 0] / means[means > 0]
        slope = float(np.median(slopes)) if slopes.size else 0.0
        return Noise(slope, 0.0) if slope > 0 else None
    floor = float(np.median(variances))
    return Noise(0.0, floor) if floor > 0 else None


def hot_pixels(total: FrameSum, noise: Noise) -> NDArray[np.int64] | None:
    """Return the hot pixels, ascending; None where so much stands out that nothing can be told."""
    hot = _judged(total, total.peaks(noise.slope, noise.floor), lambda windows: _hot(windows, noise))
    return None if hot is None else _without_flanks(total, hot)


def _without_flanks(total: FrameSum, hot: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the hot pixels without those beside a brighter one that is none: the flanks of a sharp spot."""
    if not hot.size:
        return hot
    around = np.nan_to_num(total.windows(hot, 1), nan=-np.inf)
    brightest = around.argmax(1)
    at_brightest = hot + (brightest // 3 - 1) * total.shape[1] + brightest % 3 - 1
    while True:
        stays = np.isin(at_brightest, hot)
        if stays.all():
            return hot
        hot, at_brightest = hot[stays], at_brightest[stays]


def dead_pixels(total: FrameSum, noise: Noise) -> NDArray[np.int64] | None:
    """Return the pixels that never counted where those around them make that impossible; None as above.

    The number of electrons that a pixel of Poisson statistics should have seen, whatever the sum's scale, is its
    expected value over the slope: n. It sees none with probability exp(-n); where fewer than 0.01 such pixels are
    expected in the whole image, one is dead. A quarter of the pixels around may be darker than what is expected.
    """
    suspects = total.between(0.0, 0.0)
    if noise.slope <= 0 or suspects.size == 0:
        return suspects[:0]
    least = np.log(total.shape[0] * total.shape[1] / EXPECTED_BY_CHANCE) * noise.slope
    suspects = suspects[total.surroundings(suspects, REACH_PX)[0] > least]
    return _judged(total, suspects, lambda windows: _dead(windows, least))


def _judged(
    total: FrameSum, candidates: NDArray[np.int64], judge: Callable[[Values], Flags]
) -> NDArray[np.int64] | None:
    if candidates.size > max(MOST_CANDIDATES * total.shape[0] * total.shape[1], CHUNK):
        return None
    parts = np.array_split(candidates, max(1, -(-candidates.size // CHUNK)))
    return np.concatenate([part[judge(total.windows(part, REACH_PX).astype(np.float64))] for part in parts])


def _hot(windows: Values, noise: Noise) -> Flags:
    valid = np.isfinite(windows)
    usual, low = _quantiles(windows, valid, 0.5), _quantiles(windows, valid, 0.16)
    height = windows[:, _MIDDLE] - usual
    variance = np.maximum(noise.slope * np.maximum(usual, 0) + noise.floor, (usual - low) ** 2)
    # The square root of a Poisson number has a deviation of 1/2 at any mean: 6 of them, squared, add 9 to 6 sigma.
    stands_out = height > HOT_SIGMA * np.sqrt(variance) + HOT_SIGMA**2 / 4 * noise.slope
    above = np.where(valid, windows - usual[:, None], 0)
    bright = above > HALF * height[:, None]
    leak = np.zeros(len(windows))
    for distance in (1, 2):
        dimmer = valid & ~bright & (distance == _DISTANCE)
        leak = np.maximum(leak, np.where(dimmer, above, 0).sum(1) / np.maximum(dimmer.sum(1), 1))
    hot: Flags = stands_out & _small(bright) & (leak < LEAK * height)
    return hot


def _dead(windows: Values, least: float) -> Flags:
    valid = np.isfinite(windows)
    usual, low = _quantiles(windows, valid, 0.5), _quantiles(windows, valid, 0.25)
    dead: Flags = (low > least) & _small(valid & (windows <= DARK * usual[:, None]))
    return dead


def _quantiles(windows: Values, valid: Flags, part: float) -> Values:
    """Return the value below which that part of the valid ones of each window lies."""
    ordered = np.sort(np.where(valid, windows, np.inf), 1)
    places = (part * (valid.sum(1) - 1)).astype(np.int64)
    quantiles: Values = ordered[np.arange(len(windows)), np.maximum(places, 0)]
    return quantiles


def _small(alike: Flags) -> Flags:
    """Return whether the pixels that are alike in each window may be one defect."""
    count = alike.sum(1)
    grid = alike.reshape(-1, SIDE_PX, SIDE_PX)
    lines = np.minimum(grid.any(1).sum(1), grid.any(2).sum(1)) <= LINES_PX
    small: Flags = (count <= LARGEST_CLUSTER) | (lines & (count <= LARGEST_LINES))
    return small
