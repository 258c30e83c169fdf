"""Filters sums of frames and crops their transforms, on the CPU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.contract import Image, Undamping
from preprocess.backends.cpu.kernel_set import KernelSet
from preprocess.backends.cpu.plane_transforms import inverse_transformed, transformed
from preprocess.backends.cpu.row_threads import RowThreads
from preprocess.backends.spectrum_layout import CORNER_FREQUENCY, undamping_of, whole_multiple
from preprocess.memory_pool import MemoryPool

ROWS_AT_ONCE = 16


def filtered_sum(
    images: Sequence[Image],
    filters: NDArray[np.float32],
    output_shape: tuple[int, int],
    undamping: Undamping | None,
    threads: RowThreads,
    memory: MemoryPool,
) -> Image:
    """Return the sum of the images, each filtered radially, Fourier-cropped."""
    height, width = images[0].shape
    if output_shape == (height, width) and np.all(filters == filters[:, :1]) and undamping is None:
        return _weighted_sum(images, filters[:, 0], threads, memory)
    height, width = whole_multiple(images[0].shape, output_shape)
    total = memory.empty((output_shape[0], output_shape[1] // 2 + 1), np.complex64)
    total[...] = 0
    for image, factors in zip(images, filters, strict=True):
        transform = transformed(image[:height, :width], threads, memory)
        threads.run(
            threads.kernels.add_filtered,
            transform,
            height,
            width,
            np.ascontiguousarray(factors, np.float32),
            CORNER_FREQUENCY,
            total,
            rows=output_shape[0],
        )
    total *= np.float32(output_shape[0] * output_shape[1] / (height * width))
    if undamping is not None:
        rows, columns = undamping_of(undamping, (height, width), output_shape)
        total *= rows[:, None]
        total *= columns
    return inverse_transformed(total, output_shape[1], threads, memory)


def amplitudes(
    images: Sequence[Image], undampings: Sequence[Undamping], threads: RowThreads, memory: MemoryPool
) -> Image:
    """Return the sum of the absolute values of the images' half spectra, each undamped, over the number of pixels."""
    height, width = images[0].shape
    total: Image = memory.empty((height, width // 2 + 1), np.float32)
    total[...] = 0
    for image, undamping in zip(images, undampings, strict=True):
        transform = transformed(image, threads, memory)
        along_y, along_x = undamping_of(undamping, (height, width), (height, width))
        threads.run(_add_amplitudes, transform, along_y / np.float32(height * width), along_x, total, rows=height)
    return total


def _add_amplitudes(
    transform: NDArray[np.complex64],
    along_y: NDArray[np.float32],
    along_x: NDArray[np.float32],
    total: Image,
    start: int,
    stop: int,
) -> None:
    """Add some rows, a few at a time; roots and products are the same bits on every processor, `np.abs` is not."""
    for top in range(start, stop, ROWS_AT_ONCE):
        rows = slice(top, min(top + ROWS_AT_ONCE, stop))
        some = np.sqrt(transform[rows].real ** 2 + transform[rows].imag ** 2)
        total[rows] += some * along_y[rows, None] * along_x


def _weighted_sum(
    images: Sequence[Image], factors: NDArray[np.float32], threads: RowThreads, memory: MemoryPool
) -> Image:
    """Return the sum of the images, each times its factor: no transform is needed for that."""
    total: Image = memory.empty(images[0].shape, np.float32)
    threads.run(_add_rows, threads.kernels, images, factors, total, rows=len(total))
    return total


def _add_rows(
    kernels: KernelSet,
    images: Sequence[Image],
    factors: NDArray[np.float32],
    total: NDArray[np.float32],
    start: int,
    stop: int,
) -> None:
    """Add up some rows of all images, a few at a time so that the sum stays in the processor's cache."""
    for top in range(start, stop, ROWS_AT_ONCE):
        for number, (image, factor) in enumerate(zip(images, factors, strict=True)):
            kernels.add_image(image, factor, total, number == 0, top, min(top + ROWS_AT_ONCE, stop))
