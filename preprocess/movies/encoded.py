"""A movie's frames as they lie in its file, for those who decode them elsewhere than on the CPU.

A movie that only the CPU can decode has no such description.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Compression = Literal["none", "lzw", "deflate"]


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """Where a frame's strips lie, and what they become.

    Attributes
    ----------
    offsets, counts : NDArray[np.int64]
        Each strip's place in the file, and its bytes there.
    decoded : NDArray[np.int64]
        The bytes that each strip becomes; strips follow each other in the image.
    """

    offsets: NDArray[np.int64]
    counts: NDArray[np.int64]
    decoded: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class EncodedFrames:
    """All frames of a TIFF or MRC movie.

    Attributes
    ----------
    stored_dtype : np.dtype[Any]
        Number type in the file's byte order.
    row_bytes : int
        Bytes of a decoded row.
    differences : bool
        Each pixel is stored as its difference from the one before in its row (TIFF's predictor 2).
    flipped : bool
        The last row comes first.
    packed_4_bit : bool
        Two pixels a byte, the low half first.
    """

    frames: tuple[EncodedFrame, ...]
    compression: Compression
    stored_dtype: np.dtype[Any]
    row_bytes: int
    differences: bool
    flipped: bool
    packed_4_bit: bool


@dataclass(frozen=True, slots=True)
class EncodedHardwareFrame:
    """An EER hardware frame: its strips are one run of codes.

    Attributes
    ----------
    bits : tuple[int, int, int]
        Of a code: the run of empty pixels, the electron's place inside the pixel along x, and along y.
    """

    offsets: NDArray[np.int64]
    counts: NDArray[np.int64]
    bits: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class EncodedEvents:
    """All hardware frames of an EER movie, those that fill no frame left out.

    Attributes
    ----------
    upsampling : int
        Pixels of a frame for each of the camera's, along each axis.
    """

    hardware_frames: tuple[EncodedHardwareFrame, ...]
    hardware_frames_per_frame: int
    upsampling: int


Encoded = EncodedFrames | EncodedEvents


def strip_sizes(strip_count: int, strip_bytes: int, image_bytes: int) -> NDArray[np.int64]:
    """Return the bytes that each strip of an image becomes: `strip_bytes`, the last one what is left."""
    sizes = np.full(strip_count, strip_bytes, np.int64)
    sizes[-1] = image_bytes - (strip_count - 1) * strip_bytes
    return sizes


def events_are_decoded_anywhere(bits: tuple[int, int, int], height: int, width: int, upsampling: int) -> bool:
    """Tell whether codes of these bits are read at all for frames of that size; errors for others are the CPU's."""
    skip, across, down = bits
    if not (4 <= skip < 15 and 0 < across < 5 and 0 < down < 5 and 8 < sum(bits) < 17):
        return False
    return upsampling == 1 or (height % (1 << down) == 0 and width % (1 << across) == 0)
