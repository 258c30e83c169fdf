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

    def measure_patches(
        self, planes: Array, wanted: Array, shifts: Array, rings: Array, extents: Array, weights: Array, width: int,
        powers: Array, gradient: Array, hessian: Array, start: int, stop: int,
    ) -> None:  # fmt: skip
        """Measure patches wanted[start:stop]."""
        at, (_, height, count, _, half) = self._at, planes.shape
        room = np.empty(self._lib.patches_room(count, height, half), np.float32)
        self._lib.measure_patches(
            at(planes), height, count, half, at(wanted), len(wanted), at(shifts), at(rings), at(extents), at(weights),
            width, at(powers), powers.shape[2], at(gradient), at(hessian), at(room), start, stop,
        )  # fmt: skip

    def add_filtered(
        self, transform: Array, height: int, width: int, factors: Array, last_frequency: float, total: Array,
        start: int, stop: int,
    ) -> None:  # fmt: skip
        """Add the lowest frequencies of a transform, filtered radially, to `total`."""
        self._lib.add_filtered(
            self._at(transform), transform.shape[1], height, width, self._at(factors), len(factors), last_frequency,
            self._at(total), *total.shape, start, stop,
        )  # fmt: skip

    def raw_sum(self, frames: Array, total: Array, start: int, stop: int) -> None:
        """Sum frames into `total`, exact for integers."""
        self._of_type("raw_sum", frames)(self._at(frames), *frames.shape, self._at(total), start, stop)

    def bin_frame(
        self, frame: Array, gain: Array, has_gain: bool, factor: int, binned: Array, start: int, stop: int
    ) -> None:
        """Add up boxes of `factor` by `factor` px, gain applied, into `binned`."""
        width = binned.shape[1]
        columns = np.empty(width * factor, np.float32)
        self._of_type("bin_frame", frame)(
            self._at(frame), frame.shape[1], self._gain(gain, has_gain), factor, self._at(binned), width,
            self._at(columns), start, stop,
        )  # fmt: skip

    def decode_strips(self, block: Array, begins: Array, counts: Array, image: Array, strip_bytes: int) -> int:
        """Decode strips of TIFF's LZW into their places; return the first corrupt strip's index, or -1."""
        at = self._at
        return int(
            self._lib.decode_strips(at(block), at(begins), at(counts), len(begins), at(image), image.size, strip_bytes)
        )

    def taper_frame(self, image: Array, mean: float, rows: Array, columns: Array, start: int, stop: int) -> None:
        """Remove the mean and soften the edges, in place."""
        self._lib.taper_frame(self._at(image), image.shape[1], mean, self._at(rows), self._at(columns), start, stop)

    def sum_spectra(
        self, spectra: Array, rows: Array, columns: Array, rings: Array, width: int, total: Array, by_row: Array,
        start: int, stop: int,
    ) -> None:  # fmt: skip
        """Sum phase-shifted spectra into `total`; their ring powers and the sum's into `by_row`."""
        at, sums = self._at, np.empty(3 * spectra.shape[2], np.float32)
        self._lib.sum_spectra(
            at(spectra), *spectra.shape, at(rows), at(columns), at(rings), width, at(total), at(by_row),
            by_row.shape[2], at(sums), start, stop,
        )  # fmt: skip

    def derivatives(
        self, spectra: Array, total: Array, rows: Array, columns: Array, rings: Array, weights: Array, width: int,
        by_row: Array, start: int, stop: int,
    ) -> None:  # fmt: skip
        """Write gradient y, x and Hessian yy, xx, yx of each row's part of the cross-correlation."""
        at, room = self._at, np.empty(4 * spectra.shape[2] + 64, np.float32)
        self._lib.derivatives(
            at(spectra), *spectra.shape, at(total), at(rows), at(columns), at(rings), at(weights), width, at(by_row),
            at(room), start, stop,
        )  # fmt: skip

    def cut_patches(
        self, binned: Array, tops: Array, lefts: Array, rows: Array, columns: Array, patches: Array, start: int,
        stop: int,
    ) -> None:  # fmt: skip
        """Copy windows of an image into `patches`, their means removed, their edges softened."""
        at = self._at
        self._lib.cut_patches(
            at(binned), binned.shape[1], at(tops), at(lefts), at(rows), at(columns), at(patches), *patches.shape[1:],
            start, stop,
        )  # fmt: skip

    def keep_lowest(self, transform: Array, t: int, planes: Array) -> None:
        """Copy the lowest rows of a patch's transform into frame t of its `planes`."""
        rows, count, _, half = planes.shape
        self._lib.keep_lowest(self._at(transform), *transform.shape, t, self._at(planes), rows, count, half)

    def believe_in_gain(self, gain: Array, good: Array, start: int, stop: int) -> None:
        """Believe in all pixels of a gain greater than zero."""
        self._lib.believe_in_gain(self._at(gain), good.shape[1], self._at(good), start, stop)

    def sum_statistics(
        self, raw: Array, gain: Array, has_gain: bool, good: Array, rows: Array, statistics: Array, start: int,
        stop: int,
    ) -> None:  # fmt: skip
        """Write the statistics of rows[start:stop] into `statistics`."""
        at, line = self._at, np.empty(raw.shape[1], np.float32)
        self._lib.sum_statistics(
            at(raw), self._gain(gain, has_gain), at(good), *raw.shape, at(rows), at(statistics), at(line), start, stop
        )

    def image_statistics(self, image: Array, statistics: Array, start: int, stop: int) -> None:
        """Write the statistics of rows of an image into `statistics`, which may be some columns of a larger array."""
        apart = statistics.strides[0] // statistics.itemsize
        self._lib.image_statistics(self._at(image), image.shape[1], self._at(statistics[0]), apart, start, stop)

    def add_image(self, image: Array, factor: float, total: Array, is_first: bool, start: int, stop: int) -> None:
        """Add an image, times a factor, to `total`, which the first one sets."""
        self._lib.add_image(self._at(image), factor, self._at(total), total.shape[1], is_first, start, stop)
