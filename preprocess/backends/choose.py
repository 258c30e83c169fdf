"""Chooses where to compute."""

from __future__ import annotations

import re

from preprocess.backends.contract import Backend
from preprocess.errors import DeviceError


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
        from preprocess.backends.cuda.backend import CudaBackend  # noqa: PLC0415 - CuPy is an extra, and slow to import

        return CudaBackend(int(number[1] or 0) if number else 0, memory_gb)
    except ImportError as error:
        if device == "auto":
            return _cpu(threads)
        raise DeviceError(
            f"{device}: CuPy is not installed",
            hint="Install cryoferry[cuda12] or cryoferry[cuda13], whichever the driver supports, or use --device cpu.",
        ) from error
    except DeviceError:
        if device == "auto":
            return _cpu(threads)
        raise


def _cpu(threads: int) -> Backend:
    from preprocess.backends.cpu.backend import CpuBackend  # noqa: PLC0415 - numba is slow to import

    return CpuBackend(threads)
