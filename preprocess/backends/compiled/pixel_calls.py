"""Calls the kernels in C that look for defects in a sum of frames."""

from __future__ import annotations

import numpy as np

from preprocess.backends.compiled.kernel_library import Array, KernelLibrary


class PixelCalls(KernelLibrary):
    """Kernels of `pixels.c`."""

    def list_between(
        self, raw: Array, gain: Array, has_gain: bool, good: Array, limits: tuple[float, float], rows: Array,
        firsts: Array, found: Array, start: int, stop: int,
    ) -> None:  # fmt: skip
        """Write the flat indices of the good pixels within limits; how many there are if `found` is empty."""
        at, line = self.at, np.empty(raw.shape[1], np.float32)
        self.lib.list_between(
            at(raw), self.gain(gain, has_gain), at(good), raw.shape[1], *limits, at(rows), at(firsts), at(found),
            at(line), start, stop,
        )  # fmt: skip

    def surroundings(
        self, raw: Array, gain: Array, has_gain: bool, good: Array, reach: int, pixels: Array, firsts: Array,
        around: Array, noise: Array, start: int, stop: int,
    ) -> None:  # fmt: skip
        """Write the mean around each of `pixels`, and each row's sum of noise."""
        at, (height, width) = self.at, raw.shape
        ring = np.empty((2 * reach + 1, width), np.float32)
        sums = np.empty(self.lib.surroundings_room(width, reach), np.float64)
        self.lib.surroundings(
            at(raw), self.gain(gain, has_gain), at(good), height, width, reach, at(pixels), at(firsts), at(around),
            at(noise), at(ring), at(sums), start, stop,
        )  # fmt: skip

    def mark_peaks(
        self, raw: Array, gain: Array, has_gain: bool, good: Array, variance: tuple[float, float], marks: Array,
        counts: Array, start: int, stop: int,
    ) -> None:  # fmt: skip
        """Mark the pixels that stand out from those 4 px away; `variance`: slope and floor."""
        at, ring = self.at, np.empty((9, raw.shape[1] + 8), np.float32)
        self.lib.mark_peaks(
            at(raw), self.gain(gain, has_gain), at(good), *raw.shape, *variance, at(marks), at(counts), at(ring),
            start, stop,
        )  # fmt: skip

    def cut_windows(
        self, raw: Array, gain: Array, has_gain: bool, good: Array, pixels: Array, reach: int, found: Array,
        start: int, stop: int,
    ) -> None:  # fmt: skip
        """Write the values around pixels, NaN where nothing good lies."""
        at = self.at
        self.lib.cut_windows(
            at(raw), self.gain(gain, has_gain), at(good), *raw.shape, at(pixels), reach, at(found), start, stop
        )  # fmt: skip
