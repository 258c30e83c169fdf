"""Two pixels of 4 bits in each byte, the low half first: how SerialEM saves super-resolution frames of K2 and K3.

A TIFF file does not say so: it claims frames of bytes, half as wide. IMOD and RELION know such frames by their size,
which no camera has; here their values must agree.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_WHOLE_FRAMES = ((7676, 7420), (7680, 7424), (11520, 8184))
"""Super-resolution frames of K2, whole and padded, and of K3, either side first."""
_TOLERANCE_PX = 2
_ONLY_RELION = frozenset({(5760, 8184), (4092, 11520), (3710, 7676), (3838, 7420)})
"""Height and width of frames that RELION takes for packed ones lying on their side."""
_SECOND_PIXEL_SHARE = 0.1


def has_size_of_packed_frames(height: int, width: int) -> bool:
    """Tell whether frames of bytes have a size that only packed frames have, by IMOD's or RELION's rule."""
    return (height, width) in _ONLY_RELION or any(
        abs(width - across / 2) <= _TOLERANCE_PX and abs(height - down) <= _TOLERANCE_PX
        for one, other in _WHOLE_FRAMES
        for across, down in ((one, other), (other, one))
    )


def hold_second_pixels(values: NDArray[np.uint8]) -> bool:
    """Tell whether the high halves of bytes can be pixels as the low halves are: both count the same beam."""
    first, second = float((values & 15).mean()), float((values >> 4).mean())
    return second > _SECOND_PIXEL_SHARE * first or first == 0


def unpacked(packed: NDArray[Any], width: int) -> NDArray[np.uint8]:
    """Return two values for each byte, the low half first."""
    values = np.empty((packed.shape[0], packed.shape[1] * 2), np.uint8)
    np.bitwise_and(packed, 15, out=values[:, 0::2])
    np.right_shift(packed, 4, out=values[:, 1::2])
    return values if values.shape[1] == width else np.ascontiguousarray(values[:, :width])
