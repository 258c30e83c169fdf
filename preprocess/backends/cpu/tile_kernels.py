"""Compiled loops of the CPU's backend for the spectra of an image's tiles."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.compiled_code import compiled

Array = NDArray[Any]


REORDERED = {"reassoc", "contract", "nsz"}
"""Sums may be taken in another order, always the same for a row, so that they are taken side by side; NaN stays NaN."""


@compiled(fastmath=REORDERED)
def bin_line(image: Array, top: int, left: int, factor: int, line: Array) -> None:
    """Write means of boxes of `factor` by `factor` pixels, from row `top` and column `left` on."""
    scale = np.float32(1 / (factor * factor))
    line[:] = 0
    for dy in range(factor):
        row = image[top + dy]
        for x in range(line.size):
            for dx in range(factor):
                line[x] += row[left + x * factor + dx]
    for x in range(line.size):
        line[x] *= scale


@compiled(fastmath=REORDERED)
def cut_line(line: Array, level: Any, reach: Any, window: Array, row: Array) -> tuple[float, float, float]:
    """Write a line less `level`, clipped, times the window; return its sum, that of its squares, and NaN or 0.

    The last is NaN if a value is not a finite number.
    """
    zero: Any = np.float32(0)
    total, squares, doubt = zero, zero, zero
    for x in range(line.size):
        value = line[x] - level
        doubt += value * zero
        value = min(max(value, -reach), reach)
        total += value
        squares += value * value
        row[x] = value * window[x]
    return total, squares, doubt


@compiled()
def cut_spoilt_line(line: Array, level: Any, reach: Any, window: Array, row: Array) -> tuple[float, float, float]:
    """Do the same where values are not finite: they become the mean of the others; return how many they are, too."""
    total, squares, bad = 0.0, 0.0, 0
    for x in range(line.size):
        value = line[x] - level
        if abs(value) < np.inf:
            value = min(max(value, -reach), reach)
            total += value
            squares += value * value
        else:
            bad += 1
        row[x] = value
    mean = np.float32(total / (line.size - bad)) if bad < line.size else np.float32(0)
    for x in range(line.size):
        row[x] = (row[x] if abs(row[x]) < np.inf else mean) * window[x]
    return total, squares, np.float64(bad)


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
    base, limit = np.float32(level), np.float32(reach)
    binned = np.empty(side, np.float32)
    for index in range(rows.shape[0]):
        line = binned
        if bin_factor == 1:
            line = image[first + index, left : left + side]
        else:
            bin_line(image, (first + index) * bin_factor, left * bin_factor, bin_factor, binned)
        total, squares, bad = cut_line(line, base, limit, window, rows[index])
        if bad != 0:
            total, squares, bad = cut_spoilt_line(line, base, limit, window, rows[index])
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
