"""Filters sums radially and crops them in Fourier space, on a CUDA device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.contract import DeviceImage, Image, Undamping
from preprocess.backends.cuda.cuda_device import CudaDevice
from preprocess.backends.cuda.device import DeviceArray, cupy
from preprocess.backends.cuda.sources import blocks_over, kernel
from preprocess.backends.spectrum_layout import CORNER_FREQUENCY, undamping_of, whole_multiple

FLOP_A_COMPONENT = 20


def filtered_sum(
    device: CudaDevice,
    images: Sequence[DeviceImage],
    filters: NDArray[np.float32],
    output_shape: tuple[int, int],
    undamping: Undamping | None,
) -> DeviceArray:
    """Return the sum of the images, each filtered radially, Fourier-cropped; see the contract."""
    if output_shape == images[0].shape and np.all(filters == filters[:, :1]) and undamping is None:
        return _weighted_sum(device, images, filters[:, 0])
    (height, width), (rows, columns) = whole_multiple(images[0].shape, output_shape), output_shape
    half = columns // 2 + 1
    memory = device.memory
    transform = memory.array("transforms", (1, height, width // 2 + 1), "c8")
    total = memory.array("transforms", (1, rows, half), "c8")
    blocks = (blocks_over(half), rows)
    filtering = device.timer.stage(
        "filter",
        moved_bytes=len(images) * (4 * height * width + 2 * transform.nbytes + 2 * total.nbytes) + 4 * rows * columns,
        flop=len(images) * (int(2.5 * height * width * np.log2(height * width)) + FLOP_A_COMPONENT * total.size),
    )
    with filtering:
        add = kernel("filtering", "add_filtered", LAST_FREQUENCY=repr(CORNER_FREQUENCY))
        for number, (image, factors) in enumerate(zip(images, filters, strict=True)):
            device.transforms.forward(_cropped(device, image, height, width), transform)
            table = memory.upload("lists", factors, "f4")
            add(blocks, transform, total, table, len(factors), height, width, rows, half, number == 0)
        del transform
        along_y, along_x = (None, None)
        if undamping is not None:
            along_y, along_x = (
                memory.upload("lists", along) for along in undamping_of(undamping, (height, width), output_shape)
            )
        scale = 1 / (height * width)  # transforms do not divide, and pixels keep their mean
        kernel("filtering", "scale_spectrum")(blocks, total, scale, along_y, along_x, undamping is not None, half)
        image = memory.array("images", output_shape, "f4")
        device.transforms.backward(total, image[None])
    return image


def amplitudes(device: CudaDevice, images: Sequence[DeviceImage], undampings: Sequence[Undamping]) -> Image:
    """Return the sum of the absolute values of the images' half spectra, each undamped, over the number of pixels."""
    height, width = images[0].shape
    half, memory = width // 2 + 1, device.memory
    transform = memory.array("transforms", (1, height, half), "c8")
    total = memory.array("images", (height, half), "f4")
    moved = len(images) * (4 * height * width + 2 * transform.nbytes + 2 * total.nbytes)
    flop = len(images) * (int(2.5 * height * width * np.log2(height * width)) + FLOP_A_COMPONENT * height * half)
    with device.timer.stage("filter", moved_bytes=moved, flop=flop):
        for number, (image, undamping) in enumerate(zip(images, undampings, strict=True)):
            device.transforms.forward(_cropped(device, image, height, width), transform)
            along_y, along_x = (
                memory.upload("lists", along) for along in undamping_of(undamping, (height, width), (height, width))
            )
            kernel("filtering", "add_amplitudes")(
                (blocks_over(half), height), transform, total, 1 / (height * width), along_y, along_x, half, number == 0
            )
    found: Image = total.get()
    return found


def _cropped(device: CudaDevice, image: DeviceImage, height: int, width: int) -> DeviceArray:
    """Return an image's first rows and columns on the device, (1, height, width), contiguous."""
    there = image if isinstance(image, cupy.ndarray) else device.memory.upload("images", image, "f4")
    if there.shape == (height, width):
        return there[None]
    cropped = device.memory.array("images", (1, height, width), "f4")
    cropped[0] = there[:height, :width]
    return cropped


def _weighted_sum(device: CudaDevice, images: Sequence[DeviceImage], factors: NDArray[np.float32]) -> DeviceArray:
    """Return the sum of the images, each times its factor: no transform is needed for that."""
    height, width = images[0].shape
    total = device.memory.array("images", (height, width), "f4")
    for number, (image, factor) in enumerate(zip(images, factors.tolist(), strict=True)):
        added = _cropped(device, image, height, width)
        add_image = kernel("filtering", "add_image")
        add_image((blocks_over(total.size),), total, added, factor, int(total.size), number == 0)
    return total
