"""Thon rings of one height at every resolution: as measured they fade, and the finest would not be seen.

Rings of the measured and of the fitted spectrum are divided by the fitted height of the rings, or by the noise where
that is higher: the minima then lie at 0, the maxima at 1, and noise stays around 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from preprocess.ctf.estimate import CtfEstimate, RadialProfile

_SURE = 0.6
"""So far from its middle, of 1, the CTF's square tells the rings' height."""
_SMOOTH_BINS, _NOISE_BINS, _TIMES_NOISE = 3.0, 8.0, 2.0
_LEAST_HEIGHT = 1e-3
_SECTORS, _SMOOTH_SECTORS = 90, 2.0
_LOW, _HIGH = -0.25, 1.25
"""Where scaled spectra are cut off."""


def scaled_profile(profile: RadialProfile) -> NDArray[np.float64]:
    """Return the measured radial profile, scaled so that it is compared with `ctf_squared`."""
    measured, fitted = _finite(profile.measured), _finite(profile.fitted)
    noise = np.sqrt(scipy.ndimage.gaussian_filter1d((measured - fitted) ** 2, _NOISE_BINS))
    height = np.maximum(_ring_height(profile), np.maximum(_TIMES_NOISE * noise, _LEAST_HEIGHT))
    scaled: NDArray[np.float64] = 0.5 + 0.5 * (measured - 1) / height
    return scaled


def scaled_spectra(estimate: CtfEstimate) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the measured spectrum, averaged over arcs, and the fitted one, scaled, in the shape that they have."""
    measured, fitted = _finite(estimate.measured_spectrum), _finite(estimate.fitted_spectrum)
    arcs = _arcs(fitted.shape[1] - 1)
    is_fitted = (measured != 1) | (fitted != 1)
    along = arcs.averaged(measured, is_fitted)
    fitted = np.where(is_fitted, fitted, arcs.averaged(fitted, is_fitted))  # the axes are not fitted
    counts = np.maximum(np.bincount(arcs.ring.ravel()), 1)
    noise = np.sqrt(np.bincount(arcs.ring.ravel(), ((along - fitted) ** 2).ravel()) / counts)
    height = np.resize(_ring_height(estimate.profile), len(noise))
    height = np.maximum(height, np.maximum(_TIMES_NOISE * noise, _LEAST_HEIGHT))[arcs.ring]
    both = (0.5 + 0.5 * (values - 1) / height for values in (along, fitted))
    scaled, model = (np.clip(values, _LOW, _HIGH).astype(np.float32) for values in both)
    return scaled, model


@dataclass(frozen=True, slots=True)
class _Arcs:
    """Where each pixel of a half spectrum lies: its ring, and its sector as a fraction of all, from -y to +y.

    `is_corner` says where it lies beyond the last ring.
    """

    ring: NDArray[np.intp]
    radius: NDArray[np.float64]
    sector: NDArray[np.float64]
    is_corner: NDArray[np.bool_]

    def averaged(self, values: NDArray[np.float64], counted: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return a spectrum averaged over arcs; 1 where no pixel counts."""
        rings = int(self.ring.max()) + 1
        places = np.minimum(self.sector.astype(np.intp), _SECTORS - 1) * rings + self.ring
        of_bins = [
            np.bincount(places[counted], weights, _SECTORS * rings).reshape(_SECTORS, rings)
            for weights in (values[counted], None)
        ]
        sums, counts = (
            scipy.ndimage.gaussian_filter1d(bins.astype(np.float64), _SMOOTH_SECTORS, axis=0, mode="wrap")
            for bins in of_bins
        )
        means = np.where(counts > 1e-9, sums / np.maximum(counts, 1e-9), 1.0)
        wrapped = np.concatenate([means[-1:], means, means[:1]])
        at = np.stack([self.sector + 0.5, self.radius])
        back: NDArray[np.float64] = scipy.ndimage.map_coordinates(wrapped, at, order=1, mode="nearest")
        back[self.is_corner] = 1
        return back


@lru_cache(maxsize=2)
def _arcs(last: int) -> _Arcs:
    y, x = np.indices((2 * last + 1, last + 1), np.float64)
    y -= last
    distance = np.hypot(y, x)
    radius = np.minimum(distance, last)
    sector = (np.arctan2(y, x) / np.pi + 0.5) * _SECTORS
    return _Arcs((radius + 0.5).astype(np.intp), radius, sector, distance > last)


def _ring_height(profile: RadialProfile) -> NDArray[np.float64]:
    """Return half the height of the fitted rings at each frequency."""
    swing = 2 * _finite(profile.ctf_squared) - 1
    sure = np.abs(swing) > _SURE
    if not sure.any():
        return np.zeros(len(swing))
    height = np.abs(_finite(profile.fitted) - 1)[sure] / np.abs(swing[sure])
    places = np.arange(len(swing))
    smooth: NDArray[np.float64] = scipy.ndimage.gaussian_filter1d(np.interp(places, places[sure], height), _SMOOTH_BINS)
    return smooth


def _finite(values: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.nan_to_num(values.astype(np.float64), nan=1.0, posinf=1.0, neginf=1.0)
