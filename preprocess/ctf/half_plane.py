"""The pixels of half a power spectrum: which ring and sector each belongs to, and its direction.

A half spectrum has shape (2 r + 1, r + 1): rows along y from -r, columns along x from 0. Its other half says the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SECTORS = 36
"""Sectors of azimuth, of 5 degrees each, from -90 to 90."""
LINES_LEFT_OUT = 2
"""Rows and columns next to the axes that are left out: fixed patterns of a camera lie there."""


@dataclass(frozen=True, slots=True)
class HalfPlane:
    """The geometry of a half spectrum between two rings.

    Attributes
    ----------
    radius : int
        r: the last ring.
    first_ring : int
        Pixels closer to the middle are left out.
    bins : NDArray[np.int32]
        Sector times (r + 1) plus ring of each pixel, -1 for pixels that are left out; shape (2 r + 1, r + 1).
    bin_sizes : NDArray[np.float64]
        Pixels of each sector and ring, shape (SECTORS, r + 1).
    places : NDArray[np.int32]
        Flat indices of the pixels that lie from the first ring to below the last, ascending.
    rings, cos2, sin2 : NDArray[np.float32]
        Distance of these from the middle in pixels, cos and sin of twice their azimuth.
    """

    radius: int
    first_ring: int
    bins: NDArray[np.int32]
    bin_sizes: NDArray[np.float64]
    places: NDArray[np.int32]
    rings: NDArray[np.float32]
    cos2: NDArray[np.float32]
    sin2: NDArray[np.float32]


@lru_cache(maxsize=2)
def half_plane(radius: int, first_ring: int) -> HalfPlane:
    """Return the geometry of a half spectrum; the last two are kept, as those of a session are alike."""
    y, x = np.ogrid[-radius : radius + 1, : radius + 1]
    squared = (y * y + x * x).astype(np.float64)
    distance = np.sqrt(squared)
    off_axes = (np.abs(y) >= LINES_LEFT_OUT) & (x >= LINES_LEFT_OUT)
    ring = (distance + 0.5).astype(np.int32)
    sector = ((np.arctan2(y, x) + np.pi / 2) / np.pi * SECTORS).astype(np.int32).clip(0, SECTORS - 1)
    in_bin = off_axes & (ring >= first_ring) & (ring <= radius)
    bins = np.where(in_bin, sector * (radius + 1) + ring, -1).astype(np.int32)
    sizes = np.bincount(bins[in_bin], minlength=SECTORS * (radius + 1)).reshape(SECTORS, radius + 1)
    places = np.flatnonzero(off_axes & (squared >= first_ring**2) & (squared < radius**2)).astype(np.int32)
    inverse = 1 / squared.ravel()[places]
    return HalfPlane(
        radius,
        first_ring,
        bins,
        sizes.astype(np.float64),
        places,
        distance.ravel()[places].astype(np.float32),
        (((x * x - y * y).ravel()[places]) * inverse).astype(np.float32),
        (((2 * x * y).ravel()[places]) * inverse).astype(np.float32),
    )
