"""Calls the kernels in C with NumPy arrays.

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
    np.dtype(np.int64): "int64_t *",
    np.dtype(np.float32): "float *",
    np.dtype(np.float64): "double *",
    np.dtype(np.complex64): "float *",
    np.dtype(np.complex128): "double *",
}


class KernelCalls:
    """Kernels of a library: each method takes what numba's kernel of its name takes, and does the same.

    Parameters
    ----------
    ffi, lib
        Of the extension, or of another library with the same functions that cffi loaded.
    """

    def __init__(self, ffi: Any, lib: Any) -> None:
        self._ffi = ffi
        self._lib = lib

    def _at(self, array: Array) -> Any:
        """Return a pointer to an array's first element."""
        return self._ffi.from_buffer(_POINTERS[array.dtype], array) if array.size else self._ffi.NULL

    def _gain(self, gain: Array, has_gain: bool) -> Any:
        return self._at(gain) if has_gain else self._ffi.NULL

    def _of_type(self, name: str, array: Array) -> Any:
        """Return the kernel for an array's number type, such as `name_u8`."""
        return getattr(self._lib, f"{name}_{array.dtype.kind}{8 * array.dtype.itemsize}")

    def warp_and_sum(
        self, frames: Array, gain: Array, has_gain: bool, field_y: Array, field_x: Array, piece: int, weights: Array,
        taps: Array, sums: Array, start: int, stop: int,
    ) -> None:  # fmt: skip
        """Add frames, displacements undone, into weighted sums."""
        at = self._at
        room = np.empty(self._lib.warp_room(len(frames), len(sums)), np.float32)
        self._of_type("warp_and_sum", frames)(
            at(frames), *frames.shape, self._gain(gain, has_gain), at(field_y), at(field_x), piece, at(weights),
            len(sums), at(taps), len(taps), at(sums), at(room), start, stop,
        )  # fmt: skip
