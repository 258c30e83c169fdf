"""Gives single pixels of frames and images on a CUDA device other values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.cuda.cuda_device import CudaDevice
from preprocess.backends.cuda.device import DeviceArray
from preprocess.backends.cuda.device_memory import GAIN
from preprocess.backends.cuda.sources import blocks_over, frame_type, kernel
from preprocess.geometry.replacements import Replacements


def replace_pixels(device: CudaDevice, frames: DeviceArray, replacements: Replacements) -> None:
    """Let defect pixels of frames (n, height, width) have the values of others of their own frame."""
    count, most = replacements.sources.shape
    if not count:
        return
    tables = (replacements.targets, replacements.sources, replacements.counts, replacements.starts, replacements.steps)
    listed = [device.memory.upload("lists", table, "i4") for table in tables]
    replace = kernel("pixels", "replace_pixels", FRAME=frame_type(frames.dtype))
    replace((blocks_over(count), len(frames)), frames, *listed, count, most, frames[0].size)


def with_pixels(
    device: CudaDevice, image: DeviceArray, pixels: NDArray[np.int64], values: NDArray[np.float32]
) -> DeviceArray:
    """Return a copy of an image in which the pixels of these flat indices have these values."""
    changed = device.memory.array(GAIN, image.shape, "f4")
    changed[...] = image
    if pixels.size:
        listed, given = device.memory.upload("lists", pixels, "i4"), device.memory.upload("lists", values, "f4")
        kernel("pixels", "set_pixels")((blocks_over(len(pixels)),), changed, listed, given, len(pixels))
    return changed
