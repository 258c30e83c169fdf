"""How the specimen moves: a drift of the whole frame and a smooth local field."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preprocess.simulation.settings import SimulationSettings

LOCAL_BASIS = ("x", "x^2 - 1/12", "y", "y^2 - 1/12", "x*y")
"""Terms of the local field; x = column / width - 0.5, y = row / height - 0.5. Each has mean zero over the frame."""


def whole_frame_shifts(settings: SimulationSettings) -> NDArray[np.float64]:
    """Return the content's displacement (frames, 2) as (y, x) in px, relative to the first frame.

    Fast at first and slower later, as real specimens move under the beam, with a random jitter on top.
    """
    if settings.shifts_yx_px is not None:
        given = np.asarray(settings.shifts_yx_px, np.float64).reshape(settings.frame_count, 2)
        return _relative_to_first(given)
    random = np.random.default_rng([settings.seed, 1])
    time = _time(settings.frame_count)
    direction, bend = random.uniform(0, 2 * np.pi), random.uniform(-1.0, 1.0)
    progress = 0.6 * _fast_then_slow(time) + 0.4 * time
    angle = direction + bend * (1.0 - time)
    drift = settings.motion_px * progress[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    return _relative_to_first(drift + settings.jitter_px * random.standard_normal((settings.frame_count, 2)))


def local_coefficients(settings: SimulationSettings) -> NDArray[np.float64]:
    """Return the local field's coefficients (frames, 2, 5) in px for `LOCAL_BASIS`, zero in the first frame."""
    random = np.random.default_rng([settings.seed, 2])
    coefficients = random.standard_normal((2, len(LOCAL_BASIS))) * np.array([1.0, 1.5, 1.0, 1.5, 1.5])
    # Mean squares of the basis functions over the unit square.
    variances = np.array([1 / 12, 1 / 180, 1 / 12, 1 / 180, 1 / 144])
    rms = np.sqrt((coefficients**2 * variances).sum() / 2)
    progress = 0.7 * _fast_then_slow(_time(settings.frame_count)) + 0.3 * _time(settings.frame_count)
    field: NDArray[np.float64] = settings.local_motion_px / rms * progress[:, None, None] * coefficients
    return field


def local_basis(y: NDArray[np.float64], x: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Return `LOCAL_BASIS` at normalised places y and x (each from -0.5 to 0.5; they may broadcast)."""
    return [x, x**2 - 1 / 12, y, y**2 - 1 / 12, x * y]


def _relative_to_first(shifts: NDArray[np.float64]) -> NDArray[np.float64]:
    relative: NDArray[np.float64] = shifts - shifts[0]
    return relative


def _time(frame_count: int) -> NDArray[np.float64]:
    return np.linspace(0.0, 1.0, frame_count) if frame_count > 1 else np.zeros(1)


def _fast_then_slow(time: NDArray[np.float64]) -> NDArray[np.float64]:
    settled: NDArray[np.float64] = (1.0 - np.exp(-6.0 * time)) / (1.0 - np.exp(-6.0))
    return settled
