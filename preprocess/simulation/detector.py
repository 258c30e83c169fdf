"""The camera: each pixel's sensitivity, hot and dead pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocess.simulation.settings import SimulationSettings

HOT_PIXEL_COUNTS = 40.0
"""Mean counts of a hot pixel in each frame, whatever hits it."""


@dataclass(frozen=True, slots=True)
class Detector:
    """`sensitivity` (height, width) has mean 1 and is zero at dead pixels; pixel places are flat indices."""

    sensitivity: NDArray[np.float32] | None
    hot_pixels: NDArray[np.intp]
    dead_pixels: NDArray[np.intp]

    @property
    def gain(self) -> NDArray[np.float32] | None:
        """Return the multiplicative gain reference; zero at dead pixels. None for a camera that corrects itself."""
        if self.sensitivity is None:
            return None
        gain = np.zeros_like(self.sensitivity)
        np.divide(1.0, self.sensitivity, out=gain, where=self.sensitivity > 0)
        return gain


def make_detector(settings: SimulationSettings) -> Detector:
    """Return the camera that `detector_seed` names; without gain, all pixels are equal and none is dead."""
    random = np.random.default_rng([settings.detector_seed, 4])
    pixels = settings.height * settings.width
    hot_count = round(settings.hot_pixels_per_million * pixels / 1e6)
    dead_count = round(settings.dead_pixels_per_million * pixels / 1e6) if settings.gain else 0
    odd = random.choice(pixels, hot_count + dead_count, replace=False)
    hot, dead = np.sort(odd[:hot_count]), np.sort(odd[hot_count:])
    if not settings.gain:
        return Detector(None, hot, dead)
    sensitivity = _sensitivity(settings, random)
    sensitivity.reshape(-1)[dead] = 0.0
    return Detector(sensitivity, hot, dead)


def _sensitivity(settings: SimulationSettings, random: np.random.Generator) -> NDArray[np.float32]:
    """Return a pattern that no rotation or flip leaves alike: slopes, amplifiers' stripes, a seam, pixel noise."""
    y = np.linspace(-0.5, 0.5, settings.height, dtype=np.float32)[:, None]
    x = np.linspace(-0.5, 0.5, settings.width, dtype=np.float32)[None, :]
    stripes = np.repeat(random.normal(0, 0.02, 16), -(-settings.width // 16))[: settings.width].astype(np.float32)
    smooth = 1.0 + 0.06 * y - 0.04 * x - 0.08 * (y + 0.2) * (x - 0.1) - 0.05 * (y < 0.05) * (x > 0.1)
    pattern = smooth + stripes[None, :]
    pattern = pattern + np.float32(0.02) * random.standard_normal(pattern.shape, np.float32)
    sensitivity: NDArray[np.float32] = (pattern / pattern.mean()).astype(np.float32)
    return sensitivity
