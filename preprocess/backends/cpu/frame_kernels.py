"""Compiled loops of the CPU's backend.

Each kernel does some rows of its work, from `start` up to `stop`, without holding Python's lock: threads share out the
rows. What a row becomes never depends on the others, and so not on the number of threads. Kernels are compiled for each
type of frame that they meet, and cached on disk. (numba's own parallel loops take longer to compile, and a threading
layer that several threads of a program cannot use at a time.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.cpu.tiles import TILE_ROWS
from preprocess.compiled_code import compiled

Array = NDArray[Any]

BLOCK_COLUMNS = 512  # columns of a tile that are converted and interpolated together
MARGIN = 24  # room around a block for the six taps and for the field's variation within it


@compiled()
def raw_sum(frames: Array, total: Array, start: int, stop: int) -> None:
    """Sum frames (frames, height, width) into `total` (height, width), exact for integers."""
    count, _, width = frames.shape
    for y in range(start, stop):
        row = np.zeros(width, np.float64)
        for t in range(count):
            line = frames[t, y]
            for x in range(width):
                row[x] += line[x]
        for x in range(width):
            total[y, x] = row[x]


@compiled(fastmath=True)
def sums_of_piece(line: Array) -> tuple[float, float]:
    """Return the sum of a piece of a line, and that of its squares."""
    total, squares = 0.0, 0.0
    for x in range(line.size):
        value = np.float64(line[x])
        total += value
        squares += value * value
    return total, squares


@compiled()
def box_sums(frames: Array, row_ends: Array, column_ends: Array, step: int, sums: Array, start: int, stop: int) -> None:
    """Add up boxes of frames start to stop, every `step`-th row: pixels, values, squares (frames, 3, boxes, boxes)."""
    boxes = column_ends.size - 1
    for t in range(start, stop):
        for box_y in range(boxes):
            for y in range(row_ends[box_y], row_ends[box_y + 1], step):
                for box_x in range(boxes):
                    left, right = column_ends[box_x], column_ends[box_x + 1]
                    total, squares = sums_of_piece(frames[t, y, left:right])
                    sums[t, 0, box_y, box_x] += right - left
                    sums[t, 1, box_y, box_x] += total
                    sums[t, 2, box_y, box_x] += squares


@compiled(fastmath=True)
def bin_frame(frame: Array, gain: Array, has_gain: bool, factor: int, binned: Array, start: int, stop: int) -> None:
    """Add up boxes of `factor` by `factor` px, gain applied, into `binned`."""
    width = binned.shape[1]
    for y in range(start, stop):
        columns = np.zeros(width * factor, np.float32)
        for j in range(factor):
            line = frame[y * factor + j]
            if has_gain:
                sensitivity = gain[y * factor + j]
                for x in range(width * factor):
                    columns[x] += np.float32(line[x]) * sensitivity[x]
            else:
                for x in range(width * factor):
                    columns[x] += np.float32(line[x])
        for x in range(width):
            box = np.float32(0)
            for i in range(factor):
                box += columns[x * factor + i]
            binned[y, x] = box


@compiled()
def taper_frame(image: Array, mean: float, rows: Array, columns: Array, start: int, stop: int) -> None:
    """Remove the mean and soften the edges, in place."""
    level = np.float32(mean)
    for y in range(start, stop):
        line = image[y]
        for x in range(image.shape[1]):
            line[x] = (line[x] - level) * (rows[y] * columns[x])


@compiled()
def sum_spectra(
    spectra: Array,
    rows: Array,
    columns: Array,
    rings: Array,
    width: int,
    total: Array,
    by_row: Array,
    start: int,
    stop: int,
) -> None:
    """Sum phase-shifted spectra into `total`; their ring powers and the sum's into `by_row` (2, height, rings)."""
    count, _, half = spectra.shape
    for y in range(start, stop):
        line = np.zeros(half, np.complex64)
        power = np.zeros(half, np.float32)
        for t in range(count):
            phase = rows[t, y]
            spectrum, column_phases = spectra[t, y], columns[t]
            for x in range(half):
                value = spectrum[x]
                line[x] += value * (phase * column_phases[x])
                power[x] += value.real * value.real + value.imag * value.imag
        for x in range(half):
            total[y, x] = line[x]
            twice = 1.0 if x == 0 or 2 * x == width else 2.0
            ring = rings[y, x]
            by_row[0, y, ring] += twice * (line[x].real * line[x].real + line[x].imag * line[x].imag)
            by_row[1, y, ring] += twice * power[x]


