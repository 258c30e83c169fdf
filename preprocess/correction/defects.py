"""Pixels that cannot be believed.

A pixel is a defect where the gain reference is zero, where a file of defects says so, where the gain-corrected sum of
the frames lies more than six standard deviations above its mean (hot: RELION's rule, repeated until no more are found,
since very hot pixels hide others), and where it never counted although its neighbours did (dead).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.contract import FrameSum

HOT_SIGMA = 6.0
NEIGHBOURHOOD_REACH_PX = 4
EXPECTED_BY_CHANCE = 0.01
LARGEST_VALUE = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class Defects:
    """Defect pixels, as flat indices into a frame, ascending.

    `hot` and `dead` are those found in the movie's own sum, `listed` those of the defects' file.
    """

    pixels: NDArray[np.int64]
    hot: NDArray[np.int64]
    dead: NDArray[np.int64]
    listed: NDArray[np.int64]


def find_defects(total: FrameSum, listed: NDArray[np.int64] | None = None, *, automatic: bool = True) -> Defects:
    """Find hot and dead pixels, if they are to be found, besides those of zero gain and those that are listed.

    Parameters
    ----------
    total : FrameSum
        The sum of the movie's frames, which believes in its pixels of zero gain no more; in the others found here
        neither, afterwards.
    listed : NDArray[np.int64] | None
        Flat indices, ascending, of pixels known before.
    """
    known = np.zeros(0, np.int64) if listed is None else listed
    total.exclude(known)
    hot = dead = np.zeros(0, np.int64)
    if automatic:
        hot = _hot(total)
        dead = _dead(total)
    return Defects(total.excluded(), hot, dead, known)


def _hot(total: FrameSum) -> NDArray[np.int64]:
    """Return pixels far above all others, and believe in them no more."""
    hot = np.zeros(0, np.int64)
    while True:
        statistics = total.statistics()
        limit = np.float32(min(statistics.mean + HOT_SIGMA * statistics.deviation, LARGEST_VALUE))
        more = total.between(float(np.nextafter(limit, np.float32(np.inf))), np.inf)
        if more.size == 0:
            return hot
        hot = np.union1d(hot, more)
        total.exclude(more)


def _dead(total: FrameSum) -> NDArray[np.int64]:
    """Return pixels that never counted where their neighbours' counts make that impossible; believe in them no more.

    The neighbours' mean over its noise, squared, is the number of electrons that a pixel of Poisson statistics should
    have seen, whatever the sum's scale: n. It sees none with probability exp(-n); where fewer than 0.01 such pixels are
    expected in the whole image, one is dead. Dark areas (grid bars, the beam's edge) expect nothing, and stay.
    """
    suspects = total.between(0.0, 0.0)
    if suspects.size == 0:
        return suspects
    means, noise = total.surroundings(suspects, NEIGHBOURHOOD_REACH_PX)
    if noise is None:
        return np.zeros(0, np.int64)
    expected = means / max(noise, 1e-30)
    height, width = total.shape
    dead: NDArray[np.int64] = suspects[height * width * np.exp(-expected) < EXPECTED_BY_CHANCE]
    total.exclude(dead)
    return dead
