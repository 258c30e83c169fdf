"""The movie that faults are put into: frames as expected by a perfect camera, and their motion."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.simulation import SimulationSettings, simulate_movie

SIDE_PX = 512
FRAME_COUNT = 16
COUNTS = 4.0
"""Counts a pixel and frame."""
PIXEL_SIZE_ANGSTROM = 1.5
VOLTAGE_KV = 300.0
DOSE_PER_FRAME_E_PER_A2 = round(COUNTS / PIXEL_SIZE_ANGSTROM**2, 4)
FIRST_DRIFT_PX = 8.0

Figures = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Scene:
    """A movie before it is recorded.

    Attributes
    ----------
    expected : NDArray[np.float32]
        Counts expected in each pixel, shape (frames, height, width).
    shifts : NDArray[np.float64]
        The content's displacement relative to the first frame, (frames, 2), (y, x), px.
    seed : int
        Decides the noise.
    """

    expected: Figures
    shifts: NDArray[np.float64]
    seed: int

    def random(self) -> np.random.Generator:
        """Return what draws the noise and the faults; the same at each call."""
        return np.random.default_rng([self.seed, 17])

    def counts(self, expected: Figures | None = None) -> Figures:
        """Return drawn counts, at most 255: of the scene, or of other expected counts."""
        drawn = self.random().poisson(self.expected if expected is None else np.maximum(expected, 0))
        return np.minimum(drawn, 255).astype(np.uint8)


@cache
def scene(seed: int, drift_px: float = FIRST_DRIFT_PX, jitter_px: float = 0.2) -> Scene:
    """Return the scene of a seed that drifts so far from the first frame to the last."""
    settings = SimulationSettings(
        height=SIDE_PX,
        width=SIDE_PX,
        frame_count=FRAME_COUNT,
        pixel_size_angstrom=PIXEL_SIZE_ANGSTROM,
        voltage_kv=VOLTAGE_KV,
        dose_per_frame_e_per_a2=DOSE_PER_FRAME_E_PER_A2,
        motion_px=drift_px,
        jitter_px=jitter_px,
        seed=seed,
        gain=False,
        hot_pixels_per_million=0,
        dead_pixels_per_million=0,
    )
    movie = simulate_movie(settings)
    frames = np.stack([movie.expected(index) for index in range(FRAME_COUNT)])
    return Scene(frames, np.asarray(movie.truth.shifts_yx_px, np.float64), seed)
