"""What thumbnails are drawn from, on a CUDA device: means of boxes."""

from __future__ import annotations

from preprocess.backends.contract import Image
from preprocess.backends.cuda.cuda_device import CudaDevice
from preprocess.backends.cuda.device import DeviceArray
from preprocess.backends.cuda.sources import blocks_over, kernel


def reduced(device: CudaDevice, image: DeviceArray, factors: tuple[int, int]) -> Image:
    """Return the means of boxes of an image."""
    height, width = (int(size) for size in image.shape)
    rows, columns = blocks_over(height, factors[0]), blocks_over(width, factors[1])
    means = device.memory.array("results", (rows, columns), "f4")
    with device.timer.stage("pictures", moved_bytes=image.nbytes, flop=image.size):
        reduce_boxes = kernel("boxes", "reduce_boxes")
        reduce_boxes((blocks_over(columns), rows), image, means, height, width, *factors, columns)
    return means.get()  # type: ignore[no-any-return]  # CuPy has no types
