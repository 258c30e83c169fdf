"""A device that decodes float frames itself sees no NaN in them: the sum does, and the CPU reads the movie again."""

from __future__ import annotations

import numpy as np
import pytest
from cuda_on_host import cuda_on_host

from preprocess.movies import open_movie
from preprocess.movies.frame_groups import FrameGroups
from preprocess.pipeline.holding import hold_movie
from preprocess.settings import AlignmentSettings
from preprocess.simulation import write_mrc

FRAMES, HEIGHT, WIDTH = 4, 66, 150
SETTINGS = AlignmentSettings(device="cpu")


@pytest.fixture(name="cuda", scope="module")
def _cuda():
    with cuda_on_host() as cuda:
        yield cuda


def held(cuda, folder, frames):
    write_mrc(folder / "m.mrc", frames, frame_count=FRAMES, mode=2)
    movie = open_movie(folder / "m.mrc")
    groups = FrameGroups.of(FRAMES, 1)
    return movie, hold_movie(movie, range(FRAMES), groups, cuda.backend(None), SETTINGS, lambda _: None)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e30])
def test_a_value_that_no_sum_of_counts_has_makes_the_cpu_look(cuda, tmp_path, value):
    frames = np.random.default_rng(1).poisson(4, (FRAMES, HEIGHT, WIDTH)).astype(np.float32)
    movie, usual = held(cuda, tmp_path, frames)
    assert usual.remarks == ()
    frames[2, 7, 9] = value
    movie, looked_at = held(cuda, tmp_path, frames)
    assert movie.unbelievable_pixels.tolist() == looked_at.defects.pixels.tolist() == [7 * WIDTH + 9]
    assert looked_at.mean_counts == pytest.approx(usual.mean_counts, abs=0.01)
    assert looked_at.remarks != ()
    assert np.isfinite(looked_at.stack.frames.get()).all()
