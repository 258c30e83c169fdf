"""The power spectrum of an image, block by block: what its CTF is estimated from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.contract import Backend, DeviceImage
from preprocess.geometry.block_tiles import BLOCKS_ALONG, BlockTiles, lay_block_tiles

TILES_FOR_INDEPENDENT = 4.0
"""Half overlapping tiles along both axes, with windows whose squares add up to one, are as good as one in so many that
do not overlap and have no window."""

USUAL_VALUES, SAMPLED_EVERY = (1e-9, 1e12), 8
"""Between which the largest value of an image lies whose squares add up in float32, and how far the pixels are apart
that are looked at for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockSpectra:
    """Power spectra of an image's tiles, added up in 3 x 3 blocks, row by row.

    Attributes
    ----------
    powers : NDArray[np.float32]
        Shape (9, 2 r + 1, r + 1), zero frequency at [:, r, 0], rows along y, columns along x; white noise has power 1
        a tile.
    tile_counts : NDArray[np.int64]
        Tiles of each block, shape (9,).
    effective_counts : NDArray[np.float64]
        Of how many tiles of an endless field of half overlapping ones the mean power is as exact as that of the
        block's, shape (9,).
    effective_count : float
        The same for all tiles together: less than the sum, as tiles of different blocks overlap.
    centres_angstrom : NDArray[np.float64]
        (y, x) of the middle of each block's tiles from the image's middle, Å; shape (9, 2).
    frequency_step : float
        Between neighbouring pixels of a spectrum, 1/Å.
    shape : tuple[int, int]
        Height and width of the image, px.
    tiles_laid : int
        Number of tiles, those that do not count included.
    variance : float
        Of the image within the tiles; times this, powers are in the image's units.
    """

    powers: NDArray[np.float32]
    tile_counts: NDArray[np.int64]
    effective_counts: NDArray[np.float64]
    effective_count: float
    centres_angstrom: NDArray[np.float64]
    frequency_step: float
    shape: tuple[int, int]
    tiles_laid: int
    variance: float

    @property
    def tile_count(self) -> int:
        """Return the number of tiles."""
        return int(self.tile_counts.sum())

    @property
    def radius(self) -> int:
        """Return r, the number of frequencies along each half axis but for zero."""
        return int(self.powers.shape[2]) - 1

    def mean(self) -> NDArray[np.float32]:
        """Return the mean spectrum of all tiles, (2 r + 1, r + 1); zeros if there is none."""
        mean: NDArray[np.float32] = self.powers.sum(0) / np.float32(max(self.tile_count, 1))
        return mean


def block_spectra(image: DeviceImage, pixel_size_angstrom: float, backend: Backend) -> BlockSpectra:
    """Return the spectra of an image: a float32 array or an image of the backend's.

    Pixels that are not finite numbers become the mean of their neighbours; tiles with many of them, and those that lie
    on a grid bar or are saturated, do not count.
    """
    height, width = (int(size) for size in image.shape)
    scale = 1.0
    if type(image) is np.ndarray:
        image, scale = _of_usual_size(image)
    tiles = lay_block_tiles(height, width, pixel_size_angstrom)
    found = backend.block_powers(backend.upload(image) if type(image) is np.ndarray else image, tiles)
    blocks = tiles.blocks
    counts = np.bincount(blocks[found.usable], minlength=BLOCKS_ALONG**2)
    effective_counts, effective_count = _effective_counts(tiles, counts)
    centres = np.zeros((BLOCKS_ALONG**2, 2))
    for block in np.flatnonzero(counts):
        centres[block] = tiles.middles[(blocks == block) & found.usable].mean(0)
    binned_pixel = pixel_size_angstrom * tiles.bin_factor
    return BlockSpectra(
        powers=found.powers,
        tile_counts=counts,
        effective_counts=effective_counts,
        effective_count=effective_count,
        centres_angstrom=centres * binned_pixel,
        frequency_step=1 / (tiles.side * binned_pixel),
        shape=(height, width),
        tiles_laid=len(tiles),
        variance=found.variance * scale**2,
    )


def _effective_counts(tiles: BlockTiles, counts: NDArray[np.int64]) -> tuple[NDArray[np.float64], float]:
    """Return `effective_counts` and `effective_count`, for the usable tiles of each block."""
    rows, columns = tiles.blocks[:, 0] // BLOCKS_ALONG, tiles.blocks[0] % BLOCKS_ALONG
    along_y, along_x = (
        np.array([independent(of == block) for block in range(BLOCKS_ALONG)])
        for independent, of in ((tiles.independent_rows, rows), (tiles.independent_columns, columns))
    )
    laid = np.bincount(tiles.blocks.ravel(), minlength=BLOCKS_ALONG**2)
    of_blocks = TILES_FOR_INDEPENDENT * np.outer(along_y, along_x).ravel() * counts / np.maximum(laid, 1)
    whole = tiles.independent_rows(rows >= 0) * tiles.independent_columns(columns >= 0)
    return of_blocks, float(TILES_FOR_INDEPENDENT * whole * counts.sum() / len(tiles))


def _of_usual_size(image: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    """Return an image whose squares float32 can hold, and what it was divided by: a power of two, mostly one."""
    some = np.abs(image[::SAMPLED_EVERY, ::SAMPLED_EVERY])
    largest = float(some[np.isfinite(some)].max(initial=0.0))
    if largest == 0 or USUAL_VALUES[0] < largest < USUAL_VALUES[1]:
        return image, 1.0
    scale = 2.0 ** round(np.log2(largest))
    return (image / np.float32(scale)).astype(np.float32), scale