@compiled(fastmath=True)
def derivatives(
    spectra: Array,
    total: Array,
    rows: Array,
    columns: Array,
    rings: Array,
    weights: Array,
    width: int,
    by_row: Array,
    start: int,
    stop: int,
) -> None:
    """Write gradient y, x and Hessian yy, xx, yx of each row's part of the cross-correlation, (height, frames, 5)."""
    count, height, half = spectra.shape
    weight = np.empty(half, np.float32)
    for y in range(start, stop):
        ky = 2 * np.pi * ((y if 2 * y < height else y - height) / height)
        last = 0
        for x in range(half):
            weight[x] = weights[rings[y, x]] * (1.0 if x == 0 or 2 * x == width else 2.0)
            if weight[x] > 0:
                last = x + 1
        reference = total[y]
        for t in range(count):
            phase = rows[t, y]
            spectrum, column_phases = spectra[t, y], columns[t]
            slope_y = slope_x = curve_yy = curve_xx = curve_yx = 0.0
            for x in range(last):
                value = spectrum[x] * (phase * column_phases[x])
                other = reference[x] - value
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


@compiled(fastmath=True)
def cut_patches(
    binned: Array, tops: Array, lefts: Array, rows: Array, columns: Array, patches: Array, start: int, stop: int
) -> None:
    """Copy windows of an image into `patches` (patches, height, width), their means removed, their edges softened."""
    _, height, width = patches.shape
    for n in range(start, stop):
        window = binned[tops[n] : tops[n] + height, lefts[n] : lefts[n] + width]
        total = 0.0
        for y in range(height):
            of_row = np.float32(0)
            for x in range(width):
                of_row += window[y, x]
            total += float(of_row)
        level = np.float32(total / (height * width))
        for y in range(height):
            line, source = patches[n, y], window[y]
            for x in range(width):
                line[x] = (source[x] - level) * (rows[y] * columns[x])


@compiled()
def keep_lowest(transforms: Array, t: int, count: int, kept: Array, planes: Array, start: int, stop: int) -> None:
    """Copy the lowest rows of patches' transforms (patches, rows, columns) into frame t, of `count`, of their `planes`.

    These hold, for each row, numbers of shape (count, 2, columns): as many columns as are `kept` of that row.
    """
    rows, height = kept.size, transforms.shape[1]
    for n in range(start, stop):
        begin = 0
        for y in range(rows):
            line = transforms[n, y if 2 * y < rows else y + height - rows]
            real = begin + 2 * t * kept[y]
            for x in range(kept[y]):
                planes[n, real + x] = line[x].real
                planes[n, real + kept[y] + x] = line[x].imag
            begin += 2 * count * kept[y]


@compiled(fastmath=True)
def align_row(
    real: Array, imaginary: Array, phase: complex, cosines: Array, sines: Array, aligned: Array, sums: Array
) -> None:
    """Undo one frame's displacement in one row of a spectrum; add it to `sums`: real, imaginary part, power."""
    a, b = np.float32(phase.real), np.float32(phase.imag)
    to_real, to_imaginary = aligned[0], aligned[1]
    sum_real, sum_imaginary, power = sums[0], sums[1], sums[2]
    for x in range(sum_real.size):
        cosine, sine = a * cosines[x] - b * sines[x], a * sines[x] + b * cosines[x]
        r, i = real[x] * cosine - imaginary[x] * sine, real[x] * sine + imaginary[x] * cosine
        to_real[x], to_imaginary[x] = r, i
        sum_real[x] += r
        sum_imaginary[x] += i
        power[x] += r * r + i * i


