"""Calls the kernels in C that read a movie's frames."""

from __future__ import annotations

import numpy as np

from preprocess.backends.compiled.kernel_library import Array, KernelLibrary


class FrameCalls(KernelLibrary):
    """Kernels of `lzw.c`, `frames.c` and `warp.c`."""

    def decode_strips(self, block: Array, begins: Array, counts: Array, image: Array, strip_bytes: int) -> int:
        """Decode strips of TIFF's LZW into their places; return the first corrupt strip's index, or -1."""
        at = self.at
        return int(
            self.lib.decode_strips(at(block), at(begins), at(counts), len(begins), at(image), image.size, strip_bytes)
        )

    def raw_sum(self, frames: Array, total: Array, start: int, stop: int) -> None:
        """Sum frames into `total`, exact for integers."""
        self.of_type("raw_sum", frames)(self.at(frames), *frames.shape, self.at(total), start, stop)

    def bin_frame(
        self, frame: Array, gain: Array, has_gain: bool, factor: int, binned: Array, start: int, stop: int
    ) -> None:
        """Add up boxes of `factor` by `factor` px, gain applied, into `binned`."""
        width = binned.shape[1]
        columns = np.empty(width * factor, np.float32)
        self.of_type("bin_frame", frame)(
            self.at(frame), frame.shape[1], self.gain(gain, has_gain), factor, self.at(binned), width,
            self.at(columns), start, stop,
        )  # fmt: skip

    def warp_and_sum(
        self, frames: Array, gain: Array, has_gain: bool, field_y: Array, field_x: Array, piece: int, weights: Array,
        taps: Array, sums: Array, start: int, stop: int,
    ) -> None:  # fmt: skip
        """Add frames, displacements undone, into weighted sums."""
        at = self.at
        room = np.empty(self.lib.warp_room(len(frames), len(sums)), np.float32)
        self.of_type("warp_and_sum", frames)(
            at(frames), *frames.shape, self.gain(gain, has_gain), at(field_y), at(field_x), piece, at(weights),
            len(sums), at(taps), len(taps), at(sums), at(room), start, stop,
        )  # fmt: skip

    def box_sums(
        self, frames: Array, row_ends: Array, column_ends: Array, step: int, sums: Array, start: int, stop: int
    ) -> None:
        """Add up boxes of frames: pixels, values and their squares."""
        at = self.at
        self.of_type("box_sums", frames)(
            at(frames), *frames.shape[1:], at(row_ends), at(column_ends), len(column_ends) - 1, step, at(sums), start,
            stop,
        )  # fmt: skip

    def replace_pixels(
        self, frames: Array, targets: Array, sources: Array, counts: Array, starts: Array, steps: Array, start: int,
        stop: int,
    ) -> None:  # fmt: skip
        """Copy good pixels over defects in frames start to stop."""
        at = self.at
        self.of_type("replace_pixels", frames)(
            at(frames), frames.shape[1], at(targets), len(targets), at(sources), sources.shape[1], at(counts),
            at(starts), at(steps), start, stop,
        )  # fmt: skip
