"""The one door to CuPy: who computes on a device imports `cupy` from here, and meets its failures in our words."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import cupy

from preprocess.errors import DeviceError, DeviceOutOfMemory

__all__ = ["DeviceArray", "cupy", "on_its_device", "require_device"]

DeviceArray = Any
"""An array of CuPy, which has no types."""

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class _OnDevice(Protocol):
    device: int


Owner = TypeVar("Owner", bound=_OnDevice)


def on_its_device(
    method: Callable[Concatenate[Owner, Parameters], Result],
) -> Callable[Concatenate[Owner, Parameters], Result]:
    """Run a method on its object's device; say in our words when the device has not enough memory or fails."""

    @functools.wraps(method)
    def guarded(self: Owner, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            with cupy.cuda.Device(self.device):
                return method(self, *args, **kwargs)
        except cupy.cuda.memory.OutOfMemoryError as error:
            cupy.get_default_memory_pool().free_all_blocks()
            raise DeviceOutOfMemory(f"cuda:{self.device} has not enough memory for this movie: {error}") from error
        except cupy.cuda.runtime.CUDARuntimeError as error:
            raise DeviceError(f"cuda:{self.device}: {error}") from error

    return guarded


def require_device(device: int) -> None:
    """Raise DeviceError unless that CUDA device answers."""
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise DeviceError(f"no CUDA device answers: {error}") from error
    if device >= count:
        raise DeviceError(f"there is no cuda:{device}; devices here: {count}")
