"""What becomes of finished images on the CPU: the numbers that are written, thumbnails, power spectra."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from preprocess.backends import image_kernels as kernels
from preprocess.backends.contract import Image
from preprocess.backends.figures import FLOAT16_LARGEST, ROW_FIGURES, Figures, RowFigures
from preprocess.backends.row_threads import RowThreads
from preprocess.geometry.spectrum_tiles import SpectrumTiles

ROWS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class ImageHere:
    """An image that is in the machine's memory."""

    figures: Figures
    beyond_float16: bool
    written: NDArray[np.float16] | NDArray[np.float32]

    def pixels(self) -> NDArray[np.float16] | NDArray[np.float32]:
        """Return it."""
        return self.written


def as_written(image: Image, threads: RowThreads, *, float32: bool) -> ImageHere:
    """Return an image as float16, unless float32 is asked for or a value is beyond float16's range."""
    rows = RowFigures(np.empty((ROW_FIGURES, len(image))), image.shape[1])
    threads.run(kernels.image_figures, image, rows.rows, rows=len(image))
    figures = rows.whole()
    if float32 or max(figures.highest, -figures.lowest) > FLOAT16_LARGEST:
        return ImageHere(figures, not float32, image)
    written = np.empty(image.shape, np.float16)
    threads.run(_to_float16, image, written, rows.rows, rows=len(image))
    return ImageHere(rows.whole(), False, written)


def _to_float16(
    image: Image, written: NDArray[np.float16], figures: NDArray[np.float64], start: int, stop: int
) -> None:
    """Convert some rows, a few at a time so that they stay in the processor's cache, and find their figures."""
    for top in range(start, stop, ROWS_AT_ONCE):
        rows = slice(top, min(top + ROWS_AT_ONCE, stop))
        written[rows] = image[rows]
        kernels.image_figures(written[rows].astype(np.float32), figures[:, rows], 0, rows.stop - top)


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
