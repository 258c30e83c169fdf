"""Fourier ring correlation with a known answer, and the truth laid where a program laid its micrograph."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.alignment.micrograph_truth import correlation_with_truth, fourier_cropped, mean_offset, read_micrograph
from benchmarks.alignment.motion_fields import whole_frame_field
from benchmarks.alignment.movies import BenchMovie, simulated_movie
from benchmarks.alignment.presets import find_preset
from benchmarks.alignment.ring_correlation import ring_correlation
from benchmarks.errors import ResultUnreadable
from preprocess.simulation import SimulationSettings, simulate_movie


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(3).standard_normal((3, 400, 500)).astype(np.float32)


def test_signal_and_noise_of_known_strengths(noise):
    """Two images s + n: the correlation is the share of the signal in the power, here 1 / (1 + 0.5²)."""
    found = ring_correlation(noise[0] + 0.5 * noise[1], noise[0] + 0.5 * noise[2], 1.0)
    np.testing.assert_allclose(found.frc, 0.8, atol=0.08)
    assert np.mean(found.frc[3:]) == pytest.approx(0.8, abs=0.01)


def test_equal_opposite_and_unrelated(noise):
    np.testing.assert_allclose(ring_correlation(noise[0], 3 * noise[0] + 7, 1.0).frc, 1, atol=1e-4)
    np.testing.assert_allclose(ring_correlation(noise[0], -noise[0], 1.0).frc, -1, atol=1e-4)
    assert np.abs(ring_correlation(noise[0], noise[1], 1.0).frc[2:]).max() < 0.1


def test_a_signal_in_one_band_is_found_there():
    x = np.arange(400)[None, :]
    wave = np.cos(2 * np.pi * 0.2125 * x).astype(np.float32)  # middle of ring 8 of 20
    random = np.random.default_rng(0)
    images = [wave + 0.1 * random.standard_normal((400, 400)).astype(np.float32) for _ in range(2)]
    found = ring_correlation(*images, 2.0)
    assert int(np.argmax(found.frc)) == 8
    assert found.frc[8] > 0.9
    assert found.frequencies[8] == pytest.approx(0.2125 / 2)


def test_cropping_in_fourier_space_keeps_coarse_content():
    y, x = np.mgrid[:64, :96]
    coarse = np.cos(2 * np.pi * (y * 3 / 64 + x * 5 / 96)).astype(np.float32)
    fine = np.cos(2 * np.pi * x * 40 / 96).astype(np.float32)
    np.testing.assert_allclose(fourier_cropped(coarse + fine, (32, 48)), coarse[::2, ::2], atol=1e-5)


def that_lies_nowhere(settings):
    """A benchmark's movie that lies nowhere: only its figures are used."""
    return BenchMovie(
        path=Path("none.tiff"),
        preset="x",
        seed=0,
        gain=None,
        height=settings.height,
        width=settings.width,
        frame_count=settings.frame_count,
        pixel_size_angstrom=settings.pixel_size_angstrom,
        voltage_kv=300.0,
        dose_per_frame_e_per_a2=1.0,
        settings=settings,
    )


def test_a_micrograph_laid_elsewhere_is_as_good():
    """The micrograph of a program whose shifts are all off by (0.7, -1.2): the truth is laid there too."""
    settings = SimulationSettings(height=256, width=288, frame_count=4, motion_px=3.0, seed=1)
    movie = simulate_movie(settings)
    bench = that_lies_nowhere(settings)
    off = np.array([0.7, -1.2])
    motion = whole_frame_field(256, 288, movie.truth.shifts_yx_px + off)
    offset_y, offset_x = mean_offset(motion, movie.truth, 1.0)
    assert offset_y.shape == (256, 288)
    np.testing.assert_allclose([offset_y.mean(), offset_x.mean()], off)
    laid = movie.noise_free(np.full((256, 288), off[0]), np.full((256, 288), off[1]))
    known = correlation_with_truth(laid, bench, movie, motion)
    np.testing.assert_allclose(known.frc, 1, atol=1e-3)
    unknown = correlation_with_truth(laid, bench, movie, None)
    assert unknown.frc[8] < 0.5


def test_a_missing_micrograph_is_named(tmp_path):
    with pytest.raises(ResultUnreadable, match=r"none\.mrc"):
        read_micrograph(tmp_path / "none.mrc")


def test_movies_are_made_once_and_again_when_settings_change(tmp_path):
    preset = find_preset("small@64x96x3")
    first = simulated_movie(preset, 2, tmp_path)
    stamp = first.path.stat().st_mtime_ns
    assert simulated_movie(preset, 2, tmp_path).path.stat().st_mtime_ns == stamp
    (first.path.parent / "truth.json").unlink()  # as if it had been killed
    simulated_movie(preset, 2, tmp_path)
    assert first.path.stat().st_mtime_ns != stamp
    other = replace(preset, settings=replace(preset.settings, motion_px=1.0))
    assert simulated_movie(other, 2, tmp_path).path != first.path
