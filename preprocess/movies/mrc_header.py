"""What an MRC file's header says about its frames (MRC2014, with IMOD's flags for bytes and 4-bit data)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from preprocess.movies.packed_pixels import has_size_of_packed_frames

HEADER_BYTES = 1024

_IMOD_STAMP = 1146047817  # IMOD's mark at byte 152: its flags at byte 156 mean something
_IMOD_SIGNED_BYTES, _IMOD_4_BIT_IN_BYTES = 1, 16
_MODE_TYPES = {1: "i2", 2: "f4", 6: "u2", 12: "f2"}
_KNOWN_MODES = frozenset({0, 1, 2, 3, 4, 6, 12, 16, 101})
_LARGEST_SIDE_PX = 1 << 17
_LABEL_COUNT, _LABELS, _LABEL_BYTES = 220, 224, 80
_PACKED_LABEL = b"4 bits packed"


@dataclass(frozen=True, slots=True)
class MrcHeader:
    """The part of a header that is needed to read frames. `stored_dtype` has the file's byte order.

    `less` is what was subtracted from the counts so that they fit signed numbers. `meaning_known` is False where the
    header does not say whether integers are signed, so that only their values can tell.
    """

    width: int
    height: int
    frame_count: int
    mode: int
    packed_4_bit: bool
    stored_dtype: np.dtype[Any] | None  # None: a mode that is not read
    data_offset: int
    pixel_size_angstrom: float
    less: int = 0
    meaning_known: bool = True

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
    half_width = mode == 0 and (bool(imod_flags & _IMOD_4_BIT_IN_BYTES) or _is_labelled_packed(start, order))
    packed = mode == 101 or half_width
    is_signed = None if packed or mode != 0 else _bytes_are_signed(stamp, imod_flags, minimum, maximum)
    return MrcHeader(
        width=width * 2 if half_width else width,
        height=height,
        frame_count=frames,
        mode=mode,
        packed_4_bit=packed,
        stored_dtype=np.dtype("u1") if packed or mode == 0 else _stored_dtype(order, mode),
        data_offset=HEADER_BYTES + max(0, extended_bytes),
        pixel_size_angstrom=cell_x / grid_x if grid_x > 0 else 0.0,
        less=128 if is_signed else 0,
        meaning_known=packed or (mode != 1 and not (mode == 0 and is_signed is None)),
    )


def _stored_dtype(order: str, mode: int) -> np.dtype[Any] | None:
    return np.dtype(order + _MODE_TYPES[mode]) if mode in _MODE_TYPES else None


def _bytes_are_signed(stamp: int, imod_flags: int, minimum: float, maximum: float) -> bool | None:
    """Return whether bytes are counts less 128, as IMOD writes them; None where the header leaves it open.

    MRC2014 calls bytes signed, but cameras' programs write unsigned ones as well: without IMOD's stamp, only a range
    that signed bytes cannot have says something.
    """
    if stamp == _IMOD_STAMP:
        return bool(imod_flags & _IMOD_SIGNED_BYTES)
    return False if minimum >= 0 and 128 <= maximum <= 255 else None


def first_label(start: bytes) -> str:
    """Return the first label of a header: what wrote the file; empty if there is none."""
    (count,) = struct.unpack_from(_byte_order(start) + "i", start, _LABEL_COUNT)
    label = start[_LABELS : _LABELS + _LABEL_BYTES] if count > 0 else b""
    return label.decode("latin-1").strip("\0 ")


def _is_labelled_packed(start: bytes, order: str) -> bool:
    """Return whether the only label says that bytes hold two pixels each, as SerialEM's plugin writes it."""
    (count,) = struct.unpack_from(order + "i", start, _LABEL_COUNT)
    width, height = struct.unpack_from(order + "2i", start)
    labelled = count == 1 and _PACKED_LABEL in start[_LABELS : _LABELS + _LABEL_BYTES]
    return labelled and has_size_of_packed_frames(height, width)


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