@compiled(fastmath=True)
def row_slopes(aligned: Array, weighted: Array) -> tuple[float, float]:
    """Return the sums over a row of the odd part of the correlation, and of the same times the column's frequency."""
    r, i = aligned[0], aligned[1]
    wr, wi, kr, ki = weighted[0], weighted[1], weighted[2], weighted[3]
    odd, odd_x = np.float32(0), np.float32(0)
    for x in range(wr.size):
        odd += i[x] * wr[x] - r[x] * wi[x]
        odd_x += i[x] * kr[x] - r[x] * ki[x]
    return float(odd), float(odd_x)


@compiled()
def write_phases(turns: float, size: int, phases: Array) -> None:
    """Write exp(2 pi i turns f) for the frequencies f of a transform of `size`: 0, 1, … and then, if there, -f."""
    step, value = np.exp(2j * np.pi * turns), 1 + 0j
    for f in range(size // 2 + 1):
        if f < phases.size:
            phases[f] = value
        if f > 0 and size - f < phases.size and 2 * f != size:
            phases[size - f] = np.conj(value)
        value *= step
    if size % 2 == 0 and size // 2 < phases.size:
        phases[size // 2] = np.conj(phases[size // 2])


@compiled()
def measure_patches(
    planes: Array,
    kept: Array,
    wanted: Array,
    shifts: Array,
    rings: Array,
    extents: Array,
    weights: Array,
    width: int,
    powers: Array,
    gradient: Array,
    hessian: Array,
    start: int,
    stop: int,
) -> None:
    """Measure patches wanted[start:stop].

    Shapes: planes (patches, numbers), see `keep_lowest`; shifts (frames, wanted, 2), in samples; rings (rows, columns);
    kept, extents (rows): columns that are there, and to use; powers (wanted, 2, rings);
    gradient (frames, wanted, 2); hessian (wanted, 3).
    """
    count, (height, half) = len(shifts), rings.shape
    all_aligned = np.empty((count, 2, half), np.float32)
    all_sums = np.empty((3, half), np.float32)
    all_weighted = np.empty((4, half), np.float32)
    rows, cosines = np.empty((count, height), np.complex64), np.empty((count, half), np.float32)
    sines, column = np.empty((count, half), np.float32), np.empty(half, np.complex64)
    for m in range(start, stop):
        n = wanted[m]
        for t in range(count):
            write_phases(shifts[t, m, 0] / height, height, rows[t])
            write_phases(shifts[t, m, 1] / width, 2 * half, column)
            cosines[t], sines[t] = column.real, column.imag
        end = 0
        for y in range(height):
            size, begin = extents[y], end
            end += 2 * count * kept[y]
            if size == 0:
                continue
            ky = 2 * np.pi * ((y if 2 * y < height else y - height) / height)
            sums, weighted = all_sums[:, :size], all_weighted[:, :size]
            sums[:] = 0
            for t in range(count):
                plane = planes[n, begin + 2 * t * kept[y] : begin + 2 * (t + 1) * kept[y]]
                align_row(plane[: kept[y]], plane[kept[y] :], rows[t, y], cosines[t], sines[t], all_aligned[t], sums)
            for x in range(size):
                twice = 1.0 if x == 0 else 2.0
                kx = 2 * np.pi * x / width
                power = sums[0, x] * sums[0, x] + sums[1, x] * sums[1, x]
                powers[m, 0, rings[y, x]] += twice * power
                powers[m, 1, rings[y, x]] += twice * sums[2, x]
                weight = weights[rings[y, x]] * twice
                even = weight * (power - sums[2, x])
                hessian[m, 0] -= ky * ky * even
                hessian[m, 1] -= kx * kx * even
                hessian[m, 2] -= ky * kx * even
                weighted[0, x], weighted[1, x] = weight * sums[0, x], weight * sums[1, x]
                weighted[2, x], weighted[3, x] = kx * weighted[0, x], kx * weighted[1, x]
            for t in range(count):
                odd, odd_x = row_slopes(all_aligned[t], weighted)
                gradient[t, m, 0] -= ky * odd
                gradient[t, m, 1] -= odd_x


@compiled()
def horner(coefficients: Array, x: float) -> float:
    """Return the polynomial of those coefficients, the constant's first, at x."""
    value = 0.0
    for power in range(coefficients.size - 1, -1, -1):
        value = value * x + coefficients[power]
    return value


@compiled()
def along_row(coefficients: Array, y: float, of_x: Array) -> None:
    """Write the coefficients of a field's powers of x in the row at y, from -0.5 to 0.5."""
    for power in range(of_x.size):
        of_x[power] = horner(coefficients[:, power], y)


@compiled()
def mirrored(index: int, size: int) -> int:
    """Return the row (or column) that lies there when the frame is mirrored at its edges."""
    index = index % (2 * size)
    return index if index < size else 2 * size - 1 - index


@compiled(fastmath=True)
def fill_block(
    frame: Array, gain: Array, has_gain: bool, top: int, left: int, rows: int, columns: int, block: Array
) -> None:
    """Convert a block of a frame to float32, gain applied, mirrored beyond the frame's edges."""
    height, width = frame.shape
    inside = left >= 0 and left + columns <= width
    for j in range(rows):
        y = mirrored(top + j, height)
        line = block[j]
        if inside:
            source = frame[y, left : left + columns]
            for i in range(columns):
                line[i] = source[i]
            if has_gain:
                sensitivity = gain[y, left : left + columns]
                for i in range(columns):
                    line[i] *= sensitivity[i]
        else:
            for i in range(columns):
                x = mirrored(left + i, width)
                line[i] = frame[y, x]
                if has_gain:
                    line[i] *= gain[y, x]


@compiled(fastmath=True)
def interpolate(block: Array, iy: int, ix: int, w: Array, v: Array, n: int, line: Array, value: Array) -> None:
    """Write `n` interpolated pixels of one row into `value`: six taps `w` in y, then six taps `v` in x."""
    r0, r1, r2 = block[iy, ix : ix + n + 5], block[iy + 1, ix : ix + n + 5], block[iy + 2, ix : ix + n + 5]
    r3, r4, r5 = block[iy + 3, ix : ix + n + 5], block[iy + 4, ix : ix + n + 5], block[iy + 5, ix : ix + n + 5]
    w0, w1, w2, w3, w4, w5 = w[0], w[1], w[2], w[3], w[4], w[5]
    for i in range(n + 5):
        line[i] = w0 * r0[i] + w1 * r1[i] + w2 * r2[i] + w3 * r3[i] + w4 * r4[i] + w5 * r5[i]
    v0, v1, v2, v3, v4, v5 = v[0], v[1], v[2], v[3], v[4], v[5]
    for i in range(n):
        value[i] = (
            v0 * line[i] + v1 * line[i + 1] + v2 * line[i + 2] + v3 * line[i + 3] + v4 * line[i + 4] + v5 * line[i + 5]
        )


@compiled(fastmath=True)
def add_weighted(value: Array, n: int, weights: Array, y: int, x: int, sums: Array) -> None:
    """Add `n` pixels to each sum at row y from column x, weighted."""
    for r in range(weights.size):
        weight = weights[r]
        total = sums[r, y, x : x + n]
        for i in range(n):
            total[i] += weight * value[i]


@compiled()
def warp_row(
    block: Array,
    origin: tuple[int, int],
    row_y: Array,
    row_x: Array,
    place: tuple[int, int, int],
    piece: int,
    taps: Array,
    weights: Array,
    sums: Array,
    line: Array,
    value: Array,
) -> None:
    """Add one row of a frame's block, its displacement undone, to the sums; `place`: y, first column, columns.

    `row_y`, `row_x`: the displacement's coefficients of powers of x in this row; `piece`: columns that share its value.
    """
    width = sums.shape[2]
    y, left, columns = place
    steps = taps.shape[0]
    for start in range(left, left + columns, piece):
        n = min(piece, left + columns - start)
        at_x = (start + 0.5 * n) / width - 0.5
        source_y = y + horner(row_y, at_x)
        shift_x = horner(row_x, at_x)
        iy, ix = int(np.floor(source_y)), int(np.floor(shift_x))
        w = taps[min(int((source_y - iy) * steps), steps - 1)]
        v = taps[min(int((shift_x - ix) * steps), steps - 1)]
        row = min(max(iy - 2 - origin[0], 0), block.shape[0] - 6)
        column = min(max(start + ix - 2 - origin[1], 0), block.shape[1] - n - 5)
        interpolate(block, row, column, w, v, n, line, value)
        add_weighted(value, n, weights, y, start, sums)


@compiled()
def warp_and_sum(
    frames: Array,
    gain: Array,
    has_gain: bool,
    field_y: Array,
    field_x: Array,
    piece: int,
    weights: Array,
    taps: Array,
    sums: Array,
    start: int,
    stop: int,
) -> None:
    """Add frames, displacements undone, into weighted sums.

    Shapes: frames (frames, height, width); field_y, field_x (frames, powers of y, powers of x); weights (frames, sums);
    taps (n, 6); sums (sums, height, width).
    """
    count, height, width = frames.shape
    block = np.empty((TILE_ROWS + MARGIN, BLOCK_COLUMNS + MARGIN), np.float32)
    line = np.empty(piece + 5, np.float32)
    value = np.empty(piece, np.float32)
    row_y, row_x = np.empty(field_y.shape[2]), np.empty(field_x.shape[2])
    for top in range(start, stop, TILE_ROWS):
        rows = min(TILE_ROWS, stop - top)
        for left in range(0, width, BLOCK_COLUMNS):
            columns = min(BLOCK_COLUMNS, width - left)
            middle_y, middle_x = (top + 0.5 * rows) / height - 0.5, (left + 0.5 * columns) / width - 0.5
            for t in range(count):
                along_row(field_y[t], middle_y, row_y)
                along_row(field_x[t], middle_y, row_x)
                origin = (
                    top - MARGIN // 2 + int(np.floor(horner(row_y, middle_x))),
                    left - MARGIN // 2 + int(np.floor(horner(row_x, middle_x))),
                )
                fill_block(frames[t], gain, has_gain, origin[0], origin[1], rows + MARGIN, columns + MARGIN, block)
                for y in range(top, top + rows):
                    along_row(field_y[t], y / height - 0.5, row_y)
                    along_row(field_x[t], y / height - 0.5, row_x)
                    warp_row(
                        block, origin, row_y, row_x, (y, left, columns), piece, taps, weights[t], sums, line, value
                    )


@compiled()
def add_filtered(
    transform: Array,
    height: int,
    width: int,
    factors: Array,
    last_frequency: float,
    total: Array,
    start: int,
    stop: int,
) -> None:
    """Add the lowest frequencies of a transform, filtered radially, to `total`."""
    rows, half = total.shape
    scale = (factors.size - 1) / last_frequency
    for y in range(start, stop):
        source = y if 2 * y < rows else height - rows + y
        ky = (source if 2 * source < height else source - height) / height
        for x in range(half):
            kx = x / width
            position = np.sqrt(ky * ky + kx * kx) * scale
            below = min(int(position), factors.size - 2)
            fraction = position - below
            factor = np.float32(factors[below] * (1 - fraction) + factors[below + 1] * fraction)
            total[y, x] += transform[source, x] * factor
