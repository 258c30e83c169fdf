"""How far a program's motion is from the truth: the part of it that blurs the micrograph.

The field is compared on a grid of 13 × 13 places and in all frames. A place's mean error over time is taken away: it
moves or bends the micrograph as a whole and blurs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.alignment.motion_fields import MotionField
from preprocess.simulation import Truth

GRID = 13
"""Places of the grid along each axis."""

_FIXED_POINT_STEPS = 8


@dataclass(frozen=True, slots=True)
class FieldError:
    """Root mean squares for each axis, in px of the movie: field² = global² + local².

    `whole_frame_px` is the error of each frame's mean over the grid, `local_px` of what differs from place to place.
    """

    field_px: float
    whole_frame_px: float
    local_px: float


def grid_places(height: int, width: int, count: int = GRID) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return rows and columns of the grid's places, each of shape (count²,): middles of count × count equal parts."""
    parts = (np.arange(count) + 0.5) / count
    y, x = np.meshgrid(parts * height, parts * width, indexing="ij")
    return y.ravel(), x.ravel()


def true_displacement(
    truth: Truth, frame_index: int, y: NDArray[np.float64], x: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how far the content that lies at (y, x) in the first frame has come in another frame.

    The truth is given by the place of arrival, q - displacement(q) = p; this solves it for the place of departure.
    """
    dy, dx = np.zeros_like(y), np.zeros_like(x)
    for _ in range(_FIXED_POINT_STEPS):
        dy, dx = truth.displacement(frame_index, y + dy, x + dx)
    return dy, dx


def error_field(field: MotionField, truth: Truth, count: int = GRID) -> NDArray[np.float64]:
    """Return estimate minus truth in px on the grid, shape (frames, 2, count²), (y, x)."""
    y, x = grid_places(truth.height, truth.width, count)
    return np.stack(
        [
            np.stack(field.displacement(frame, y, x)) - np.stack(true_displacement(truth, frame, y, x))
            for frame in range(field.frame_count)
        ]
    )


def field_error(field: MotionField, truth: Truth) -> FieldError:
    """Return the error of a field that has as many frames as the truth."""
    return summarised(error_field(field, truth))


def summarised(errors: NDArray[np.float64]) -> FieldError:
    """Return the root mean squares of an error field (frames, 2, places) without each place's mean over time."""
    blurring = errors - errors.mean(axis=0)
    whole = blurring.mean(axis=2, keepdims=True)
    return FieldError(_rms(blurring), _rms(whole), _rms(blurring - whole))


def _rms(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(values**2)))
