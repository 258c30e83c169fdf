"""Finds frames that hold only zeros because nothing was written to them yet.

Programs that copy a file may give it its full size first and write the content afterwards, so that headers look
complete while the rest is still zeros. A few blocks of 4 kB are read; a whole frame only if these are all zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import BinaryIO

import numpy as np

Pieces = Sequence[tuple[int, int]]
"""Where the parts of one frame lie: offset and bytes of each, the last part last."""

_BLOCK_BYTES = 4096
_READ_BYTES = 1 << 20
_MOST_OTHERS = 64


def unwritten_frame(file: BinaryIO, count: int, pieces_of: Callable[[int], Pieces], *, is_encoded: bool) -> str | None:
    """Return which frame is not written yet, or None if none is known to be.

    Frames without a single electron exist, so only these count: a file whose last frame holds nothing but zeros, a
    last frame that ends in zeros where another one does not, and an encoded frame of zeros, which no encoder writes.

    Parameters
    ----------
    count
        How many frames there are.
    pieces_of
        Returns where a frame lies, by its number from 0 in the order in which they lie in the file.
    is_encoded
        Whether frames are compressed or coded, so that no written frame is all zeros.
    """
    last = pieces_of(count - 1)
    others = _some(count - 1)
    if _ends_in_zeros(file, last):
        if _is_zero(file, last):
            return f"frame {count} of {count} holds only zeros: nothing was written to it yet"
        if not all(_ends_in_zeros(file, pieces_of(number)) for number in others):
            return f"frame {count} of {count} ends in zeros: its rest is not written yet"
    if is_encoded:
        for number in others:
            pieces = pieces_of(number)
            if _ends_in_zeros(file, pieces) and _is_zero(file, pieces):
                return f"frame {number + 1} of {count} holds only zeros: nothing was written to it yet"
    return None


def _some(count: int) -> list[int]:
    """Return numbers of frames, evenly over all of them; the first and the last are among them."""
    return sorted({int(number) for number in np.linspace(0, count - 1, min(count, _MOST_OTHERS))}) if count else []


def _ends_in_zeros(file: BinaryIO, frame: Pieces) -> bool:
    offset, size = frame[-1]
    length = min(size, _BLOCK_BYTES)
    return not any(_read(file, offset + size - length, length))


def _is_zero(file: BinaryIO, frame: Pieces) -> bool:
    """Return whether a frame is zeros alone; a few blocks of it decide in most cases."""
    for number in _some(len(frame)):
        offset, size = frame[number]
        if any(_read(file, offset + size // 2, min(size - size // 2, _BLOCK_BYTES))):
            return False
    return all(_is_piece_zero(file, offset, size) for offset, size in frame)


def _is_piece_zero(file: BinaryIO, offset: int, size: int) -> bool:
    for begin in range(offset, offset + size, _READ_BYTES):
        if any(_read(file, begin, min(_READ_BYTES, offset + size - begin))):
            return False
    return True


def _read(file: BinaryIO, offset: int, length: int) -> bytes:
    file.seek(offset)
    return file.read(length)
