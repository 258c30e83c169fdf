"""Measures the counts of frames in boxes, on a CUDA device."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.box_moments import box_ends, moments_of_sums, row_step
from preprocess.backends.cuda.cuda_device import CudaDevice
from preprocess.backends.cuda.device import DeviceArray
from preprocess.backends.cuda.sources import frame_type, kernel


def box_moments(device: CudaDevice, frames: DeviceArray, boxes: int, rows: int) -> NDArray[np.float64]:
    """Return how many pixels of each box of frames (n, height, width) were looked at, their mean and variance."""
    count, height, width = frames.shape
    ends = [device.memory.upload("lists", box_ends(size, boxes), "i4") for size in (height, width)]
    sums = device.memory.array("results", (count, 3, boxes * boxes), "f8")
    step = row_step(height, rows)
    with device.timer.stage("defects", moved_bytes=frames.nbytes // step, flop=3 * frames.size // step):
        add_up = kernel("box_sums", "box_sums", FRAME=frame_type(frames.dtype))
        add_up((boxes * boxes, count), frames, *ends, sums, height, width, boxes, step)
    return moments_of_sums(sums.get())
