"""How far the content moved in all: the figures that operators watch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EARLY_DOSE_E_PER_A2 = 4.0


@dataclass(frozen=True, slots=True)
class AccumulatedMotion:
    """Sums of frame-to-frame distances in Å: in all, until 4 e/Å² and afterwards, split as RELION splits them."""

    total_angstrom: float
    early_angstrom: float
    late_angstrom: float


def accumulated_motion(
    shifts: NDArray[np.float64], pixel_size_angstrom: float, doses_e_per_a2: NDArray[np.float64] | None
) -> AccumulatedMotion:
    """Add up frame-to-frame distances.

    Parameters
    ----------
    shifts : NDArray[np.float64]
        Shape (frames, 2), px.
    doses_e_per_a2 : NDArray[np.float64] | None
        What the specimen has received when each frame ends. A step is early when the frame that it leads to ends at
        4 e/Å² or before. Unknown: all is late.
    """
    steps = np.hypot(*np.diff(shifts, axis=0).T) * pixel_size_angstrom
    early = (
        np.zeros(len(steps), np.bool_) if doses_e_per_a2 is None else doses_e_per_a2[1:] <= EARLY_DOSE_E_PER_A2 + 1e-9
    )
    return AccumulatedMotion(float(steps.sum()), float(steps[early].sum()), float(steps[~early].sum()))


def motion_in_frame(shifts: NDArray[np.float64], pixel_size_angstrom: float) -> float:
    """Return how far the content moves while a frame is recorded, the root mean square over the frames, Å.

    A frame's motion is half the way from the frame before it to the one after it; at the ends, that to its neighbour.
    """
    if len(shifts) < 2:
        return 0.0
    ways = np.gradient(shifts, axis=0)
    return float(np.sqrt((ways**2).sum(1).mean())) * pixel_size_angstrom
