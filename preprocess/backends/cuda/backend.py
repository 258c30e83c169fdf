"""One CUDA device as a backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.contract import DeviceImage, Image, StageTime, Undamping
from preprocess.backends.cuda.block_powers import block_powers
from preprocess.backends.cuda.cuda_device import Work, cuda_device
from preprocess.backends.cuda.device import on_its_device
from preprocess.backends.cuda.device_memory import FRAMES
from preprocess.backends.cuda.filtering import amplitudes, filtered_sum
from preprocess.backends.cuda.pictures import reduced
from preprocess.backends.cuda.pixels import with_pixels
from preprocess.backends.cuda.sources import frame_type
from preprocess.backends.cuda.stack import CudaFrameStack
from preprocess.backends.cuda.written_images import ImageOnItsWay, bring_down
from preprocess.backends.tile_spectra import BlockPowers
from preprocess.geometry.block_tiles import BlockTiles
from preprocess.lost_devices import LOST


class CudaBackend:
    """One CUDA device."""

    def __init__(self, number: int, memory_gb: float | None = None, work: Work = "computing") -> None:
        LOST.refuse(f"cuda:{number}")
        self._memory_gb = memory_gb
        self.device = cuda_device(number, memory_gb, work)

    @property
    def name(self) -> str:
        """Return `cuda:N`."""
        return f"cuda:{self.device.number}"

    def for_reading(self) -> CudaBackend:
        """Return the same device with another stream."""
        return CudaBackend(self.device.number, self._memory_gb, "reading")

    @on_its_device
    def available_bytes(self) -> int | None:
        """Return how much of the device's memory is left or kept for the next movie, and not more than its cap."""
        return self.device.memory.free_bytes() + self.device.kept_bytes()

    def make_room(self, needed_bytes: int) -> None:
        """Do nothing: an allocation that does not fit beside what is kept gives it back."""

    @on_its_device
    def capacity_bytes(self) -> int | None:
        """Return the device's memory, or its cap."""
        return self.device.memory.capacity_bytes()

    @on_its_device
    def finish(self) -> None:
        """Wait until all that its stream was asked for is done."""
        self.device.stream.synchronize()

    def held_dtype(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """Return the number type in which frames are held: the movie's, but float32 for float16."""
        return np.dtype(np.float32) if dtype == np.float16 else dtype

    @on_its_device
    def hold(self, frame_count: int, height: int, width: int, dtype: np.dtype[Any]) -> CudaFrameStack:
        """Return an empty stack for that many frames."""
        held = self.held_dtype(dtype)
        frame_type(np.dtype(held))  # what cannot be summed is not read either
        return CudaFrameStack(self.device.memory.array(FRAMES, (frame_count, height, width), held), self.device)

    @on_its_device
    def upload(self, image: Image) -> DeviceImage:
        """Return an image of the device's own; the last one is kept."""
        return self.device.kept_image.on_device(image)

    @on_its_device
    def with_pixels(self, image: DeviceImage, pixels: NDArray[np.int64], values: NDArray[np.float32]) -> DeviceImage:
        """Return a copy of an image in which some pixels have other values."""
        return with_pixels(self.device, image, pixels, values)

    @on_its_device
    def filtered_sum(
        self,
        images: Sequence[DeviceImage],
        filters: NDArray[np.float32],
        output_shape: tuple[int, int],
        undamping: Undamping | None = None,
    ) -> DeviceImage:
        """Return the sum of the images, each filtered radially, Fourier-cropped."""
        return filtered_sum(self.device, images, filters, output_shape, undamping)

    @on_its_device
    def amplitudes(self, images: Sequence[DeviceImage], undampings: Sequence[Undamping]) -> Image:
        """Return the sum of the absolute values of the images' transforms."""
        return amplitudes(self.device, images, undampings)

    @on_its_device
    def bring_down(self, image: DeviceImage, *, float32: bool) -> ImageOnItsWay:
        """Send an image on its way to the machine's memory."""
        return bring_down(self.device, image, float32=float32)

    @on_its_device
    def reduced(self, image: DeviceImage, factors: tuple[int, int]) -> Image:
        """Return the means of boxes of an image."""
        return reduced(self.device, image, factors)

    @on_its_device
    def block_powers(self, image: DeviceImage, tiles: BlockTiles) -> BlockPowers:
        """Return the power spectra of an image's tiles, added up by block."""
        return block_powers(self.device, image, tiles)

    @on_its_device
    def stage_times(self) -> Mapping[str, StageTime]:
        """Return what each stage took on the device since this was asked last."""
        return self.device.timer.times()
