"""The spectra of an image's tiles, and which of its values and tiles count in them: the same on every backend."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocess.geometry.block_tiles import BlockTiles

SAMPLES = 100_000
"""About how many pixels the level and the spread of an image are found from."""
REACH_SIGMAS = 8.0
DARKEST_SIGMAS = 4.0
LEAST_VARIANCE, LARGEST_VARIANCE = 0.1, 12.0
"""Tiles of other variance, in units of the image's, show a grid bar, an edge or saturation."""
LARGEST_BAD_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class ValueRange:
    """Median and robust standard deviation of an image; 0 where nothing varies."""

    level: float
    sigma: float

    @property
    def reach(self) -> float:
        """Return how far from the level values may lie; those beyond are clipped."""
        return REACH_SIGMAS * self.sigma


def sample_step(height: int, width: int) -> int:
    """Return from how many pixels along each axis one is looked at, an odd number, so that no pattern is hit."""
    return max(1, math.isqrt(height * width // SAMPLES)) | 1


def value_range(samples: NDArray[np.float32], neighbours: NDArray[np.float32]) -> ValueRange:
    """Return level and spread of an image from some of its pixels and those to their right.

    The spread is that around the median, or between neighbours where many pixels are saturated.
    """
    good = np.isfinite(samples) & np.isfinite(neighbours)
    finite, beside = samples[good].astype(np.float64), neighbours[good].astype(np.float64)
    if not finite.size:
        return ValueRange(0.0, 0.0)
    level = float(np.median(finite))
    around, between = (float(np.median(np.abs(finite - other))) for other in (level, beside))
    sigma = 1.4826 * max(around, between / math.sqrt(2))
    least = 1e-6 * abs(level)
    if sigma <= least:  # more than half of the pixels are alike, as where few electrons are counted
        sigma = float(finite.std())
    return ValueRange(level, sigma if sigma > least else 0.0)


def tile_factors(
    values: ValueRange, statistics: NDArray[np.float64], size: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each tile's variance, and by what it is multiplied: 1 over its standard deviation, 0 if it does not count.

    Parameters
    ----------
    statistics : NDArray[np.float64]
        Each tile's sum of values less the level, sum of their squares, number of pixels that are no finite numbers:
        shape (3, tiles).
    size : int
        Number of pixels of a tile.
    """
    totals, squares, bad = statistics
    good = np.maximum(size - bad, 1)
    mean = totals / good
    variance = np.maximum(squares / good - mean**2, 0)
    whole = values.sigma**2
    usable = (mean > -DARKEST_SIGMAS * values.sigma) & (bad < LARGEST_BAD_SHARE * size) & (whole > 0)
    usable &= (variance > LEAST_VARIANCE * whole) & (variance < LARGEST_VARIANCE * whole)
    return variance, np.where(usable, 1 / np.sqrt(np.where(usable, variance, 1)), 0.0)


@dataclass(frozen=True, slots=True)
class BlockPowers:
    """The power spectra of an image's tiles, added up by block.

    Attributes
    ----------
    powers : NDArray[np.float32]
        Sums over the usable tiles of each block, each tile scaled to variance 1, so that white noise has power 1 a
        tile; shape (blocks, 2 r + 1, r + 1), zero frequency at [:, r, 0], frequencies in steps of 1 / side.
    usable : NDArray[np.bool_]
        Which tiles count, shape (tops, lefts); not those of grid bars, saturated areas and the like.
    variance : float
        Mean of the variances of these.
    largest_bad_share : float
        Share of pixels that are no finite numbers, in the tile that has most of them.
    """

    powers: NDArray[np.float32]
    usable: NDArray[np.bool_]
    variance: float
    largest_bad_share: float

    @classmethod
    def of(
        cls,
        powers: NDArray[np.float32],
        values: ValueRange,
        statistics: NDArray[np.float64],
        tiles: BlockTiles,
    ) -> BlockPowers:
        """Return what was found: statistics of all tiles as `tile_factors` takes them."""
        size = tiles.side**2
        variance, factors = tile_factors(values, statistics, size)
        usable = factors > 0
        mean = float(variance[usable].mean()) if usable.any() else 0.0
        shape = (len(tiles.tops), len(tiles.lefts))
        return cls(powers, usable.reshape(shape), mean, float(statistics[2].max()) / size)
