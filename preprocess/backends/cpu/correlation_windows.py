"""Windows of weighted cross-correlations around zero shift, without a transform of whole frames.

A window needs few places, and the weights leave few frequencies: two small matrix products (a Fourier transform that is
cut at both ends) cost less than an inverse FFT of which most is thrown away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.contract import RING_COUNT
from preprocess.backends.spectrum_layout import rings_that_weigh

Spectrum = NDArray[np.complex64]


@dataclass(frozen=True, slots=True)
class CorrelationWindows:
    """Weights and Fourier coefficients for the windows of one movie's frames.

    Attributes
    ----------
    low, high : NDArray[np.float32]
        Weights of the rows of frequency 0 and above, and below 0; 1 over the box's size, and 2 where a column stands
        for two, are in them.
    from_low, from_high : NDArray[np.complex64]
        Transform of rows, shapes (2 radius + 1, rows) and (2 radius + 1, rows below 0).
    from_columns : NDArray[np.complex64]
        Transform of columns, (columns, 2 radius + 1).
    """

    low: NDArray[np.float32]
    high: NDArray[np.float32]
    from_low: Spectrum
    from_high: Spectrum
    from_columns: Spectrum

    @classmethod
    def of(
        cls,
        rings: NDArray[np.int16],
        spectrum_shape: tuple[int, int],
        weights: NDArray[np.float64],
        box: tuple[int, int],
        radius: int,
    ) -> CorrelationWindows:
        """Return what is needed for windows of half-width `radius`.

        Parameters
        ----------
        rings : NDArray[np.int16]
            The ring of each component of a half spectrum.
        spectrum_shape : tuple[int, int]
            Height and width of the image that the half spectrum is of.
        weights : NDArray[np.float64]
            Weight of each ring.
        box : tuple[int, int]
            Height and width of the image to which the spectrum's lowest frequencies belong: its pixels are the steps.
        """
        height, width = box
        last = rings_that_weigh(weights)
        reach = last / (2 * RING_COUNT)
        rows = min(height // 2, int(reach * spectrum_shape[0])) + 1
        below = min(rows - 1, (height - 1) // 2)
        columns = min(width // 2, int(reach * spectrum_shape[1])) + 1
        of_ring = np.append(weights, 0.0) / (height * width)
        of_ring[last:] = 0
        stands_for = np.full(columns, 2.0)
        stands_for[0] = 1
        if 2 * (columns - 1) == width:
            stands_for[-1] = 1
        places = np.arange(-radius, radius + 1)
        return cls(
            low=(of_ring[rings[:rows, :columns]] * stands_for).astype(np.float32),
            high=(of_ring[rings[len(rings) - below :, :columns]] * stands_for).astype(np.float32),
            from_low=_waves(places, np.arange(rows), height),
            from_high=_waves(places, np.arange(-below, 0), height),
            from_columns=_waves(np.arange(columns), places, width),
        )

    def window(
        self, transform: Spectrum, total: Spectrum, row_phases: Spectrum, column_phases: Spectrum
    ) -> NDArray[np.float32]:
        """Return one frame's window of its correlation with the sum of the others, (2 radius + 1, 2 radius + 1).

        Parameters
        ----------
        transform, total : NDArray[np.complex64]
            Half spectra of the frame as it lies, and of the aligned sum that holds it.
        row_phases, column_phases : NDArray[np.complex64]
            Factors that undo the frame's shift.
        """
        columns = len(self.from_columns)
        across = np.zeros((len(self.from_low), columns), np.complex64)
        for weights, back, part in (
            (self.low, self.from_low, slice(0, len(self.low))),
            (self.high, self.from_high, slice(len(transform) - len(self.high), len(transform))),
        ):
            frame = transform[part, :columns] * row_phases[part, None]
            frame *= column_phases[:columns]
            others = total[part, :columns] - frame
            frame *= np.conj(others, out=others)
            frame *= weights
            across += back @ frame
        window: NDArray[np.float32] = (across @ self.from_columns).real
        return window


def _waves(one: NDArray[np.int64], other: NDArray[np.int64], size: int) -> Spectrum:
    """Return exp(2 pi i one other / size), shape (one, other)."""
    turns = np.outer(one, other) % size / size
    waves: Spectrum = np.exp(2j * np.pi * turns).astype(np.complex64)
    return waves
