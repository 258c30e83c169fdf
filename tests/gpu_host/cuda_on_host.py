"""Runs the CUDA backend on the host: its real classes and kernels, over the stand-in for CuPy."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cupy_on_host
import kernels_on_host
import pytest
from queues_on_host import AT_ONCE

from preprocess.lost_devices import LOST

OURS = "preprocess.backends.cuda"
FLAGS = {
    "usual": kernels_on_host.USUAL,
    "backwards": kernels_on_host.USUAL + kernels_on_host.BACKWARDS,
    "ahead": kernels_on_host.USUAL + kernels_on_host.AHEAD,
    "ahead backwards": kernels_on_host.USUAL + kernels_on_host.AHEAD + kernels_on_host.BACKWARDS,
    "sanitized": kernels_on_host.SANITIZED,
    "races": kernels_on_host.RACES,
}


@dataclass(frozen=True, slots=True)
class CudaOnHost:
    """The CUDA package as it was imported over the stand-in."""

    cupy: Any
    device: cupy_on_host.HostDevice

    def module(self, name: str) -> Any:
        """Return one of the package's modules, such as `backend`."""
        return importlib.import_module(f"{OURS}.{name}")

    def backend(self, memory_gb: float | None = None) -> Any:
        """Return a backend on that device."""
        return self.module("backend").CudaBackend(0, memory_gb)


@contextmanager
def cuda_on_host(
    device_bytes: int = cupy_on_host.DEVICE_BYTES,
    kernels: str | None = None,
    *,
    dry: bool = False,
    order: str = AT_ONCE,
) -> Iterator[CudaOnHost]:
    """Import the CUDA package over the stand-in for CuPy; afterwards both are as if they had never been there.

    Parameters
    ----------
    device_bytes : int
        Memory of the device.
    kernels : str | None
        How kernels are compiled: `usual`, `backwards` (threads take turns from the last to the first), `ahead` (each
        thread goes on until it waits at a barrier before the next one starts, which shows where one is missing),
        `ahead backwards`, `sanitized`, `races` (each thread is one of the host's, under ThreadSanitizer); None: as
        CRYOFERRY_HOST_KERNELS says, else as usual.
    dry : bool
        Memory is counted and nothing computed.
    order : str
        In which order the work of streams is done: at once, or one of `queues_on_host.ORDERS`.
    """
    if kernels_on_host.compiler() is None and not dry:
        pytest.skip("no C++ compiler: kernels cannot be run on the host (Debian: apt-get install g++)")
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if _concerned(name)}
    device = cupy_on_host.HostDevice(device_bytes, dry=dry, order=order)
    device.flags = FLAGS[kernels or os.environ.get("CRYOFERRY_HOST_KERNELS", "usual")]
    cupy_on_host.device = device
    cupy_on_host._pool = cupy_on_host.MemoryPool()
    stand_in = cupy_on_host.module()
    sys.modules["cupy"] = stand_in
    try:
        yield CudaOnHost(stand_in, device)
    finally:
        LOST.forget()
        for name in [name for name in sys.modules if _concerned(name)]:
            del sys.modules[name]
        sys.modules.update(before)


def _concerned(name: str) -> bool:
    return name in {"cupy", OURS} or name.startswith((f"{OURS}.", "cupy."))
