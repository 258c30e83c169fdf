"""What a CUDA device is: its name and kind, how fast it copies, and the peak of its memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np

from preprocess.backends.cuda.device import cupy

COPIED_BYTES = 2**29
"""Large enough that no cache holds it, small enough for any device."""
REPEATS = 8
LOOK_EVERY_S = 0.003


@dataclass(frozen=True, slots=True)
class CopyRates:
    """Bytes a second: `on_device` counts what is read and what is written, the others what crosses the bus."""

    on_device: float
    upload: float
    download: float


@dataclass(frozen=True, slots=True)
class DeviceDescription:
    """What a device is, and which CUDA the driver supports and CuPy was built for (as in `12.9`)."""

    name: str
    memory_bytes: int
    compute_capability: str
    driver: str
    runtime: str


def device_count() -> int:
    """Return how many devices this process may use."""
    return int(cupy.cuda.runtime.getDeviceCount())


def described(device: int) -> DeviceDescription:
    """Return what the driver says of a device."""
    runtime = cupy.cuda.runtime
    properties = runtime.getDeviceProperties(device)
    return DeviceDescription(
        name=device_name(device),
        memory_bytes=int(properties["totalGlobalMem"]),
        compute_capability=f"{properties['major']}.{properties['minor']}",
        driver=_version(runtime.driverGetVersion()),
        runtime=_version(runtime.runtimeGetVersion()),
    )


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def device_name(device: int) -> str:
    """Return what the driver calls a device."""
    name = cupy.cuda.runtime.getDeviceProperties(device)["name"]
    return name.decode() if isinstance(name, bytes) else str(name)


def copy_rates(device: int) -> CopyRates:
    """Measure how fast a device copies its own memory, and how fast pinned memory goes up and down; by events.

    Each rate is the best of several copies of half a gigabyte.
    """
    with cupy.cuda.Device(device):
        on_device, upload, download = _copy_seconds()
        cupy.get_default_memory_pool().free_all_blocks()  # what is measured next has the whole device
    return CopyRates(2 * COPIED_BYTES / on_device, COPIED_BYTES / upload, COPIED_BYTES / download)


def _copy_seconds() -> list[float]:
    """Return how long it takes on the current device to copy its memory, upwards, and downwards."""
    stream = cupy.cuda.get_current_stream()
    source, target = (cupy.zeros(COPIED_BYTES, np.uint8) for _ in range(2))
    pinned = np.frombuffer(cupy.cuda.alloc_pinned_memory(COPIED_BYTES), np.uint8, COPIED_BYTES)

    def on_device() -> None:
        cupy.copyto(target, source)

    def upload() -> None:
        target.set(pinned, stream=stream)

    def download() -> None:
        source.get(stream=stream, out=pinned)

    return [_best_seconds(copy) for copy in (on_device, upload, download)]


def _best_seconds(copy: Callable[[], None]) -> float:
    copy()  # the first one warms up
    took = []
    for _ in range(REPEATS):
        begin, end = cupy.cuda.Event(), cupy.cuda.Event()
        begin.record()
        copy()
        end.record()
        end.synchronize()
        took.append(float(cupy.cuda.get_elapsed_time(begin, end)) / 1e3)
    return min(took)


class MemoryPeak:
    """Watches, while it is entered, how much of a device's memory is taken, by whomever, every few milliseconds."""

    def __init__(self, device: int) -> None:
        self.highest_bytes = 0
        self.total_bytes = 0
        self._device = device
        self._ended = threading.Event()
        self._watching = threading.Thread(target=self._watch, name="memory-peak", daemon=True)

    def __enter__(self) -> Self:
        self._watching.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._ended.set()
        self._watching.join()

    def _watch(self) -> None:
        with cupy.cuda.Device(self._device):
            while True:
                ended = self._ended.wait(LOOK_EVERY_S)
                free, total = cupy.cuda.runtime.memGetInfo()
                self.total_bytes = int(total)
                self.highest_bytes = max(self.highest_bytes, int(total) - int(free))
                if ended:
                    return
