"""Transforms of patches on a CUDA device, and what local alignment asks of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.contract import RING_COUNT, PatchMeasures
from preprocess.backends.cuda.device import DeviceArray, cupy, on_its_device
from preprocess.backends.spectrum_layout import multiplicity, ring_indices, ring_sizes


class CudaPatchSpectra:
    """Transforms of patches, complex64, shape (patches, frames, rows, columns), on the device if it has the room."""

    def __init__(self, transforms: DeviceArray, width: int, device: int) -> None:
        self.transforms = transforms
        self.shape = (transforms.shape[2], width)
        self.device = device
        self._rings = ring_indices(self.shape)
        self._multiplicity = multiplicity(self.shape)

    def ring_sizes(self) -> NDArray[np.float64]:
        """Return the number of Fourier components of each ring of one patch."""
        return ring_sizes(self.shape)

    @on_its_device
    def measure(
        self, shifts: NDArray[np.float64], weights: NDArray[np.float64], patches: Sequence[int], last_ring: int
    ) -> PatchMeasures:
        """Compare each frame with the sum of the others in some of the patches."""
        count, height, width = self.transforms.shape[1], *self.shape
        inside = self._rings < last_ring
        weight = np.append(weights, 0.0)[self._rings] * inside * self._multiplicity
        ky, kx = 2 * np.pi * np.fft.fftfreq(height)[:, None], 2 * np.pi * np.fft.rfftfreq(width)[None]
        slopes = [cupy.asarray(weight * k, cupy.float32) for k in (ky, kx)]
        curves = [weight * k for k in (ky * ky, kx * kx, ky * kx)]
        powers = np.zeros((2, len(patches), RING_COUNT))
        gradient, hessian = np.zeros((count, len(patches), 2)), np.zeros((len(patches), 3))
        for place, patch in enumerate(patches):
            rows = cupy.asarray(np.exp(1j * shifts[:, patch, :1] * ky[:, 0]), cupy.complex64)
            columns = cupy.asarray(np.exp(1j * shifts[:, patch, 1:] * kx[0]), cupy.complex64)
            aligned = cupy.asarray(self.transforms[patch]) * (rows[:, :, None] * columns[:, None, :])
            total = aligned.sum(0)
            of_sum = cupy.asnumpy(total.real**2 + total.imag**2)
            of_frames = cupy.asnumpy((aligned.real**2 + aligned.imag**2).sum(0))
            odd = (aligned * cupy.conj(total)[None]).imag
            for axis, slope in enumerate(slopes):
                gradient[:, place, axis] = cupy.asnumpy(-(odd * slope[None]).sum((1, 2), dtype=cupy.float64))
            hessian[place] = [-(curve * (of_sum - of_frames)).sum(dtype=np.float64) for curve in curves]
            for row, power in zip(powers[:, place], (of_sum, of_frames), strict=True):
                per_ring = np.bincount(self._rings.ravel(), (self._multiplicity * power * inside).ravel(), RING_COUNT)
                row[:] = per_ring[:RING_COUNT]
        return PatchMeasures(powers[0], powers[1], gradient, hessian)
