"""What is said about motion that was measured but should not be trusted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.fft

from preprocess.exposure.acquisition import Acquisition
from preprocess.pipeline.process_movie import process_movie
from preprocess.settings import AlignmentSettings, CtfSettings
from preprocess.simulation import write_mrc

SIDE, COUNT = 192, 8
EXPOSURE = Acquisition(pixel_size_angstrom=1.0, voltage_kv=300.0, dose_per_frame_e_per_a2=1.0)


def codes(path: Path, moved: np.ndarray, contrast: float = 0.2) -> set[str]:
    random = np.random.default_rng(3)
    ky, kx = np.fft.fftfreq(4 * SIDE)[:, None], np.fft.rfftfreq(4 * SIDE)
    k2 = ky**2 + kx**2
    specimen = scipy.fft.rfft2(random.standard_normal((4 * SIDE, 4 * SIDE))) * np.sin(900 * k2) * np.exp(-60 * k2)
    specimen *= contrast / scipy.fft.irfft2(specimen).std()
    frames = []
    for dy, dx in moved:
        seen = scipy.fft.irfft2(specimen * np.exp(-2j * np.pi * (ky * dy + kx * dx)))[:SIDE, :SIDE]
        frames.append(random.poisson(8 * np.maximum(1 + seen, 0)).astype(np.uint8))
    write_mrc(path, frames, frame_count=COUNT, mode=6)
    settings = AlignmentSettings(device="cpu", threads=1, patches=(1, 1))
    done = process_movie(path, path.parent / "out", settings=settings, acquisition=EXPOSURE)
    return {warning.code for warning in done.warnings}


def test_drift_beyond_the_reach_of_the_search_is_named(tmp_path):
    far = np.linspace(0, 1, COUNT)[:, None] * [500.0, -380.0]
    assert {"drift-out-of-reach", "frames-without-signal"} & codes(tmp_path / "far.mrc", far)


def test_a_drift_within_reach_is_not(tmp_path):
    near = np.linspace(0, 1, COUNT)[:, None] * [9.0, -6.0]
    assert not codes(tmp_path / "near.mrc", near) & {
        "drift-out-of-reach",
        "not-converged",
        "frames-without-signal",
        "motion-erratic",
    }


def test_frames_that_follow_noise_are_named(tmp_path):
    assert {"motion-erratic", "no-signal"} & codes(tmp_path / "noise.mrc", np.zeros((COUNT, 2)), contrast=0.0)


def test_a_field_that_few_electrons_reach_is_named(tmp_path):
    random = np.random.default_rng(0)
    lit = np.where(np.arange(SIDE) < SIDE * 3 / 8, 8.0, 0.05)
    frames = random.poisson(lit, (COUNT, SIDE, SIDE)).astype(np.uint8)
    write_mrc(tmp_path / "bar.mrc", frames, frame_count=COUNT, mode=6)
    settings = AlignmentSettings(device="cpu", threads=1, patches=(1, 1), ctf=CtfSettings(wanted=False))
    done = process_movie(tmp_path / "bar.mrc", tmp_path / "out", settings=settings, acquisition=EXPOSURE)
    assert done.figures["empty_area_fraction"] == 5 / 8
    assert any(warning.code == "mostly-empty" and "62% of the field" in warning.text for warning in done.warnings)
