"""Images in the number type that is written, on the CPU."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.contract import Image
from preprocess.backends.cpu import image_kernels as kernels
from preprocess.backends.cpu.row_threads import RowThreads
from preprocess.backends.row_statistics import FLOAT16_LARGEST, ROW_FIGURES, Figures, RowFigures

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
