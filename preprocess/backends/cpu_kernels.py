"""Compiled loops of the CPU's backend.

Each kernel is compiled once for each type of frame that it meets, and cached. Parallel loops share nothing but what
each iteration alone writes.
"""
# numba compiles loops; written with enumerate or as comprehensions they would be slower or not compile

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from preprocess.backends.spectrum_layout import FIELD_COLUMNS

Array = NDArray[Any]

TILE_ROWS = 16  # rows that one thread computes together: their sums stay in its cache
BLOCK_COLUMNS = 512  # columns of a tile that are converted and interpolated together
MARGIN = 24  # room around a block for the six taps and for the field's variation within it


@numba.njit(parallel=True, cache=True)
def raw_sum(frames: Array, total: Array) -> None:
    """Sum frames (frames, height, width) into `total` (height, width), exact for integers."""
    count, height, width = frames.shape
    for y in numba.prange(height):
        row = np.zeros(width, np.float64)
        for t in range(count):
            for x in range(width):
                row[x] += frames[t, y, x]
        for x in range(width):
            total[y, x] = row[x]


@numba.njit(parallel=True, fastmath=True, cache=True)
def bin_frame(frame: Array, gain: Array, has_gain: bool, factor: int, binned: Array) -> None:
    """Add up boxes of `factor` by `factor` px, gain applied, into `binned`."""
    height, width = binned.shape
    for y in numba.prange(height):
        columns = np.zeros(width * factor, np.float32)
        for j in range(factor):
            source = y * factor + j
            if has_gain:
                for x in range(width * factor):
                    columns[x] += np.float32(frame[source, x]) * gain[source, x]
            else:
                for x in range(width * factor):
                    columns[x] += np.float32(frame[source, x])
        for x in range(width):
            box = np.float32(0)
            for i in range(factor):
                box += columns[x * factor + i]
            binned[y, x] = box


@numba.njit(parallel=True, cache=True)
def taper_frame(image: Array, mean: float, rows: Array, columns: Array) -> None:
    """Remove the mean and soften the edges, in place."""
    height, width = image.shape
    level = np.float32(mean)
    for y in numba.prange(height):
        for x in range(width):
            image[y, x] = (image[y, x] - level) * (rows[y] * columns[x])


@numba.njit(parallel=True, cache=True)
def sum_spectra(
    spectra: Array, rows: Array, columns: Array, rings: Array, width: int, total: Array, by_row: Array
) -> None:
    """Sum phase-shifted spectra into `total`; their ring powers and the sum's into `by_row` (2, height, rings)."""
    count, height, half = spectra.shape
    for y in numba.prange(height):
        line = np.zeros(half, np.complex64)
        power = np.zeros(half, np.float32)
        for t in range(count):
            phase = rows[t, y]
            for x in range(half):
                value = spectra[t, y, x]
                line[x] += value * (phase * columns[t, x])
                power[x] += value.real * value.real + value.imag * value.imag
        for x in range(half):
            total[y, x] = line[x]
            twice = 1.0 if x == 0 or 2 * x == width else 2.0
            ring = rings[y, x]
            by_row[0, y, ring] += twice * (line[x].real * line[x].real + line[x].imag * line[x].imag)
            by_row[1, y, ring] += twice * power[x]


@numba.njit(parallel=True, cache=True)
def cross_spectrum(
    spectrum: Array, total: Array, row_phases: Array, column_phases: Array, rings: Array, weights: Array, product: Array
) -> None:
    """Write the weighted cross-spectrum of one frame with the sum of the others, its lowest frequencies alone."""
    height, half = product.shape
    full = spectrum.shape[0]
    for index in numba.prange(height):
        y = np.int64(index)  # numba's own index is unsigned, and unsigned less signed is a float
        source = y if y <= height // 2 else full - height + y
        phase = row_phases[source]
        for x in range(half):
            value = spectrum[source, x] * (phase * column_phases[x])
            other = total[source, x] - value
            product[y, x] = weights[rings[source, x]] * value * np.conj(other)


@numba.njit(parallel=True, cache=True)
def derivatives(
    spectra: Array, total: Array, rows: Array, columns: Array, rings: Array, weights: Array, width: int, by_row: Array
) -> None:
    """Write gradient y, x and Hessian yy, xx, yx of each row's part of the cross-correlation, (height, frames, 5)."""
    count, height, half = spectra.shape
    for y in numba.prange(height):
        ky = 2 * np.pi * ((y if 2 * y < height else y - height) / height)
        weight = np.empty(half, np.float32)
        last = 0
        for x in range(half):
            weight[x] = weights[rings[y, x]] * (1.0 if x == 0 or 2 * x == width else 2.0)
            if weight[x] > 0:
                last = x + 1
        for t in range(count):
            phase = rows[t, y]
            slope_y = slope_x = curve_yy = curve_xx = curve_yx = 0.0
            for x in range(last):
                value = spectra[t, y, x] * (phase * columns[t, x])
                other = total[y, x] - value
                kx = 2 * np.pi * x / width
                odd = weight[x] * (value.imag * other.real - value.real * other.imag)
                even = weight[x] * (value.real * other.real + value.imag * other.imag)
                slope_y -= odd
                slope_x -= kx * odd
                curve_yy -= even
                curve_xx -= kx * kx * even
                curve_yx -= kx * even
            by_row[y, t, 0] = ky * slope_y
            by_row[y, t, 1] = slope_x
            by_row[y, t, 2] = ky * ky * curve_yy
            by_row[y, t, 3] = curve_xx
            by_row[y, t, 4] = ky * curve_yx


