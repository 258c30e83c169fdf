"""Hands NumPy arrays to a library in C.

cffi checks the number type of every array, and that it lies in memory without gaps, before a kernel sees it. Kernels
run without Python's lock.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_POINTERS = {
    np.dtype(np.uint8): "uint8_t *",
    np.dtype(np.int8): "int8_t *",
    np.dtype(np.uint16): "uint16_t *",
    np.dtype(np.int16): "int16_t *",
    np.dtype(np.int32): "int32_t *",
    np.dtype(np.int64): "int64_t *",
    np.dtype(np.float16): "uint16_t *",
    np.dtype(np.float32): "float *",
    np.dtype(np.float64): "double *",
    np.dtype(np.complex64): "float *",
    np.dtype(np.complex128): "double *",
}


class KernelLibrary:
    """A library of kernels.

    Parameters
    ----------
    ffi, lib
        Of the extension, or of another library with the same functions that cffi loaded.
    """

    def __init__(self, ffi: Any, lib: Any) -> None:
        self.ffi = ffi
        self.lib = lib

    def at(self, array: Array) -> Any:
        """Return a pointer to an array's first element."""
        return self.ffi.from_buffer(_POINTERS[array.dtype], array) if array.size else self.ffi.NULL

    def gain(self, gain: Array, has_gain: bool) -> Any:
        """Return a pointer to a gain; NULL if there is none."""
        return self.at(gain) if has_gain else self.ffi.NULL

    def of_type(self, name: str, array: Array) -> Any:
        """Return the kernel for an array's number type, such as `name_u8`."""
        return getattr(self.lib, f"{name}_{array.dtype.kind}{8 * array.dtype.itemsize}")
