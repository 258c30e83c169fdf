"""Fourier transforms of whole images in memory of the pool: rows a few at a time, columns in place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preprocess import fourier
from preprocess.backends.contract import Image
from preprocess.backends.cpu.row_threads import RowThreads
from preprocess.memory_pool import MemoryPool

ROWS_AT_ONCE = 32
"""Always as many, so that results do not depend on the number of threads."""


def transformed(image: Image, threads: RowThreads, memory: MemoryPool) -> NDArray[np.complex64]:
    """Return the half spectrum of an image, (height, width // 2 + 1), as `scipy.fft.rfft2` does."""
    height, width = image.shape
    spectrum: NDArray[np.complex64] = memory.empty((height, width // 2 + 1), np.complex64)
    threads.run(_transform_rows, image, spectrum, rows=height, unit=ROWS_AT_ONCE)
    found: NDArray[np.complex64] = fourier.fft(spectrum, axis=0, out=spectrum, threads=threads.count)
    return found


def inverse_transformed(spectrum: NDArray[np.complex64], width: int, threads: RowThreads, memory: MemoryPool) -> Image:
    """Return the image, `width` px wide, of a half spectrum, which is overwritten; as `scipy.fft.irfft2` does."""
    image: Image = memory.empty((len(spectrum), width), np.float32)
    columns = fourier.ifft(spectrum, axis=0, out=spectrum, threads=threads.count)
    threads.run(_transform_rows_back, columns, image, rows=len(image), unit=ROWS_AT_ONCE)
    return image


def _transform_rows(image: Image, spectrum: NDArray[np.complex64], start: int, stop: int) -> None:
    for top in range(start, stop, ROWS_AT_ONCE):
        rows = slice(top, min(top + ROWS_AT_ONCE, stop))
        fourier.rfft(image[rows], out=spectrum[rows])


def _transform_rows_back(columns: NDArray[np.complex64], image: Image, start: int, stop: int) -> None:
    for top in range(start, stop, ROWS_AT_ONCE):
        rows = slice(top, min(top + ROWS_AT_ONCE, stop))
        image[rows] = fourier.irfft(columns[rows], image.shape[1])
