"""Images in the number type that is written, on the CPU."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.contract import Image
from preprocess.backends.cpu.kernel_set import KernelSet
from preprocess.backends.cpu.row_threads import RowThreads
from preprocess.backends.row_statistics import FLOAT16_LARGEST, STATISTICS_PER_ROW, RowStatistics
from preprocess.images import PixelStatistics
from preprocess.memory_pool import MemoryPool

ROWS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class ImageHere:
    """An image that is in the machine's memory."""

    statistics: PixelStatistics
    beyond_float16: bool
    written: NDArray[np.float16] | NDArray[np.float32]

    def pixels(self) -> NDArray[np.float16] | NDArray[np.float32]:
        """Return it."""
        return self.written


def as_written(image: Image, threads: RowThreads, memory: MemoryPool, *, float32: bool) -> ImageHere:
    """Return an image as float16, unless float32 is asked for or a value is beyond float16's range."""
    rows = RowStatistics(np.empty((STATISTICS_PER_ROW, len(image))), image.shape[1])
    threads.run(threads.kernels.image_statistics, image, rows.rows, rows=len(image))
    statistics = rows.whole()
    if float32 or max(statistics.highest, -statistics.lowest) > FLOAT16_LARGEST:
        return ImageHere(statistics, not float32, image)
    written = memory.empty(image.shape, np.float16)
    threads.run(_to_float16, threads.kernels, image, written, rows.rows, rows=len(image))
    return ImageHere(rows.whole(), False, written)


def _to_float16(
    kernels: KernelSet,
    image: Image,
    written: NDArray[np.float16],
    statistics: NDArray[np.float64],
    start: int,
    stop: int,
) -> None:
    """Convert some rows, a few at a time so that they stay in the processor's cache, and find their statistics."""
    for top in range(start, stop, ROWS_AT_ONCE):
        rows = slice(top, min(top + ROWS_AT_ONCE, stop))
        written[rows] = image[rows]
        kernels.image_statistics(written[rows].astype(np.float32), statistics[:, rows], 0, rows.stop - top)