@numba.njit(parallel=True, fastmath=True, cache=True)
def warp_and_sum(
    frames: Array, gain: Array, has_gain: bool, field_y: Array, field_x: Array, weights: Array, taps: Array, sums: Array
) -> None:
    """Add frames, displacements undone, into weighted sums.

    Shapes: frames (frames, height, width); field_y, field_x (frames, 6); weights (frames, sums); taps (n, 6);
    sums (sums, height, width).
    """
    count, height, width = frames.shape
    sum_count, steps = weights.shape[1], taps.shape[0]
    for tile in numba.prange((height + TILE_ROWS - 1) // TILE_ROWS):
        top = int(np.int64(tile)) * TILE_ROWS
        rows = min(TILE_ROWS, height - top)
        block = np.empty((TILE_ROWS + MARGIN, BLOCK_COLUMNS + MARGIN), np.float32)
        line = np.empty(FIELD_COLUMNS + 5, np.float32)
        value = np.empty(FIELD_COLUMNS, np.float32)
        for left in range(0, width, BLOCK_COLUMNS):
            columns = min(BLOCK_COLUMNS, width - left)
            middle_y = (top + 0.5 * rows) / height - 0.5
            middle_x = (left + 0.5 * columns) / width - 0.5
            for t in range(count):
                fy, fx = field_y[t], field_x[t]
                origin_y = top - MARGIN // 2 + int(np.floor(polynomial(fy, middle_y, middle_x)))
                origin_x = left - MARGIN // 2 + int(np.floor(polynomial(fx, middle_y, middle_x)))
                fill_block(frames[t], gain, has_gain, origin_y, origin_x, rows + MARGIN, columns + MARGIN, block)
                for row in range(rows):
                    y = top + row
                    for start in range(0, columns, FIELD_COLUMNS):
                        n = min(FIELD_COLUMNS, columns - start)
                        at_y = y / height - 0.5
                        at_x = (left + start + 0.5 * n) / width - 0.5
                        source_y = y + polynomial(fy, at_y, at_x) - origin_y
                        source_x = left + start + polynomial(fx, at_y, at_x) - origin_x
                        iy, ix = int(np.floor(source_y)), int(np.floor(source_x))
                        w = taps[int((source_y - iy) * steps)]
                        iy = min(max(iy - 2, 0), rows + MARGIN - 6)
                        v = taps[int((source_x - ix) * steps)]
                        ix = min(max(ix - 2, 0), columns + MARGIN - n - 5)
                        w0, w1, w2, w3, w4, w5 = w[0], w[1], w[2], w[3], w[4], w[5]
                        for i in range(n + 5):
                            line[i] = (
                                w0 * block[iy, ix + i]
                                + w1 * block[iy + 1, ix + i]
                                + w2 * block[iy + 2, ix + i]
                                + w3 * block[iy + 3, ix + i]
                                + w4 * block[iy + 4, ix + i]
                                + w5 * block[iy + 5, ix + i]
                            )
                        v0, v1, v2, v3, v4, v5 = v[0], v[1], v[2], v[3], v[4], v[5]
                        for i in range(n):
                            value[i] = (
                                v0 * line[i]
                                + v1 * line[i + 1]
                                + v2 * line[i + 2]
                                + v3 * line[i + 3]
                                + v4 * line[i + 4]
                                + v5 * line[i + 5]
                            )
                        for r in range(sum_count):
                            weight = weights[t, r]
                            for i in range(n):
                                sums[r, y, left + start + i] += weight * value[i]


@numba.njit(cache=True, inline="always")
def polynomial(coefficients: Array, y: float, x: float) -> float:
    """Return the displacement at (y, x), both from -0.5 to 0.5."""
    c = coefficients
    displacement: float = c[0] + x * (c[1] + c[2] * x + c[5] * y) + y * (c[3] + c[4] * y)
    return displacement


@numba.njit(cache=True, fastmath=True)
def fill_block(
    frame: Array, gain: Array, has_gain: bool, top: int, left: int, rows: int, columns: int, block: Array
) -> None:
    """Convert a block of a frame to float32, gain applied, mirrored beyond the frame's edges."""
    height, width = frame.shape
    inside = left >= 0 and left + columns <= width
    for j in range(rows):
        y = mirrored_row(top + j, height)
        if inside and has_gain:
            for i in range(columns):
                block[j, i] = np.float32(frame[y, left + i]) * gain[y, left + i]
        elif inside:
            for i in range(columns):
                block[j, i] = np.float32(frame[y, left + i])
        else:
            for i in range(columns):
                x = mirrored_row(left + i, width)
                block[j, i] = np.float32(frame[y, x])
                if has_gain:
                    block[j, i] *= gain[y, x]


@numba.njit(cache=True, inline="always")
def mirrored_row(index: int, size: int) -> int:
    """Return the row (or column) that lies there when the frame is mirrored at its edges."""
    period = 2 * size
    index = index % period
    return index if index < size else period - 1 - index


@numba.njit(parallel=True, cache=True)
def add_filtered(
    transform: Array, height: int, width: int, factors: Array, last_frequency: float, output_height: int, total: Array
) -> None:
    """Add the lowest frequencies of a transform, filtered radially, to `total`."""
    rows, half = total.shape
    scale = (factors.size - 1) / last_frequency
    for index in numba.prange(rows):
        y = np.int64(index)
        source = y if 2 * y < output_height else height - output_height + y
        ky = (source if 2 * source < height else source - height) / height
        for x in range(half):
            kx = x / width
            position = np.sqrt(ky * ky + kx * kx) * scale
            below = min(int(position), factors.size - 2)
            fraction = position - below
            factor = np.float32(factors[below] * (1 - fraction) + factors[below + 1] * fraction)
            total[y, x] += transform[source, x] * factor
