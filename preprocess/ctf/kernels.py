"""Compiled loops of CTF estimation over spectra: sums of sectors, templates, the search for astigmatism, profiles.

Each does some rows of its work, from `start` up to `stop`, so that threads can share it; a row's result does not depend
on how the rows are shared.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.compiled_code import compiled

Array = NDArray[Any]


@compiled()
def sum_bins(powers: Array, bins: Array, sums: Array, start: int, stop: int) -> None:
    """Add up each half spectrum's pixels by bin: powers (spectra, pixels), sums (spectra, all bins)."""
    for spectrum in range(start, stop):
        for pixel in range(bins.size):
            if bins[pixel] >= 0:
                sums[spectrum, bins[pixel]] += powers[spectrum, pixel]


@compiled(fastmath=True)
def window_transfer_of(turn: float) -> float:
    """Return what `model.window_transfer` does."""
    x = min(abs(turn) / (2 * np.pi), 1.0)
    left: float = (1 - x) * np.cos(np.pi * x) + np.sin(np.pi * x) / np.pi
    return left


@compiled(fastmath=True)
def correlate_templates(
    defoci: Array,
    squared: Array,
    aberration: Array,
    phase: float,
    wavelength: float,
    frequency_step: float,
    columns: Array,
    squares: Array,
    products: Array,
    start: int,
    stop: int,
) -> None:
    """Multiply each defocus' template, -T cos 2 chi, with columns.

    squared: k² (n); aberration: that term of chi (n); phase: the constant ones; columns (n, m); squares (n, e).
    products (defoci, m + e): sums of the template times a column, then of its square times one of `squares`.
    """
    count, width, extra = squared.size, columns.shape[1], squares.shape[1]
    for index in range(start, stop):
        total = products[index]
        total[:] = 0
        for i in range(count):
            square = squared[i]
            chi = np.pi * wavelength * defoci[index] * square - aberration[i]
            k = np.sqrt(square)
            turn = 2 * frequency_step * (2 * np.pi * wavelength * defoci[index] * k - 4 * aberration[i] / k)
            template = -np.cos(2 * (chi + phase)) * window_transfer_of(turn)
            for j in range(width):
                total[j] += template * columns[i, j]
            for j in range(extra):
                total[width + j] += template * template * squares[i, j]


@compiled(fastmath=True)
def search_astigmatism(
    scores: Array, first: float, step: float, cost: float, grid: Array, cos2: Array, sin2: Array, best: Array,
    chosen: Array, start: int, stop: int,
) -> None:  # fmt: skip
    """Find each mean defocus' best astigmatism on a grid.

    scores (defoci, sectors), the defoci first, first + step, …; grid (m, 2): (U - V) / 2 times cos and sin of twice the
    angle, over the mean defocus. A sector is read off at its own defocus; one beyond the table does not count, but at
    most 30 % of the sectors may be missing. The sum over sectors less `cost` times astigmatism goes to `best`, the
    grid's index to `chosen`.
    """
    count, sectors = scores.shape
    for index in range(start, stop):
        best[index], chosen[index] = -1e9, 0
        mean = first + index * step
        for place in range(grid.shape[0]):
            size = np.hypot(grid[place, 0], grid[place, 1])
            if size * mean > 0.12 * mean + 800:
                continue
            total, inside = 0.0, 0
            for sector in range(sectors):
                at = index + mean * (grid[place, 0] * cos2[sector] + grid[place, 1] * sin2[sector]) / step
                if 0 <= at < count - 1:
                    below = int(at)
                    share = at - below
                    total += scores[below, sector] * (1 - share) + scores[below + 1, sector] * share
                    inside += 1
            if inside >= 0.7 * sectors:
                score = total * sectors / inside - cost * size
                if score > best[index]:
                    best[index], chosen[index] = score, place


@compiled(fastmath=True)
def rescale_spectra(powers: Array, factors: Array, total: Array, start: int, stop: int) -> None:
    """Add up half spectra (spectra, 2 r + 1, r + 1), each read off at its factor times the frequency, bilinearly."""
    height, width = total.shape
    radius = height // 2
    for row in range(start, stop):
        for spectrum in range(factors.size):
            factor = factors[spectrum]
            power = powers[spectrum]
            y = min(max((row - radius) * factor + radius, 0.0), height - 1.0)
            above = min(int(y), height - 2)
            low = y - above
            for column in range(width):
                x = min(column * factor, width - 1.0)
                left = min(int(x), width - 2)
                right = x - left
                total[row, column] += (power[above, left] * (1 - right) + power[above, left + 1] * right) * (
                    1 - low
                ) + (power[above + 1, left] * (1 - right) + power[above + 1, left + 1] * right) * low


@compiled(fastmath=True)
def equiphase_sums(
    values: Array, weights: Array, rings: Array, cos2: Array, sin2: Array, parameters: Array, wavelength: float,
    aberration: float, frequency_step: float, sums: Array, counts: Array, start: int, stop: int,
) -> None:  # fmt: skip
    """Add up samples, times weights, by the frequency at which the mean defocus has the phase that the CTF has there.

    sums, counts (parts, n): part p of `parts` takes every so many-th run of pixels.
    """
    parts, size = sums.shape
    mean = np.pi * wavelength * parameters[0]
    for part in range(start, stop):
        for i in range(part * values.size // parts, (part + 1) * values.size // parts):
            k = rings[i] * frequency_step
            square = k * k
            defocus = parameters[0] + parameters[1] * cos2[i] + parameters[2] * sin2[i]
            phase = (np.pi * wavelength * defocus - aberration * square) * square
            discriminant = mean * mean - 4 * aberration * phase
            if aberration <= 1e-9:
                found = phase / mean
            elif discriminant > 0 and 2 * aberration * square < np.pi * wavelength * defocus:
                found = (mean - np.sqrt(discriminant)) / (2 * aberration)
            else:
                found = square
            at = int(np.sqrt(max(found, 0.0)) / frequency_step + 0.5)
            if at < size:
                sums[part, at] += weights[i] * values[i]
                counts[part, at] += weights[i]


@compiled(fastmath=True)
def add_block_curves(
    found: Array, norms: Array, tiles: Array, centres: Array, slopes: Array, first: float, step: float, middle: float,
    gains: Array, start: int, stop: int,
) -> None:  # fmt: skip
    """Add up the blocks' curves for slopes (n, 2): gains (n) are log-likelihood ratios, for the best envelope.

    found (defoci, envelopes, blocks): products of blocks and templates; norms (defoci, envelopes): templates' squares.
    """
    blocks, envelopes = found.shape[2], found.shape[1]
    for index in range(start, stop):
        best = 0.0
        for envelope in range(envelopes):
            product, square = 0.0, 1e-9
            for block in range(blocks):
                defocus = middle + slopes[index, 0] * centres[block, 0] + slopes[index, 1] * centres[block, 1]
                at = min(max((defocus - first) / step, 0.0), found.shape[0] - 1.001)
                below = int(at)
                share = at - below
                product += found[below, envelope, block] * (1 - share) + found[below + 1, envelope, block] * share
                square += tiles[block] * (norms[below, envelope] * (1 - share) + norms[below + 1, envelope] * share)
            if product > 0:
                best = max(best, product * product / (2 * square))
        gains[index] = best
