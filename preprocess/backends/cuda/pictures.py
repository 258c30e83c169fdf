"""What pictures of an image are drawn from, made small on a CUDA device: means of boxes, tiles' power spectrum."""

from __future__ import annotations

import numpy as np

from preprocess.backends.contract import Image
from preprocess.backends.cuda.cuda_device import CudaDevice
from preprocess.backends.cuda.device import DeviceArray
from preprocess.backends.cuda.sources import blocks_over, kernel
from preprocess.geometry.spectrum_tiles import SpectrumTiles

TILES_AT_ONCE = 16
"""Tiles that are transformed together; the last ones are followed by tiles that do not count."""


def reduced(device: CudaDevice, image: DeviceArray, factors: tuple[int, int]) -> Image:
    """Return the means of boxes of an image."""
    height, width = (int(size) for size in image.shape)
    rows, columns = blocks_over(height, factors[0]), blocks_over(width, factors[1])
    means = device.memory.array("results", (rows, columns), "f4")
    with device.timer.stage("pictures", moved_bytes=image.nbytes, flop=image.size):
        reduce_boxes = kernel("boxes", "reduce_boxes")
        reduce_boxes((blocks_over(columns), rows), image, means, height, width, *factors, columns)
    return means.get()  # type: ignore[no-any-return]  # CuPy has no types


def tile_powers(device: CudaDevice, image: DeviceArray, tiles: SpectrumTiles) -> Image:
    """Return the mean power spectrum of an image's tiles, (side, side // 2 + 1)."""
    memory, side, width = device.memory, tiles.side, int(image.shape[1])
    half = side // 2 + 1
    places, window = tiles.places, memory.upload("lists", tiles.window)
    powers = memory.array("results", (side, half), "f4")
    at_once = min(TILES_AT_ONCE, len(tiles))
    cut = memory.array("tiles", (at_once, side, side), "f4")
    transforms = memory.array("transforms", (at_once, side, half), "c8")
    means = memory.array("results", (at_once,), "f4")
    moved = 3 * cut.nbytes * blocks_over(len(tiles), at_once)
    with device.timer.stage("pictures", moved_bytes=moved, flop=5 * len(tiles) * side**2 * int(np.log2(side))):
        for first in range(0, len(tiles), at_once):
            count = min(at_once, len(tiles) - first)
            listed = memory.upload("lists", np.resize(places[first : first + count], (at_once, 2)), "i4")
            kernel("tiles", "find_means")((at_once,), image, listed, means, width, side)
            kernel("tiles", "cut_tiles")((side, at_once), image, listed, means, window, cut, width, side)
            device.transforms.forward(cut, transforms)
            scale = 1 / len(tiles) if first + count == len(tiles) else 1.0
            add_powers = kernel("tiles", "add_powers")
            add_powers((blocks_over(side * half),), transforms, powers, count, side * half, first == 0, scale)
    return powers.get()  # type: ignore[no-any-return]  # CuPy has no types
