"""Compiled loops of the CPU's backend over whole images: their statistics, sums and thumbnails.

Each does some rows of its work, from `start` up to `stop`, as those of `frame_kernels` do. `value` of a pixel is that
of the raw sum times its gain, in float32; `good` says which pixels are valid.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.row_statistics import COUNT, EVERY, HIGHEST, LANES, LOWEST, SQUARES, STATISTICS_PER_ROW, TOTAL
from preprocess.compiled_code import compiled

Array = NDArray[Any]


@compiled()
def believe_in_gain(gain: Array, good: Array, start: int, stop: int) -> None:
    """Believe in all pixels of a gain greater than zero."""
    for y in range(start, stop):
        for x in range(good.shape[1]):
            good[y, x] = gain[y, x] > 0


@compiled()
def statistics_of_line(line: Array, lanes: Array, statistics: Array) -> None:
    """Write the statistics, shape (STATISTICS_PER_ROW,), of all float32 values of a line.

    `lanes` is work space of shape (2, LANES).
    """
    width = line.size
    lowest, highest = np.float32(np.inf), np.float32(-np.inf)
    for lane in range(LANES):
        lanes[0, lane], lanes[1, lane] = 0.0, 0.0
    for left in range(0, width // LANES * LANES, LANES):
        for lane in range(LANES):
            wide = np.float64(line[left + lane])
            lanes[0, lane] += wide
            lanes[1, lane] += wide * wide
    for x in range(width // LANES * LANES, width):
        wide = np.float64(line[x])
        lanes[0, x % LANES] += wide
        lanes[1, x % LANES] += wide * wide
    for x in range(width):
        lowest = line[x] if line[x] < lowest else lowest
        highest = line[x] if line[x] > highest else highest
    statistics[COUNT], statistics[LOWEST], statistics[HIGHEST] = width, lowest, highest
    statistics[TOTAL], statistics[SQUARES] = 0.0, 0.0
    for lane in range(LANES):
        statistics[TOTAL] += lanes[0, lane]
        statistics[SQUARES] += lanes[1, lane]
    statistics[EVERY] = statistics[TOTAL]


@compiled()
def statistics_of_good(line: Array, good: Array, lanes: Array, statistics: Array) -> None:
    """Replace the statistics of a line by those of its good values; the sum of all values stays."""
    lowest, highest, count = np.float32(np.inf), np.float32(-np.inf), 0
    for lane in range(LANES):
        lanes[0, lane], lanes[1, lane] = 0.0, 0.0
    for x in range(line.size):
        if good[x]:
            wide = np.float64(line[x])
            lanes[0, x % LANES] += wide
            lanes[1, x % LANES] += wide * wide
            lowest = line[x] if line[x] < lowest else lowest
            highest = line[x] if line[x] > highest else highest
            count += 1
    statistics[COUNT], statistics[LOWEST], statistics[HIGHEST] = count, lowest, highest
    statistics[TOTAL], statistics[SQUARES] = 0.0, 0.0
    for lane in range(LANES):
        statistics[TOTAL] += lanes[0, lane]
        statistics[SQUARES] += lanes[1, lane]


@compiled()
def values_of_line(raw: Array, gain: Array, has_gain: bool, y: int, line: Array) -> None:
    """Write the values of row y."""
    if has_gain:
        for x in range(line.size):
            line[x] = raw[y, x] * gain[y, x]
    else:
        for x in range(line.size):
            line[x] = raw[y, x]


@compiled()
def sum_statistics(
    raw: Array, gain: Array, has_gain: bool, good: Array, rows: Array, statistics: Array, start: int, stop: int
) -> None:
    """Write the statistics of rows[start:stop] into `statistics` (STATISTICS_PER_ROW, height)."""
    width = raw.shape[1]
    line, lanes, of_line = np.empty(width, np.float32), np.empty((2, LANES)), np.empty(STATISTICS_PER_ROW)
    for index in range(start, stop):
        y = rows[index]
        values_of_line(raw, gain, has_gain, y, line)
        statistics_of_line(line, lanes, of_line)
        count = 0
        for x in range(width):
            count += good[y, x]
        if count < width:
            statistics_of_good(line, good[y], lanes, of_line)
        for kind in range(STATISTICS_PER_ROW):
            statistics[kind, y] = of_line[kind]


@compiled()
def image_statistics(image: Array, statistics: Array, start: int, stop: int) -> None:
    """Write the statistics of rows of a float32 image into `statistics` (STATISTICS_PER_ROW, height)."""
    lanes, of_line = np.empty((2, LANES)), np.empty(STATISTICS_PER_ROW)
    for y in range(start, stop):
        statistics_of_line(image[y], lanes, of_line)
        for kind in range(STATISTICS_PER_ROW):
            statistics[kind, y] = of_line[kind]


@compiled()
def sum_of_box(image: Array, top: int, bottom: int, left: int, right: int) -> float:
    """Return the sum of a box: two by two pixels are added in float32, these sums in double precision."""
    total = 0.0
    for row in range(top, bottom - 1, 2):
        for column in range(left, right - 1, 2):
            three = (image[row, column] + image[row, column + 1]) + image[row + 1, column]
            total += three + image[row + 1, column + 1]
        if (right - left) % 2:
            total += image[row, right - 1] + image[row + 1, right - 1]
    if (bottom - top) % 2:
        for column in range(left, right - 1, 2):
            total += image[bottom - 1, column] + image[bottom - 1, column + 1]
        if (right - left) % 2:
            total += image[bottom - 1, right - 1]
    return total


@compiled()
def reduce_boxes(image: Array, factors: tuple[int, int], means: Array, start: int, stop: int) -> None:
    """Write the means of boxes, added up as Pillow does; smaller ones at the ends pixel by pixel in double."""
    height, width = image.shape
    for y in range(start, stop):
        top, bottom = y * factors[0], min((y + 1) * factors[0], height)
        for x in range(means.shape[1]):
            left, right = x * factors[1], min((x + 1) * factors[1], width)
            area = (bottom - top) * (right - left)
            total = 0.0
            if area == factors[0] * factors[1]:
                total = sum_of_box(image, top, bottom, left, right)
            else:
                for row in range(top, bottom):
                    for column in range(left, right):
                        total += image[row, column]
            means[y, x] = np.float32(total * (1.0 / area))


@compiled()
def add_image(image: Array, factor: float, total: Array, is_first: bool, start: int, stop: int) -> None:
    """Add an image, times a factor, to `total`, which the first one sets."""
    for y in range(start, stop):
        if is_first:
            for x in range(image.shape[1]):
                total[y, x] = image[y, x] * factor
        else:
            for x in range(image.shape[1]):
                total[y, x] += image[y, x] * factor
