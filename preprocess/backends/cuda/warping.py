"""Sums frames on a CUDA device with their displacements undone."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.contract import DeviceImage
from preprocess.backends.cuda.cuda_device import CudaDevice
from preprocess.backends.cuda.device import DeviceArray, cupy
from preprocess.backends.cuda.sources import blocks_over, frame_type, kernel
from preprocess.geometry.field import MOST_DEGREE, DisplacementField

MOST_SUMS = 16
"""Sums that one pass over the frames accumulates; more take several."""
TILES = ((16, 64), (64, 16))
"""Rows and columns of the tiles of which a block makes one: the wider ones, else those for steeper displacements."""

SPARE_BYTES = 2**22
"""Kept free of sums: what they are made by, such as the field's coefficients, has to be somewhere."""


def warped_sums(
    device: CudaDevice,
    frames: DeviceArray,
    gain: DeviceArray | None,
    field: DisplacementField,
    weights: NDArray[np.float32],
) -> Sequence[DeviceImage]:
    """Return weighted sums of frames (n, height, width); `weights` has shape (sums, n).

    As many sums as fit the device's memory are made in one pass over the frames. When not all of them fit,
    those made go to the host, and are NumPy arrays; then the frames are passed over again.
    """
    images: list[DeviceImage] = []
    remaining = weights
    while len(remaining):
        sums = _room_for(device, min(len(remaining), MOST_SUMS), frames.shape[1:])
        if not sums:
            if not any(isinstance(image, cupy.ndarray) for image in images):
                raise cupy.cuda.memory.OutOfMemoryError(4 * frames[0].size, device.memory.taken_bytes())
            images = [cupy.asnumpy(image) for image in images]
            continue
        _accumulate(device, frames, gain, field, remaining[: len(sums)], sums)
        remaining = remaining[len(sums) :]
        images += sums
        del sums
    return images


def _room_for(device: CudaDevice, count: int, shape: tuple[int, int]) -> list[DeviceArray]:
    """Return up to `count` images, float32; fewer where no more, and a little spare memory, fit the device."""
    held: list[DeviceArray] = []
    with suppress(cupy.cuda.memory.OutOfMemoryError):
        held.append(device.memory.array("spare", (SPARE_BYTES,), "u1"))
        while len(held) <= count:
            held.append(device.memory.array("images", shape, "f4"))
    return held[1:]


def _accumulate(
    device: CudaDevice,
    frames: DeviceArray,
    gain: DeviceArray | None,
    field: DisplacementField,
    weights: NDArray[np.float32],
    sums: list[DeviceArray],
) -> None:
    """Accumulate all `sums` in one pass."""
    count, height, width = frames.shape
    piece = field.columns_at_once(width)
    tile = next((tile for tile in TILES if tile[1] <= piece), None)
    rows, columns = tile or TILES[-1]
    memory, taps = device.memory, device.tables.lanczos_taps()
    field_y, field_x = (memory.upload("phases", powers, "f8") for powers in field.by_powers())
    warp = kernel(
        "warp",
        "warp_pixels" if tile is None else "warp_tiles",
        FRAME=frame_type(frames.dtype),
        SUMS=len(sums),
        POWERS=MOST_DEGREE + 1,
        TILE_ROWS=rows,
        TILE_COLUMNS=columns,
    )
    blocks = (blocks_over(width), height) if tile is None else (blocks_over(width, columns), blocks_over(height, rows))
    pixels = frames.size
    moved = frames.nbytes + (0 if gain is None else gain.nbytes) + sum(image.nbytes for image in sums)
    with device.timer.stage("warp", moved_bytes=moved, flop=pixels * (2 * 13 + 2 * len(sums))):
        warp(
            blocks,
            frames,
            sums[0] if gain is None else gain,
            gain is not None,
            field_y,
            field_x,
            memory.upload("phases", weights.T, "f4"),
            taps,
            memory.upload("phases", np.array([image.data.ptr for image in sums], np.uint64)),
            count,
            height,
            width,
            len(taps),
            piece,
        )
