"""The only module that imports CuPy: others import `cupy` from here. CuPy's failures are raised as our own errors.

CuPy raises what the runtime, the driver, the compiler and cuFFT answer as classes that have no base in common. Of their
statuses only that of an allocation leaves the device usable. After every other one the context of this process may be
dead: that is noted in `preprocess.lost_devices`, and the device is asked for nothing any more.
"""

from __future__ import annotations

import functools
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from preprocess.errors import DeviceError, DeviceLost, DeviceOutOfMemory, KernelNotCompiled
from preprocess.kept_code import KERNELS_VARIABLE, kept_kernels
from preprocess.lost_devices import LOST

if "cupy" not in sys.modules and (_folder := kept_kernels().folder):
    os.environ[KERNELS_VARIABLE] = str(_folder)  # CuPy makes its folder when it is imported, and fails if it cannot
import cupy

__all__ = ["CUDA_FAILURES", "NO_MEMORY", "DeviceArray", "cupy", "failures_named", "on_its_device", "require_device"]

DeviceArray = Any
"""An array of CuPy, which has no types."""

NO_MEMORY = 2
"""The status of an allocation that failed, for the runtime, the driver and cuFFT alike."""
_OUT_OF_MEMORY: type[Exception] = cupy.cuda.memory.OutOfMemoryError
_WITH_STATUS: tuple[type[Exception], ...] = (
    cupy.cuda.runtime.CUDARuntimeError,
    cupy.cuda.driver.CUDADriverError,  # kernels are launched through the driver
    cupy.cuda.cufft.CuFFTError,  # looked up now: CuPy loads cuFFT at this moment, and a movie must not be the first
)
_OF_COMPILER: tuple[type[Exception], ...] = (cupy.cuda.nvrtc.NVRTCError, cupy.cuda.compiler.CompileException)
CUDA_FAILURES = (_OUT_OF_MEMORY, *_WITH_STATUS, *_OF_COMPILER)
"""All that CuPy raises where CUDA or its libraries fail."""
_MOST_TEXT = 500

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


@contextmanager
def failures_named(name: str, give_back_idle: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Raise what CuPy raises inside as our own errors.

    Parameters
    ----------
    name : str
        The device, as messages name it.
    give_back_idle : Callable[[], None]
        Called where memory did not suffice.

    Raises
    ------
    DeviceOutOfMemory
        An allocation failed.
    KernelNotCompiled
        The compiler refused a kernel.
    DeviceLost
        Anything else failed, now or before.
    """
    LOST.refuse(name)
    try:
        yield
    except CUDA_FAILURES as error:
        raise _as_ours(name, error, give_back_idle) from error


def _as_ours(name: str, error: Exception, give_back_idle: Callable[[], None]) -> DeviceError:
    if isinstance(error, _OF_COMPILER):
        return KernelNotCompiled(f"{name}: the GPU code cannot be compiled: {_text(error)}")
    if isinstance(error, _OUT_OF_MEMORY) or _status(error) == NO_MEMORY:
        traceback.clear_frames(error.__traceback__)  # whose arrays would live as long as the error
        try:
            give_back_idle()
        except _WITH_STATUS as worse:
            return _lost(name, worse)
        return DeviceOutOfMemory(f"{name} has not enough memory for this movie: {_text(error)}")
    return _lost(name, error)


def _lost(name: str, error: Exception) -> DeviceLost:
    LOST.note(name, _text(error))
    return DeviceLost(f"{name} failed: {_text(error)}")


def _status(error: Exception) -> int | None:
    """Return what CUDA answered; cuFFT's errors have another name for it."""
    status: int | None = getattr(error, "status", getattr(error, "result", None))
    return status


def _text(error: Exception) -> str:
    """Return what an error says, on one line; a compiler says much."""
    text = " ".join((str(error) or type(error).__name__).split())
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}…"


def on_its_device(
    method: Callable[Concatenate[Owner, Parameters], Result],
) -> Callable[Concatenate[Owner, Parameters], Result]:
    """Run a method on its object's device; say in our words when the device has not enough memory or fails."""

    @functools.wraps(method)
    def guarded(self: Owner, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        device = self.device
        with failures_named(f"cuda:{device.number}", device.give_back_idle), device.entered():
            return method(self, *args, **kwargs)

    return guarded


def require_device(number: int) -> None:
    """Make sure that a CUDA device answers.

    Raises
    ------
    DeviceLost
        None answers now; a new process may find them later, this one asks in vain.
    DeviceError
        There are devices, and that one is not among them.
    """
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except _WITH_STATUS as error:
        raise DeviceLost(f"no CUDA device answers: {error}") from error
    if number >= count:
        raise DeviceError(f"there is no cuda:{number}; devices here: {count}")
