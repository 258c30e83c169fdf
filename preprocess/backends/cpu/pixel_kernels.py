"""Compiled loops of the CPU's backend that look for defects in a sum of frames, and replace them in the frames.

Each does some rows (or pixels, or frames) of its work, from `start` up to `stop`, as those of `frame_kernels` do.
`value` of a pixel is that of the raw sum times its gain, in float32; `good` says which pixels are valid.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.cpu.frame_kernels import mirrored
from preprocess.backends.cpu.image_kernels import values_of_line
from preprocess.backends.row_statistics import LANES
from preprocess.compiled_code import compiled

Array = NDArray[Any]


@compiled()
def list_between(
    raw: Array,
    gain: Array,
    has_gain: bool,
    good: Array,
    limits: tuple[float, float],
    rows: Array,
    firsts: Array,
    found: Array,
    start: int,
    stop: int,
) -> None:
    """Write the flat indices of the good pixels within limits in rows[start:stop] to `found`, from `firsts` on.

    With an empty `found`, how many there are is written to `firsts` instead.
    """
    width = raw.shape[1]
    lowest, highest = np.float32(limits[0]), np.float32(limits[1])
    line = np.empty(width, np.float32)
    for index in range(start, stop):
        y = rows[index]
        values_of_line(raw, gain, has_gain, y, line)
        count = 0
        for x in range(width):
            if good[y, x] and lowest <= line[x] <= highest:
                if found.size:
                    found[firsts[index] + count] = y * width + x
                count += 1
        if not found.size:
            firsts[index] = count


@compiled()
def average_rows(ring: Array, good: Array, reach: int, y: int, averages: Array) -> None:
    """Write the averages of good values, and of how many are good, over the rows around y into `averages` (2, width).

    Row r of the values, 0 where they are not good, is the ring's r modulo 2 reach + 1. Averages are rounded to float32.
    """
    height, width = good.shape
    size = 2 * reach + 1
    counts = np.zeros(width, np.int32)
    for x in range(width):
        averages[0, x] = 0.0
    for j in range(-reach, reach + 1):
        row = mirrored(y + j, height)
        values, believed = ring[row % size], good[row]
        for x in range(width):
            averages[0, x] += np.float64(values[x])
        for x in range(width):
            counts[x] += believed[x]
    for x in range(width):
        averages[0, x], averages[1, x] = np.float32(averages[0, x] / size), np.float32(counts[x] / size)


@compiled(error_model="numpy")
def average_columns(averages: Array, reach: int, means: Array) -> None:
    """Write the means of good values over boxes: averages of those of rows, over the columns around each."""
    width, size = means.size, 2 * reach + 1
    values, weights = averages[0], averages[1]
    for x in range(width):
        value, weight = 0.0, 0.0
        if reach <= x < width - reach:
            for i in range(-reach, reach + 1):
                value += values[x + i]
                weight += weights[x + i]
        else:
            for i in range(-reach, reach + 1):
                column = mirrored(x + i, width)
                value += values[column]
                weight += weights[column]
        means[x] = np.float32(value / size) / max(np.float32(weight / size), np.float32(1e-6))


@compiled(error_model="numpy")
def noise_of_line(line: Array, good: Array, means: Array) -> tuple[float, int]:
    """Return the sum of (value - mean)² / mean of the good pixels where both are greater than zero, and how many."""
    lanes, count = np.zeros(LANES), 0
    for x in range(line.size):
        if good[x] and line[x] > 0 and means[x] > 0:
            difference = line[x] - means[x]
            lanes[x % LANES] += np.float64(difference * difference / means[x])
            count += 1
    total = 0.0
    for lane in range(LANES):
        total += lanes[lane]
    return total, count


@compiled()
def surroundings(
    raw: Array,
    gain: Array,
    has_gain: bool,
    good: Array,
    reach: int,
    pixels: Array,
    firsts: Array,
    around: Array,
    noise: Array,
    start: int,
    stop: int,
) -> None:
    """Write the mean around each of `pixels`; into `noise` (2, height) each row's sum of noise, and how many pixels.

    The pixels of row y are those from `firsts[y]` to `firsts[y + 1]`.
    """
    (height, width), size = raw.shape, 2 * reach + 1
    ring, averages, means = np.empty((size, width), np.float32), np.empty((2, width)), np.empty(width, np.float32)
    next_row = max(0, start - reach)
    for y in range(start, stop):
        while next_row < min(y + reach + 1, height):
            line = ring[next_row % size]
            values_of_line(raw, gain, has_gain, next_row, line)
            for x in range(width):
                line[x] = line[x] if good[next_row, x] else np.float32(0)
            next_row += 1
        average_rows(ring, good, reach, y, averages)
        average_columns(averages, reach, means)
        for index in range(firsts[y], firsts[y + 1]):
            around[index] = means[pixels[index] - y * width]
        noise[0, y], noise[1, y] = noise_of_line(ring[y % size], good[y], means)


@compiled()
def padded_line(raw: Array, gain: Array, has_gain: bool, good: Array, y: int, line: Array) -> None:
    """Write the values of row y, infinite where they are not good, with 4 mirrored columns at both ends."""
    width = raw.shape[1]
    for x in range(width):
        value = raw[y, x] * gain[y, x] if has_gain else raw[y, x]
        line[x + 4] = value if good[y, x] else np.float32(np.inf)
    for x in range(4):
        line[3 - x] = line[4 + mirrored(-1 - x, width)]
        line[width + 4 + x] = line[4 + mirrored(width + x, width)]


@compiled(error_model="numpy")
def mark_line(up: Array, here: Array, down: Array, slope: float, floor: float, marks: Array) -> int:
    """Mark the pixels of a line that stand out from pixels 4 px away; return how many. Lines are padded."""
    count = 0
    of_mean, always = np.float32(slope), np.float32(floor)
    quarter, sure, least = np.float32(0.25), np.float32(25), np.float32(9) * of_mean
    for x in range(marks.size):
        across = min(here[x], here[x + 8])
        along = min(up[x + 4], down[x + 4])
        falling = min(up[x], down[x + 8])
        rising = min(up[x + 8], down[x])
        around = ((across + along) + (falling + rising)) * quarter
        above = here[x + 4] - around - least
        variance = of_mean * max(around, np.float32(0)) + always
        stands_out = (above > 0) & (above * above > sure * variance) & (here[x + 4] < np.float32(np.inf))
        marks[x] = stands_out
        count += stands_out
    return count


@compiled()
def mark_peaks(
    raw: Array,
    gain: Array,
    has_gain: bool,
    good: Array,
    variance: tuple[float, float],
    marks: Array,
    counts: Array,
    start: int,
    stop: int,
) -> None:
    """Mark the pixels of rows start to stop that stand out; `variance`: slope and floor."""
    height, width = raw.shape
    ring = np.empty((9, width + 8), np.float32)
    next_row = max(0, start - 4)
    for y in range(start, stop):
        while next_row < min(y + 5, height):
            padded_line(raw, gain, has_gain, good, next_row, ring[next_row % 9])
            next_row += 1
        up, down = ring[mirrored(y - 4, height) % 9], ring[mirrored(y + 4, height) % 9]
        counts[y] = mark_line(up, ring[y % 9], down, variance[0], variance[1], marks[y])


@compiled()
def cut_windows(
    raw: Array,
    gain: Array,
    has_gain: bool,
    good: Array,
    pixels: Array,
    reach: int,
    found: Array,
    start: int,
    stop: int,
) -> None:
    """Write the values around pixels start to stop, NaN where nothing good lies."""
    height, width = raw.shape
    for index in range(start, stop):
        y, x = pixels[index] // width, pixels[index] % width
        place = 0
        for row in range(y - reach, y + reach + 1):
            for column in range(x - reach, x + reach + 1):
                value = np.float32(np.nan)
                if 0 <= row < height and 0 <= column < width and good[row, column]:
                    value = raw[row, column] * gain[row, column] if has_gain else raw[row, column]
                found[index, place] = value
                place += 1


@compiled()
def replace_pixels(
    frames: Array, targets: Array, sources: Array, counts: Array, starts: Array, steps: Array, start: int, stop: int
) -> None:
    """Copy good pixels over defects in frames start to stop, as `Replacements` says; frames (frames, pixels)."""
    for t in range(start, stop):
        frame = frames[t]
        for i in range(targets.size):
            frame[targets[i]] = frame[sources[i, (starts[i] + t * steps[i]) % counts[i]]]
