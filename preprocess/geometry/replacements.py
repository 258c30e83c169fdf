"""Which good pixels take the place of a defect: another one in each frame, so that no trace stays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

REACHES_PX = (2, 8, 32)
MOST_SOURCES = 24
STEPS = np.array([1, 5, 11, 13])  # none divides 24, so that all sources have their turn


@dataclass(frozen=True, slots=True)
class Replacements:
    """For each defect that has good pixels around it: its flat index, and up to 24 of them, nearest first.

    `sources` has shape (defects, 24); the first `counts[i]` of row i are valid. In frame t defect i is copied from
    `sources[i, (starts[i] + t * steps[i]) % counts[i]]`. All are int64.
    """

    targets: NDArray[np.int64]
    sources: NDArray[np.int64]
    counts: NDArray[np.int64]

    @property
    def starts(self) -> NDArray[np.int64]:
        """Return where each defect begins to go round its sources."""
        starts: NDArray[np.int64] = self.targets * 31 % 1009
        return starts

    @property
    def steps(self) -> NDArray[np.int64]:
        """Return by how many sources each defect goes on from frame to frame: neighbours go round in other orders."""
        return STEPS[self.targets % len(STEPS)]

    def gains(self, gain: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the gain of each defect, the mean of its sources'; `gain` has shape (height, width)."""
        valid = np.arange(self.sources.shape[1]) < self.counts[:, None]
        means = (gain.reshape(-1)[self.sources] * valid).sum(1) / np.maximum(self.counts, 1)
        gains: NDArray[np.float32] = means.astype(np.float32)
        return gains


def find_replacements(pixels: NDArray[np.int64], shape: tuple[int, int]) -> Replacements:
    """Find good pixels within 2, else 8, else 32 px of each defect; a defect with none around it stays as it is.

    `pixels` are flat indices into a frame of `shape`, ascending.
    """
    good = np.ones(shape, np.bool_)
    good.reshape(-1)[pixels] = False
    targets, sources, counts = [np.zeros(0, np.int64)], [np.zeros((0, MOST_SOURCES), np.int64)], [np.zeros(0, np.int64)]
    left = pixels
    for reach in REACHES_PX:
        for part in np.array_split(left, max(1, left.size * (2 * reach + 1) ** 2 // 4_000_000)):
            found, count = _good_around(part, good, reach)
            targets.append(part[count > 0])
            sources.append(found[count > 0])
            counts.append(count[count > 0])
        left = np.setdiff1d(left, np.concatenate(targets))
    return Replacements(np.concatenate(targets), np.concatenate(sources), np.concatenate(counts))


def _good_around(
    pixels: NDArray[np.int64], good: NDArray[np.bool_], reach: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the nearest good pixels within `reach` of each pixel, shape (pixels, 24), and how many there are."""
    height, width = good.shape
    across = np.arange(-reach, reach + 1)
    dy, dx = (grid.ravel() for grid in np.meshgrid(across, across, indexing="ij"))
    nearest = np.argsort(dy**2 + dx**2, kind="stable")[1:]
    y = pixels[:, None] // width + dy[nearest]
    x = pixels[:, None] % width + dx[nearest]
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    flat = np.where(inside, y * width + x, 0)
    usable = inside & good.reshape(-1)[flat]
    first = np.argsort(~usable, axis=1, kind="stable")[:, :MOST_SOURCES]
    counts: NDArray[np.int64] = np.minimum(usable.sum(1), MOST_SOURCES)
    return np.take_along_axis(flat, first, 1), counts
