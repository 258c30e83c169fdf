"""The middle of an image: large enough to judge it by, small enough to be quick."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray


def centre_slices(height: int, width: int, side: int) -> tuple[slice, slice]:
    """Return the rows and columns of an image's middle, at most `side` px high and wide.

    Its centre is the image's own, whichever way the image is turned.
    """
    trim_y, trim_x = (max(0, (size - side + 1) // 2) for size in (height, width))
    return slice(trim_y, height - trim_y), slice(trim_x, width - trim_x)


def centre_of(image: NDArray[Any], side: int) -> NDArray[Any]:
    """Return an image's middle."""
    height, width = image.shape
    return image[centre_slices(height, width, side)]
