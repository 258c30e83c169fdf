"""Splits files into chunks of one fixed length."""

from __future__ import annotations

from collections.abc import Iterable

CHUNK_BYTES = 8 * 1024 * 1024


def split(size_bytes: int, chunk_bytes: int = CHUNK_BYTES) -> list[range]:
    """Return the chunks of a file of `size_bytes` as byte ranges, in order; an empty file has none."""
    return [range(start, min(start + chunk_bytes, size_bytes)) for start in range(0, size_bytes, chunk_bytes)]


def missing_ranges(present: Iterable[int], size_bytes: int, chunk_bytes: int = CHUNK_BYTES) -> list[range]:
    """Return the ranges of bytes of the chunks whose index is not in `present`; neighbouring chunks are joined."""
    have = set(present)
    missing: list[range] = []
    for index, chunk in enumerate(split(size_bytes, chunk_bytes)):
        if index in have:
            continue
        if missing and missing[-1].stop == chunk.start:
            missing[-1] = range(missing[-1].start, chunk.stop)
        else:
            missing.append(chunk)
    return missing
