"""Compiled loops of the CPU's backend for the spectra of an image's tiles."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.compiled_code import compiled

Array = NDArray[Any]


@compiled()
def cut_rows(
    image: Array, first: int, left: int, bin_factor: int, level: float, reach: float, window: Array, rows: Array,
    statistics: Array,
) -> None:  # fmt: skip
    """Cut parts of rows out of an image, less `level`, clipped at `reach`, times the window.

    A pixel that is not a finite number becomes the mean of its row's others. statistics (3, rows of the image) gets the
    sum of each row's values, that of their squares, and how many are not finite.
    """
    side = window.size
    scale: Any = np.float32(1 / (bin_factor * bin_factor))
    for index in range(rows.shape[0]):
        total, squares, bad = 0.0, 0.0, 0
        row = rows[index]
        for x in range(side):
            value: Any = np.float32(0)
            for dy in range(bin_factor):
                for dx in range(bin_factor):
                    value += image[(first + index) * bin_factor + dy, (left + x) * bin_factor + dx]
            value = value * scale - np.float32(level)
            if abs(value) < np.inf:
                value = min(max(value, -np.float32(reach)), np.float32(reach))
                total += value
                squares += value * value
            else:
                bad += 1
            row[x] = value
        if bad:
            mean = np.float32(total / (side - bad)) if bad < side else np.float32(0)
            for x in range(side):
                if not abs(row[x]) < np.inf:
                    row[x] = mean
        for x in range(side):
            row[x] *= window[x]
        statistics[0, first + index], statistics[1, first + index] = total, squares
        statistics[2, first + index] = bad


@compiled()
def keep_columns(transforms: Array, first: int, columns: Array) -> None:
    """Copy the first columns of some rows' transforms, transposed: columns (kept, all rows)."""
    for x in range(columns.shape[0]):
        for y in range(transforms.shape[0]):
            columns[x, first + y] = transforms[y, x]


@compiled()
def cut_columns(columns: Array, top: int, window: Array, factor: float, cut: Array) -> None:
    """Cut a tile's rows out of some columns, times the window and a factor: cut (columns, side)."""
    for x in range(cut.shape[0]):
        for y in range(cut.shape[1]):
            cut[x, y] = columns[x, top + y] * (window[y] * np.float32(factor))


@compiled(fastmath=True)
def add_column_powers(transforms: Array, powers: Array) -> None:
    """Add the powers of some columns, transforms (columns, side), to powers (columns, 2 r + 1), from row -r to r."""
    side = transforms.shape[1]
    radius = powers.shape[1] // 2
    for x in range(powers.shape[0]):
        for y in range(radius):
            value = transforms[x, side - radius + y]
            powers[x, y] += value.real * value.real + value.imag * value.imag
        for y in range(radius + 1):
            value = transforms[x, y]
            powers[x, radius + y] += value.real * value.real + value.imag * value.imag
