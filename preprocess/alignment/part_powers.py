"""How strong two parts of a movie are, ring by ring: the one that is fixed to the camera and the one that moves.

Where motion is known, |n a - g* b|² holds nothing of what moves and |n b - g a|² nothing of what is fixed (see
`PartMeasures`); the powers of plain and aligned sum hold both. Four sums for two unknowns, each weighted by how well it
is known. Where the motion is too small to tell the parts apart, each gets half of what the frames share.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from preprocess.alignment.whole_frame import LEAST_NOISE
from preprocess.backends.contract import RING_COUNT, PartMeasures, PartPowers

Figures = NDArray[np.float64]

OUTSTANDING = 12.0
"""A component of the plain sum is outstanding that has so many times the power which is usual in its ring."""
FIT_STEPS = 8
RIDGE = 1e-4
TINY = 1e-30
ROUNDING = 1e-9
"""Part of their size without motion below which sums say nothing."""


def _band_starts() -> NDArray[np.int64]:
    starts = [0]
    while starts[-1] + max(2, starts[-1] // 6) < RING_COUNT:
        starts.append(starts[-1] + max(2, starts[-1] // 6))
    return np.array(starts)


_STARTS = _band_starts()
_BAND_OF_RING = np.repeat(np.arange(len(_STARTS)), np.diff(np.append(_STARTS, RING_COUNT)))


def banded(values: Figures) -> Figures:
    """Return the sums of rings over bands of neighbouring ones, for each ring that of its band."""
    sums: Figures = np.add.reduceat(values, _STARTS)[_BAND_OF_RING]
    return sums


def first_powers(measures: PartMeasures, norm: float) -> PartPowers:
    """Return the noise and what is outstanding, from measures for which nothing was known, and no parts yet."""
    count = np.maximum(banded(measures.count), 1)
    least = LEAST_NOISE * banded(measures.frame_power) / count + TINY
    noise = np.maximum(banded(measures.change) / count, least)
    nothing = np.zeros(RING_COUNT)
    plain = np.maximum(banded(measures.sum_power) / count, norm * noise)
    return PartPowers(noise, nothing, nothing.copy(), OUTSTANDING * plain, np.ones(RING_COUNT))


def unknown_powers() -> PartPowers:
    """Return the powers to begin with: nothing but noise of any kind."""
    nothing = np.zeros(RING_COUNT)
    return PartPowers(np.ones(RING_COUNT), nothing, nothing.copy(), np.full(RING_COUNT, np.inf), np.ones(RING_COUNT))


def fitted_powers(measures: PartMeasures, known: PartPowers, norm: float) -> PartPowers:
    """Return the powers of both parts that the measures show, the noise being known.

    Parameters
    ----------
    norm : float
        Sum of the squares of the frames' levels.
    """
    count, noise = np.maximum(banded(measures.count), 1e-9), known.noise
    apart, apart_squared, overlap = (
        banded(values) / count for values in (measures.apart, measures.apart_squared, measures.overlap)
    )
    apart_squared = np.maximum(apart_squared, 1e-12)
    fixed_alone, moving_alone, plain, aligned = (
        banded(values) / noise / count
        for values in (measures.fixed_alone, measures.moving_alone, measures.sum_power, measures.aligned_power)
    )
    both, none = np.full(RING_COUNT, norm * norm), np.zeros(RING_COUNT)
    rows = (  # factors of fixed and moving part, of noise, and what was measured
        (apart_squared, none, norm * apart, fixed_alone),
        (none, apart_squared, norm * apart, moving_alone),
        (both, overlap, np.full(RING_COUNT, norm), plain),
        (overlap, both, np.full(RING_COUNT, norm), aligned),
    )
    least = ROUNDING * norm**4
    fixed = moving = np.maximum(plain / norm**2 - 1 / norm, 1e-6) / 2
    for _ in range(FIT_STEPS):
        ff, fm, mm, f, m = (np.zeros(RING_COUNT) for _ in range(5))
        for of_fixed, of_moving, of_noise, measured in rows:
            weight = 1 / np.maximum(of_fixed * fixed + of_moving * moving + of_noise, least) ** 2
            ff, fm, mm = (
                ff + weight * of_fixed**2,
                fm + weight * of_fixed * of_moving,
                mm + weight * of_moving**2,
            )
            f += weight * of_fixed * (measured - of_noise)
            m += weight * of_moving * (measured - of_noise)
        ridge = RIDGE * (ff + mm)
        towards = ridge * (fixed + moving) / 2
        fixed, moving = _not_negative(ff + ridge, fm, mm + ridge, f + towards, m + towards)
    return replace(known, fixed=fixed * noise, moving=moving * noise)


def moving_alone_powers(measures: PartMeasures, known: PartPowers, norm: float) -> PartPowers:
    """Return the powers that the measures show if nothing is fixed, the noise being known."""
    aligned = banded(measures.aligned_power) / known.noise / np.maximum(banded(measures.count), 1e-9)
    moving = np.maximum(aligned - norm, 0) / norm**2
    return replace(known, fixed=np.zeros(RING_COUNT), moving=moving * known.noise)


def fixed_excess(measures: PartMeasures, powers: PartPowers, norm: float) -> Figures:
    """Return the power of the fixed part beyond what places that move differently make it appear."""
    apart_squared = np.maximum(banded(measures.apart_squared), TINY)
    appears = (banded(measures.mirrored_alone) - norm * powers.noise * banded(measures.apart)) / apart_squared
    return np.maximum(powers.fixed - np.maximum(appears, 0), 0)


def unbiased_share(measures: PartMeasures, powers: PartPowers, norm: float) -> Figures:
    """Return which share of the most probable fixed part leaves frames that are not related at zero shift.

    What is taken off holds a part of each frame's noise, which frames then lack alike. Taking off all of the most
    probable part leaves less of what is fixed than it adds of that.
    """
    known = powers.fixed / powers.noise * banded(measures.apart) / np.maximum(banded(measures.count), 1) / norm
    share: Figures = 1 / (1 + 1 / np.sqrt(1 + known))
    return share


def _not_negative(ff: Figures, fm: Figures, mm: Figures, f: Figures, m: Figures) -> tuple[Figures, Figures]:
    """Return the solutions of systems of two equations, the better one at the border where one would be negative."""
    determinant = np.maximum(ff * mm - fm**2, 1e-12 * ff * mm)
    fixed, moving = (mm * f - fm * m) / determinant, (ff * m - fm * f) / determinant
    fixed_alone, moving_alone = np.maximum(f / ff, 0), np.maximum(m / mm, 0)
    outside = (fixed < 0) | (moving < 0)
    only_fixed = f * fixed_alone >= m * moving_alone
    return (
        np.where(outside, np.where(only_fixed, fixed_alone, 0), fixed),
        np.where(outside, np.where(only_fixed, 0, moving_alone), moving),
    )
