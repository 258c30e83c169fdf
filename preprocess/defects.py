"""Pixels that cannot be believed, and which others take their place.

A pixel is a defect where the gain reference is zero, where a file of defects says so, where the gain-corrected sum of
the frames lies more than six standard deviations above its mean (hot: RELION's rule, repeated until no more are found,
since very hot pixels hide others), and where it never counted although its neighbours did (dead).
In each frame a defect takes the value of a good pixel nearby, another one in each frame, so that no trace stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from preprocess.statistics import mean_and_deviation

HOT_SIGMA = 6.0
NEIGHBOURHOOD_PX = 9
EXPECTED_BY_CHANCE = 0.01
REACHES_PX = (2, 8, 32)
MOST_SOURCES = 24
STEPS = np.array([1, 5, 11, 13])  # none divides 24, so that all sources have their turn


@dataclass(frozen=True, slots=True)
class Defects:
    """Defect pixels, as flat indices into a frame, ascending.

    `hot` and `dead` are those found in the movie's own sum, `listed` those of the defects' file.
    """

    pixels: NDArray[np.int64]
    hot: NDArray[np.int64]
    dead: NDArray[np.int64]
    listed: NDArray[np.int64]


def find_defects(
    gain_corrected_sum: NDArray[np.float32],
    gain: NDArray[np.float32] | None,
    listed: NDArray[np.bool_] | None = None,
    *,
    automatic: bool = True,
) -> Defects:
    """Find hot and dead pixels, if they are to be found, besides those of zero gain and those that are listed.

    All arrays have shape (height, width).
    """
    good = np.ones(gain_corrected_sum.shape, np.bool_) if gain is None else gain > 0
    if listed is not None:
        good &= ~listed
    hot = dead = np.zeros(0, np.int64)
    if automatic:
        hot = _hot(gain_corrected_sum, good)
        good.reshape(-1)[hot] = False
        dead = _dead(gain_corrected_sum, good)
        good.reshape(-1)[dead] = False
    known = np.zeros(0, np.int64) if listed is None else np.flatnonzero(listed)
    return Defects(np.flatnonzero(~good), hot, dead, known)


def _hot(total: NDArray[np.float32], good: NDArray[np.bool_]) -> NDArray[np.int64]:
    good = good.copy()
    hot = np.zeros(0, np.int64)
    while True:
        mean, deviation = mean_and_deviation(total, good)
        more = np.flatnonzero(good & (total > mean + HOT_SIGMA * deviation))
        if more.size == 0:
            return hot
        hot = np.union1d(hot, more)
        good.reshape(-1)[more] = False


def _dead(total: NDArray[np.float32], good: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return pixels that never counted where their neighbours' counts make that impossible.

    The neighbours' mean over its noise, squared, is the number of electrons that a pixel of Poisson statistics should
    have seen, whatever the sum's scale: n. It sees none with probability exp(-n); where fewer than 0.01 such pixels are
    expected in the whole image, one is dead. Dark areas (grid bars, the beam's edge) expect nothing, and stay.
    """
    suspects = np.flatnonzero(good & (total == 0))
    if suspects.size == 0:
        return suspects
    filled = np.where(good, total, 0).astype(np.float32)
    weight = scipy.ndimage.uniform_filter(good.astype(np.float32), NEIGHBOURHOOD_PX, mode="reflect")
    mean = scipy.ndimage.uniform_filter(filled, NEIGHBOURHOOD_PX, mode="reflect") / np.maximum(weight, 1e-6)
    usual = good & (total > 0) & (mean > 0)
    if not usual.any():
        return np.zeros(0, np.int64)
    scale = float(((total[usual] - mean[usual]) ** 2 / mean[usual]).mean(dtype=np.float64))
    expected = mean.reshape(-1)[suspects] / max(scale, 1e-30)
    return suspects[total.size * np.exp(-expected) < EXPECTED_BY_CHANCE]


@dataclass(frozen=True, slots=True)
class Replacements:
    """For each defect that has good pixels around it: its flat index, and up to 24 of them, nearest first.

    `sources` has shape (defects, 24); the first `counts[i]` of row i are valid.
    """

    targets: NDArray[np.int64]
    sources: NDArray[np.int64]
    counts: NDArray[np.int64]

    def for_frames(self, frame_count: int) -> NDArray[np.int64]:
        """Return the pixel that each defect is copied from in each frame, shape (frames, defects)."""
        if self.targets.size == 0:
            return np.zeros((frame_count, 0), np.int64)
        step = STEPS[self.targets % len(STEPS)]  # neighbouring defects go round their sources in other orders
        turn = np.arange(frame_count)[:, None] * step + self.targets * 31 % 1009
        chosen: NDArray[np.int64] = self.sources[np.arange(self.targets.size), turn % self.counts]
        return chosen

    def mend_gain(self, gain: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the gain reference with each defect's gain the mean of its sources'."""
        mended = gain.copy()
        flat = mended.reshape(-1)
        valid = np.arange(self.sources.shape[1]) < self.counts[:, None]
        flat[self.targets] = (flat[self.sources] * valid).sum(1) / np.maximum(self.counts, 1)
        return mended


def find_replacements(pixels: NDArray[np.int64], shape: tuple[int, int]) -> Replacements:
    """Find good pixels within 2, else 8, else 32 px of each defect; a defect with none around it stays as it is."""
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
