"""The bytes of a movie's frames as they lie in its file, and where the file system says that nothing was written."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import BinaryIO

Pieces = Sequence[tuple[int, int]]
"""Where the parts of one frame lie: offset and bytes of each, in the order in which they lie in the file."""


class FrameBytes:
    """One frame as one run of bytes, wherever its parts lie."""

    def __init__(self, file: BinaryIO, pieces: Pieces) -> None:
        self._file, self._pieces = file, pieces
        self._ends = list(accumulate(size for _, size in pieces))
        self.size = self._ends[-1] if self._ends else 0

    def read(self, begin: int, length: int) -> bytes:
        """Return some bytes of the frame, counted from its first one; fewer at its end."""
        found = []
        for piece_begin, offset, size in self._pieces_from(begin, begin + length):
            first = max(begin, piece_begin)
            self._file.seek(offset + first - piece_begin)
            found.append(self._file.read(min(begin + length, piece_begin + size) - first))
        return b"".join(found)

    def pieces_at(self, begin: int, length: int) -> Iterator[tuple[int, int]]:
        """Yield the parts that hold some bytes of the frame, as begin and length."""
        for piece_begin, _, size in self._pieces_from(begin, begin + length):
            yield piece_begin, size

    def within(self, begin: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield which bytes of the frame lie in a range of the file, as begin and length."""
        if not self._pieces or end <= self._pieces[0][0] or begin >= sum(self._pieces[-1]):
            return
        for piece_end, (offset, size) in zip(self._ends, self._pieces, strict=True):
            first, last = max(begin, offset), min(end, offset + size)
            if first < last:
                yield piece_end - size + first - offset, last - first

    @property
    def last_piece_bytes(self) -> int:
        """How many bytes its last part has."""
        return self._pieces[-1][1]

    def _pieces_from(self, begin: int, end: int) -> Iterator[tuple[int, int, int]]:
        for number in range(bisect_right(self._ends, begin), len(self._pieces)):
            offset, size = self._pieces[number]
            if self._ends[number] - size >= end:
                return
            yield self._ends[number] - size, offset, size
