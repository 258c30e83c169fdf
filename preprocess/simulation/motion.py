"""How the specimen moves as a whole: a drift, fast at first, with a jitter on top."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preprocess.simulation.settings import SimulationSettings


def whole_frame_shifts(settings: SimulationSettings) -> NDArray[np.float64]:
    """Return the content's displacement (frames, 2) as (y, x) in px, relative to the first frame.

    Fast at first and slower later, as real specimens move under the beam, with a random jitter on top.
    """
    if settings.shifts_yx_px is not None:
        given = np.asarray(settings.shifts_yx_px, np.float64).reshape(settings.frame_count, 2)
        return _relative_to_first(given)
    random = np.random.default_rng([settings.seed, 1])
    time = time_of_frames(settings.frame_count)
    direction, bend = random.uniform(0, 2 * np.pi), random.uniform(-1.0, 1.0)
    progress = 0.6 * fast_then_slow(time) + 0.4 * time
    angle = direction + bend * (1.0 - time)
    drift = settings.motion_px * progress[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    return _relative_to_first(drift + settings.jitter_px * random.standard_normal((settings.frame_count, 2)))


def _relative_to_first(shifts: NDArray[np.float64]) -> NDArray[np.float64]:
    relative: NDArray[np.float64] = shifts - shifts[0]
    return relative


def time_of_frames(frame_count: int) -> NDArray[np.float64]:
    """Return each frame's time, from 0 in the first to 1 in the last."""
    return np.linspace(0.0, 1.0, frame_count) if frame_count > 1 else np.zeros(1)


def fast_then_slow(time: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far a motion has come that slows down: 0 at the beginning, 1 in the end."""
    settled: NDArray[np.float64] = (1.0 - np.exp(-6.0 * time)) / (1.0 - np.exp(-6.0))
    return settled
