"""Calls the kernels in C for the transforms of frames and patches."""

from __future__ import annotations

import numpy as np

from preprocess.backends.compiled.kernel_library import Array, KernelLibrary


class SpectrumCalls(KernelLibrary):
    """Kernels of `spectra.c`, `splitting.c`, `patches.c` and `filtering.c`."""

    def taper_frame(self, image: Array, mean: float, rows: Array, columns: Array, start: int, stop: int) -> None:
        """Remove the mean and soften the edges, in place."""
        self.lib.taper_frame(self.at(image), image.shape[1], mean, self.at(rows), self.at(columns), start, stop)

    def sum_spectra(
        self, spectra: Array, rows: Array, columns: Array, rings: Array, width: int, total: Array, by_row: Array,
        start: int, stop: int,
    ) -> None:  # fmt: skip
        """Sum phase-shifted spectra into `total`; their ring powers and the sum's into `by_row`."""
        at, sums = self.at, np.empty(3 * spectra.shape[2], np.float32)
        self.lib.sum_spectra(
            at(spectra), *spectra.shape, at(rows), at(columns), at(rings), width, at(total), at(by_row),
            by_row.shape[2], at(sums), start, stop,
        )  # fmt: skip

    def derivatives(
        self, spectra: Array, total: Array, rows: Array, columns: Array, rings: Array, weights: Array, width: int,
        by_row: Array, start: int, stop: int,
    ) -> None:  # fmt: skip
        """Write gradient y, x and Hessian yy, xx, yx of each row's part of the cross-correlation."""
        at, room = self.at, np.empty(4 * spectra.shape[2] + 64, np.float32)
        self.lib.derivatives(
            at(spectra), *spectra.shape, at(total), at(rows), at(columns), at(rings), at(weights), width, at(by_row),
            at(room), start, stop,
        )  # fmt: skip

    def cut_patches(
        self, binned: Array, tops: Array, lefts: Array, rows: Array, columns: Array, patches: Array, start: int,
        stop: int,
    ) -> None:  # fmt: skip
        """Copy windows of an image into `patches`, their means removed, their edges softened."""
        at = self.at
        self.lib.cut_patches(
            at(binned), binned.shape[1], at(tops), at(lefts), at(rows), at(columns), at(patches), *patches.shape[1:],
            start, stop,
        )  # fmt: skip

    def keep_lowest(
        self, transforms: Array, t: int, count: int, kept: Array, planes: Array, start: int, stop: int
    ) -> None:
        """Copy the lowest rows of patches' transforms into frame t of their `planes`."""
        at = self.at
        self.lib.keep_lowest(
            at(transforms), *transforms.shape[1:], t, at(planes), planes.shape[1], at(kept), len(kept), count,
            start, stop,
        )  # fmt: skip

    def measure_patches(
        self, planes: Array, kept: Array, wanted: Array, shifts: Array, rings: Array, extents: Array, weights: Array,
        width: int, powers: Array, gradient: Array, hessian: Array, start: int, stop: int,
    ) -> None:  # fmt: skip
        """Measure patches wanted[start:stop]."""
        at, count, (height, half) = self.at, len(shifts), rings.shape
        room = np.empty(self.lib.patches_room(count, height, half), np.float32)
        self.lib.measure_patches(
            at(planes), height, count, at(kept), planes.shape[1], half, at(wanted), len(wanted), at(shifts), at(rings),
            at(extents), at(weights), width, at(powers), powers.shape[2], at(gradient), at(hessian), at(room), start,
            stop,
        )  # fmt: skip

    def add_filtered(
        self, transform: Array, height: int, width: int, factors: Array, last_frequency: float, total: Array,
        start: int, stop: int,
    ) -> None:  # fmt: skip
        """Add the lowest frequencies of a transform, filtered radially, to `total`."""
        self.lib.add_filtered(
            self.at(transform), transform.shape[1], height, width, self.at(factors), len(factors), last_frequency,
            self.at(total), *total.shape, start, stop,
        )  # fmt: skip

    def split_spectra(
        self, spectra: Array, fixed: Array, rows: Array, columns: Array, levels: Array, rings: Array, looked_at: Array,
        powers: Array, width: int, take_off: bool, by_row: Array, start: int, stop: int,
    ) -> None:  # fmt: skip
        """Split rows of spectra into the part that is fixed to the camera and the one that moves."""
        at, room = self.at, np.empty(12 * spectra.shape[2], np.float64)
        self.lib.split_spectra(
            at(spectra), *spectra.shape, at(fixed), at(rows), at(columns), at(levels), at(rings), at(looked_at),
            at(powers), powers.shape[1], width, take_off, at(by_row), at(room), start, stop,
        )  # fmt: skip
