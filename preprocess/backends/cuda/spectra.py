"""Transforms of binned frames on a CUDA device, and what whole-frame alignment asks of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.contract import RING_COUNT
from preprocess.backends.cuda.device import DeviceArray, cupy, on_its_device
from preprocess.backends.spectrum_layout import multiplicity, ring_indices, ring_sizes


class CudaSpectra:
    """Transforms of binned frames on the device, complex64, shape (frames, height, width // 2 + 1)."""

    def __init__(self, transforms: DeviceArray, shape: tuple[int, int], device: int) -> None:
        self.transforms = transforms
        self.shape = shape
        self.frame_count = len(transforms)
        self.device = device
        self._rings = ring_indices(shape)
        self._multiplicity = multiplicity(shape)
        self._total: DeviceArray = None

    def ring_sizes(self) -> NDArray[np.float64]:
        """Return the number of Fourier components of each ring."""
        return ring_sizes(self.shape)

    @on_its_device
    def ring_powers(self, shifts: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return, for each ring, the power of the sum and the sum of powers."""
        rows, columns = self._phases(shifts)
        self._total = cupy.zeros(self.transforms.shape[1:], cupy.complex64)
        power = cupy.zeros(self.transforms.shape[1:], cupy.float32)
        for index, transform in enumerate(self.transforms):
            self._total += transform * (rows[index][:, None] * columns[index][None])
            power += transform.real**2 + transform.imag**2
        of_sum = self._total.real**2 + self._total.imag**2
        # Rings are added up on the CPU: the device would add with atomics, in another order each time.
        return self._by_ring(cupy.asnumpy(of_sum)), self._by_ring(cupy.asnumpy(power))

    @on_its_device
    def correlations(
        self, shifts: NDArray[np.float64], weights: NDArray[np.float64], shape: tuple[int, int], radius: int
    ) -> NDArray[np.float32]:
        """Return windows of the weighted leave-one-out cross-correlations."""
        rows, columns = self._phases(shifts)
        frequency = np.arange(shape[0])
        kept = cupy.asarray(np.where(frequency <= shape[0] // 2, frequency, self.shape[0] - shape[0] + frequency))
        half = shape[1] // 2 + 1
        weight = self._weight_map(weights)[kept, :half]
        around = cupy.arange(-radius, radius + 1)
        place = cupy.ix_(around % shape[0], around % shape[1])
        windows = np.empty((self.frame_count, 2 * radius + 1, 2 * radius + 1), np.float32)
        for index, transform in enumerate(self.transforms):
            value = transform[kept, :half] * (rows[index][kept][:, None] * columns[index][None, :half])
            product = weight * value * cupy.conj(self._total[kept, :half] - value)
            windows[index] = cupy.asnumpy(cupy.fft.irfft2(product, s=shape)[place])
        return windows

    @on_its_device
    def derivatives(
        self, shifts: NDArray[np.float64], weights: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return gradient and Hessian of the weighted leave-one-out cross-correlations."""
        rows, columns = self._phases(shifts)
        weight = self._weight_map(weights) * cupy.asarray(self._multiplicity, cupy.float32)
        ky = cupy.asarray(2 * np.pi * np.fft.fftfreq(self.shape[0]), cupy.float32)[:, None]
        kx = cupy.asarray(2 * np.pi * np.fft.rfftfreq(self.shape[1]), cupy.float32)[None]
        sums = np.empty((self.frame_count, 5))
        for index, transform in enumerate(self.transforms):
            value = transform * (rows[index][:, None] * columns[index][None])
            product = weight * value * cupy.conj(self._total - value)
            odd, even = product.imag, product.real
            terms = (-ky * odd, -kx * odd, -ky * ky * even, -kx * kx * even, -ky * kx * even)
            sums[index] = [float(term.sum(dtype=cupy.float64)) for term in terms]
        return sums[:, :2], sums[:, 2:]

    def _phases(self, shifts: NDArray[np.float64]) -> tuple[DeviceArray, DeviceArray]:
        rows = np.exp(2j * np.pi * shifts[:, :1] * np.fft.fftfreq(self.shape[0]))
        columns = np.exp(2j * np.pi * shifts[:, 1:] * np.fft.rfftfreq(self.shape[1]))
        return cupy.asarray(rows, cupy.complex64), cupy.asarray(columns, cupy.complex64)

    def _weight_map(self, weights: NDArray[np.float64]) -> DeviceArray:
        return cupy.asarray(np.append(weights, 0.0).astype(np.float32)[self._rings])

    def _by_ring(self, values: NDArray[Any]) -> NDArray[np.float64]:
        counts = np.bincount(self._rings.ravel(), (self._multiplicity * values).ravel(), RING_COUNT + 1)
        return counts[:RING_COUNT].astype(np.float64)
