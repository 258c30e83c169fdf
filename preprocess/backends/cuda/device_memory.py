"""A device's memory: taken by purpose, under one cap, without falling to pieces over thousands of movies."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from preprocess.backends.cuda.device import DeviceArray, cupy

TRANSFORMED_BYTES = 2**28
"""What images that are transformed together take, unless one alone takes more: the same on every device."""
SCRATCH_BYTES = 2**30
"""What one step of decoding takes at most for what it does not keep."""
PART_OF_FREE = 0.5
"""The part of the free memory that such a step takes; the rest is for what it needs besides."""


FRAMES, GAIN = "frames", "gain"
HANDED_OVER = frozenset({FRAMES, GAIN})
"""Purposes whose arrays are made on one stream and used on another."""
PAGEABLE_MEMORY_ACCESS = 88
"""CUDA's number for the attribute that says whether a device reads memory of the host that is not pinned."""


class DeviceMemory:
    """Memory of the current device.

    Each purpose has a pool of its own, which hands out again what came back: the frames of the next movie lie where
    those of the last one did, and no small array ever cuts a large piece in two. A piece comes back when nothing refers
    to its arrays any more. The cap holds for all purposes together; before anything is refused, what lies idle in any
    of them is given back to the device (which waits for all streams: so does CUDA, whenever memory is freed).

    CuPy's pools hand out again on a stream what was taken on that stream, whoever gave it back: another stream may
    still be at work on it. So whoever takes memory for a purpose of `HANDED_OVER` lets its stream wait for all that the
    others were asked for until then. All other memory is used on the stream on which it was taken alone, or kept until
    an event says that the other stream is through.

    Parameters
    ----------
    limit_bytes : int | None
        The cap; None: all that the device has.
    """

    def __init__(self, limit_bytes: int | None) -> None:
        self.limit_bytes = limit_bytes
        self._reads_pageable = bool(
            cupy.cuda.runtime.deviceGetAttribute(PAGEABLE_MEMORY_ACCESS, cupy.cuda.runtime.getDevice())
        )
        self.when_short: Callable[[], None] = lambda: None
        self.streams: list[Any] = []
        self._pools: dict[str, Any] = {}
        self._lock = threading.Lock()

    def array(self, purpose: str, shape: tuple[int, ...], dtype: DTypeLike) -> DeviceArray:
        """Return an array whose contents are anything.

        Raises
        ------
        cupy.cuda.memory.OutOfMemoryError
            The cap or the device's memory is reached.
        """
        dtype = np.dtype(dtype)
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        made = cupy.ndarray(shape, dtype, self.allocator(purpose)(size))
        if purpose in HANDED_OVER:
            self._wait_for_other_streams()
        return made

    def upload(self, purpose: str, array: NDArray[Any], dtype: DTypeLike | None = None) -> DeviceArray:
        """Return a copy of an array of the host."""
        plain = np.ascontiguousarray(array, dtype)
        there = self.array(purpose, plain.shape, plain.dtype)
        self.fill(there, plain)
        return there

    def fill(self, there: DeviceArray, plain: NDArray[Any]) -> None:
        """Copy an array of the host, which may be a temporary one, into one of its shape and type.

        A device that reads the host's memory by itself (Grace Hopper; Linux with HMM) may do so later than `set`
        returns, when a temporary array is gone: there it is waited for.
        """
        there.set(plain)
        if self._reads_pageable:
            cupy.cuda.get_current_stream().synchronize()

    def _wait_for_other_streams(self) -> None:
        """Let the current stream wait for whatever was asked of the others before memory was taken."""
        current = cupy.cuda.get_current_stream()
        for stream in self.streams:
            if stream is not current:
                current.wait_event(stream.record(cupy.cuda.Event(disable_timing=True)))

    def allocator(self, purpose: str) -> Callable[[int], Any]:
        """Return what CuPy calls to get memory for this purpose."""
        with self._lock:
            if purpose not in self._pools:
                self._pools[purpose] = cupy.cuda.MemoryPool(self._allocate)
            allocator: Callable[[int], Any] = self._pools[purpose].malloc
            return allocator

    def taken_bytes(self) -> int:
        """Return how much is taken of the device, used or idle."""
        return sum(int(pool.total_bytes()) for pool in self._all_pools())

    def used_bytes(self, purpose: str) -> int:
        """Return how much is in use for one purpose."""
        with self._lock:
            pool = self._pools.get(purpose)
        return 0 if pool is None else int(pool.used_bytes())

    def capacity_bytes(self) -> int:
        """Return how much could be taken if nobody else took any."""
        _, total = cupy.cuda.runtime.memGetInfo()
        return int(total) if self.limit_bytes is None else min(int(total), self.limit_bytes)

    def free_bytes(self) -> int:
        """Return how much may still be used."""
        idle = sum(pool.free_bytes() for pool in self._all_pools())
        free, _ = cupy.cuda.runtime.memGetInfo()
        if self.limit_bytes is not None:
            free = min(free, self.limit_bytes - self.taken_bytes())
        return max(0, int(free + idle))

    def at_once(self, wanted: int, bytes_each: int) -> int:
        """Return how many things of a size, `wanted` at most and 1 at least, one step of the work should do."""
        usable_bytes = min(SCRATCH_BYTES, int(PART_OF_FREE * self.free_bytes()))
        return max(1, min(wanted, usable_bytes // max(1, bytes_each)))

    def give_back_idle(self) -> None:
        """Give back to the device what nothing refers to."""
        self.when_short()
        for pool in self._all_pools():
            pool.free_all_blocks()

    def _all_pools(self) -> list[Any]:
        with self._lock:
            return list(self._pools.values())

    def _allocate(self, size: int) -> Any:
        """Return new memory for a pool, which has counted it already."""
        if not self._fits():
            self.give_back_idle()
            if not self._fits():
                raise cupy.cuda.memory.OutOfMemoryError(size, self.taken_bytes() - size, self.limit_bytes)
        try:
            return cupy.cuda.MemoryPointer(cupy.cuda.Memory(size), 0)
        except cupy.cuda.runtime.CUDARuntimeError:
            self.give_back_idle()
            return cupy.cuda.MemoryPointer(cupy.cuda.Memory(size), 0)

    def _fits(self) -> bool:
        return self.limit_bytes is None or self.taken_bytes() <= self.limit_bytes


def in_batches(count: int, bytes_each: int, step: Callable[[int, int], None]) -> None:
    """Do `count` things in steps of a size that follows from these numbers alone, never from the memory that is free.

    A transform of so many images need not give the same bits as one of more or fewer: the library plans each number by
    itself. The last step begins early enough to have the others' size, and does again what the one before has done: so
    one plan serves all of them.

    Parameters
    ----------
    bytes_each : int
        Memory that a thing takes while it is worked on.
    step : Callable[[int, int], None]
        Does the things from one index, up to another; what it allocates comes back when it returns.
    """
    size = max(1, min(count, TRANSFORMED_BYTES // max(1, bytes_each)))
    for start in range(0, count, size):
        first = min(start, count - size)
        step(first, first + size)
