"""Where strips of a file come to lie in a batch's block, and how many frames make a batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.cuda.upload import Piece

BLOCK_BYTES = 112 << 20
"""Compressed bytes of a batch, if more than one frame is in it: there are two of them in pinned memory.

With the batch's table this stays below 128 MiB: CuPy's pool of pinned memory rounds up to powers of two.
"""
NEIGHBOURS = 1.1
"""Strips that lie within so many times their bytes are read at once, gaps and all."""


def batches(block_bytes: Sequence[int], most_frames: int) -> Iterator[range]:
    """Yield ranges of frames, `most_frames` at a time or as many as keep below the limit, and one at least."""
    start, block = 0, 0
    for index, size in enumerate(block_bytes):
        block += size
        if index > start and (block > BLOCK_BYTES or index - start == most_frames):
            yield range(start, index)
            start, block = index, size
    yield range(start, len(block_bytes))


def gather(
    offsets: NDArray[np.int64], counts: NDArray[np.int64], place: int, owner: int, *, closely: bool
) -> tuple[list[Piece], NDArray[np.int64], int]:
    """Return the pieces that bring strips to `place`, where each begins then, and the place behind them.

    Strips that lie together in the file are one piece; with `closely`, only if they follow each other without gaps.
    """
    begin, end, total = int(offsets.min()), int((offsets + counts).max()), int(counts.sum())
    follow = end - begin == total and bool(np.all(np.diff(offsets) == counts[:-1]))
    if follow or (not closely and end - begin <= NEIGHBOURS * total + 65536):
        return [Piece(begin, end - begin, place, owner)], place + offsets - begin, place + end - begin
    begins = place + np.cumsum(counts) - counts
    each = zip(offsets.tolist(), counts.tolist(), begins.tolist(), strict=True)
    return [Piece(offset, count, begin, owner) for offset, count, begin in each], begins, place + total
