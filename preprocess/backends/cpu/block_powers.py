"""The spectra of an image's tiles on the CPU, added up by block.

Tiles above each other share the transforms of their rows; only the columns that are kept are transformed the other way.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess import fourier
from preprocess.backends.contract import Image
from preprocess.backends.cpu.kernel_set import KernelSet
from preprocess.backends.cpu.row_threads import RowThreads
from preprocess.backends.tile_spectra import BlockPowers, ValueRange, sample_step, tile_factors, value_range
from preprocess.geometry.block_tiles import BLOCKS_ALONG, BlockTiles

ROWS_AT_ONCE = 64
COLUMNS_AT_ONCE = 32
"""Always as many, so that results do not depend on the number of threads."""


def block_powers(image: Image, tiles: BlockTiles, threads: RowThreads) -> BlockPowers:
    """Return the spectra of an image's tiles, added up by block."""
    side, kept = tiles.side, tiles.kept
    step = sample_step(*image.shape)
    values = value_range(image[::step, :-1:step], image[::step, 1::step])
    powers = np.zeros((BLOCKS_ALONG**2, kept + 1, 2 * kept + 1), np.float32)
    columns = np.empty((kept + 1, tiles.shape[0]), np.complex64)
    statistics = np.empty((3, tiles.shape[0]))
    windows, norms = tiles.windows, np.sqrt(tiles.norms)
    of_rows = windows[tiles.row_windows]
    blocks, found = tiles.blocks, np.zeros((3, len(tiles.tops), len(tiles.lefts)))
    for number, (left, kind) in enumerate(zip(tiles.lefts, tiles.column_windows, strict=True)):
        rows = tiles.shape[0]
        threads.run(
            _transform_rows,
            threads.kernels,
            image,
            tiles,
            left,
            values,
            windows[kind],
            columns,
            statistics,
            rows=rows,
            unit=ROWS_AT_ONCE,
        )
        summed = np.concatenate([np.zeros((3, 1)), np.cumsum(statistics, 1)], 1)
        of_tiles = summed[:, np.array(tiles.tops) + side] - summed[:, np.array(tiles.tops)]
        found[:, :, number] = of_tiles
        factors = tile_factors(values, of_tiles, side * side)[1]
        work = (threads.kernels, columns, tiles.tops, factors / norms[:, number], blocks[:, number], of_rows, powers)
        threads.run(_transform_columns, *work, rows=kept + 1, unit=COLUMNS_AT_ONCE)
    return BlockPowers.of(np.ascontiguousarray(powers.transpose(0, 2, 1)), values, found.reshape(3, -1), tiles)


def _transform_rows(
    kernels: KernelSet,
    image: Image,
    tiles: BlockTiles,
    left: int,
    values: ValueRange,
    window: NDArray[np.float32],
    columns: NDArray[np.complex64],
    statistics: NDArray[np.float64],
    start: int,
    stop: int,
) -> None:
    """Transform the parts of rows start to stop that lie in the tiles that begin at `left`."""
    cut = np.empty((ROWS_AT_ONCE, tiles.side), np.float32)
    for first in range(start, stop, ROWS_AT_ONCE):
        some = cut[: min(ROWS_AT_ONCE, stop - first)]
        kernels.cut_rows(image, first, left, tiles.bin_factor, values.level, values.reach, window, some, statistics)
        kernels.keep_columns(fourier.rfft(some), first, columns)


def _transform_columns(
    kernels: KernelSet,
    columns: NDArray[np.complex64],
    tops: tuple[int, ...],
    factors: NDArray[np.float64],
    blocks: NDArray[np.int64],
    windows: NDArray[np.float32],
    powers: NDArray[Any],
    start: int,
    stop: int,
) -> None:
    """Transform columns start to stop of the tiles, and add up their powers."""
    cut = np.empty((COLUMNS_AT_ONCE, windows.shape[1]), np.complex64)
    for first in range(start, stop, COLUMNS_AT_ONCE):
        last = min(first + COLUMNS_AT_ONCE, stop)
        some = cut[: last - first]
        for top, factor, block, window in zip(tops, factors, blocks, windows, strict=True):
            if factor > 0:
                kernels.cut_columns(columns[first:last], top, window, factor, some)
                transforms = fourier.fft(some, axis=1)
                kernels.add_column_powers(transforms, powers[block, first:last])
