"""What a worker has of a CUDA device: its memory and timer, and two streams of work, each with plans and tables.

One movie is read while another is computed. On one stream, whoever of the two threads waits for a result would wait for
what the other one has asked for, too. So each has a stream, and what must not be used by two streams at a time.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from preprocess.backends.cuda.device import cupy, failures_named, require_device
from preprocess.backends.cuda.device_memory import DeviceMemory
from preprocess.backends.cuda.device_timer import DeviceTimer
from preprocess.backends.cuda.downloads import Downloads
from preprocess.backends.cuda.kept_image import KeptImage
from preprocess.backends.cuda.tables import Tables
from preprocess.backends.cuda.transforms import PLANS, Transforms

Work = Literal["computing", "reading"]


@functools.cache
def cuda_device(number: int, memory_gb: float | None = None, work: Work = "computing") -> CudaDevice:
    """Return this process' share of a device: one for each work, so that the next movie finds memory and plans ready.

    Parameters
    ----------
    number : int
        The device's number, from 0.
    memory_gb : float | None
        Most memory to take for all work, GB, beside what the driver keeps for itself; None: all that the device has.

    Raises
    ------
    DeviceError
        No such device answers, or it fails.
    """
    share = _device_share(number, memory_gb)
    with failures_named(f"cuda:{number}"), cupy.cuda.Device(number):
        device = CudaDevice(share, work)
    share.streams.append(device)
    return device


@functools.cache
def _device_share(number: int, memory_gb: float | None) -> DeviceShare:
    require_device(number)
    with failures_named(f"cuda:{number}"), cupy.cuda.Device(number):  # another user may have it alone
        return DeviceShare(number, memory_gb)


class DeviceShare:
    """What all work of this process on the current device has in common."""

    def __init__(self, number: int, memory_gb: float | None) -> None:
        self.number = number
        self.memory_gb = memory_gb
        self.memory = DeviceMemory(None if memory_gb is None else int(memory_gb * 1e9))
        self.memory.when_short = self._forget
        self.timer = DeviceTimer()
        self.downloads = Downloads(self.timer)
        self.streams: list[CudaDevice] = []

    def kept_bytes(self) -> int:
        """Return what would be given back where memory is short: work areas of plans, and the last images sent up."""
        return self.memory.used_bytes(PLANS) + sum(device.kept_image.nbytes for device in self.streams)

    def _forget(self) -> None:
        """Drop what is only kept for the next movie, tables aside."""
        for device in self.streams:
            device.transforms.forget()
            device.kept_image.forget()


class CudaDevice:
    """A process' share of the current device, and one stream of work on it."""

    def __init__(self, share: DeviceShare, work: Work) -> None:
        self._share = share
        self.work = work
        self.number, self.memory, self.timer, self.downloads = share.number, share.memory, share.timer, share.downloads
        self.stream = cupy.cuda.Stream()  # which waits for what others start on the default stream
        self.memory.streams.append(self.stream)
        self.transforms = Transforms(self.memory)
        self.tables = Tables(self.memory)
        self.kept_image = KeptImage(self.memory)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Make it the thread's device: what follows runs on its stream and takes its memory."""
        small = self.memory.allocator("small")
        with cupy.cuda.Device(self.number), self.stream, cupy.cuda.using_allocator(small):
            yield

    def for_computing(self) -> CudaDevice:
        """Return the same share of the device for computing."""
        return self if self.work == "computing" else cuda_device(self.number, self._share.memory_gb, "computing")

    def kept_bytes(self) -> int:
        """Return what would be given back where memory is short."""
        return self._share.kept_bytes()

    def give_back_idle(self) -> None:
        """Give back memory that is kept for later."""
        with cupy.cuda.Device(self.number):
            self.memory.give_back_idle()
