"""Spectra on a CUDA device, displacements undone: their sum, powers by rings, the slopes of their correlations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.contract import RING_COUNT
from preprocess.backends.cuda.cuda_device import CudaDevice
from preprocess.backends.cuda.device import DeviceArray
from preprocess.backends.cuda.sources import blocks_over, kernel

BLOCKS_WANTED = 512
"""Blocks that keep a device busy; work is cut in as many strips as make about so many."""
MOST_STRIP_ROWS = 16
VALUES_A_BLOCK = 32
NARROW = 128
"""Half spectra of up to so many columns are worked on by smaller blocks."""


@dataclass(frozen=True, slots=True)
class Shifted:
    """Some patches' spectra, and the factors that undo their displacements.

    Attributes
    ----------
    patches : DeviceArray
        Which patches, int32.
    along_y, along_x : DeviceArray
        Factors, complex64, shapes (frames, patches, height) and (frames, patches, columns).
    """

    patches: DeviceArray
    along_y: DeviceArray
    along_x: DeviceArray


class AlignedSpectra:
    """Half spectra of the patches of frames, complex64, shape (patches, frames, height, columns).

    Whole frames are frames of one patch.

    Parameters
    ----------
    width : int
        Of a patch: columns are width // 2 + 1.
    """

    def __init__(self, device: CudaDevice, transforms: DeviceArray, width: int) -> None:
        self.device = device
        self.transforms = transforms
        self.shape = (int(transforms.shape[2]), width)
        self.threads = 128 if transforms.shape[3] <= NARROW else 256

    def shifted(self, shifts: NDArray[np.float64], patches: NDArray[np.int32]) -> Shifted:
        """Return what undoes the displacements of some patches, samples, shape (frames, patches, 2)."""
        frames, wanted = shifts.shape[:2]
        memory, (height, width) = self.device.memory, self.shape
        along_y = memory.array("phases", (frames, wanted, height), "c8")
        along_x = memory.array("phases", (frames, wanted, width // 2 + 1), "c8")
        there = memory.upload("phases", shifts, "f8")
        kernel("aligned", "find_phases")((frames * wanted,), there, along_y, along_x, height, width)
        return Shifted(memory.upload("phases", patches, "i4"), along_y, along_x)

    def sum_up(self, shifted: Shifted, last_ring: int, powers: DeviceArray) -> DeviceArray:
        """Return the sum over frames, shape (patches wanted, height, columns), up to a ring.

        Parameters
        ----------
        powers : DeviceArray
            Where the power of the sum and the sum of powers go by rings, shape (patches wanted, 2, RING_COUNT),
            float64.
        """
        frames, wanted = shifted.along_y.shape[:2]
        height, width = self.shape
        memory = self.device.memory
        strip_rows = int(np.clip(height * wanted // BLOCKS_WANTED, 1, MOST_STRIP_ROWS))
        strips = -(-height // strip_rows)
        total = memory.array("sums of spectra", (wanted, height, width // 2 + 1), "c8")
        parts = memory.array("partial sums", (wanted, strips, 2 * RING_COUNT), "f8")
        components = frames * total.size
        with self.device.timer.stage("measure", moved_bytes=8 * components + total.nbytes, flop=18 * components):
            kernel("aligned", "sum_aligned", self.threads, RINGS=RING_COUNT)(
                (strips, wanted),
                self.transforms,
                shifted.patches,
                shifted.along_y,
                shifted.along_x,
                self.device.tables.rings(self.shape),
                total,
                parts,
                frames,
                wanted,
                height,
                width,
                last_ring,
                strips,
                strip_rows,
            )
            add_strips(parts, powers, wanted, strips, 2 * RING_COUNT)
        return total

    def differentiate(
        self, shifted: Shifted, total: DeviceArray, weights: NDArray[np.float64], derivatives: DeviceArray
    ) -> None:
        """Find how each frame's weighted correlation with the sum of the others changes with its displacement.

        Parameters
        ----------
        total : DeviceArray
            The sum that `sum_up` has returned.
        weights : NDArray[np.float64]
            Weight of each ring.
        derivatives : DeviceArray
            Where they go, shape (patches wanted, frames, 5), float64: by y, x, yy, xx, yx.
        """
        frames, wanted = shifted.along_y.shape[:2]
        height, width = self.shape
        strips = int(np.clip(BLOCKS_WANTED // (frames * wanted), 1, height))
        strip_rows = -(-height // strips)
        strips = -(-height // strip_rows)
        parts = derivatives
        if strips > 1:
            parts = self.device.memory.array("partial sums", (wanted, frames, strips, 5), "f8")
        components = frames * total.size
        with self.device.timer.stage("measure", moved_bytes=16 * components, flop=36 * components):
            kernel("aligned", "differentiate", self.threads, RINGS=RING_COUNT)(
                (strips, frames, wanted),
                self.transforms,
                shifted.patches,
                shifted.along_y,
                shifted.along_x,
                self.device.tables.rings(self.shape),
                total,
                self.ring_weights(weights),
                parts,
                frames,
                wanted,
                height,
                width,
                strips,
                strip_rows,
            )
            if strips > 1:
                add_strips(parts, derivatives, wanted * frames, strips, 5)

    def ring_weights(self, weights: NDArray[np.float64]) -> DeviceArray:
        """Return the weights of rings with that of all beyond Nyquist, 0, shape (RING_COUNT + 1,), float32."""
        return self.device.memory.upload("phases", np.append(weights, 0.0), "f4")


def add_strips(parts: DeviceArray, sums: DeviceArray, groups: int, strips: int, values: int) -> None:
    """Add up parts (groups, strips, values) over strips, always in the same order."""
    kernel("aligned", "add_strips")((blocks_over(values, VALUES_A_BLOCK), groups), parts, sums, strips, values)
