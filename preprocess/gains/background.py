"""What a movie's raw sum would be without its pixels' own sensitivities: its smooth part, and where to believe it.

The specimen varies slowly where ice or carbon is even. Where it does not (edges of holes, gold, ice crystals), counts
differ from the smooth part by more than their statistics: such places get less weight, or none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

BOX_PX = 8
"""The smooth part is known for boxes of so many pixels along each axis."""
_SMOOTHING_BOXES = 1.5
_HOT, _MOST, _EVERY = 3.0, 99.9, 3
_HIGH = 6.0
_UNEVEN = 3.0
"""Boxes whose counts scatter so many times more than the usual ones have no weight."""
_STEEP, _STEEP_ERRORS, _REACH_BOXES = 0.05, 5.0, 2
"""Where the smooth part changes by more from box to box, relative to itself and beyond its error, there is an edge."""
_DARK = 0.05

Figure = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Background:
    """The smooth part of a raw sum.

    Attributes
    ----------
    counts : NDArray[np.float32]
        Counts a pixel, shape (boxes along y, boxes along x).
    weight : NDArray[np.float32]
        From 0, not to be used, to 1, of the same shape.
    """

    counts: NDArray[np.float32]
    weight: NDArray[np.float32]


def background_of(raw: NDArray[np.float32]) -> Background:
    """Return the smooth part of a raw sum; hot pixels do not count."""
    clipped = np.minimum(raw, np.float32(_HOT * np.percentile(raw[::_EVERY, ::_EVERY], _MOST) + 1))
    size = box_sums(np.ones_like(raw))
    counts = box_sums(clipped) / size
    around = over_pixels(counts, raw.shape)
    np.minimum(clipped, around + np.float32(_HIGH) * np.sqrt(around) + 1, out=clipped)
    counts = _smooth(box_sums(clipped)) / _smooth(size)
    around = np.maximum(between_boxes(counts, raw.shape), np.float32(1e-3))
    clipped -= around
    np.square(clipped, out=clipped)
    clipped /= around
    scatter = _smooth(box_sums(clipped)) / _smooth(size)
    lit = counts > _DARK * np.median(counts)
    usual = np.median(scatter[lit]) if lit.any() else 1.0
    unevenness = np.maximum(1, scatter / max(usual, 1e-6))
    even = lit & (unevenness < _UNEVEN) & ~_at_edges(counts)
    weight = np.where(even, 1 / unevenness**2, 0)
    return Background(counts.astype(np.float32), weight.astype(np.float32))


def _at_edges(counts: Figure) -> NDArray[np.bool_]:
    """Return where the smooth part changes steeply, and what lies beside it."""
    if min(counts.shape) < 2:
        return np.zeros(counts.shape, np.bool_)
    level = np.maximum(counts, 1e-9)
    error = 1 / np.sqrt(level * BOX_PX**2 * 4 * np.pi * _SMOOTHING_BOXES**2) / _SMOOTHING_BOXES
    steep = np.hypot(*np.gradient(counts)) / level > _STEEP + _STEEP_ERRORS * error
    edges: NDArray[np.bool_] = scipy.ndimage.binary_dilation(steep, iterations=_REACH_BOXES)
    return edges


def box_sums(image: Figure, size: tuple[int, int] = (BOX_PX, BOX_PX)) -> NDArray[np.float64]:
    """Return the sums over boxes; those at the far edges may be smaller."""
    rows = np.add.reduceat(image, np.arange(0, image.shape[0], size[0]), axis=0)
    sums: NDArray[np.float64] = np.add.reduceat(rows, np.arange(0, image.shape[1], size[1]), axis=1, dtype=np.float64)
    return sums


def over_pixels(boxes: Figure, shape: tuple[int, ...], size: tuple[int, int] = (BOX_PX, BOX_PX)) -> NDArray[np.float32]:
    """Return an image in which each pixel has its box's value."""
    rows = np.repeat(boxes.astype(np.float32), size[0], 0)[: shape[0]]
    return np.repeat(rows, size[1], 1)[:, : shape[1]]


def between_boxes(boxes: Figure, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return an image of values linear between the middles of the boxes."""
    return _along(_along(boxes.astype(np.float32), shape[0], 0), shape[1], 1)


def _along(values: Figure, length: int, axis: int) -> NDArray[np.float32]:
    count = values.shape[axis]
    place = np.clip((np.arange(length) + 0.5) / BOX_PX - 0.5, 0, count - 1)
    first = np.minimum(place.astype(np.intp), max(count - 2, 0))
    part = np.expand_dims((place - first).astype(np.float32), 1 - axis)
    second = np.minimum(first + 1, count - 1)
    found: NDArray[np.float32] = values.take(first, axis) * (1 - part) + values.take(second, axis) * part
    return found


def _smooth(boxes: Figure) -> NDArray[np.float64]:
    smooth: NDArray[np.float64] = scipy.ndimage.gaussian_filter(boxes, _SMOOTHING_BOXES, mode="reflect")
    return smooth
