"""The only module that imports CuPy: others import `cupy` from here. CuPy's failures are raised as our own errors."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import cupy

from preprocess.errors import DeviceError, DeviceOutOfMemory

__all__ = ["DeviceArray", "cupy", "on_its_device", "require_device"]

DeviceArray = Any
"""An array of CuPy, which has no types."""

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class _Device(Protocol):
    @property
    def number(self) -> int:
        """Return the device's number."""

    def entered(self) -> AbstractContextManager[None]:
        """Make it the thread's device, with its stream and its memory."""

    def give_back_idle(self) -> None:
        """Give back memory that is kept without being used."""


class _OnDevice(Protocol):
    @property
    def device(self) -> _Device:
        """Return where the object's arrays are."""


Owner = TypeVar("Owner", bound=_OnDevice)


def on_its_device(
    method: Callable[Concatenate[Owner, Parameters], Result],
) -> Callable[Concatenate[Owner, Parameters], Result]:
    """Run a method on its object's device; say in our words when the device has not enough memory or fails."""

    @functools.wraps(method)
    def guarded(self: Owner, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        name = f"cuda:{self.device.number}"
        try:
            with self.device.entered():
                return method(self, *args, **kwargs)
        except cupy.cuda.memory.OutOfMemoryError as error:
            traceback.clear_frames(error.__traceback__)  # whose arrays would live as long as the error
            self.device.give_back_idle()
            raise DeviceOutOfMemory(f"{name} has not enough memory for this movie: {error}") from error
        except cupy.cuda.runtime.CUDARuntimeError as error:
            raise DeviceError(f"{name}: {error}") from error

    return guarded


def require_device(number: int) -> None:
    """Raise DeviceError unless that CUDA device answers."""
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise DeviceError(f"no CUDA device answers: {error}") from error
    if number >= count:
        raise DeviceError(f"there is no cuda:{number}; devices here: {count}")
