"""How brightly places of the field are lit, and the weight that makes noise equal there.

Counts scatter by the root of their number. Where parts of the field are much darker than others, behind a grid bar or
outside of the beam, frames divided by the root of the brightness have the same noise everywhere: then each place counts
for what it knows, and a bright edge is less steep.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.contract import FrameStack, Image

BOXES, LEAST_BOX_PX = 64, 8
USUAL = 0.35
"""Natural logarithm of brightness: places that differ less from most of the field are left as they are."""
DARKEST = 1e-3


def illumination_weight(stack: FrameStack) -> Image | None:
    """Return the weight of each pixel; None if the whole field is lit about the same."""
    height, width = stack.frame_shape
    boxes = min(BOXES, min(height, width) // LEAST_BOX_PX)
    if boxes < 2:
        return None
    moments = stack.box_moments(boxes, height)
    levels = _smoothed(moments[:, 1].mean(0).reshape(boxes, boxes))
    usual = float(np.median(levels))
    if usual <= 0 or levels.min() < 0:
        return None
    unusual = np.log(np.maximum(levels, DARKEST * usual) / usual)
    unusual = np.sign(unusual) * np.maximum(np.abs(unusual) - USUAL, 0)
    if not unusual.any():
        return None
    return np.exp(-_enlarged(unusual, height, width) / 2).astype(np.float32)


def _smoothed(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the boxes averaged with their neighbours (1, 2, 1 along each axis)."""
    for axis in (0, 1):
        ends = np.concatenate([boxes.take([0], axis), boxes, boxes.take([-1], axis)], axis)
        count = boxes.shape[axis]
        before, after = ends.take(range(count), axis), ends.take(range(2, count + 2), axis)
        boxes = (before + 2 * boxes + after) / 4
    return boxes


def _enlarged(boxes: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """Return an image of boxes, interpolated linearly between their middles."""
    rows, columns = (
        (np.arange(size) + 0.5) * count / size - 0.5 for size, count in zip((height, width), boxes.shape, strict=True)
    )
    below = np.stack([np.interp(columns, np.arange(boxes.shape[1]), row) for row in boxes])
    first = np.clip(np.floor(rows), 0, boxes.shape[0] - 2).astype(np.int64)
    share = np.clip(rows - first, 0, 1)[:, None]
    enlarged: NDArray[np.float64] = below[first] * (1 - share) + below[first + 1] * share
    return enlarged
