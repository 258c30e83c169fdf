"""The compiled loops that tell what is fixed to the camera from what moves, component by component."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.compiled_code import compiled

Array = NDArray[Any]


@compiled()
def power(value: complex) -> float:
    """Return the squared absolute value."""
    return value.real * value.real + value.imag * value.imag


@compiled()
def sum_row(
    spectra: Array, fixed: Array, rows: Array, columns: Array, levels: Array, y: int, sums: Array, powers: Array
) -> None:
    """Add up a row's frames: plain, undone, twice undone, and the phase factors; powers of frames and of changes."""
    count, size = len(levels), sums.shape[1]
    first_late = (count - 1) // 2
    for t in range(count):
        phase, level = rows[t, y], levels[t]
        spectrum, column_phases = spectra[t, y], columns[t]
        for x in range(size):
            factor = phase * column_phases[x]
            value = spectrum[x] + level * fixed[y, x]
            sums[0, x] += level * value
            sums[1, x] += level * value * factor
            sums[2, x] += level * value * factor * factor
            sums[3, x] += level * level * factor
            powers[0, x] += power(value)
        if t > first_late:
            before, level_before = spectra[t - 1, y], levels[t - 1]
            for x in range(size):
                powers[1, x] += power(spectrum[x] / level - before[x] / level_before)
    powers[1] /= 2 * (count - 1 - first_late)


@compiled()
def add_figures(sums: tuple[complex, ...], n: float, powers: Array, twice: float, figures: Array) -> None:
    """Add one component's figures but for its likelihood to those of its ring."""
    a, b, c, g = sums
    apart = max(n * n - power(g), 0.0)
    figures[0] += twice
    figures[1] += twice * powers[0]
    figures[2] += twice * powers[1]
    figures[3] += twice * power(a)
    figures[4] += twice * power(b)
    figures[5] += twice * power(n * a - np.conj(g) * b)
    figures[6] += twice * power(n * b - g * a)
    figures[7] += twice * power(g)
    figures[8] += twice * apart
    figures[9] += twice * apart * apart
    figures[10] += twice * power(n * c - g * b)


@compiled()
def most_probable(
    a: complex, b: complex, g: complex, n: float, noise: float, of_fixed: float, of_moving: float
) -> tuple[complex, float]:
    """Return a component's fixed part, and by how much both parts make it more probable than noise does."""
    fixed_ridge, moving_ridge = noise / max(of_fixed, 1e-9 * noise), noise / max(of_moving, 1e-9 * noise)
    determinant = (n + fixed_ridge) * (n + moving_ridge) - power(g)
    still = ((n + moving_ridge) * a - np.conj(g) * b) / determinant
    moving = ((n + fixed_ridge) * b - g * a) / determinant
    fit = (a.real * still.real + a.imag * still.imag + b.real * moving.real + b.imag * moving.imag) / noise
    return still, fit - np.log(determinant / (fixed_ridge * moving_ridge))


@compiled()
def split_row(
    sums: Array, row_powers: Array, n: float, rings: Array, powers: Array, width: int, still: Array, figures: Array
) -> None:
    """Write a row's fixed part; add its figures (figures, rings)."""
    for x in range(sums.shape[1]):
        ring = rings[x]
        noise, of_fixed, of_moving = powers[0, ring], powers[1, ring], powers[2, ring]
        if noise == 0:
            continue
        a, b, c, g = sums[0, x], sums[1, x], sums[2, x], sums[3, x]
        twice, taken = 1.0 if x == 0 or 2 * x == width else 2.0, powers[4, ring]
        if power(a) > powers[3, ring]:
            of_fixed, taken = power(a) / (n * n), 1.0
            if 2 * power(g) < n * n:
                of_moving = of_fixed
        else:
            add_figures((a, b, c, g), n, row_powers[:, x], twice, figures[:, ring])
        of_still, likelihood = most_probable(a, b, g, n, noise, of_fixed, of_moving)
        still[x] = taken * of_still
        figures[11, ring] += twice / 2 * likelihood


@compiled()
def take_off_row(spectra: Array, fixed: Array, levels: Array, y: int, still: Array) -> None:
    """Take a new fixed part off a row in place of the old one."""
    for x in range(len(still)):
        off = np.complex64(fixed[y, x] - still[x])
        for t in range(len(levels)):
            spectra[t, y, x] += np.float32(levels[t]) * off
        fixed[y, x] = still[x]


@compiled()
def split_spectra(
    spectra: Array,
    fixed: Array,
    rows: Array,
    columns: Array,
    levels: Array,
    rings: Array,
    looked_at: Array,
    powers: Array,
    width: int,
    take_off: bool,
    by_row: Array,
    start: int,
    stop: int,
) -> None:
    """Split rows looked_at[start:stop] of spectra (frames, height, columns) that lack `fixed`; see `Spectra.split`.

    Further shapes: powers (5, rings): those of `PartPowers`; by_row (rows looked at, figures, rings).
    """
    n = np.sum(levels * levels)
    end = np.nonzero(powers[0])[0][-1] + 1
    for index in range(start, stop):
        y = looked_at[index]
        size = np.searchsorted(rings[y], end)
        if size == 0:
            continue
        sums, row_powers = np.zeros((4, size), np.complex128), np.zeros((2, size))
        sum_row(spectra, fixed, rows, columns, levels, y, sums, row_powers)
        still = fixed[y, :size].astype(np.complex128)
        split_row(sums, row_powers, n, rings[y], powers, width, still, by_row[index])
        if take_off:
            take_off_row(spectra, fixed, levels, y, still)
