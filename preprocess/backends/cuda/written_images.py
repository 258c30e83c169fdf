"""Images of a CUDA device in the number type that is written, with their statistics, on their way down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from preprocess.backends.contract import DeviceImage
from preprocess.backends.cuda.cuda_device import CudaDevice
from preprocess.backends.cuda.device import DeviceArray, cupy, on_its_device
from preprocess.backends.cuda.sources import THREADS_A_BLOCK, blocks_over, kernel
from preprocess.backends.row_statistics import FLOAT16_LARGEST, LANES, STATISTICS_PER_ROW, RowStatistics
from preprocess.images import PixelStatistics

ROWS_A_BLOCK = THREADS_A_BLOCK // LANES


@dataclass(frozen=True, slots=True)
class ImageOnItsWay:
    """An image whose copy to the machine's memory was asked for."""

    statistics: PixelStatistics
    beyond_float16: bool
    device: CudaDevice
    arriving: NDArray[Any]
    there: Any

    @on_its_device
    def pixels(self) -> NDArray[Any]:
        """Return it when all of it is there."""
        self.device.downloads.wait_for(self.there)
        return self.arriving


def bring_down(device: CudaDevice, image: DeviceImage, *, float32: bool) -> ImageOnItsWay:
    """Send an image down as float16, unless float32 is asked for or a value is beyond float16's range.

    Whether one is decides what is sent, and so this waits until the image is made.
    """
    memory = device.memory
    image = image if isinstance(image, cupy.ndarray) else memory.upload("images", image, "f4")
    if float32:
        return _send(device, image, np.float32, _statistics(device, image))
    height, width = image.shape
    written = memory.array("half images", (height, width), "u2")
    rows = memory.array("results", (2, STATISTICS_PER_ROW, height), "f8")
    with device.timer.stage("convert", moved_bytes=image.nbytes + written.nbytes, flop=12 * image.size):
        kernel("statistics", "write_half")((blocks_over(height, ROWS_A_BLOCK),), image, written, *rows, height, width)
    as_written, before = (RowStatistics(each, width).whole() for each in rows.get())
    if max(before.highest, -before.lowest) > FLOAT16_LARGEST:
        return _send(device, image, np.float32, before, beyond_float16=True)
    return _send(device, written, np.float16, as_written)


def _statistics(device: CudaDevice, image: DeviceArray) -> PixelStatistics:
    height, width = image.shape
    rows = device.memory.array("results", (STATISTICS_PER_ROW, height), "f8")
    with device.timer.stage("convert", moved_bytes=image.nbytes, flop=6 * image.size):
        kernel("statistics", "image_statistics")((blocks_over(height, ROWS_A_BLOCK),), image, rows, height, width)
    return RowStatistics(rows.get(), width).whole()


def _send(
    device: CudaDevice,
    image: DeviceArray,
    dtype: DTypeLike,
    statistics: PixelStatistics,
    *,
    beyond_float16: bool = False,
) -> ImageOnItsWay:
    return ImageOnItsWay(statistics, beyond_float16, device, *device.downloads.begin(image, dtype))
