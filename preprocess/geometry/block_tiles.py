"""The tiles of an image over which its power spectrum is averaged, block by block."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BLOCKS_ALONG = 3
"""Blocks along each axis of an image: from how they differ, a tilt is found."""
TILE_ANGSTROM = 1100.0
"""How wide tiles are, about: rings of 5 µm defocus are then two pixels apart at 3 Å."""
LARGEST_SIDE = 2048
FINEST_KEPT_ANGSTROM = 2.8
"""Frequencies beyond this are not kept."""
BINNED_BELOW_ANGSTROM = 0.7
"""Images of smaller pixels are binned by two before they are transformed."""


@dataclass(frozen=True, slots=True)
class BlockTiles:
    """Square tiles, half overlapping, spread over an image: every top goes with every left.

    Attributes
    ----------
    shape : tuple[int, int]
        Height and width of the image, after binning.
    bin_factor : int
        So many pixels along each axis are averaged first. All else here is in px of what comes out.
    side : int
        Of a tile.
    tops, lefts : tuple[int, ...]
        Where they begin.
    kept : int
        Frequencies are kept up to so many steps of 1 / side from zero.
    """

    shape: tuple[int, int]
    bin_factor: int
    side: int
    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    kept: int

    def __len__(self) -> int:
        """Return the number of tiles."""
        return len(self.tops) * len(self.lefts)

    @property
    def window(self) -> NDArray[np.float32]:
        """Return the Hann window along one axis; a tile's is the product of two."""
        inside = np.arange(self.side) + 0.5
        hann: NDArray[np.float32] = (0.5 - 0.5 * np.cos(2 * np.pi * inside / self.side)).astype(np.float32)
        return hann

    @property
    def places(self) -> NDArray[np.int32]:
        """Return each tile's top and left, shape (tiles, 2)."""
        return np.array([(top, left) for top in self.tops for left in self.lefts], np.int32)

    @property
    def blocks(self) -> NDArray[np.int64]:
        """Return the block, row by row, that the middle of each tile lies in: shape (tops, lefts)."""
        rows, columns = (
            np.minimum((np.array(starts) + self.side / 2) * BLOCKS_ALONG / size, BLOCKS_ALONG - 1).astype(np.int64)
            for starts, size in zip((self.tops, self.lefts), self.shape, strict=True)
        )
        numbers: NDArray[np.int64] = rows[:, None] * BLOCKS_ALONG + columns
        return numbers

    @property
    def middles(self) -> NDArray[np.float64]:
        """Return (y, x) of the middle of each tile from the image's middle, px: shape (tops, lefts, 2)."""
        places = np.meshgrid(self.tops, self.lefts, indexing="ij")
        return np.stack([p + (self.side - size) / 2 for p, size in zip(places, self.shape, strict=True)], 2)


def lay_block_tiles(height: int, width: int, pixel_size_angstrom: float) -> BlockTiles:
    """Lay tiles of 256 to 2048 px, a power of two.

    Smaller images have smaller ones, down to 512 px, so that several fit: a window wastes most of a single tile.
    """
    bin_factor = 2 if pixel_size_angstrom < BINNED_BELOW_ANGSTROM and min(height, width) >= 1024 else 1
    height, width, pixel_size = height // bin_factor, width // bin_factor, pixel_size_angstrom * bin_factor
    wanted = min(max(2 ** round(math.log2(TILE_ANGSTROM / pixel_size)), 256), LARGEST_SIDE)
    least = min(height, width)
    fitting, single = (2 ** int(math.log2(max(size, 1))) for size in (least * 2 / 3, least))
    side = min(wanted, max(fitting, min(single, 512)))
    kept = min(side // 2 - 1, int(side * pixel_size / FINEST_KEPT_ANGSTROM) + 1)
    return BlockTiles((height, width), bin_factor, side, _starts(height, side), _starts(width, side), max(kept, 1))


def _starts(size: int, side: int) -> tuple[int, ...]:
    count = max(1, math.ceil((size - side) / (side / 2)) + 1)
    return tuple(np.linspace(0, size - side, count).astype(int).tolist())
