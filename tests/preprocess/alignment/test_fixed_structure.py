"""Structure that is fixed to the camera must not hold the specimen; where there is none, nothing may change."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.fft

from preprocess.alignment.movie_motion import MovieMotion, estimate_movie_motion
from preprocess.alignment.whole_frame import estimate_motion
from preprocess.backends.cpu.backend import CpuBackend

SIDE, COUNT, DOSE = 256, 12, 6.0
Y, X = np.mgrid[:SIDE, :SIDE]


def drift(length: float) -> np.ndarray:
    """A drift that is fast at first, with jitter: (frames, 2) px, mean zero."""
    course = 1 - np.exp(-np.arange(COUNT) / 4)
    moved = length * course[:, None] * [0.8, -0.6] + np.random.default_rng(2).normal(0, 0.15, (COUNT, 2)) * (length > 0)
    return moved - moved.mean(0)


def movie(moved: np.ndarray, lit: np.ndarray | float = 1.0) -> np.ndarray:
    """Counts of a specimen that moves, seen through what is fixed to the camera."""
    random = np.random.default_rng(1)
    ky, kx = np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)
    k2 = ky**2 + kx**2
    specimen = scipy.fft.rfft2(random.standard_normal((SIDE, SIDE))) * np.sin(0.1 + 900 * k2) * np.exp(-40 * k2)
    specimen *= 0.1 / scipy.fft.irfft2(specimen).std()
    frames = [scipy.fft.irfft2(specimen * np.exp(-2j * np.pi * (ky * dy + kx * dx))) for dy, dx in moved]
    return np.stack([random.poisson(DOSE * lit * np.maximum(1 + frame, 0)) for frame in frames]).astype(np.uint8)


def pixel_gains(scatter: float) -> np.ndarray:
    return np.clip(1 + scatter * np.random.default_rng(3).standard_normal((SIDE, SIDE)), 0.3, 2)


def hole() -> np.ndarray:
    return np.where(np.hypot(Y - 90, X - 110) < 60, 1.0, 0.1)


def grid_bar() -> np.ndarray:
    return np.where(np.abs(0.9 * (X - 150) + 0.4 * (Y - 128)) < 25, 0.05, 1.0)


def beam_edge() -> np.ndarray:
    return 0.5 - 0.5 * np.tanh((np.hypot(Y - 128, X - 128) - 115) / 1.5)


def held(frames: np.ndarray):
    stack = CpuBackend(2).hold(*frames.shape, frames.dtype)
    for index, frame in enumerate(frames):
        stack.put(index, frame)
    return stack


def motion_of(frames: np.ndarray, patches: tuple[int, int] | None = (1, 1)) -> MovieMotion:
    dose = float(frames.mean()) * len(frames)
    return estimate_movie_motion(held(frames), (SIDE, SIDE), len(frames), patches, dose, lambda _: None)


def error_px(shifts: np.ndarray, moved: np.ndarray) -> float:
    error = shifts - moved
    return float(np.sqrt(((error - error.mean(0)) ** 2).mean()))


@pytest.mark.parametrize(
    ("lit", "length", "limit"),
    [
        (lambda: pixel_gains(0.15), 8.0, 0.1),
        (lambda: pixel_gains(0.15), 2.0, 0.1),
        (hole, 6.0, 0.15),
        (grid_bar, 8.0, 0.1),
        (beam_edge, 8.0, 0.1),
        (lambda: grid_bar() * pixel_gains(0.1), 6.0, 0.1),
    ],
    ids=["gains", "gains, small drift", "hole", "grid bar", "beam edge", "grid bar and gains"],
)
def test_the_specimen_is_followed_beside_what_is_fixed(
    lit: Callable[[], np.ndarray], length: float, limit: float
) -> None:
    moved = drift(length)
    frames = movie(moved, lit())
    pulled = error_px(estimate_motion(held(frames).spectra(1), 1).shifts, moved)
    found = motion_of(frames)
    assert found.fixed is not None
    assert found.fixed.reliable
    assert error_px(found.whole.shifts, moved) < min(limit, pulled / 2)


@pytest.mark.parametrize("lit", [lambda: 1.0, lambda: pixel_gains(0.15), hole, grid_bar])
def test_a_specimen_that_lies_still_stays_where_it_is(lit: Callable[[], np.ndarray]) -> None:
    frames = movie(drift(0.0), lit())
    found = motion_of(frames)
    assert found.fixed is None
    np.testing.assert_array_equal(found.whole.shifts, estimate_motion(held(frames).spectra(1), 1).shifts)


@pytest.mark.parametrize(("length", "lit"), [(1.0, 1.0), (8.0, 1.0), (4.0, 0.2), (4.0, 0.08)])
def test_without_fixed_structure_nothing_changes(length: float, lit: float) -> None:
    frames = movie(drift(length), lit)
    found = motion_of(frames)
    assert found.fixed is None
    np.testing.assert_array_equal(found.whole.shifts, estimate_motion(held(frames).spectra(1), 1).shifts)


def test_patches_are_not_held_either() -> None:
    moved = drift(6.0)
    found = motion_of(movie(moved, grid_bar() * pixel_gains(0.12)), patches=(3, 3))
    assert found.fixed is not None
    assert error_px(found.field.mean_shifts(), moved) < 0.12
    assert found.local.local_rms_px < 0.1


def test_a_foreign_frame_is_named_though_it_has_the_same_fixed_pattern() -> None:
    moved = drift(6.0)
    frames = movie(moved, pixel_gains(0.25))
    other = np.random.default_rng(9).poisson(DOSE * pixel_gains(0.25), (SIDE, SIDE))
    frames[4] = other
    assert motion_of(frames).foreign == (4,)


def test_frames_without_any_noise_are_left_to_whole_frame_alignment() -> None:
    frames = np.repeat(movie(drift(0.0))[:1], 5, 0)
    found = motion_of(frames)
    assert found.fixed is None
    np.testing.assert_allclose(found.whole.shifts, 0, atol=1e-6)
