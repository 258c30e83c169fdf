"""Which frames hold signal: each one is compared with the others before it is believed.

First by counts: frames that are constant, nearly empty or far brighter than the others, whose noise is another one, or
of which a part is lit otherwise. Then, once the others are aligned, by correlation: frames that do not match the sum of
the others, in movies whose frames do. What only looks unusual stays: a frame is left out where the figures leave no
doubt, since a faint frame still adds what little it holds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EMPTY, SATURATED = "empty", "saturated"
BRIGHT, NOISY, PARTLY_LIT, FOREIGN = "much brighter", "other noise", "partly lit", "foreign"

BOXES = 8
"""Frames' moments are those of 8 by 8 boxes."""
SAMPLED_ROWS = 256
"""Rows of a frame that are looked at, evenly spaced: enough to know its counts, at a fraction of the time."""
LEAST_LEVEL, MOST_LEVEL = 0.1, 4.0
"""Counts of a frame, relative to the others', outside of which it holds no usable signal."""
MOST_NOISE_RATIO = 4.0
CONSTANT_BOXES = 0.9
"""A frame without any noise in more than this part of its boxes is saturated, if others have noise."""
LIT_OTHERWISE, BOXES_LIT_OTHERWISE, SURE = 0.5, 1 / 8, 6.0
"""A box is lit otherwise that differs by this part and this many standard errors; so many of them are too many."""
LEAST_SHARE = 0.45
"""A frame matches that correlates with the others at least this part of what is usual."""
LEAST_SPREAD = 0.02
"""Part of the usual correlation by which frames that match differ at least."""


@dataclass(frozen=True, slots=True)
class LeftOutFrame:
    """A frame without usable signal.

    Attributes
    ----------
    place : int
        Among the used frames, from 0.
    reason : str
        One of this module's words.
    """

    place: int
    reason: str


def peak_heights(windows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return how far each frame's correlation with the others, (frames, side, side), rises above its usual value."""
    flat = windows.reshape(len(windows), -1).astype(np.float64)
    heights: NDArray[np.float64] = flat.max(1) - np.median(flat, 1)
    return heights


def frame_levels(moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the frames' counts in units of the usual ones; ones where counts have an offset that hides them."""
    levels: NDArray[np.float64] = moments[:, 1].mean(1)
    usual = float(np.median(levels)) if len(levels) else 0.0
    if not np.isfinite(levels).all() or usual <= 0 or levels.min() <= 0:
        return np.ones(len(levels))
    return np.divide(levels, usual)


def identical_frames(moments: NDArray[np.float64]) -> tuple[tuple[int, ...], ...]:
    """Return the places of frames that hold the very same counts, in groups; moments as in `judge_by_counts`.

    Two exposures never agree in the means and variances of all boxes; frames without any noise are not judged.
    """
    groups: dict[bytes, list[int]] = {}
    for place, frame in enumerate(moments):
        if frame[2].any():
            groups.setdefault(frame.tobytes(), []).append(place)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def judge_by_counts(
    moments: NDArray[np.float64], expected: NDArray[np.float64] | None = None
) -> tuple[LeftOutFrame, ...]:
    """Return the frames whose counts say that they hold no usable signal.

    Parameters
    ----------
    moments : NDArray[np.float64]
        How many pixels each box has, their mean and variance: shape (frames, 3, boxes).
    expected : NDArray[np.float64] | None
        The frames' doses where they are unequal, in any unit.
    """
    means, variances = moments[:, 1], moments[:, 2]
    if len(moments) < 2 or not np.isfinite(moments).all():
        return ()
    level = means.mean(1)
    reasons = np.full(len(moments), "", object)
    reasons[(level == 0) & (variances == 0).all(1)] = EMPTY
    if (reasons == EMPTY).all():
        return ()  # there is nothing to compare with
    flat, good = (variances == 0).mean(1), reasons == ""
    if np.median(flat[good]) < 0.5:
        reasons[good & (flat > CONSTANT_BOXES)] = SATURATED
    good = reasons == ""
    if good.any() and level[good].min() > 0:  # counts with an offset are left to correlation
        _judge_usual_frames(moments, level if expected is None else level / expected, reasons)
    return tuple(LeftOutFrame(int(place), str(reasons[place])) for place in np.flatnonzero(reasons != ""))


def _judge_usual_frames(moments: NDArray[np.float64], level: NDArray[np.float64], reasons: NDArray[np.object_]) -> None:
    """Write the reasons against frames that have none yet and whose counts are greater than zero."""
    good = np.flatnonzero(reasons == "")
    relative = level[good] / _usual_level(level[good])
    reasons[good[relative < LEAST_LEVEL]] = EMPTY
    reasons[good[relative > MOST_LEVEL]] = BRIGHT
    good = np.flatnonzero(reasons == "")
    noise = np.median(moments[good, 2], 1) / moments[good, 1].mean(1)
    usual = float(np.median(noise))
    if usual > 0:
        reasons[good[(noise < usual / MOST_NOISE_RATIO) | (noise > usual * MOST_NOISE_RATIO)]] = NOISY
    good = np.flatnonzero(reasons == "")
    reasons[good[_partly_lit(moments[good])]] = PARTLY_LIT


def _usual_level(levels: NDArray[np.float64]) -> float:
    """Return the counts of most frames; of the brighter ones where most are nearly empty."""
    usual = float(np.median(levels))
    bright = levels[levels > MOST_LEVEL * usual]
    return float(np.median(bright)) if len(bright) > len(levels) / 4 else usual


def _partly_lit(moments: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which frames are lit otherwise than most in a part of their boxes."""
    counts, means, variances = moments[:, 0], moments[:, 1], moments[:, 2]
    level = means.mean(1, keepdims=True)
    expected = np.median(means / level, 0) * level
    errors = np.sqrt(np.median(variances, 0) / np.maximum(counts, 1))
    lit = expected > LEAST_LEVEL * level
    differs = np.abs(means - expected) > np.maximum(LIT_OTHERWISE * expected, SURE * errors)
    changed = (differs & lit).sum(1)
    otherwise: NDArray[np.bool_] = (changed > 0) & (changed >= BOXES_LIT_OTHERWISE * lit.sum(1))
    return otherwise


def judge_by_correlation(heights: NDArray[np.float64], levels: NDArray[np.float64]) -> tuple[int, ...]:
    """Return the places of the frames that do not match the others, where the others' match leaves no doubt.

    Parameters
    ----------
    heights : NDArray[np.float64]
        Of the peaks of the frames' correlations with the sum of the others.
    levels : NDArray[np.float64]
        The frames' counts in units of the usual ones: a frame of half the counts matches half as much.
    """
    if len(heights) < 3:
        return ()
    matches = heights / levels
    usual = float(np.median(matches))
    spread = max(1.4826 * float(np.median(np.abs(matches - usual))), LEAST_SPREAD * usual)
    foreign = (matches < LEAST_SHARE * usual) & (usual - matches > SURE * spread)
    return tuple(np.flatnonzero(foreign).tolist())


def unexposed(left_out: Iterable[LeftOutFrame], frame_count: int) -> tuple[int, ...]:
    """Return the places of empty frames at the movie's start and end: the beam was off, so they have no dose.

    An empty frame between others is one that the camera lost while the specimen was exposed.
    """
    empty = {frame.place for frame in left_out if frame.reason == EMPTY}
    first = next((place for place in range(frame_count) if place not in empty), frame_count)
    last = next((place for place in reversed(range(frame_count)) if place not in empty), -1)
    return tuple(sorted(place for place in empty if place < first or place > last))
