"""Pixels that cannot be believed.

A pixel is a defect where the gain reference is zero, where a file of defects says so, where the gain-corrected sum of
the frames is far above all that is around (hot), and where it never counted although its neighbours did (dead).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.contract import FrameSum
from preprocess.correction.local_outliers import dead_pixels, hot_pixels, noise_of

MOST_PART, MOST_LINES = 0.002, 4
"""Part of the pixels that may be hot, or dead, and as how many rows and columns: cameras have far fewer."""


@dataclass(frozen=True, slots=True)
class Defects:
    """Defect pixels, as flat indices into a frame, ascending.

    `hot` and `dead` are those found in the movie's own sum, `listed` those of the defects' file; `doubts` says what a
    person should know.
    """

    pixels: NDArray[np.int64]
    hot: NDArray[np.int64]
    dead: NDArray[np.int64]
    listed: NDArray[np.int64]
    doubts: tuple[str, ...] = ()


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
    doubts: list[str] = []
    noise = noise_of(total) if automatic else None
    if noise is not None:
        hot = _likely(total, "hot", hot_pixels(total, noise), doubts)
        dead = _likely(total, "dead", dead_pixels(total, noise), doubts)
    return Defects(total.excluded(), hot, dead, known, tuple(doubts))


def _likely(total: FrameSum, kind: str, found: NDArray[np.int64] | None, doubts: list[str]) -> NDArray[np.int64]:
    """Return the pixels found, which are believed no more; none if they are too many, with a doubt."""
    height, width = total.shape
    most = max(MOST_PART * height * width, MOST_LINES * (height + width))
    if found is not None and found.size <= most:
        total.exclude(found)
        return found
    number = "very many" if found is None else f"{found.size}"
    doubts.append(
        f"{number} pixels look {kind}, more than any camera has: none of them was replaced. Look at the micrograph, and"
        " give a list of defects (--defects) if they are some"
    )
    return np.zeros(0, np.int64)
