"""What a worker has of a CUDA device: its memory, its stream, its plans of transforms, its tables, its timer."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager

from preprocess.backends.cuda.device import cupy, failures_named, require_device
from preprocess.backends.cuda.device_memory import DeviceMemory
from preprocess.backends.cuda.device_timer import DeviceTimer
from preprocess.backends.cuda.downloads import Downloads
from preprocess.backends.cuda.kept_image import KeptImage
from preprocess.backends.cuda.tables import Tables
from preprocess.backends.cuda.transforms import PLANS, Transforms


@functools.cache
def cuda_device(number: int, memory_gb: float | None = None) -> CudaDevice:
    """Return this process' share of a device: one, so that the next movie finds memory, plans and tables ready."""
    return CudaDevice(number, memory_gb)


class CudaDevice:
    """One worker's share of one device.

    Parameters
    ----------
    number : int
        The device's number, from 0.
    memory_gb : float | None
        Most memory to take, GB, beside what the driver keeps for itself; None: all that the device has.

    Raises
    ------
    DeviceError
        No such device answers, or it fails.
    """

    def __init__(self, number: int, memory_gb: float | None = None) -> None:
        require_device(number)
        self.number = number
        with failures_named(f"cuda:{number}"):
            self._begin(memory_gb)

    def _begin(self, memory_gb: float | None) -> None:
        """Begin to use the device: another user may have it alone, or it may not answer."""
        number = self.number
        with cupy.cuda.Device(number):
            self.stream = cupy.cuda.Stream()  # which waits for what others start on the default stream
            self.memory = DeviceMemory(None if memory_gb is None else int(memory_gb * 1e9))
        self.transforms = Transforms(self.memory)
        self.tables = Tables(self.memory)
        self.timer = DeviceTimer()
        self.kept_image = KeptImage(self.memory)
        self.memory.when_short = self._forget
        with cupy.cuda.Device(number):
            self.downloads = Downloads(self.stream, self.timer)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Make it the thread's device: what follows runs on its stream and takes its memory."""
        small = self.memory.allocator("small")
        with cupy.cuda.Device(self.number), self.stream, cupy.cuda.using_allocator(small):
            yield

    def kept_bytes(self) -> int:
        """Return what `_forget` would give back: work areas of plans, and the last image."""
        return self.memory.used_bytes(PLANS) + self.kept_image.nbytes

    def _forget(self) -> None:
        """Drop what is only kept for the next movie, tables aside."""
        self.transforms.forget()
        self.kept_image.forget()

    def give_back_idle(self) -> None:
        """Give back memory that is kept for later."""
        with cupy.cuda.Device(self.number):
            self.memory.give_back_idle()
