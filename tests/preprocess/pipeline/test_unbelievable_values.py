"""Whatever values a movie or a gain reference holds, no micrograph has one that is not finite, and it is said."""

from __future__ import annotations

from dataclasses import replace

import mrcfile
import numpy as np
import pytest

from preprocess.exposure.acquisition import Acquisition
from preprocess.pipeline.process_movie import process_movie
from preprocess.settings import AlignmentSettings, FrameSettings, GainSettings
from preprocess.simulation import SimulationSettings, simulate_movie, write_mrc

EXPOSURE = Acquisition(pixel_size_angstrom=1.1, voltage_kv=300.0, dose_per_frame_e_per_a2=2.0)
PLAIN = AlignmentSettings(device="cpu", threads=2, unweighted=True, even_odd=True)
FRAMES = 6


@pytest.fixture(name="frames", scope="module")
def _frames():
    movie = simulate_movie(
        SimulationSettings(height=192, width=256, frame_count=FRAMES, seed=3, dose_per_frame_e_per_a2=4)
    )
    return np.stack(list(movie.frames())).astype(np.float32)


def aligned(folder, frames, settings=PLAIN):
    write_mrc(folder / "m.mrc", frames, frame_count=FRAMES, mode=2)
    return process_movie(folder / "m.mrc", folder / "out", settings=settings, acquisition=EXPOSURE)


def all_images(folder):
    """Return the micrographs; the picture of the CTF is none."""
    paths = [path for path in (folder / "out").glob("*.mrc") if not path.stem.endswith("_ctf")]
    return {path.name: mrcfile.read(path).astype(np.float64) for path in paths}


def codes(result):
    return [warning.code for warning in result.warnings]


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e30])
@pytest.mark.parametrize("group", [1, 2])
def test_bad_pixels_become_defects(tmp_path, frames, value, group):
    settings = replace(PLAIN, frames=FrameSettings(group=group))
    clean = aligned(tmp_path, frames, settings)
    images = all_images(tmp_path)
    changed = frames.copy()
    changed[3, 20:22, 30] = value
    changed[0, 100, 200] = value
    result = aligned(tmp_path, changed, settings)
    assert len(images) == 4
    for name, image in all_images(tmp_path).items():
        assert np.abs(image - images[name]).max() < 8 * images[name].std()
    assert "unbelievable-pixels" in codes(result)
    assert "unbelievable-pixels" not in codes(clean)
    assert np.abs(np.subtract(result.shifts_y_px, clean.shifts_y_px)).max() < 0.1


@pytest.mark.parametrize("value", [np.nan, 1e6, 0.0, -1.0])
def test_bad_pixels_in_a_gain_reference_are_defects(tmp_path, frames, value):
    gain = np.ones(frames.shape[1:], np.float32)
    gain[50, 60] = value
    write_mrc(tmp_path / "gain.mrc", [gain], frame_count=1, mode=2)
    result = aligned(tmp_path, frames, replace(PLAIN, gain=GainSettings(path=tmp_path / "gain.mrc")))
    assert all(np.isfinite(image).all() and image.std() < 20 for image in all_images(tmp_path).values())
    assert ("gain-doubtful" in codes(result)) == (value != 0)


def test_a_negative_mean_is_said(tmp_path, frames):
    assert "negative-mean" in codes(aligned(tmp_path, frames - 128))
