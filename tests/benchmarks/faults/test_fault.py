"""The file of a movie with a fault holds what the fault says."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.faults.catalogue import FAULTS
from benchmarks.faults.fault import FaultyMovie
from preprocess.movies import open_movie


def test_names_of_faults_are_unique() -> None:
    assert len({(fault.kind, fault.name) for fault in FAULTS}) == len(FAULTS)


@pytest.mark.parametrize("number_type", [np.uint8, np.int16, np.float32])
def test_frames_are_read_as_they_were_made(tmp_path, number_type) -> None:
    frames = np.random.default_rng(1).integers(0, 90, (3, 32, 48)).astype(number_type)
    flags = 0 if number_type == np.uint8 else None  # without the stamp, MRC's bytes are signed
    FaultyMovie(frames, np.zeros((3, 2)), imod_flags=flags).write(tmp_path / "movie.mrc")
    movie = open_movie(tmp_path / "movie.mrc")
    assert np.array_equal(np.stack(list(movie.frames())), frames)
