"""What an MRC file's header says about its frames (MRC2014, with IMOD's flags for bytes and 4-bit data)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

HEADER_BYTES = 1024

_IMOD_STAMP = 1146047817  # IMOD's mark at byte 152: its flags at byte 156 mean something
_IMOD_SIGNED_BYTES, _IMOD_4_BIT_IN_BYTES = 1, 16
_MODE_TYPES = {1: "i2", 2: "f4", 6: "u2", 12: "f2"}
_KNOWN_MODES = frozenset({0, 1, 2, 3, 4, 6, 12, 16, 101})
_LARGEST_SIDE_PX = 1 << 17


@dataclass(frozen=True, slots=True)
class MrcHeader:
    """The part of a header that is needed to read frames. `stored_dtype` has the file's byte order."""

    width: int
    height: int
    frame_count: int
    mode: int
    packed_4_bit: bool
    stored_dtype: np.dtype[Any] | None  # None: a mode that is not read
    data_offset: int
    pixel_size_angstrom: float

    @property
    def row_bytes(self) -> int:
        """Return a row's bytes in the file; rows of 4-bit values begin on whole bytes."""
        if self.packed_4_bit:
            return (self.width + 1) // 2
        return self.width * (self.stored_dtype.itemsize if self.stored_dtype else _complex_bytes(self.mode))

    @property
    def frame_bytes(self) -> int:
        """Return a frame's bytes in the file."""
        return self.row_bytes * self.height


def is_mrc(start: bytes) -> bool:
    """Tell whether a file that begins with these bytes can be an MRC: the mark `MAP`, or a believable old header."""
    if len(start) < HEADER_BYTES:
        return start[208:212] == b"MAP "
    width, height, frames, mode = struct.unpack_from(_byte_order(start) + "4i", start)
    sides_believable = 0 < width <= _LARGEST_SIDE_PX and 0 < height <= _LARGEST_SIDE_PX and frames >= 0
    return start[208:212] == b"MAP " or (sides_believable and mode in _KNOWN_MODES)


def read_mrc_header(start: bytes) -> MrcHeader:
    """Return the header in the first 1024 bytes of a file."""
    order = _byte_order(start)
    width, height, frames, mode = struct.unpack_from(order + "4i", start)
    (grid_x,) = struct.unpack_from(order + "i", start, 28)
    (cell_x,) = struct.unpack_from(order + "f", start, 40)
    minimum, maximum = struct.unpack_from(order + "2f", start, 76)
    (extended_bytes,) = struct.unpack_from(order + "i", start, 92)
    stamp, flags = struct.unpack_from(order + "2i", start, 152)
    imod_flags = flags if stamp == _IMOD_STAMP else 0
    half_width = mode == 0 and bool(imod_flags & _IMOD_4_BIT_IN_BYTES)
    packed = mode == 101 or half_width
    return MrcHeader(
        width=width * 2 if half_width else width,
        height=height,
        frame_count=frames,
        mode=mode,
        packed_4_bit=packed,
        stored_dtype=np.dtype("u1") if packed else _stored_dtype(order, mode, stamp, imod_flags, minimum, maximum),
        data_offset=HEADER_BYTES + max(0, extended_bytes),
        pixel_size_angstrom=cell_x / grid_x if grid_x > 0 else 0.0,
    )


def _stored_dtype(
    order: str, mode: int, stamp: int, imod_flags: int, minimum: float, maximum: float
) -> np.dtype[Any] | None:
    """Return the values' type. Bytes are signed by MRC2014; IMOD's flag, or values beyond 127, say otherwise."""
    if mode != 0:
        return np.dtype(order + _MODE_TYPES[mode]) if mode in _MODE_TYPES else None
    if stamp == _IMOD_STAMP:
        return np.dtype("i1" if imod_flags & _IMOD_SIGNED_BYTES else "u1")
    return np.dtype("u1" if minimum >= 0 and 128 <= maximum <= 255 else "i1")


def _byte_order(start: bytes) -> str:
    """Return the byte order: by the machine stamp, else by the one that gives a believable mode."""
    if start[212:214] == b"\x11\x11":
        return ">"
    if start[212:213] == b"\x44":
        return "<"
    (mode,) = struct.unpack_from("<i", start, 12)
    return "<" if 0 <= mode < 256 else ">"


def _complex_bytes(mode: int) -> int:
    return {3: 4, 4: 8, 16: 3}.get(mode, 1)
