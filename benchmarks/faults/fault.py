"""What a fault is, and the movie that it leaves."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.faults.scene import PIXEL_SIZE_ANGSTROM

_MODES = {"int8": 0, "uint8": 0, "int16": 1, "float32": 2, "uint16": 6}
_IMOD_STAMP = 1146047817


@dataclass(frozen=True, slots=True)
class FaultyMovie:
    """A movie with a fault.

    Attributes
    ----------
    frames : NDArray
        What the file holds, (frames, height, width).
    shifts : NDArray[np.float64]
        The content's displacement, (frames, 2), (y, x), px.
    without_signal : tuple[int, ...]
        Frames whose shifts nobody can know, from 0.
    imod_flags : int | None
        Of IMOD's stamp in the header; None: no stamp.
    named_frames : int | None
        Frames that the header names, where it is wrong.
    """

    frames: NDArray[Any]
    shifts: NDArray[np.float64]
    without_signal: tuple[int, ...] = ()
    imod_flags: int | None = None
    named_frames: int | None = None

    def write(self, path: Path) -> None:
        """Write it as MRC."""
        count, height, width = self.frames.shape
        header = bytearray(1024)
        named = count if self.named_frames is None else self.named_frames
        mode = _MODES[self.frames.dtype.name]
        struct.pack_into("<10i", header, 0, width, height, named, mode, 0, 0, 0, width, height, 1)
        size = (PIXEL_SIZE_ANGSTROM * width, PIXEL_SIZE_ANGSTROM * height, PIXEL_SIZE_ANGSTROM)
        struct.pack_into("<6f", header, 40, *size, 90, 90, 90)
        struct.pack_into("<3i", header, 64, 1, 2, 3)
        if self.imod_flags is not None:
            struct.pack_into("<2i", header, 152, _IMOD_STAMP, self.imod_flags)
        header[208:216] = b"MAP DD\0\0"
        path.write_bytes(header + self.frames.tobytes())


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of fault that movies have.

    Attributes
    ----------
    kind : str
        What it belongs to.
    name : str
        Which one it is.
    make : Callable[[int], FaultyMovie]
        Makes the movie of a seed.
    options, relion_options : tuple[str, ...]
        Further options of `cryoferry align`, and of RELION.
    """

    kind: str
    name: str
    make: Callable[[int], FaultyMovie]
    options: tuple[str, ...] = ()
    relion_options: tuple[str, ...] = ()
