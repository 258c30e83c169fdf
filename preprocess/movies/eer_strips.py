"""Finds EER hardware frames whose codes end before the last pixel: part of them was never written, or was lost.

Nothing in a file says how many codes a frame should have. A frame that has clearly fewer bytes than its neighbours is
decoded with zeros behind its codes: each zero code is one electron in the next pixel, so that the missing rest of a
frame that was cut off becomes a run of ones, which no beam makes. A whole frame takes none of the zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

import imagecodecs
import numpy as np

from preprocess.movies.tiff_layout import TiffPage

_LESS_THAN_NEIGHBOURS = 0.97
_NEIGHBOURS = 8
_MOST_DECODED = 32
_NO_CHANCE_PX = 64
"""Electrons in so many neighbouring pixels of one hardware frame are no accident."""


def cut_off_pages(file: BinaryIO, pages: Sequence[TiffPage], bits: Sequence[tuple[int, int, int]]) -> dict[int, int]:
    """Return which hardware frames (from 0) are cut off, and how many of their rows are whole."""
    found = {}
    for index in _suspects(np.array([int(page.strip_byte_counts.sum()) for page in pages])):
        pixels = _pixels_present(file, pages[index], bits[index])
        if pixels is not None and pages[index].height * pages[index].width - pixels >= _NO_CHANCE_PX:
            found[index] = pixels // pages[index].width
    return found


def codes_of(file: BinaryIO, page: TiffPage) -> bytes:
    """Return a hardware frame's codes, as one run of bytes."""
    parts = []
    for offset, count in zip(page.strip_offsets.tolist(), page.strip_byte_counts.tolist(), strict=True):
        file.seek(offset)
        parts.append(file.read(count))
    return b"".join(parts)


def _suspects(sizes: np.ndarray) -> list[int]:
    """Return the frames that have clearly fewer bytes than those around them, those with the fewest first."""
    shares = np.ones(len(sizes))
    for index in range(len(sizes)):
        around = sizes[max(0, index - _NEIGHBOURS) : index + _NEIGHBOURS + 1]
        shares[index] = sizes[index] / max(1.0, float(np.median(around)))
    ranked = np.argsort(shares, kind="stable")[:_MOST_DECODED]
    return sorted(int(index) for index in ranked if shares[index] < _LESS_THAN_NEIGHBOURS)


def _pixels_present(file: BinaryIO, page: TiffPage, bits: tuple[int, int, int]) -> int | None:
    """Return how many pixels come before the run of ones at a frame's end; None if its codes cannot be decoded."""
    codes = codes_of(file, page)
    padding = page.height * page.width * sum(bits) // 8 + 8
    padding += (len(codes) + padding) % 2  # the decoder takes even lengths alone
    counts = np.zeros((page.height, page.width), np.uint8)
    try:
        imagecodecs.eer_decode(codes + bytes(padding), counts.shape, *bits, superres=0, out=counts)
    except (imagecodecs.EerError, ValueError):
        return None
    others = np.flatnonzero(counts != 1)
    return int(others[-1]) + 1 if others.size else 0
