"""What thumbnails are drawn from, on the CPU: means of boxes."""

from __future__ import annotations

import numpy as np

from preprocess.backends.contract import Image
from preprocess.backends.cpu.row_threads import RowThreads


def reduced(image: Image, factors: tuple[int, int], threads: RowThreads) -> Image:
    """Return the means of boxes of an image."""
    means = np.empty((-(-image.shape[0] // factors[0]), -(-image.shape[1] // factors[1])), np.float32)
    threads.run(threads.kernels.reduce_boxes, image, factors, means, rows=len(means))
    return means
