"""What integers in a movie mean where its header does not say: counts, signed values, or counts less a constant.

Programs that know signed numbers alone subtract half the range from counts: 128 from bytes (IMOD), 32768 from 16 bit
(IMOD and SerialEM). A movie of counts has no negative mean, and its variance is about its mean (Poisson), which tells
the readings apart.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

BytesMeaning = Literal["counts", "signed", "less 128"]

_FEWEST_HIGH = 0.005
"""Fewer bytes of 128 and more are hot pixels."""
_FEWEST_LOW = 0.01
_SURELY_SHIFTED = -16384
"""A median below it is no signal around zero."""
LESS_16_BIT = 32768


def bytes_meaning(values: NDArray[np.uint8]) -> BytesMeaning:
    """Return what bytes of a movie mean, by some of them."""
    histogram = np.bincount(values.reshape(-1), minlength=256).astype(np.float64)
    total = histogram.sum()
    if histogram[128:].sum() <= _FEWEST_HIGH * total:
        return "counts"
    shifted, unsigned, signed = (_dispersion(histogram, reading) for reading in (_less_128, _counts, _signed))
    across_zero = min(histogram[240:].sum(), histogram[:16].sum())
    across_128 = min(histogram[112:128].sum(), histogram[128:144].sum())
    if across_zero > across_128:  # values around zero, or counts of about 128 from which that was subtracted
        return "less 128" if _mean(histogram, _signed) < 0 and shifted < min(signed, math.log(3)) else "signed"
    if histogram[:128].sum() <= _FEWEST_LOW * total and shifted < unsigned:
        return "less 128"
    return "counts"


def is_less_32768(values: NDArray[Any]) -> bool:
    """Tell whether signed 16-bit values are counts from which 32768 was subtracted, by some of them."""
    return values.size > 0 and float(np.median(values)) < _SURELY_SHIFTED


def restored(values: NDArray[Any], less: int) -> NDArray[Any]:
    """Return counts from which 128 or 32768 was subtracted, as unsigned numbers in native byte order."""
    if less == 0:
        return values
    native = values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))
    counts = native.view(native.dtype.str.replace("i", "u"))
    restored_counts: NDArray[Any] = np.bitwise_xor(counts, counts.dtype.type(less))  # less is the highest bit
    return restored_counts


_counts = np.arange(256.0)
_signed = np.where(_counts < 128, _counts, _counts - 256)
_less_128 = _signed + 128


def _mean(histogram: NDArray[np.float64], reading: NDArray[np.float64]) -> float:
    return float((histogram * reading).sum() / histogram.sum())


def _dispersion(histogram: NDArray[np.float64], reading: NDArray[np.float64]) -> float:
    """Return how far the variance is from the mean, as a logarithm; infinite where they cannot be compared."""
    mean = _mean(histogram, reading)
    variance = float((histogram * reading**2).sum() / histogram.sum()) - mean**2
    return abs(math.log(variance / mean)) if mean > 0 and variance > 0 else math.inf
