"""What both backends agree upon: rings, the taper at the edges, the taps of the interpolation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.contract import RING_COUNT

CORNER_FREQUENCY = float(np.sqrt(0.5))
"""Frequency of a spectrum's corner, 1/px."""
LEAST_WEIGHT = 0.01
"""A correlation leaves out the rings beyond the last one with so much of the largest weight."""


def lanczos_taps(count: int = 2048) -> NDArray[np.float32]:
    """Return the six Lanczos-3 weights for `count` fractions of a pixel from 0, shape (count, 6), each row's sum 1."""
    distance = np.arange(count)[:, None] / count - np.arange(-2, 4)
    taps = np.sinc(distance) * np.sinc(distance / 3)
    normalised: NDArray[np.float32] = (taps / taps.sum(1, keepdims=True)).astype(np.float32)
    return normalised


def edge_taper(size: int) -> NDArray[np.float32]:
    """Return a window of ones that falls to zero as a cosine over 1/32 of its length at either end."""
    depth = np.minimum(np.arange(size) + 0.5, size - np.arange(size) - 0.5) / max(size / 32, 1)
    window: NDArray[np.float32] = (0.5 - 0.5 * np.cos(np.pi * np.clip(depth, 0, 1))).astype(np.float32)
    return window


def ring_indices(shape: tuple[int, int]) -> NDArray[np.int16]:
    """Return the ring of each component of a half spectrum; those beyond Nyquist get RING_COUNT."""
    ky, kx = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None]
    rings = np.sqrt(ky**2 + kx**2) * 2 * RING_COUNT
    clipped: NDArray[np.int16] = np.minimum(rings, RING_COUNT).astype(np.int16)
    return clipped


def multiplicity(shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return how many components of the full spectrum each one of the half spectrum stands for."""
    twice = np.full((shape[0], shape[1] // 2 + 1), 2.0)
    twice[:, 0] = 1
    if shape[1] % 2 == 0:
        twice[:, -1] = 1
    return twice


def ring_sizes(shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the number of Fourier components of each ring, of the full spectrum."""
    counts = np.bincount(ring_indices(shape).ravel(), multiplicity(shape).ravel(), RING_COUNT + 1)
    return counts[:RING_COUNT].astype(np.float64)


def whole_multiple(shape: tuple[int, int], output_shape: tuple[int, int]) -> tuple[int, int]:
    """Return the height and width up to `shape` that are a whole multiple, the same for both, of those of an output."""
    factor = min(shape[0] // output_shape[0], shape[1] // output_shape[1])
    return factor * output_shape[0], factor * output_shape[1]


def undamping_of(
    undamping: NDArray[np.float32], shape: tuple[int, int], kept: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the factors for the rows and columns kept of a half spectrum of an image of `shape`."""
    places = np.linspace(0, 0.5, undamping.shape[1])
    rows = np.interp(np.abs(np.fft.fftfreq(kept[0])) * kept[0] / shape[0], places, undamping[0])
    columns = np.interp(np.arange(kept[1] // 2 + 1) / shape[1], places, undamping[1])
    return rows.astype(np.float32), columns.astype(np.float32)


def rings_that_weigh(weights: NDArray[np.float64]) -> int:
    """Return the number of rings up to the last one that has LEAST_WEIGHT of the largest weight."""
    enough = np.flatnonzero(weights >= LEAST_WEIGHT * weights.max())
    return int(enough[-1]) + 1
