"""Where patches lie: overlapping windows that together cover the frame, each a movie of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocess.fourier import next_fast_length

OVERLAP = 0.125
"""Part of a patch over which its window rises or falls, and over which neighbours overlap."""
PITCH_PX = 80
LEAST_ELECTRONS = 2.5e5
"""Patches are further apart than PITCH_PX where fewer electrons than these would hit one in the whole movie."""
MOST_PATCHES, USUAL_LEAST, LEAST_SIDE_PX = 10, 3, 64


@dataclass(frozen=True, slots=True)
class PatchLayout:
    """Windows of equal size in binned frames.

    Attributes
    ----------
    bin_factor : int
        Binning of the frames.
    height, width : int
        Of a patch, binned px.
    kept_height, kept_width : int
        Size, even, of the lowest part of its Fourier transform that is kept.
    tops, lefts : NDArray[np.int64]
        First row and column of each patch in each frame, binned px, shape (frames, patches): patches go along with the
        content, by whole binned px.
    centres : NDArray[np.float64]
        Middle of each patch where content lies on average, shape (patches, 2): y and x from -0.5 to 0.5.
    extent : tuple[float, float]
        Height and width of a patch, in parts of the frame's.
    moved : NDArray[np.float64]
        How far each patch goes along in each frame, px as recorded, shape (frames, patches, 2).
    """

    bin_factor: int
    height: int
    width: int
    kept_height: int
    kept_width: int
    tops: NDArray[np.int64]
    lefts: NDArray[np.int64]
    centres: NDArray[np.float64]
    extent: tuple[float, float]
    moved: NDArray[np.float64]

    @property
    def px_per_sample(self) -> NDArray[np.float64]:
        """Return how many px as recorded one sample of the kept spectra stands for, (y, x)."""
        return self.bin_factor * np.array([self.height / self.kept_height, self.width / self.kept_width])


def patch_counts(height: int, width: int, electrons_per_px: float) -> tuple[int, int]:
    """Return how many patches suit a movie, (y, x), from its size and its total dose."""
    sparse = float(np.sqrt(LEAST_ELECTRONS / max(electrons_per_px, 1e-3)))
    pitch = max(PITCH_PX, sparse, max(height, width) / MOST_PATCHES)

    def count(size: int) -> int:
        return int(np.clip(round(size / pitch), min(USUAL_LEAST, max(1, size // LEAST_SIDE_PX)), MOST_PATCHES))

    return count(height), count(width)


def lay_patches(
    shape: tuple[int, int],
    counts: tuple[int, int],
    shifts: NDArray[np.float64],
    *,
    bin_factor: int,
    kept: float,
) -> PatchLayout:
    """Lay patches over frames.

    Parameters
    ----------
    shape : tuple[int, int]
        Height and width of the frames, binned px.
    counts : tuple[int, int]
        Patches in y and in x.
    shifts : NDArray[np.float64]
        Whole-frame displacement of the content, px as recorded, (frames, 2), that patches follow.
    kept : float
        Highest frequency to keep, as a part of the binned frames' Nyquist frequency.
    """
    (height, tops), (width, lefts) = (_windows(size, count) for size, count in zip(shape, counts, strict=True))
    top, left = (grid.ravel() for grid in np.meshgrid(tops, lefts, indexing="ij"))
    whole = np.round(shifts / bin_factor).astype(np.int64)
    all_tops = np.clip(top + whole[:, :1], 0, shape[0] - height)
    all_lefts = np.clip(left + whole[:, 1:], 0, shape[1] - width)
    middle = np.stack([(top + height / 2) / shape[0], (left + width / 2) / shape[1]], 1) - 0.5
    moved = bin_factor * np.stack([all_tops - top, all_lefts - left], 2).astype(np.float64)
    kept_height, kept_width = (min(size, 2 * max(8, round(size * kept / 2))) for size in (height, width))
    return PatchLayout(
        bin_factor=bin_factor,
        height=height,
        width=width,
        kept_height=kept_height,
        kept_width=kept_width,
        tops=all_tops,
        lefts=all_lefts,
        centres=middle,
        extent=(height / shape[0], width / shape[1]),
        moved=moved,
    )


def patch_window(size: int) -> NDArray[np.float32]:
    """Return a window of ones that falls to zero at both ends; overlapping neighbours' squares add up to one."""
    depth = (np.minimum(np.arange(size), np.arange(size)[::-1]) + 0.5) / max(1, int(size * OVERLAP))
    window: NDArray[np.float32] = np.sin(np.pi / 2 * np.minimum(depth, 1)).astype(np.float32)
    return window


def _windows(size: int, count: int) -> tuple[int, NDArray[np.int64]]:
    """Return the length, even and fast to transform, of `count` windows over `size` px, and where they begin."""
    wanted = int(np.ceil(size / (count - (count - 1) * OVERLAP) / 2))
    length = min(2 * next_fast_length(wanted), size - size % 2)
    return length, np.round(np.linspace(0, size - length, count)).astype(np.int64)
