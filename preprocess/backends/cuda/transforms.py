"""Batched Fourier transforms of images on a CUDA device, their plans kept for the next movie of the same size."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import numpy as np

from preprocess.backends.cuda.device import NO_MEMORY, DeviceArray, cupy
from preprocess.backends.cuda.device_memory import DeviceMemory

PLANS = "plans"
"""What the work areas take memory for."""
MOST_PLANS = 8
"""Plans that are kept; each holds a work area about as large as its images."""


class Transforms:
    """Transforms of one device."""

    def __init__(self, memory: DeviceMemory) -> None:
        self._memory = memory
        self._plans: OrderedDict[tuple[int, tuple[int, int], int], Any] = OrderedDict()
        self._lock = threading.Lock()

    def forward(self, images: DeviceArray, transforms: DeviceArray) -> None:
        """Transform images (n, height, width), float32, into (n, height, width // 2 + 1), complex64."""
        self._run(cupy.cuda.cufft.CUFFT_R2C, images, transforms, images.shape)

    def backward(self, transforms: DeviceArray, images: DeviceArray) -> None:
        """Transform back, without dividing by the number of pixels; what `transforms` held is lost."""
        self._run(cupy.cuda.cufft.CUFFT_C2R, transforms, images, images.shape)

    def forget(self) -> None:
        """Drop all plans, and with them their work areas."""
        with self._lock:
            self._plans.clear()

    def _run(self, kind: int, given: DeviceArray, made: DeviceArray, shape: tuple[int, int, int]) -> None:
        forward = kind == cupy.cuda.cufft.CUFFT_R2C
        direction = cupy.cuda.cufft.CUFFT_FORWARD if forward else cupy.cuda.cufft.CUFFT_INVERSE
        plan = self._plan(kind, shape)
        with self._lock:  # a plan serves one thread at a time
            plan.fft(given, made, direction)

    def _plan(self, kind: int, shape: tuple[int, int, int]) -> Any:
        key = (kind, shape[1:], shape[0])
        with self._lock:
            if key in self._plans:
                self._plans.move_to_end(key)
                return self._plans[key]
        plan = self._new_plan(*key)
        with self._lock:
            self._plans[key] = plan
            while len(self._plans) > MOST_PLANS:
                self._plans.popitem(last=False)
        return plan

    def _new_plan(self, kind: int, shape: tuple[int, int], count: int) -> Any:
        last = shape[1] // 2 + 1 if kind == cupy.cuda.cufft.CUFFT_R2C else shape[1]
        try:
            with cupy.cuda.using_allocator(self._memory.allocator(PLANS)):
                return cupy.cuda.cufft.PlanNd(shape, None, 1, 0, None, 1, 0, kind, count, "C", 1, last)
        except cupy.cuda.cufft.CuFFTError as error:
            if error.result != NO_MEMORY:
                raise
            size = 8 * count * int(np.prod(shape))  # of the work area; cuFFT does not report how much it wanted
            raise cupy.cuda.memory.OutOfMemoryError(size, self._memory.taken_bytes()) from error
