"""The transforms of a movie's patches on the CPU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from preprocess.backends.contract import RING_COUNT, PatchMeasures
from preprocess.backends.cpu.kernel_set import KernelSet
from preprocess.backends.cpu.row_threads import RowThreads
from preprocess.backends.spectrum_layout import ring_indices, ring_sizes


def transform_patches(
    kernels: KernelSet,
    binned: NDArray[np.float32],
    tops: NDArray[np.int64],
    lefts: NDArray[np.int64],
    rows: NDArray[np.float32],
    columns: NDArray[np.float32],
    cut: NDArray[np.float32],
    frame_index: int,
    planes: NDArray[np.float32],
    start: int,
    stop: int,
) -> None:
    """Transform patches start to stop of a frame, one after the other: each stays in the processor's cache."""
    half = planes.shape[4]
    for patch in range(start, stop):
        kernels.cut_patches(binned, tops, lefts, rows, columns, cut, patch, patch + 1)
        lowest = scipy.fft.fft(scipy.fft.rfft(cut[patch], axis=1)[:, :half], axis=0)
        kernels.keep_lowest(lowest, frame_index, planes[patch])


class CpuPatchSpectra:
    """Transforms of patches in memory, float32, shape (patches, rows, frames, 2, columns): real and imaginary."""

    def __init__(self, planes: NDArray[np.float32], width: int, threads: RowThreads) -> None:
        self.planes = planes
        self.shape = (planes.shape[1], width)
        self.threads = threads
        self.rings = ring_indices(self.shape)

    def ring_sizes(self) -> NDArray[np.float64]:
        """Return the number of Fourier components of each ring of one patch."""
        return ring_sizes(self.shape)

    def measure(
        self, shifts: NDArray[np.float64], weights: NDArray[np.float64], patches: Sequence[int], last_ring: int
    ) -> PatchMeasures:
        """Compare each frame with the sum of the others in some of the patches."""
        count, wanted = self.planes.shape[2], np.asarray(patches, np.int64)
        powers = np.zeros((len(wanted), 2, RING_COUNT))
        gradient, hessian = np.zeros((count, len(wanted), 2)), np.zeros((len(wanted), 3))
        self.threads.run(
            self.threads.kernels.measure_patches,
            self.planes,
            wanted,
            np.ascontiguousarray(shifts[:, wanted], np.float64),
            self.rings,
            (self.rings < last_ring).sum(1),
            weights.astype(np.float32),
            self.shape[1],
            powers,
            gradient,
            hessian,
            rows=len(wanted),
        )
        return PatchMeasures(powers[:, 0], powers[:, 1], gradient, hessian)
