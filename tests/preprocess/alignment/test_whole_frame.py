"""Whole-frame alignment against the simulator's truth, where it is easy and where it is not."""

from __future__ import annotations

import numpy as np
import pytest

from preprocess.alignment.whole_frame import (
    estimate_motion,
    estimation_bin,
    newton_steps,
    signal_weights,
)
from preprocess.backends.cpu.backend import CpuBackend
from preprocess.correction.defects import find_defects
from preprocess.geometry.replacements import find_replacements
from preprocess.simulation import SimulationSettings, simulate_movie


def align(settings: SimulationSettings, *, with_gain: bool = True, bin_factor: int = 1):
    """Return the estimated motion and its error, (frames, 2) px, mean over time removed."""
    movie = simulate_movie(settings)
    count, shape = settings.frame_count, (settings.height, settings.width)
    stack = CpuBackend(2).hold(count, *shape, np.dtype(np.uint8))
    for index, frame in enumerate(movie.frames()):
        stack.put(index, frame)
    gain = movie.gain if with_gain else None
    stack.set_gain(gain)
    replacements = find_replacements(find_defects(stack.frame_sum()).pixels, shape)
    stack.replace_pixels(replacements)
    if gain is not None:
        stack.set_gain(CpuBackend(2).with_pixels(gain, replacements.targets, replacements.gains(gain)))
    motion = estimate_motion(stack.spectra(bin_factor), bin_factor)
    error = motion.shifts - movie.truth.shifts_yx_px
    return motion, error - error.mean(0)


@pytest.mark.parametrize(
    ("what", "limit"),
    [
        ({"motion_px": 60.0}, 0.2),
        ({"jitter_px": 3.0}, 0.2),
        ({"motion_px": 0.0, "jitter_px": 0.0}, 0.2),
        ({"dose_per_frame_e_per_a2": 0.25}, 0.35),
        ({"defocus_angstrom": 6000.0}, 0.2),
        ({"frame_count": 3, "dose_per_frame_e_per_a2": 2.0}, 0.2),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_error_is_small_and_no_larger_than_it_says(what, limit):
    motion, error = align(SimulationSettings(**{"height": 448, "width": 512, "frame_count": 12, "seed": 5} | what))
    rms = np.sqrt((error**2).mean())
    assert motion.converged
    assert rms < limit
    assert rms < 1.7 * np.median(motion.standard_errors)


def test_a_gain_that_was_not_given_does_not_hold_the_frames_where_they_are():
    settings = SimulationSettings(height=448, width=512, frame_count=12, seed=6, motion_px=3.0)
    _, error = align(settings, with_gain=False)
    assert np.sqrt((error**2).mean()) < 0.2


def test_binned_frames_give_shifts_of_the_movie_as_recorded():
    _, error = align(SimulationSettings(height=640, width=512, frame_count=8, seed=7), bin_factor=2)
    assert np.sqrt((error**2).mean()) < 0.25


@pytest.mark.parametrize(
    ("height", "width", "factor"), [(1024, 1024, 1), (3072, 3000, 1), (4092, 5760, 2), (8184, 11520, 4)]
)
def test_frames_are_binned_to_what_is_enough(height, width, factor):
    assert estimation_bin(height, width) == factor


def test_rings_without_common_signal_have_no_weight():
    sizes = np.full(40, 500.0)
    noise, signal = 7.0, np.where(np.arange(40) < 15, 3.0, 0.0)
    n = 10
    of_frames = n * (signal + noise) * sizes
    of_sum = (n * n * signal + n * noise) * sizes
    weights, noises = signal_weights(of_sum, of_frames, sizes, n)
    assert noises == pytest.approx(np.full(40, noise))
    ssnr = n * 3.0 / noise
    assert weights[:10] == pytest.approx(np.full(10, ssnr / (1 + ssnr) / noise))
    assert (weights[20:] == 0).all()


def test_newton_steps_reach_the_top_of_a_paraboloid_and_stay_short_on_noise():
    hessian = np.array([[-2.0, -3.0, 0.5], [-2.0, -3.0, 0.5], [1.0, -3.0, 0.0]])
    top = np.array([0.2, -0.1])
    slope = -np.array([[hessian[0, 0], hessian[0, 2]], [hessian[0, 2], hessian[0, 1]]]) @ top
    steps = newton_steps(np.stack([slope, 100 * slope, slope]), hessian, largest=0.75)
    assert steps[0] == pytest.approx(top)
    assert np.abs(steps[1]).max() == 0.75
    assert np.isfinite(steps).all()
    assert np.sign(steps[2]).tolist() == np.sign(slope).tolist()
