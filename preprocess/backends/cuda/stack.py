"""A movie's frames on a CUDA device, in their own number type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.alignment.field import DisplacementField
from preprocess.alignment.patches import PatchLayout
from preprocess.backends.contract import DeviceImage, Image
from preprocess.backends.cuda.cuda_device import CudaDevice
from preprocess.backends.cuda.device import DeviceArray, cupy, on_its_device
from preprocess.backends.cuda.patch_spectra import CudaPatchSpectra, transform_patches
from preprocess.backends.cuda.spectra import CudaSpectra, transform_frames
from preprocess.backends.cuda.warping import warped_sums


class CudaFrameStack:
    """Frames on the device, shape (frames, height, width); float16 frames are held as float32."""

    def __init__(self, frames: DeviceArray, device: CudaDevice) -> None:
        self.frames = frames
        self.gain: DeviceArray | None = None
        self.device = device

    @on_its_device
    def put(self, index: int, frame: NDArray[Any]) -> None:
        """Copy in one frame."""
        self.frames[index].set(np.ascontiguousarray(frame, self.frames.dtype))

    @on_its_device
    def set_gain(self, gain: Image | None) -> None:
        """Multiply frames by this whenever they are used."""
        self.gain = None if gain is None else self.device.memory.upload("gain", gain, "f4")

    @on_its_device
    def raw_sum(self) -> NDArray[np.float32]:
        """Return the plain sum of all frames."""
        total = cupy.zeros(self.frames.shape[1:], cupy.float64)
        for frame in self.frames:
            total += frame
        return cupy.asnumpy(total.astype(cupy.float32))  # type: ignore[no-any-return]  # CuPy has no types

    @on_its_device
    def replace_pixels(self, targets: NDArray[np.int64], sources: NDArray[np.int64]) -> None:
        """Replace defect pixels by others of the same frame."""
        there = cupy.asarray(targets)
        for frame, source in zip(self.frames, sources, strict=True):
            flat = frame.reshape(-1)
            flat[there] = flat[cupy.asarray(source)]

    @on_its_device
    def spectra(self, bin_factor: int) -> CudaSpectra:
        """Return the transforms of the binned frames."""
        return transform_frames(self.device, self.frames, self.gain, bin_factor)

    @on_its_device
    def patch_spectra(self, layout: PatchLayout) -> CudaPatchSpectra:
        """Return the transforms of all patches."""
        return transform_patches(self.device, self.frames, self.gain, layout)

    @on_its_device
    def warped_sums(self, field: DisplacementField, weights: NDArray[np.float32]) -> Sequence[DeviceImage]:
        """Return weighted sums of the frames with the displacements undone."""
        return warped_sums(self.device, self.frames, self.gain, field, weights)

    @on_its_device
    def release(self) -> None:
        """Give back the memory of the frames."""
        self.frames = cupy.empty((0, *self.frames.shape[1:]), self.frames.dtype)
        self.gain = None
