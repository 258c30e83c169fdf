"""Says that a specimen seems to drift out of reach: the frames after, or before, those that lie far out match nothing.

The frames that are left then fit together, and their alignment converges: it alone shows nothing unusual.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from preprocess.alignment.frame_judgement import FOREIGN, LeftOutFrame
from preprocess.alignment.whole_frame import LARGEST_SHIFT_PX
from preprocess.movie_warning import MovieWarning

FAR = 0.5
"""Part of the search range: a frame beyond it, beside frames that match nothing, is on its way out."""


def reach_warnings(
    shifts: NDArray[np.float64],
    kept: NDArray[np.int64],
    left_out: Sequence[LeftOutFrame],
    frame_shape: tuple[int, int],
) -> list[MovieWarning]:
    """Return the warning if the first or last frame of those that are kept lies far out, beside foreign ones.

    Parameters
    ----------
    shifts : NDArray[np.float64]
        Displacements of the kept frames, (frames, 2), px as recorded.
    kept : NDArray[np.int64]
        Their places, ascending.
    left_out : Sequence[LeftOutFrame]
        The others.
    frame_shape : tuple[int, int]
        Height and width.
    """
    reach = min(LARGEST_SHIFT_PX, min(frame_shape) / 4)
    distances = np.abs(shifts - shifts.mean(0)).max(1)
    foreign = {frame.place for frame in left_out if frame.reason == FOREIGN}
    beside = ((0, kept[0] - 1), (-1, kept[-1] + 1))
    farthest = max((float(distances[end]) for end, place in beside if int(place) in foreign), default=0.0)
    if farthest <= FAR * reach:
        return []
    text = (
        f"the specimen seems to drift out of reach: frames lie {farthest:.0f} px from the mean position of those that"
        f" fit together, and the next ones match nothing. The search reaches {reach:.0f} px from that position. Choose"
        " steady frames with --first-frame and --last-frame"
    )
    return [MovieWarning("drift-out-of-reach", text)]
