"""Frames that are added up for the estimate of their motion, so that faint ones have something to be aligned by.

Motion is found for each group and belongs to the middle of its time; single frames get theirs by linear interpolation
between the groups (extrapolation before the first middle and after the last), as RELION does. The micrograph is summed
from single frames, each with its own shift and dose.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.errors import ImpossibleSettings
from preprocess.settings import FrameSettings

SUM_DTYPES = {"uint8": np.dtype(np.uint16), "int8": np.dtype(np.int16)}
"""What holds the sum of a group's frames; float32 for all other number types."""
MOST_FRAMES = 256
"""Frames in a group, so that the sum of their largest 8-bit values fits into 16 bits."""


def used_frames(settings: FrameSettings, frame_count: int) -> range:
    """Return the indices, from 0, of the frames to use.

    Raises
    ------
    ImpossibleSettings
        The movie has none of them, or not all.
    """
    last = frame_count if settings.last is None else settings.last
    if not 1 <= settings.first <= last <= frame_count:
        raise ImpossibleSettings(
            f"--first-frame, --last-frame and --throw ask for frames {settings.first} to {last},"
            f" but the movie has {frame_count}",
            hint="Give frames that the movie has.",
        )
    return range(settings.first - 1, last)


@dataclass(frozen=True, slots=True)
class FrameGroups:
    """How many consecutive frames each group holds.

    Attributes
    ----------
    places : tuple[int, ...] | None
        When each frame was recorded, counted in frames; None: one after the other.
    """

    sizes: tuple[int, ...]
    places: tuple[int, ...] | None = None

    @classmethod
    def of(cls, frame_count: int, frames_per_group: int) -> FrameGroups:
        """Return groups of equal size; what is left over joins the last one.

        Raises
        ------
        ImpossibleSettings
            All frames would be one group, which leaves nothing to align.
        """
        count = frame_count // frames_per_group
        if count < 2 and frame_count > 1 and frames_per_group > 1:
            raise ImpossibleSettings(
                f"groups of {frames_per_group} of {frame_count} frames leave nothing to align",
                hint="Give a smaller --group, so that there are at least two groups.",
            )
        sizes = [frames_per_group] * max(1, count)
        sizes[-1] += frame_count - sum(sizes)
        return cls(tuple(sizes))

    def __len__(self) -> int:
        """Return the number of groups."""
        return len(self.sizes)

    @property
    def frame_count(self) -> int:
        """Return the number of frames in all groups."""
        return sum(self.sizes)

    @property
    def single(self) -> bool:
        """Return whether each frame is a group of its own."""
        return self.frame_count == len(self.sizes)

    def of_frames(self) -> NDArray[np.int64]:
        """Return the group of each frame, from 0."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    def without(self, left_out: Collection[int]) -> FrameGroups:
        """Return the groups without the frames of these numbers, from 0; groups that become empty are gone."""
        places = self.places or range(self.frame_count)
        kept = [number for number in range(self.frame_count) if number not in left_out]
        sizes = np.bincount(self.of_frames()[kept], minlength=len(self))
        return FrameGroups(tuple(sizes[sizes > 0].tolist()), tuple(places[number] for number in kept))

    def sum_dtype(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """Return the number type that holds the sum of a group."""
        if self.single or max(self.sizes) > MOST_FRAMES:
            return dtype if self.single else np.dtype(np.float32)
        return SUM_DTYPES.get(dtype.name, np.dtype(np.float32))

    def to_frames(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values of single frames, shape (frames, …), from those of groups, shape (groups, …)."""
        if len(self) == 1:
            return np.repeat(values, self.frame_count, axis=0)
        frames = np.arange(self.frame_count) if self.places is None else np.array(self.places)
        middles = np.bincount(self.of_frames(), frames) / np.array(self.sizes)
        left = np.clip(np.searchsorted(middles, frames, side="right") - 1, 0, len(self) - 2)
        share = (frames - middles[left]) / (middles[left + 1] - middles[left])
        share = share.reshape(-1, *[1] * (values.ndim - 1))
        between: NDArray[np.float64] = values[left] * (1 - share) + values[left + 1] * share
        return between
