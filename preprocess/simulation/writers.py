"""Write frames as TIFF and MRC movies, and gain references, as cameras do.

Frames come in the orientation in which `open_movie` hands them out; TIFF files are written upside down for that.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
from numpy.typing import NDArray

from preprocess.simulation.dm4_writer import write_dm4

_HEADER_BYTES = 1024
_MODES: dict[int, np.dtype[Any]] = {
    0: np.dtype("i1"),
    1: np.dtype("<i2"),
    2: np.dtype("<f4"),
    6: np.dtype("<u2"),
    12: np.dtype("<f2"),
    101: np.dtype("u1"),
}


def write_tiff(
    path: Path,
    frames: Iterable[NDArray[Any]],
    *,
    pixel_size_angstrom: float | None = None,
    compression: Literal["lzw", "deflate", "none"] = "lzw",
    rows_per_strip: int | None = None,
) -> None:
    """Write frames (height, width) in their own number type, a page each; without `rows_per_strip` one strip each."""
    resolution = None if pixel_size_angstrom is None else (1e8 / pixel_size_angstrom,) * 2
    with tifffile.TiffWriter(path) as file:
        for frame in frames:
            file.write(
                frame[::-1],
                photometric="minisblack",
                compression=None if compression == "none" else compression,
                rowsperstrip=rows_per_strip or frame.shape[0],
                resolution=resolution,
                resolutionunit="CENTIMETER" if resolution else None,
                contiguous=False,
                metadata=None,
                software="cryoferry simulate",
            )


def write_mrc(
    path: Path,
    frames: Iterable[NDArray[Any]],
    *,
    frame_count: int,
    mode: int = 1,
    unsigned_bytes: bool = False,
    pixel_size_angstrom: float | None = None,
    extended_header_bytes: int = 0,
) -> None:
    """Write frames (height, width) as an MRC movie of the given mode; values that do not fit are clipped.

    `unsigned_bytes` makes mode 0 unsigned, marked as IMOD and SerialEM do.
    """
    dtype = np.dtype("u1") if mode == 0 and unsigned_bytes else _MODES[mode]
    with path.open("wb") as file:
        for index, frame in enumerate(frames):
            if index == 0:
                header = _mrc_header(frame.shape, frame_count, mode, unsigned_bytes, pixel_size_angstrom)
                file.write(_with_extended_header(header, extended_header_bytes))
            file.write(_pack_4_bit(frame) if mode == 101 else _clipped(frame, dtype).tobytes())


def write_gain(path: Path, gain: NDArray[np.float32], *, movie_format: str) -> None:
    """Write a multiplicative gain reference so that RELION's rule for a movie of that format reads it back.

    `.mrc` as frames lie; `.tif`, `.tiff` and `.dm4` upside down; for EER these divide, so the reciprocal is written;
    `.gain` (EER alone) is a TIFF that multiplies and lies as frames do.
    """
    values = gain.astype(np.float32)
    extension = path.suffix.lower()
    if movie_format == "eer" and extension != ".gain":
        values = np.divide(1.0, values, out=np.zeros_like(values), where=values > 0)
    if extension == ".mrc":
        write_mrc(path, [values], frame_count=1, mode=2)
    elif extension in {".tif", ".tiff"}:
        write_tiff(path, [values], compression="none")
    elif extension == ".dm4":
        write_dm4(path, values[::-1])
    elif extension == ".gain":
        write_tiff(path, [values[::-1]], compression="none")
    else:
        raise ValueError(f"{path}: gain references are written as .mrc, .tif, .tiff, .dm4 or .gain")


def _clipped(frame: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype.kind == "f":
        return frame.astype(dtype)
    limits = np.iinfo(dtype)
    clipped: NDArray[Any] = np.clip(frame, limits.min, limits.max).astype(dtype)
    return clipped


def _pack_4_bit(frame: NDArray[Any]) -> bytes:
    values = np.clip(frame, 0, 15).astype(np.uint8)
    if values.shape[1] % 2:
        values = np.pad(values, ((0, 0), (0, 1)))
    packed: NDArray[np.uint8] = values[:, 0::2] | values[:, 1::2] << 4
    return packed.tobytes()


def _mrc_header(
    shape: tuple[int, ...], frame_count: int, mode: int, unsigned_bytes: bool, pixel_size_angstrom: float | None
) -> bytearray:
    """Return an MRC2014 header; without a pixel size the cell is zero, as cameras leave it."""
    height, width = shape
    header = bytearray(_HEADER_BYTES)
    struct.pack_into("<10i", header, 0, width, height, frame_count, mode, 0, 0, 0, width, height, frame_count)
    pixel_size = pixel_size_angstrom or 0.0
    struct.pack_into("<3f", header, 40, width * pixel_size, height * pixel_size, frame_count * pixel_size)
    struct.pack_into("<3f3i", header, 52, 90.0, 90.0, 90.0, 1, 2, 3)
    struct.pack_into("<4i", header, 76, 0, 0, 0, 0)
    if mode == 101 or (mode == 0 and unsigned_bytes):
        struct.pack_into("<2i", header, 152, 1146047817, 0)
    header[208:216] = b"MAP DD\0\0"
    return header


def _with_extended_header(header: bytearray, extended_bytes: int) -> bytes:
    struct.pack_into("<i", header, 92, extended_bytes)
    return bytes(header) + bytes(extended_bytes)
