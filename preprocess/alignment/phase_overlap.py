"""The sum of the phase factors that undo displacements, ring by ring, and how it changes with them; no data needed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.contract import RING_COUNT

Figures = NDArray[np.float64]

RING_FREQUENCIES = (np.arange(RING_COUNT) + 0.5) / (2 * RING_COUNT)
"""Middle of each ring, 1/px."""
DIRECTIONS = 16


class PhaseOverlap:
    """Sums over frames of level · phase factor, at RING_COUNT frequencies in DIRECTIONS directions each.

    Attributes
    ----------
    powers : NDArray[np.float64]
        The sums' powers, shape (RING_COUNT, DIRECTIONS).
    """

    def __init__(self, shifts: Figures, levels: Figures) -> None:
        angles = np.pi * (np.arange(DIRECTIONS) + 0.5) / DIRECTIONS
        self._directions = np.stack([np.sin(angles), np.cos(angles)])
        along = 2 * np.pi * shifts @ self._directions  # (frames, directions)
        self._phases = np.exp(1j * along[:, None] * RING_FREQUENCIES[:, None])
        self._levels = levels
        self._sums = np.einsum("t,trd->rd", levels, self._phases)
        self.powers: Figures = np.abs(self._sums) ** 2

    def slopes(self, weights: Figures) -> Figures:
        """Return the gradient (frames, 2) of half the sum of the powers; weights (RING_COUNT, 1 or DIRECTIONS)."""
        weighted = np.conj(self._sums) * weights * RING_FREQUENCIES[:, None]
        odd = -(weighted * self._phases).imag / DIRECTIONS
        slopes: Figures = 2 * np.pi * np.einsum("t,trd,cd->tc", self._levels, odd, self._directions)
        return slopes
