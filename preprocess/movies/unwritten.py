"""Finds parts of frames that hold only zeros because nothing was written to them yet.

Programs that copy a file may give it its full size first and write the content afterwards, in any order, so that
headers look complete while some of the rest is still zeros. A few blocks of 4 kB are read, evenly over all frames; more
only where these are all zeros, or where the file system says that nothing was written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice
from typing import BinaryIO

import numpy as np

from preprocess.movies.frame_bytes import FrameBytes, Pieces
from preprocess.platform import known_holes

_BLOCK_BYTES = 4096
_READ_BYTES = 1 << 20
_MOST_OTHERS = 64
_BYTES_A_SAMPLE, _FEWEST_SAMPLES, _MOST_SAMPLES = 12 << 20, 64, 1024
_SMALL_BYTES = 64 << 20
"""One block is read of so many bytes of a movie; of a small movie and of a huge one so many blocks."""
_GOLDEN = (5**0.5 - 1) / 2
"""Its multiples, without their whole part, lie evenly between 0 and 1, however many there are."""
_MOST_JUDGED = 16
_KEPT_FRAMES = 32
_COMPARED_FRAMES, _COMPARED_BYTES = 8, 16 << 10
_EXPECTED = 50
"""Zeros where so many counts are expected are no accident: its probability is exp(-50)."""


def unwritten_frame(
    file: BinaryIO,
    size: int,
    count: int,
    pieces_of: Callable[[int], Pieces],
    *,
    is_encoded: bool,
    has_zero_blocks: bool = True,
) -> str | None:
    """Return which frame is not written yet, or None if none is known to be.

    Frames without a single electron exist, so only these count: a file whose last frame holds nothing but zeros; a part
    of a frame that is zeros where the same part of others has too many counts for that to be chance, unless the whole
    frame is zeros and the file system does not say that it was never written; and zeros that no encoder writes.

    Parameters
    ----------
    size
        Bytes of the file.
    count
        How many frames there are.
    pieces_of
        Returns where a frame lies, by its number from 0 in the order in which they lie in the file.
    is_encoded
        Whether frames are compressed or coded, so that no written part of a frame is all zeros.
    has_zero_blocks
        Whether the coding may write a block of 4 kB of zeros inside such a part.
    """

    @lru_cache(_KEPT_FRAMES)
    def frame(number: int) -> FrameBytes:
        return FrameBytes(file, pieces_of(number))

    last = frame(count - 1)
    if _ends_in_zeros(last):
        if _is_zero(last):
            return f"frame {count} of {count} holds only zeros: nothing was written to it yet"
        if is_encoded:
            is_cut = not all(_ends_in_zeros(frame(number)) for number in _some(count - 1, _MOST_OTHERS))
        else:
            is_cut = _is_gap(frame, count, count - 1, max(0, last.size - _BLOCK_BYTES))
        if is_cut:
            return f"frame {count} of {count} ends in zeros: its rest is not written yet"
    if is_encoded:
        number = _unwritten_code(file, size, count, frame, has_zero_blocks=has_zero_blocks)
    else:
        number = _unwritten_pixels(file, size, count, frame)
    if number is None:
        return None
    if _is_zero(frame(number)):
        return f"frame {number + 1} of {count} holds only zeros: nothing was written to it yet"
    return f"a part of frame {number + 1} of {count} holds only zeros: nothing was written to it yet"


_Frame = Callable[[int], FrameBytes]


def _unwritten_code(file: BinaryIO, size: int, count: int, frame: _Frame, *, has_zero_blocks: bool) -> int | None:
    """Return the number of a frame whose code was not written."""
    for number, _, _ in _holes(file, size, count, frame):
        return number
    for number, begin in _samples(size, count, frame):
        block = frame(number).read(begin, _BLOCK_BYTES)
        if any(block):
            continue
        is_gap = len(block) == _BLOCK_BYTES and not has_zero_blocks
        pieces = frame(number).pieces_at(begin, _BLOCK_BYTES)
        if is_gap or any(_are_zeros(frame(number), piece_begin, length) for piece_begin, length in pieces):
            return number
    return None


def _unwritten_pixels(file: BinaryIO, size: int, count: int, frame: _Frame) -> int | None:
    """Return the number of a frame of which some pixels were not written."""
    for number, begin, length in islice(_holes(file, size, count, frame), _MOST_JUDGED):
        if _counts_expected(frame, count, number, begin, length) >= _EXPECTED:
            return number
    zeros = (each for each in _samples(size, count, frame) if not any(frame(each[0]).read(each[1], _BLOCK_BYTES)))
    for number, begin in islice(zeros, _MOST_JUDGED):
        if _is_gap(frame, count, number, begin) and not _is_zero(frame(number)):
            return number
    return None


def _is_gap(frame: _Frame, count: int, number: int, begin: int) -> bool:
    """Return whether there are zeros in a frame, from one of its bytes on, where others have too many counts."""
    one = frame(number)
    expected = _counts_expected(frame, count, number, begin, min(_BLOCK_BYTES, one.size - begin))
    if not expected:
        return False
    known = min(_BLOCK_BYTES, one.size - begin)
    needed = int(known * max(1.0, _EXPECTED / expected))
    begin = max(0, min(begin, one.size - needed))
    return begin + needed <= one.size and _are_zeros(one, begin, needed)


def _counts_expected(frame: _Frame, count: int, number: int, begin: int, length: int) -> float:
    """Return how many bytes other than zero a part of a frame should have, by the same part of other frames."""
    others = [other for other in _some(count, _COMPARED_FRAMES + 1) if other != number]
    compared = [frame(other).read(begin, min(length, _COMPARED_BYTES)) for other in others]
    total = sum(map(len, compared))
    counts = total - sum(block.count(0) for block in compared)
    return length * counts / total if total else 0.0


def _holes(file: BinaryIO, size: int, count: int, frame: _Frame) -> Iterator[tuple[int, int, int]]:
    """Yield parts of frames that were never written: number, begin and length, the longest holes first."""
    for begin, end in known_holes(file, size):
        for number in range(count):
            for part, length in frame(number).within(begin, end):
                yield number, part, length


def _samples(size: int, count: int, frame: _Frame) -> Iterator[tuple[int, int]]:
    """Yield where to read a block: numbers of frames, and the first byte in each."""
    total = _FEWEST_SAMPLES if size < _SMALL_BYTES else max(_FEWEST_SAMPLES // 2, size // _BYTES_A_SAMPLE)
    numbers = _some(count, min(total, _MOST_SAMPLES))
    in_each = max(1, total // len(numbers))
    for number in numbers:
        last = max(0, frame(number).size - _BLOCK_BYTES)
        for begin in sorted({int(last * ((number * _GOLDEN + each / in_each) % 1)) for each in range(in_each)}):
            yield number, begin


def _some(count: int, most: int) -> list[int]:
    """Return numbers of frames, evenly over all of them; the first and the last are among them."""
    return sorted({int(number) for number in np.linspace(0, count - 1, min(count, most))}) if count else []


def _ends_in_zeros(frame: FrameBytes) -> bool:
    length = min(frame.last_piece_bytes, _BLOCK_BYTES)
    return not any(frame.read(frame.size - length, length))


def _is_zero(frame: FrameBytes) -> bool:
    """Return whether a frame is zeros alone; a few blocks of it decide in most cases."""
    last = max(0, frame.size - _BLOCK_BYTES)
    blocks = (frame.read(int(begin), _BLOCK_BYTES) for begin in np.linspace(0, last, 8))
    return not any(any(block) for block in blocks) and _are_zeros(frame, 0, frame.size)


def _are_zeros(frame: FrameBytes, begin: int, length: int) -> bool:
    end = begin + length
    return not any(any(frame.read(at, min(_READ_BYTES, end - at))) for at in range(begin, end, _READ_BYTES))
