"""The transforms of a movie's frames on the CPU."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preprocess import fourier
from preprocess.backends.contract import PART_FIGURES, RING_COUNT, PartMeasures, PartPowers
from preprocess.backends.cpu.correlation_windows import CorrelationWindows
from preprocess.backends.cpu.row_threads import RowThreads
from preprocess.backends.spectrum_layout import ring_indices, ring_sizes


class CpuSpectra:
    """Transforms of binned frames in memory, complex64, shape (frames, height, width // 2 + 1)."""

    def __init__(self, transforms: NDArray[np.complex64], shape: tuple[int, int], threads: RowThreads) -> None:
        self.transforms = transforms
        self.shape = shape
        self.frame_count = len(transforms)
        self.threads = threads
        self.rings = ring_indices(shape)
        self.total = np.zeros(transforms.shape[1:], np.complex64)
        self.fixed: NDArray[np.complex64] | None = None

    def ring_sizes(self) -> NDArray[np.float64]:
        """Return the number of Fourier components of each ring."""
        return ring_sizes(self.shape)

    def ring_powers(self, shifts: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return, for each ring, the power of the sum and the sum of powers."""
        rows, columns = self._phases(shifts)
        by_row = np.zeros((2, self.shape[0], RING_COUNT + 1))
        self.threads.run(
            self.threads.kernels.sum_spectra,
            self.transforms,
            rows,
            columns,
            self.rings,
            self.shape[1],
            self.total,
            by_row,
            rows=self.shape[0],
        )
        powers = by_row.sum(1)[:, :RING_COUNT]
        return powers[0], powers[1]

    def correlations(
        self, shifts: NDArray[np.float64], weights: NDArray[np.float64], shape: tuple[int, int], radius: int
    ) -> NDArray[np.float32]:
        """Return windows of the weighted leave-one-out cross-correlations."""
        rows, columns = self._phases(shifts)
        means = CorrelationWindows.of(self.rings, self.shape, weights, shape, radius)
        windows = np.empty((len(self.transforms), 2 * radius + 1, 2 * radius + 1), np.float32)

        def correlate(start: int, stop: int) -> None:
            for index in range(start, stop):
                windows[index] = means.window(self.transforms[index], self.total, rows[index], columns[index])

        self.threads.run(correlate, rows=len(windows))
        return windows

    def derivatives(
        self, shifts: NDArray[np.float64], weights: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return gradient and Hessian of the weighted leave-one-out cross-correlations."""
        rows, columns = self._phases(shifts)
        by_row = np.zeros((self.shape[0], len(self.transforms), 5))
        ring_weights = _with_outside(weights)
        self.threads.run(
            self.threads.kernels.derivatives,
            self.transforms,
            self.total,
            rows,
            columns,
            self.rings,
            ring_weights,
            self.shape[1],
            by_row,
            rows=self.shape[0],
        )
        sums = by_row.sum(0)
        return sums[:, :2], sums[:, 2:]

    def split(
        self,
        shifts: NDArray[np.float64],
        levels: NDArray[np.float64],
        powers: PartPowers,
        *,
        take_off: bool = False,
        every: int = 1,
    ) -> PartMeasures:
        """Find the part that is fixed to the camera beside the one that moves, and take it off if asked to."""
        rows, columns = self._phases(shifts)
        if self.fixed is None:
            self.fixed = np.zeros_like(self.total)
        looked_at = np.arange(0, self.shape[0], every)
        by_row = np.zeros((len(looked_at), PART_FIGURES, RING_COUNT))
        self.threads.run(
            self.threads.kernels.split_spectra,
            self.transforms,
            self.fixed,
            rows,
            columns,
            levels,
            self.rings,
            looked_at,
            np.stack([powers.noise, powers.fixed, powers.moving, powers.outstanding, powers.taken]),
            self.shape[1],
            take_off,
            by_row,
            rows=len(looked_at),
        )
        return PartMeasures(*by_row.sum(0))

    def fixed_image(self) -> NDArray[np.float32]:
        """Return the image of the part that is taken off."""
        fixed = np.zeros_like(self.total) if self.fixed is None else self.fixed
        image: NDArray[np.float32] = fourier.irfft2(fixed, self.shape[1], self.threads.count)
        return image

    def _phases(self, shifts: NDArray[np.float64]) -> tuple[NDArray[np.complex64], NDArray[np.complex64]]:
        """Return the phase factors that undo shifts: for rows (frames, height), columns (frames, width // 2 + 1)."""
        rows = np.exp(2j * np.pi * shifts[:, :1] * np.fft.fftfreq(self.shape[0]))
        columns = np.exp(2j * np.pi * shifts[:, 1:] * np.fft.rfftfreq(self.shape[1]))
        return rows.astype(np.complex64), columns.astype(np.complex64)


def _with_outside(weights: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.append(weights, 0.0).astype(np.float32)
