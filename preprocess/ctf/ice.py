"""What a spectrum says about ice: amorphous ice scatters most at 3.7 Å, crystals of ice at 3.9, 3.67 and 3.44 Å."""

from __future__ import annotations

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from preprocess.ctf.estimate import IceFigures

DENSITY_BAND_PER_ANGSTROM = (0.25, 0.28)
"""RELION 5's band for rlnCtfIceRingDensity."""
CTFFIND_BOX_PX, CTFFIND_PIXEL_ANGSTROM, CTFFIND_COARSEST_ANGSTROM = 512, 1.4, 30.0
"""CTFFIND's defaults: the spectrum's side, the pixel that smaller ones are resampled to, the lowest frequency."""


def ice_figures(
    frequency: NDArray[np.float64], power: NDArray[np.float64], shape: tuple[int, int], pixel_size_angstrom: float
) -> IceFigures:
    """Return the figures of ice.

    Parameters
    ----------
    frequency, power : NDArray[np.float64]
        The spectrum averaged over circles, equally spaced from 0, 1/Å.
    shape : tuple[int, int]
        Height and width of the image, px.
    pixel_size_angstrom : float
        Its pixel size.
    """
    return IceFigures(
        ring_density=_ring_density(frequency, power, shape, pixel_size_angstrom),
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
    frequency: NDArray[np.float64], power: NDArray[np.float64], shape: tuple[int, int], pixel_size_angstrom: float
) -> float | None:
    """Return the sum of absolute values of the amplitude profile that CTFFIND would write, between 0.25 and 0.28 1/Å.

    It is the mean amplitude less its mean over a box of sqrt 2 times 1/30 1/Å, in standard deviations of the
    amplitudes of a spectrum of 512 px; these are due to the profile itself, and to the noise of so many tiles.
    """
    pixel_size = max(CTFFIND_PIXEL_ANGSTROM, pixel_size_angstrom)
    side = CTFFIND_BOX_PX * pixel_size
    if frequency[-1] < DENSITY_BAND_PER_ANGSTROM[1]:
        return None
    places = np.arange(int(frequency[-1] * side) + 1) / side
    amplitude = np.interp(places, frequency, np.sqrt(power))
    used = places > 1 / CTFFIND_COARSEST_ANGSTROM
    tiles = max(shape[0] * shape[1] * pixel_size_angstrom**2 / side**2, 1)
    mean, weights = np.average(amplitude[used], weights=places[used]), places[used]
    noise = amplitude[used] ** 2 / (4 * tiles)
    deviation = np.sqrt(np.average((amplitude[used] - mean) ** 2 + noise, weights=weights))
    box = int(side / CTFFIND_COARSEST_ANGSTROM * np.sqrt(2)) | 1
    profile = (amplitude - scipy.ndimage.uniform_filter1d(amplitude, box, mode="nearest")) / max(deviation, 1e-30)
    inside = (places >= DENSITY_BAND_PER_ANGSTROM[0]) & (places <= DENSITY_BAND_PER_ANGSTROM[1])
    return float(np.abs(profile[inside]).sum())


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
