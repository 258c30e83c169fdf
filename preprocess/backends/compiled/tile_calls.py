"""Calls the kernels in C for the spectra of an image's tiles."""

from __future__ import annotations

import numpy as np

from preprocess.backends.compiled.kernel_library import Array, KernelLibrary


class TileCalls(KernelLibrary):
    """Kernels of `tiles.c`."""

    def cut_rows(
        self, image: Array, first: int, left: int, bin_factor: int, level: float, reach: float, window: Array,
        rows: Array, statistics: Array,
    ) -> None:  # fmt: skip
        """Cut parts of rows out of an image, less `level`, clipped at `reach`, times the window."""
        at, binned = self.at, np.empty(window.size, np.float32)
        self.lib.cut_rows(
            at(image), image.shape[1], first, left, bin_factor, level, reach, at(window), window.size, at(rows),
            len(rows), at(statistics), statistics.shape[1], at(binned),
        )  # fmt: skip

    def keep_columns(self, transforms: Array, first: int, columns: Array) -> None:
        """Copy the first columns of some rows' transforms, transposed."""
        self.lib.keep_columns(self.at(transforms), *transforms.shape, first, self.at(columns), *columns.shape)

    def cut_columns(self, columns: Array, top: int, window: Array, factor: float, cut: Array) -> None:
        """Cut a tile's rows out of some columns, times the window and a factor."""
        at = self.at
        self.lib.cut_columns(at(columns), columns.shape[1], top, at(window), factor, at(cut), *cut.shape)

    def add_column_powers(self, transforms: Array, powers: Array) -> None:
        """Add the powers of some columns to `powers`, from row -r to r."""
        self.lib.add_column_powers(self.at(transforms), transforms.shape[1], self.at(powers), *powers.shape)
