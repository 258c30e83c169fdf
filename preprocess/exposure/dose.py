"""Dose weighting: each frame's frequencies count as much as radiation has left of them.

Grant & Grigorieff 2015 (eLife 4:e06980): at frequency k (1/Å) and 300 kV the critical dose is
0.245 k^-1.665 + 2.81 e/Å², and the weight of a frame exp(-dose / (2 critical dose)); the dose is what the specimen has
received when the frame
ends. As RELION does, weights are divided by the root of the sum of their squares over the frames, which keeps the
noise white. At 200 kV the critical dose is 0.8, at 100 kV 0.64 times as large.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KNOWN_VOLTAGES_KV = (100.0, 200.0, 300.0)
KNOWN_SCALES = (0.64, 0.8, 1.0)
FREQUENCY_COUNT = 2048
TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class DoseWeights:
    """Dose weights of all frames at all frequencies, as few sums of frames, each with a radial filter.

    The weight of frame t at frequency k is the sum over r of `frame_weights[r, t] * filters[r, k]`.

    Attributes
    ----------
    frame_weights : NDArray[np.float32]
        Shape (rank, frames).
    filters : NDArray[np.float32]
        Shape (rank, 2048): frequencies equally spaced from 0 to sqrt(2) / 2 per px, the corner of the spectrum.
    largest_error : float
        Largest difference from the full matrix, relative to its largest weight; at most 1e-3.
    """

    frame_weights: NDArray[np.float32]
    filters: NDArray[np.float32]
    largest_error: float


def critical_dose_scale(voltage_kv: float) -> tuple[float, bool]:
    """Return the factor on the critical dose at that voltage, and whether it is interpolated (not published)."""
    scale = float(np.interp(voltage_kv, KNOWN_VOLTAGES_KV, KNOWN_SCALES))
    return scale, voltage_kv not in KNOWN_VOLTAGES_KV


def critical_dose(frequency: NDArray[np.float64], voltage_kv: float) -> NDArray[np.float64]:
    """Return the critical dose, e/Å², of frequencies in 1/Å, greater than zero."""
    return (0.245 * frequency**-1.665 + 2.81) * critical_dose_scale(voltage_kv)[0]


def dose_weights(
    doses_e_per_a2: NDArray[np.float64], frequency: NDArray[np.float64], voltage_kv: float
) -> NDArray[np.float64]:
    """Return the normalised weights, shape (frames, frequencies).

    Parameters
    ----------
    doses_e_per_a2 : NDArray[np.float64]
        What the specimen has received when each frame ends, pre-exposure included.
    frequency : NDArray[np.float64]
        In 1/Å; 0 weighs all frames alike.
    """
    loss = np.zeros((len(doses_e_per_a2), len(frequency)))
    present = frequency > 0
    loss[:, present] = doses_e_per_a2[:, None] / (2 * critical_dose(frequency[present], voltage_kv))
    weights = np.exp(-(loss - loss.min(0)))  # the common factor cancels, and cannot underflow
    normalised: NDArray[np.float64] = weights / np.sqrt((weights**2).sum(0))
    return normalised


def plain_weights(frame_count: int) -> DoseWeights:
    """Return the weights of an unweighted sum."""
    return DoseWeights(np.ones((1, frame_count), np.float32), np.ones((1, FREQUENCY_COUNT), np.float32), 0.0)


def low_rank_weights(doses_e_per_a2: NDArray[np.float64], pixel_size_angstrom: float, voltage_kv: float) -> DoseWeights:
    """Return the weight matrix as the fewest sums that reproduce it within 1e-3 of its largest weight.

    A singular value decomposition; its left vectors are rounded to 1e-6 and the filters fitted to them anew, so that
    the last bits of a linear-algebra library do not reach the image.
    """
    frequency = np.linspace(0, np.sqrt(0.5), FREQUENCY_COUNT) / pixel_size_angstrom
    full = dose_weights(doses_e_per_a2, frequency, voltage_kv)
    vectors = np.linalg.svd(full, full_matrices=False)[0]
    for rank in range(1, len(full) + 1):
        basis = vectors[:, :rank] * np.sign(vectors[np.abs(vectors[:, :rank]).argmax(0), np.arange(rank)])
        basis = np.round(basis, 6)
        filters = np.linalg.lstsq(basis, full, rcond=None)[0]
        kept_basis, kept_filters = basis.T.astype(np.float32), filters.astype(np.float32)
        error = float(np.abs(kept_basis.T @ kept_filters - full).max() / full.max())
        if error <= TOLERANCE:
            break
    return DoseWeights(kept_basis, kept_filters, error)
