"""One CUDA device as a backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.contract import DeviceImage, Image, StageTime, Undamping
from preprocess.backends.cuda.cuda_device import cuda_device
from preprocess.backends.cuda.device import on_its_device
from preprocess.backends.cuda.filtering import filtered_sum
from preprocess.backends.cuda.sources import frame_type
from preprocess.backends.cuda.stack import CudaFrameStack


class CudaBackend:
    """One CUDA device."""

    def __init__(self, number: int, memory_gb: float | None = None) -> None:
        self.device = cuda_device(number, memory_gb)

    @property
    def name(self) -> str:
        """Return `cuda:N`."""
        return f"cuda:{self.device.number}"

    @on_its_device
    def available_bytes(self) -> int | None:
        """Return how much of the device's memory is left, and not more than its cap."""
        return self.device.memory.free_bytes()

    @on_its_device
    def finish(self) -> None:
        """Wait until all that this thread has asked for is done."""
        self.device.stream.synchronize()

    @on_its_device
    def hold(self, frame_count: int, height: int, width: int, dtype: np.dtype[Any]) -> CudaFrameStack:
        """Return an empty stack for that many frames."""
        held = np.dtype(np.float32) if dtype == np.float16 else dtype
        frame_type(np.dtype(held))  # what cannot be summed is not read either
        return CudaFrameStack(self.device.memory.array("frames", (frame_count, height, width), held), self.device)

    @on_its_device
    def filtered_sum(
        self,
        images: Sequence[DeviceImage],
        filters: NDArray[np.float32],
        output_shape: tuple[int, int],
        undamping: Undamping | None = None,
    ) -> Image:
        """Return the sum of the images, each filtered radially, Fourier-cropped."""
        return filtered_sum(images, filters, output_shape, undamping)

    @on_its_device
    def stage_times(self) -> Mapping[str, StageTime]:
        """Return what each stage took on the device since this was asked last."""
        return self.device.clock.times()
