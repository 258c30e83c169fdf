"""A small movie of odd sizes, and all that a backend finds out about its motion."""

from __future__ import annotations

import numpy as np

from preprocess.backends.contract import RING_COUNT, Backend, FrameStack
from preprocess.geometry.field import DisplacementField
from preprocess.geometry.patches import PatchLayout, lay_patches

COUNT, HEIGHT, WIDTH = 5, 97, 203


def movie_frames(
    random: np.random.Generator, dtype: str = "uint8", shape: tuple[int, int, int] = (COUNT, HEIGHT, WIDTH)
) -> np.ndarray:
    return random.poisson(6, shape).astype(dtype)


def hold(backend: Backend, frames: np.ndarray, gain: np.ndarray | None = None) -> FrameStack:
    stack = backend.hold(*frames.shape, frames.dtype)
    for index, frame in enumerate(frames):
        stack.put(index, frame)
    stack.set_gain(gain)
    return stack


def layout_of(frames: np.ndarray, factor: int = 1) -> PatchLayout:
    drift = np.linspace(0, 6, len(frames))[:, None] * [1.0, -0.7]
    shape = (frames.shape[1] // factor, frames.shape[2] // factor)
    return lay_patches(shape, (2, 3), drift, bin_factor=factor, kept=0.8)


def measured(backend: Backend, frames: np.ndarray, gain: np.ndarray | None, factor: int) -> list[np.ndarray]:
    """All that a backend finds out about motion, given the same displacements and weights."""
    stack = hold(backend, frames, gain)
    shifts = np.random.default_rng(3).normal(0, 1, (len(frames), 2))
    weights = np.exp(-np.arange(RING_COUNT) / 80.0)
    spectra = stack.spectra(factor)
    powers = spectra.ring_powers(shifts)
    box = (2 * (spectra.shape[0] // 4), 2 * (spectra.shape[1] // 4))
    found = [*powers, spectra.correlations(shifts, weights, box, 5), *spectra.derivatives(shifts, weights)]
    patches = stack.patch_spectra(layout_of(frames, factor))
    local = np.random.default_rng(4).normal(0, 1, (len(frames), 6, 2))
    measures = patches.measure(local, weights, [5, 0, 2], 200)
    return [*found, measures.sum_powers, measures.frame_powers, measures.gradient, measures.hessian]


def wavy_field(steepness_px: float, count: int = COUNT) -> DisplacementField:
    random = np.random.default_rng(5)
    y, x = random.normal(0, steepness_px, (2, count, 10))
    y[:, 0], x[:, 0] = random.normal(0, 3, (2, count))
    return DisplacementField(y, x)
