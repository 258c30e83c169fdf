"""What pictures of a micrograph are drawn from, on the CPU: means of boxes, power spectra."""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from preprocess.backends.contract import Image
from preprocess.backends.cpu import image_kernels as kernels
from preprocess.backends.cpu.row_threads import RowThreads
from preprocess.geometry.spectrum_tiles import SpectrumTiles


def reduced(image: Image, factors: tuple[int, int], threads: RowThreads) -> Image:
    """Return the means of boxes of an image."""
    means = np.empty((-(-image.shape[0] // factors[0]), -(-image.shape[1] // factors[1])), np.float32)
    threads.run(kernels.reduce_boxes, image, factors, means, rows=len(means))
    return means


def tile_powers(image: Image, tiles: SpectrumTiles, threads: RowThreads) -> Image:
    """Return the mean power spectrum of an image's tiles; as many at a time as there are threads."""
    side, places = tiles.side, tiles.places
    window = tiles.window[:, None] * tiles.window
    total = np.zeros((side, side // 2 + 1), np.float32)
    transforms = np.empty((min(threads.count, len(tiles)), *total.shape), np.complex64)
    for first in range(0, len(tiles), len(transforms)):
        some = places[first : first + len(transforms)]
        threads.run(_transform_tiles, image, some, window, transforms, rows=len(some))
        threads.run(kernels.add_powers, transforms[: len(some)], total, rows=side)
    total /= np.float32(len(tiles))
    return total


def _transform_tiles(
    image: Image,
    places: NDArray[np.int32],
    window: NDArray[np.float32],
    transforms: NDArray[np.complex64],
    start: int,
    stop: int,
) -> None:
    """Transform tiles start to stop."""
    side = len(window)
    for index in range(start, stop):
        top, left = places[index]
        tile = image[top : top + side, left : left + side]
        transforms[index] = scipy.fft.rfft2((tile - tile.mean(dtype=np.float64).astype(np.float32)) * window)
