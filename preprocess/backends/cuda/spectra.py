"""Transforms of binned frames on a CUDA device, and what whole-frame alignment asks of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.contract import PART_FIGURES, RING_COUNT, PartMeasures, PartPowers
from preprocess.backends.cuda.aligned import BLOCKS_WANTED, AlignedSpectra, Shifted, add_strips
from preprocess.backends.cuda.binning import bin_frames, taper_frames
from preprocess.backends.cuda.cuda_device import CudaDevice
from preprocess.backends.cuda.device import DeviceArray, on_its_device
from preprocess.backends.cuda.device_memory import in_batches
from preprocess.backends.cuda.sources import kernel
from preprocess.backends.spectrum_layout import rings_that_weigh

BYTES_A_PIXEL = 4 + 8
"""Of a binned frame that is being transformed: itself, and the work area of the transform."""


class CudaSpectra:
    """Transforms of binned frames on the device, complex64, shape (frames, height, width // 2 + 1)."""

    def __init__(self, transforms: DeviceArray, shape: tuple[int, int], device: CudaDevice) -> None:
        self.transforms = transforms
        self.shape = shape
        self.frame_count = len(transforms)
        self.device = device
        self._aligned = AlignedSpectra(device, transforms[None], shape[1])
        self._total: DeviceArray = None
        self._fixed: DeviceArray = None

    def ring_sizes(self) -> NDArray[np.float64]:
        """Return the number of Fourier components of each ring."""
        return self.device.tables.ring_sizes(self.shape)

    @on_its_device
    def ring_powers(self, shifts: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return, for each ring, the power of the sum and the sum of powers."""
        powers = self.device.memory.array("results", (1, 2, RING_COUNT), "f8")
        self._total = self._aligned.sum_up(self._shifted(shifts), RING_COUNT, powers)
        of_sum, of_frames = powers.get()[0]
        return of_sum, of_frames

    @on_its_device
    def correlations(
        self, shifts: NDArray[np.float64], weights: NDArray[np.float64], shape: tuple[int, int], radius: int
    ) -> NDArray[np.float32]:
        """Return windows of the weighted leave-one-out cross-correlations."""
        memory, (rows, columns) = self.device.memory, shape
        half, side = columns // 2 + 1, 2 * radius + 1
        counted = weights.copy()
        counted[rings_that_weigh(weights) :] = 0  # as on the CPU, to which each ring costs time
        shifted, ring_weights = self._shifted(shifts), self._aligned.ring_weights(counted)
        rings = self.device.tables.rings(self.shape)
        windows = memory.array("results", (self.frame_count, side, side), "f4")

        def correlate(start: int, stop: int) -> None:
            count = stop - start
            products = memory.array("products", (count, rows, half), "c8")
            surfaces = memory.array("surfaces", (count, rows, columns), "f4")
            kernel("aligned", "cross_spectra")(
                (rows, count),
                self.transforms,
                self._total,
                shifted.along_y,
                shifted.along_x,
                rings,
                ring_weights,
                products,
                start,
                self.shape[0],
                self.shape[1] // 2 + 1,
                rows,
                half,
            )
            self.device.transforms.backward(products, surfaces)
            kernel("aligned", "cut_windows")((side, count), surfaces, windows, start, rows, columns, radius)

        moved = self.frame_count * rows * columns * (4 + 4 + 8 + 4)
        with self.device.timer.stage("correlate", moved_bytes=moved, flop=transform_flop(self.frame_count, shape)):
            in_batches(self.frame_count, rows * columns * (4 + BYTES_A_PIXEL), correlate)
        found: NDArray[np.float32] = windows.get()
        return found

    @on_its_device
    def derivatives(
        self, shifts: NDArray[np.float64], weights: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return gradient and Hessian of the weighted leave-one-out cross-correlations."""
        derivatives = self.device.memory.array("results", (1, self.frame_count, 5), "f8")
        self._aligned.differentiate(self._shifted(shifts), self._total, weights, derivatives)
        found = derivatives.get()[0]
        return found[:, :2], found[:, 2:]

    @on_its_device
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
        memory, (height, width) = self.device.memory, self.shape
        fixed, shifted, rows = self._fixed_part(), self._shifted(shifts), -(-height // every)
        strip_rows = -(-rows // BLOCKS_WANTED)
        strips = -(-rows // strip_rows)
        given = np.stack([powers.noise, powers.fixed, powers.moving, powers.outstanding, powers.taken])
        end = int(np.flatnonzero(powers.noise)[-1]) + 1
        parts = memory.array("partial sums", (strips, PART_FIGURES * RING_COUNT), "f8")
        figures = memory.array("results", (PART_FIGURES, RING_COUNT), "f8")
        components = self.frame_count * rows * (width // 2 + 1)
        with self.device.timer.stage("measure", moved_bytes=8 * (1 + take_off) * components, flop=60 * components):
            kernel("split", "split_spectra", RINGS=RING_COUNT)(
                (strips,),
                self.transforms,
                fixed,
                shifted.along_y,
                shifted.along_x,
                memory.upload("phases", levels, "f8"),
                self.device.tables.rings(self.shape),
                memory.upload("phases", given, "f8"),
                parts,
                self.frame_count,
                height,
                width,
                rows,
                every,
                end,
                take_off,
                strip_rows,
            )
            add_strips(parts, figures, 1, strips, PART_FIGURES * RING_COUNT)
        return PartMeasures(*figures.get())

    @on_its_device
    def fixed_image(self) -> DeviceArray:
        """Return the image of the part that is taken off."""
        memory, fixed = self.device.memory, self._fixed_part()
        copied = memory.array("products", (1, *fixed.shape), "c8")
        copied[0] = fixed
        image = memory.array("images", (1, *self.shape), "f4")
        self.device.transforms.backward(copied, image)
        image *= np.float32(1 / (self.shape[0] * self.shape[1]))
        return image[0]

    def _fixed_part(self) -> DeviceArray:
        if self._fixed is None:
            self._fixed = self.device.memory.array("sums of spectra", self.transforms.shape[1:], "c8")
            self._fixed[...] = 0
        return self._fixed

    def _shifted(self, shifts: NDArray[np.float64]) -> Shifted:
        return self._aligned.shifted(shifts[:, None], np.zeros(1, np.int32))


def transform_frames(device: CudaDevice, frames: DeviceArray, gain: DeviceArray | None, bin_factor: int) -> CudaSpectra:
    """Return the transforms of frames (n, height, width), gain applied, box-binned, mean removed, edges tapered."""
    count, height, width = frames.shape
    shape = (height // bin_factor, width // bin_factor)
    transforms = device.memory.array("spectra", (count, shape[0], shape[1] // 2 + 1), "c8")

    def transform(start: int, stop: int) -> None:
        binned = device.memory.array("binned frames", (stop - start, *shape), "f4")
        parts = bin_frames(device, frames[start:stop], gain, bin_factor, binned)
        taper_frames(device, binned, parts)
        made = transforms[start:stop]
        with device.timer.stage(
            "transform", moved_bytes=binned.nbytes + made.nbytes, flop=transform_flop(stop - start, shape)
        ):
            device.transforms.forward(binned, made)

    in_batches(count, BYTES_A_PIXEL * shape[0] * shape[1], transform)
    return CudaSpectra(transforms, shape, device)


def transform_flop(count: int, shape: tuple[int, int]) -> int:
    """Return about how many operations transforms of `count` real images take: 2.5 n log2 n each."""
    size = shape[0] * shape[1]
    return int(2.5 * count * size * np.log2(max(size, 2)))
