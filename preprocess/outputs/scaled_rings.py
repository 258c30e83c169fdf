"""Thon rings of one height at every resolution: as measured they fade, and the finest would not be seen.

Rings of the measured and of the fitted spectrum are divided by the fitted height of the rings, or by the noise where
that is higher: the minima then lie at 0, the maxima at 1, and noise stays around 0.5.
"""

from __future__ import annotations

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from preprocess.ctf.estimate import CtfEstimate, RadialProfile

_SURE = 0.6
"""So far from its middle, of 1, the CTF's square tells the rings' height."""
_SMOOTH_BINS, _NOISE_BINS, _TIMES_NOISE = 3.0, 8.0, 2.0
_LEAST_HEIGHT = 1e-3
_SMOOTH_PIXELS = 1.2
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
    """Return the measured spectrum, a little smoothed, and the fitted one, scaled, in the shape that they have."""
    fitted = _finite(estimate.fitted_spectrum)
    last = fitted.shape[1] - 1
    measured = _finite(estimate.measured_spectrum)
    whole = np.concatenate([measured[::-1, :0:-1], measured], axis=1)  # so that the edge at kx = 0 is smoothed as well
    measured = scipy.ndimage.gaussian_filter(whole, _SMOOTH_PIXELS)[:, last:]
    y, x = np.indices(fitted.shape)
    ring = np.minimum(np.hypot(y - last, x), last).astype(np.intp)
    counts = np.maximum(np.bincount(ring.ravel()), 1)
    noise = np.sqrt(np.bincount(ring.ravel(), ((measured - fitted) ** 2).ravel()) / counts)
    height = np.resize(_ring_height(estimate.profile), last + 1)
    height = np.maximum(height, np.maximum(_TIMES_NOISE * noise, _LEAST_HEIGHT))[ring]
    both = (0.5 + 0.5 * (values - 1) / height for values in (measured, fitted))
    scaled, model = (np.clip(values, _LOW, _HIGH).astype(np.float32) for values in both)
    return scaled, model


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
