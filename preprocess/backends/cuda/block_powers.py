"""The spectra of an image's tiles on a CUDA device, added up by block."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.cuda.cuda_device import CudaDevice
from preprocess.backends.cuda.device import DeviceArray
from preprocess.backends.cuda.sources import blocks_over, kernel
from preprocess.backends.tile_spectra import BlockPowers, ValueRange, sample_step, tile_factors, value_range
from preprocess.geometry.block_tiles import BLOCKS_ALONG, BlockTiles

TILES_AT_ONCE = 16
"""Tiles that are transformed together; the last ones are followed by tiles that do not count."""


def block_powers(device: CudaDevice, image: DeviceArray, tiles: BlockTiles) -> BlockPowers:
    """Return the spectra of an image's tiles, added up by block."""
    memory, side, kept, width = device.memory, tiles.side, tiles.kept, int(image.shape[1])
    blocks, norms = tiles.blocks.ravel(), tiles.norms.ravel()
    places = np.concatenate([tiles.places, tiles.window_rows], 1)
    at_once = min(TILES_AT_ONCE, len(tiles))
    windows, values = memory.upload("lists", tiles.windows), _value_range(device, image)
    powers = memory.upload("results", np.zeros((BLOCKS_ALONG**2, 2 * kept + 1, kept + 1), np.float32))
    cut = memory.array("tiles", (at_once, side, side), "f4")
    transforms = memory.array("transforms", (at_once, side, side // 2 + 1), "c8")
    rows, totals = memory.array("results", (at_once, side, 3), "f8"), memory.array("results", (at_once, 3), "f8")
    found = np.zeros((3, len(tiles)))
    moved = 3 * cut.nbytes * blocks_over(len(tiles), at_once)
    with device.timer.stage("pictures", moved_bytes=moved, flop=5 * len(tiles) * side**2 * int(np.log2(side) + 1)):
        for first in range(0, len(tiles), at_once):
            some = slice(first, min(first + at_once, len(tiles)))
            count = some.stop - first
            listed = memory.upload("lists", np.resize(places[some], (at_once, 4)), "i4")
            kernel("tiles", "cut_tiles")(
                (side, at_once), image, listed, windows, cut, rows, width, side, tiles.bin_factor, values.level,
                values.reach,
            )  # fmt: skip
            kernel("tiles", "add_statistics")((at_once, 3), rows, totals, side)
            device.transforms.forward(cut, transforms)
            found[:, some] = totals.get()[:count].T
            factors = tile_factors(values, found[:, some], side * side)[1] ** 2 / norms[some]
            kernel("tiles", "add_powers")(
                (blocks_over((2 * kept + 1) * (kept + 1)),), transforms, memory.upload("lists", factors, "f4"),
                memory.upload("lists", blocks[some], "i4"), powers, count, side, kept,
            )  # fmt: skip
    return BlockPowers.of(powers.get(), values, found, tiles)


def _value_range(device: CudaDevice, image: DeviceArray) -> ValueRange:
    height, width = (int(size) for size in image.shape)
    step = sample_step(height, width)
    rows, columns = blocks_over(height, step), blocks_over(width - 1, step)
    if not columns:
        return ValueRange(0.0, 0.0)
    samples = device.memory.array("results", (2, rows, columns), "f4")
    kernel("tiles", "sample_pixels")((blocks_over(columns), rows), image, samples, width, step, rows, columns)
    here: NDArray[np.float32] = samples.get()
    return value_range(here[0], here[1])
