"""Chooses where to compute."""

from __future__ import annotations

import functools
import logging
import re

from preprocess.backends.compiled.available import kernel_trouble
from preprocess.backends.contract import Backend
from preprocess.errors import CupyMissing, DeviceError, DeviceLost
from preprocess.lost_devices import LOST

_log = logging.getLogger(__name__)


def choose_backend(device: str, threads: int = 0, memory_gb: float | None = None) -> Backend:
    """Return the backend for `auto`, `cpu` or `cuda:N`.

    Parameters
    ----------
    device : str
        `auto` takes the first CUDA device when CuPy is installed and a device answers, else the CPU.
    threads : int
        Threads of the CPU's backend; 0: every core that this process may use.
    memory_gb : float | None
        Most memory to take of a CUDA device, GB; None: all that it has.

    Raises
    ------
    DeviceError
        The device's name is not understood, CuPy is missing, or the device does not answer.
    """
    if device == "cpu":
        return _cpu(threads)
    number = re.fullmatch(r"cuda(?::(\d+))?", device)
    if device != "auto" and number is None:
        raise DeviceError(f"{device!r} is not a device", hint="Give auto, cpu, cuda:0, cuda:1, …")
    try:
        return _cuda(int(number[1] or 0) if number else 0, memory_gb)
    except DeviceError as error:
        if device != "auto":
            if isinstance(error, DeviceLost):
                LOST.note(device, str(error))
            raise
        if not isinstance(error, CupyMissing):
            _say_once(f"movies are aligned on the CPU, because the GPU cannot be used: {error}")
        return _cpu(threads)


def _cuda(number: int, memory_gb: float | None) -> Backend:
    try:
        from preprocess.backends.cuda.backend import CudaBackend  # noqa: PLC0415 - CuPy is an extra, and slow to import
    except ModuleNotFoundError as error:
        if error.name != "cupy":
            raise DeviceError(f"cuda:{number}: CuPy cannot be loaded: {error}") from error
        raise CupyMissing(f"cuda:{number}: CuPy is not installed") from error
    except (ImportError, OSError) as error:  # a library of CUDA is missing, or CuPy's folder cannot be made
        raise DeviceError(f"cuda:{number}: CuPy cannot be loaded: {error}") from error
    return CudaBackend(number, memory_gb)


@functools.cache
def _say_once(text: str) -> None:
    _log.warning("%s", text)


def _cpu(threads: int) -> Backend:
    if trouble := kernel_trouble():
        _say_once(f"{trouble.text}. {trouble.what_to_do}")
    from preprocess.backends.cpu.backend import CpuBackend  # noqa: PLC0415 - not needed with a GPU

    return CpuBackend(threads)
