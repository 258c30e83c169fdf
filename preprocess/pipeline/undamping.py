"""What interpolation took from high frequencies, to be given back to the sum of the frames.

Lanczos-3 passes a frame's high frequencies in full where its displacement is whole pixels, and in part where it is not.
The noise of a sum over many displacements is damped by their root mean square; dividing by it keeps noise white, as it
is where frames are moved in Fourier space. Each frequency's ratio of signal to noise stays as it is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.contract import Undamping
from preprocess.backends.spectrum_layout import CORNER_FREQUENCY, lanczos_taps
from preprocess.exposure.dose import DoseWeights
from preprocess.geometry.field import DisplacementField

FREQUENCIES = 129
FRACTIONS = 64
MOST_GAIN = 2.0
"""Near Nyquist little is left, and what is divided by little is noise."""


def undamping(field: DisplacementField, weights: DoseWeights) -> Undamping:
    """Return the factors along y and along x at equally spaced frequencies from 0 to 0.5 per px, shape (2, n).

    `weights` are those of the frames in the sum: late frames hardly count at high frequencies, nor does their damping.
    """
    parts = np.linspace(-0.5, 0.5, 9)
    displacements = np.stack([field.at(y, x) for y in parts for x in parts], 2)  # frame, axis, place
    fractions = np.round((displacements % 1.0) * FRACTIONS).astype(int) % FRACTIONS
    passed = _powers()[fractions].mean(2)  # frame, axis, frequency
    noise = _noise_shares(weights)
    powers = np.einsum("taf,tf->af", passed, noise) / noise.sum(0)
    gains: Undamping = (np.maximum(powers, MOST_GAIN**-2) ** -0.5).astype(np.float32)
    return gains


def _noise_shares(weights: DoseWeights) -> NDArray[np.float64]:
    """Return how much of the sum's noise is each frame's, shape (frames, frequencies)."""
    of_frames = weights.frame_weights.T @ weights.filters
    places = np.linspace(0, CORNER_FREQUENCY, of_frames.shape[1])
    frequency = np.linspace(0, 0.5, FREQUENCIES)
    return np.stack([np.interp(frequency, places, row.astype(np.float64)) for row in of_frames]) ** 2


def _powers() -> NDArray[np.float64]:
    """Return the power that Lanczos-3 passes at each fraction of a pixel, shape (fractions, frequencies)."""
    taps = lanczos_taps(FRACTIONS).astype(np.float64)
    frequency = np.linspace(0, 0.5, FREQUENCIES)
    passed = taps @ np.exp(2j * np.pi * np.arange(-2, 4)[:, None] * frequency)
    powers: NDArray[np.float64] = np.abs(passed) ** 2
    return powers
