"""Which values in a gain reference can be believed.

A pixel's sensitivity differs from the others' by some ten percent, in rare cases several times. NaN, infinity, negative
numbers and values far from the typical one are no sensitivities: such pixels become defects, as those of zero gain are.
A file with many of them, or with many zeros, is no gain reference, or a damaged one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.errors import GainMismatch

TIMES_TYPICAL = 30.0
"""How much larger or smaller than the median of the pixels above zero a pixel may be."""
LARGEST_SHARE = 0.01
"""Of all pixels that may hold such values."""
MANY_ZEROS, TOO_MANY_ZEROS = 0.02, 0.25
"""The share of zeros that deserves a warning, and the one that no camera has."""


def believable(path: Path, stored: NDArray[Any]) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Return the image of a gain's file with zeros for values that no gain has, and what a user should know about it.

    Raises
    ------
    GainMismatch
        There are too many of them, or too many zeros.
    """
    doubts: tuple[str, ...] = ()
    zeros = (stored.size - np.count_nonzero(stored)) / max(stored.size, 1)
    if not _are_all_near(stored):
        stored, doubts = _without_others(path, stored.astype(np.float64))
    if zeros > TOO_MANY_ZEROS:
        raise GainMismatch(
            f"gain reference {path} is zero in {zeros:.0%} of its pixels: it is damaged, or no gain reference",
            hint="Give the gain reference of this session; a zero means a defect.",
        )
    if zeros > MANY_ZEROS:
        text = f"the gain reference {path.name} is zero, which means a defect, in {zeros:.1%} of its pixels"
        doubts = (*doubts, text)
    return stored, doubts


def _are_all_near(stored: NDArray[Any]) -> bool:
    """Tell whether all pixels but those of zero are so alike that each is near the typical one, whichever that is.

    This holds for most files, and takes a tenth of the time of finding the typical one.
    """
    if not stored.size:
        return False
    with np.errstate(invalid="ignore"):
        least, most = float(stored.min()), float(stored.max())
    if least == 0:
        least = float(stored.min(where=stored > 0, initial=most))
    return least > 0 and most < least * TIMES_TYPICAL * (1 - 1e-6)  # false where NaN is


def _without_others(path: Path, stored: NDArray[np.float64]) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Return the image with zeros for values that no gain has, and how many they are."""
    finite = np.isfinite(stored)
    positive = stored[finite & (stored > 0)]
    if not positive.size:
        raise GainMismatch(
            f"gain reference {path} has no pixel above zero: it is zero everywhere, or not the image of a gain"
        )
    typical = float(np.median(positive))
    near = (stored >= typical / TIMES_TYPICAL) & (stored <= typical * TIMES_TYPICAL)
    kinds = {
        "are not a finite number": ~finite,
        "are negative": finite & (stored < 0),
        f"are over {TIMES_TYPICAL:g} times larger or smaller than the typical {typical:.3g}": (
            finite & (stored > 0) & ~near
        ),
    }
    counts = {kind: int(np.count_nonzero(pixels)) for kind, pixels in kinds.items()}
    bad = np.logical_or.reduce(list(kinds.values()))
    found = " and ".join(f"{count} pixel{'s' * (count != 1)} that {kind}" for kind, count in counts.items() if count)
    if np.count_nonzero(bad) > LARGEST_SHARE * stored.size:
        raise GainMismatch(f"gain reference {path} has {found}, of {stored.size}: it is damaged, or no gain reference")
    doubts = (f"the gain reference {path.name} has {found}: they are treated as defects",) if found else ()
    return np.where(bad, 0.0, stored), doubts
