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
    frame_index: int,
    frame_count: int,
    kept: NDArray[np.int64],
    planes: NDArray[np.float32],
    start: int,
    stop: int,
) -> None:
    """Transform patches start to stop of a frame, one after the other: each stays in the processor's cache."""
    half, cut = int(kept.max()), np.empty((1, len(rows), len(columns)), np.float32)
    for patch in range(start, stop):
        kernels.cut_patches(binned, tops[patch:], lefts[patch:], rows, columns, cut, 0, 1)
        lowest = scipy.fft.fft(scipy.fft.rfft(cut[0], axis=1)[:, :half], axis=0)
        kernels.keep_lowest(lowest, frame_index, frame_count, kept, planes[patch])


def kept_columns(rings: NDArray[np.int16]) -> NDArray[np.int64]:
    """Return how many columns of each row of a patch's half spectrum are kept: those up to Nyquist."""
    kept: NDArray[np.int64] = (rings < RING_COUNT).sum(1, dtype=np.int64)
    return kept


class CpuPatchSpectra:
    """Transforms of patches in memory, float32, shape (patches, numbers).

    For each row of a patch's half spectrum they hold an array (frames, 2, columns): real and imaginary parts of the
    columns up to Nyquist; the corners beyond, a fifth of the plane, are left out.
    """

    def __init__(self, planes: NDArray[np.float32], shape: tuple[int, int], threads: RowThreads) -> None:
        self.planes = planes
        self.shape = shape
        self.threads = threads
        self.rings = ring_indices(shape)
        self.kept = kept_columns(self.rings)

    def ring_sizes(self) -> NDArray[np.float64]:
        """Return the number of Fourier components of each ring of one patch."""
        return ring_sizes(self.shape)

    def measure(
        self, shifts: NDArray[np.float64], weights: NDArray[np.float64], patches: Sequence[int], last_ring: int
    ) -> PatchMeasures:
        """Compare each frame with the sum of the others in some of the patches."""
        count, wanted = len(shifts), np.asarray(patches, np.int64)
        powers = np.zeros((len(wanted), 2, RING_COUNT))
        gradient, hessian = np.zeros((count, len(wanted), 2)), np.zeros((len(wanted), 3))
        self.threads.run(
            self.threads.kernels.measure_patches,
            self.planes,
            self.kept,
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
