"""Transforms of patches on a CUDA device, and what local alignment asks of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.contract import RING_COUNT, FixedPart, PatchMeasures
from preprocess.backends.cuda.aligned import AlignedSpectra
from preprocess.backends.cuda.binning import bin_frames, taper_frames
from preprocess.backends.cuda.cuda_device import CudaDevice
from preprocess.backends.cuda.device import DeviceArray, on_its_device
from preprocess.backends.cuda.device_memory import in_batches
from preprocess.backends.cuda.sources import kernel
from preprocess.backends.cuda.spectra import BYTES_A_PIXEL, transform_flop
from preprocess.geometry.patches import PatchLayout


class CudaPatchSpectra:
    """Lowest frequencies of patches on the device, complex64, shape (patches, frames, rows, columns)."""

    def __init__(self, transforms: DeviceArray, width: int, device: CudaDevice) -> None:
        self.transforms = transforms
        self.shape = (int(transforms.shape[2]), width)
        self.device = device
        self._aligned = AlignedSpectra(device, transforms, width)

    def ring_sizes(self) -> NDArray[np.float64]:
        """Return the number of Fourier components of each ring of one patch."""
        return self.device.tables.ring_sizes(self.shape)

    @on_its_device
    def measure(
        self, shifts: NDArray[np.float64], weights: NDArray[np.float64], patches: Sequence[int], last_ring: int
    ) -> PatchMeasures:
        """Compare each frame with the sum of the others in some of the patches."""
        wanted = np.asarray(patches, np.int32)
        frames, number = len(shifts), len(wanted)
        shifted = self._aligned.shifted(shifts[:, wanted], wanted)
        powers_size, size = number * 2 * RING_COUNT, number * (2 * RING_COUNT + 5 * frames)
        results = self.device.memory.array("results", (size,), "f8")
        total = self._aligned.sum_up(shifted, last_ring, results[:powers_size])
        inside = np.where(np.arange(RING_COUNT) < last_ring, weights, 0.0)
        self._aligned.differentiate(shifted, total, inside, results[powers_size:])
        found = results.get()
        powers = found[:powers_size].reshape(number, 2, RING_COUNT)
        derivatives = found[powers_size:].reshape(number, frames, 5)
        gradient = np.ascontiguousarray(derivatives[:, :, :2].transpose(1, 0, 2))
        return PatchMeasures(powers[:, 0], powers[:, 1], gradient, derivatives[:, :, 2:].sum(1))


def transform_patches(
    device: CudaDevice,
    frames: DeviceArray,
    gain: DeviceArray | None,
    layout: PatchLayout,
    fixed: FixedPart | None,
) -> CudaPatchSpectra:
    """Return the transforms of all patches of frames (n, height, width), gain applied, box-binned, windowed."""
    memory = device.memory
    count, patches = layout.tops.shape
    shape = (frames.shape[1] // layout.bin_factor, frames.shape[2] // layout.bin_factor)
    size, kept_half = (layout.height, layout.width), layout.kept_width // 2 + 1
    kept = memory.array("patch spectra", (patches, count, layout.kept_height, kept_half), "c8")
    tops, lefts = (memory.upload("phases", places, "i4") for places in (layout.tops, layout.lefts))

    def transform(start: int, stop: int) -> None:
        here = (stop - start) * patches
        binned = memory.array("binned frames", (stop - start, *shape), "f4")
        parts = bin_frames(device, frames[start:stop], gain, layout.bin_factor, binned)
        if fixed is not None:
            taper_frames(device, binned, parts)
            levels = memory.upload("phases", fixed.levels[start:stop], "f4")
            kernel("patches", "take_off")((shape[0], stop - start), binned, fixed.image, levels, *shape)
        cuts = memory.array("patches", (here, *size), "f4")
        transforms = memory.array("spectra of patches", (here, size[0], size[1] // 2 + 1), "c8")
        with device.timer.stage("cut", moved_bytes=binned.nbytes + cuts.nbytes, flop=4 * cuts.size):
            kernel("patches", "cut_patches")(
                (here,),
                binned,
                tops[start:stop],
                lefts[start:stop],
                device.tables.patch_window(size[0]),
                device.tables.patch_window(size[1]),
                cuts,
                patches,
                *shape,
                *size,
            )
        moved = cuts.nbytes + transforms.nbytes + 2 * kept[:, start:stop].nbytes
        with device.timer.stage("transform", moved_bytes=moved, flop=transform_flop(here, size)):
            device.transforms.forward(cuts, transforms)
            kernel("patches", "keep_lowest")(
                (here,),
                transforms,
                kept,
                patches,
                size[0],
                size[1] // 2 + 1,
                count,
                start,
                layout.kept_height,
                kept_half,
            )

    bytes_each = 4 * shape[0] * shape[1] + patches * size[0] * size[1] * (4 + BYTES_A_PIXEL)
    in_batches(count, bytes_each, transform)
    return CudaPatchSpectra(kept, layout.kept_width, device)
