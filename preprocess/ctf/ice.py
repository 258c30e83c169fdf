"""What a spectrum says about ice: amorphous ice scatters most at 3.7 Å, crystals of ice at 3.9, 3.67 and 3.44 Å."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preprocess.ctf.estimate import IceFigures

DENSITY_BAND_PER_ANGSTROM = (0.25, 0.28)
"""RELION 5's band for rlnCtfIceRingDensity."""


def ice_figures(frequency: NDArray[np.float64], power: NDArray[np.float64], course: NDArray[np.float64]) -> IceFigures:
    """Return the figures of ice.

    Parameters
    ----------
    frequency, power : NDArray[np.float64]
        The spectrum averaged over circles, equally spaced from 0, 1/Å.
    course : NDArray[np.float64]
        Its smooth course.
    """
    return IceFigures(
        ring_density=_ring_density(frequency, power, course),
        relative_thickness=_relative_thickness(frequency, power),
        iciness=_iciness(frequency, power),
    )


def _band(
    frequency: NDArray[np.float64], values: NDArray[np.float64], low: float, high: float
) -> NDArray[np.float64] | None:
    """Return the values from `low` to below `high`, 1/Å; None if the spectrum ends before that."""
    if frequency[-1] < high:
        return None
    inside: NDArray[np.float64] = values[(frequency >= low) & (frequency < high)]
    return inside if len(inside) else None


def _ring_density(
    frequency: NDArray[np.float64], power: NDArray[np.float64], course: NDArray[np.float64]
) -> float | None:
    """Return the sum of the absolute values of the amplitude profile over its smooth course, less 1."""
    band = _band(frequency, np.sqrt(power / course) - 1, *DENSITY_BAND_PER_ANGSTROM)
    return None if band is None else float(np.abs(band).sum())


def _relative_thickness(frequency: NDArray[np.float64], power: NDArray[np.float64]) -> float | None:
    ring, below, above = (
        _band(frequency, power, 1 / low, 1 / high) for low, high in ((3.80, 3.58), (4.3, 4.05), (3.36, 3.2))
    )
    if ring is None or below is None or above is None:
        return None
    return float(ring.mean() / (0.5 * (below.mean() + above.mean())))


def _iciness(frequency: NDArray[np.float64], power: NDArray[np.float64]) -> float | None:
    amplitude = np.sqrt(power)
    ring, low = _band(frequency, amplitude, 1 / 3.9, 1 / 3.5), _band(frequency, amplitude, 1 / 30, 1 / 6)
    return None if ring is None or low is None else float((ring.mean() / low.mean()) ** 2)
