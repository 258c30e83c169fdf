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
EDGE_SHARE = 1 / 16
"""Part of a tile's side over which its window rises from nothing at the image's edge."""
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
    def windows(self) -> NDArray[np.float32]:
        """Return the windows along one axis, (4, side); a tile's window is the product of two.

        Row 0 is half a sine wave: the squares of those of neighbouring tiles add up to one. Row 1 is for tiles that
        begin at the image's edge, row 2 for those that end there, row 3 for those that do both: they stay at one until
        shortly before the edge, so that pixels near it count as much as the others.
        """
        inside = (np.arange(self.side) + 0.5) / self.side
        inner = np.sin(np.pi * np.minimum(inside, 0.5))
        at_edge = np.sin(np.pi / 2 * np.minimum(inside / EDGE_SHARE, 1))
        halves = ((inner, inner), (at_edge, inner), (inner, at_edge), (at_edge, at_edge))
        windows: NDArray[np.float32] = np.array([first * last[::-1] for first, last in halves], np.float32)
        return windows

    @property
    def row_windows(self) -> NDArray[np.int32]:
        """Return which of `windows` tiles have along y, by `tops`."""
        return self._windows_of(self.tops, self.shape[0])

    @property
    def column_windows(self) -> NDArray[np.int32]:
        """Return which of `windows` tiles have along x, by `lefts`."""
        return self._windows_of(self.lefts, self.shape[1])

    def _windows_of(self, starts: tuple[int, ...], size: int) -> NDArray[np.int32]:
        begins = np.array(starts)
        rows: NDArray[np.int32] = ((begins == 0) + 2 * (begins + self.side == size)).astype(np.int32)
        return rows

    @property
    def window_rows(self) -> NDArray[np.int32]:
        """Return which of `windows` each tile has along y and along x, shape (tiles, 2)."""
        return np.array([(y, x) for y in self.row_windows for x in self.column_windows], np.int32)

    @property
    def norms(self) -> NDArray[np.float64]:
        """Return the sum of the squares of each tile's window, shape (tops, lefts)."""
        sums = (self.windows.astype(np.float64) ** 2).sum(1)
        norms: NDArray[np.float64] = sums[self.row_windows][:, None] * sums[self.column_windows]
        return norms

    def independent_rows(self, chosen: NDArray[np.bool_]) -> float:
        """Return how many independent tiles some of `tops` are worth: see `_independent`."""
        return self._independent(np.array(self.tops)[chosen], self.row_windows[chosen])

    def independent_columns(self, chosen: NDArray[np.bool_]) -> float:
        """Return how many independent tiles some of `lefts` are worth: see `_independent`."""
        return self._independent(np.array(self.lefts)[chosen], self.column_windows[chosen])

    def _independent(self, starts: NDArray[np.int64], rows: NDArray[np.int32]) -> float:
        """Return of how many tiles without window and overlap the mean power has the variance that theirs has.

        That is the variance of a sum over many frequencies. It follows from the products of the squared windows of all
        pairs of tiles, for white noise.
        """
        if not len(starts):
            return 0.0
        squares = np.zeros((len(starts), self.side + int(starts.max())))
        of_windows = self.windows.astype(np.float64) ** 2
        for square, start, row in zip(squares, starts, rows, strict=True):
            square[start : start + self.side] = of_windows[row] / of_windows[row].sum()
        mean = squares.mean(0)
        return float(1 / (self.side * (mean @ mean)))

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
        """Return (y, x) of the middle of what each tile shows, weighted as it counts: shape (tops, lefts, 2).

        It is measured from the image's middle, px.
        """
        squares = self.windows.astype(np.float64) ** 2
        centroids = squares @ (np.arange(self.side) + 0.5) / squares.sum(1)
        y = np.array(self.tops) + centroids[self.row_windows] - self.shape[0] / 2
        x = np.array(self.lefts) + centroids[self.column_windows] - self.shape[1] / 2
        return np.stack(np.meshgrid(y, x, indexing="ij"), 2)


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
