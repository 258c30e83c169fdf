"""Calls the kernels in C for whole images."""

from __future__ import annotations

import numpy as np

from preprocess.backends.compiled.kernel_library import Array, KernelLibrary


class ImageCalls(KernelLibrary):
    """Kernels of `images.c`."""

    def believe_in_gain(self, gain: Array, good: Array, start: int, stop: int) -> None:
        """Believe in all pixels of a gain greater than zero."""
        self.lib.believe_in_gain(self.at(gain), good.shape[1], self.at(good), start, stop)

    def sum_statistics(
        self, raw: Array, gain: Array, has_gain: bool, good: Array, rows: Array, statistics: Array, start: int,
        stop: int,
    ) -> None:  # fmt: skip
        """Write the statistics of rows[start:stop] into `statistics`."""
        at, line = self.at, np.empty(raw.shape[1], np.float32)
        self.lib.sum_statistics(
            at(raw), self.gain(gain, has_gain), at(good), *raw.shape, at(rows), at(statistics), at(line), start, stop
        )

    def image_statistics(self, image: Array, statistics: Array, start: int, stop: int) -> None:
        """Write the statistics of rows of an image into `statistics`, which may be some columns of a larger array."""
        apart = statistics.strides[0] // statistics.itemsize
        self.lib.image_statistics(self.at(image), image.shape[1], self.at(statistics[0]), apart, start, stop)

    def add_image(self, image: Array, factor: float, total: Array, is_first: bool, start: int, stop: int) -> None:
        """Add an image, times a factor, to `total`, which the first one sets."""
        self.lib.add_image(self.at(image), factor, self.at(total), total.shape[1], is_first, start, stop)

    def reduce_boxes(self, image: Array, factors: tuple[int, int], means: Array, start: int, stop: int) -> None:
        """Write the means of boxes of an image."""
        self.lib.reduce_boxes(
            self.at(image), *image.shape, *factors, self.at(means), means.shape[1], start, stop
        )  # fmt: skip
