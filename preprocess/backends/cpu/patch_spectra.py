"""The transforms of a movie's patches on the CPU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from preprocess import fourier
from preprocess.backends.contract import RING_COUNT, PatchMeasures
from preprocess.backends.cpu.kernel_set import KernelSet
from preprocess.backends.cpu.row_threads import RowThreads
from preprocess.backends.spectrum_layout import ring_indices, ring_sizes

AT_ONCE_BYTES = 1 << 19
"""Of patches that are transformed at once."""


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
    """Transform patches start to stop of a frame, a few at a time, which stay in the processor's cache."""
    at_once, half = patches_at_once(len(rows), len(columns)), int(kept.max())
    cut = np.empty((at_once, len(rows), len(columns)), np.float32)
    lowest = np.empty((at_once, len(rows), half), np.complex64)
    for first in range(start, stop, at_once):
        count = min(at_once, stop - first)
        kernels.cut_patches(binned, tops[first:], lefts[first:], rows, columns, cut, 0, count)
        fourier.fft(fourier.rfft(cut[:count])[:, :, :half], axis=1, out=lowest[:count])
        kernels.keep_lowest(lowest, frame_index, frame_count, kept, planes[first:], 0, count)


def patches_at_once(height: int, width: int) -> int:
    """Return how many patches are transformed at once: threads wait for each other between calls."""
    return max(1, AT_ONCE_BYTES // (4 * height * width))


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
