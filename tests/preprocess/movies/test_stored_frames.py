"""The first header of a file says as much about its frames as the open movie does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from preprocess.movies import open_movie
from preprocess.movies.stored_frames import StoredFrames, stored_frames
from preprocess.simulation import write_mrc, write_tiff
from preprocess.simulation.eer_writer import write_eer


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "f4"])
@pytest.mark.parametrize("kind", ["tiff", "mrc"])
def test_tiff_and_mrc(tmp_path: Path, kind: str, dtype: str) -> None:
    movie, images = tmp_path / f"movie.{kind}", [np.ones((12, 20), dtype)] * 2
    if kind == "tiff":
        write_tiff(movie, images)
    else:
        write_mrc(movie, images, frame_count=2, mode={"u1": 0, "i2": 1, "u2": 6, "f4": 2}[dtype])
    seen = stored_frames(movie)
    assert seen is not None
    assert (seen.format, seen.height, seen.width, seen.is_float) == (kind, 12, 20, dtype == "f4")
    assert seen.bits == 8 * np.dtype(dtype).itemsize
    opened = StoredFrames.of(open_movie(movie))
    assert (opened.height, opened.width, opened.is_float) == (12, 20, dtype == "f4")


def test_eer(tmp_path: Path) -> None:
    movie = tmp_path / "movie.eer"
    write_eer(movie, [np.ones((64, 64), np.uint8)] * 2, hardware_frames_per_frame=1)
    seen = stored_frames(movie)
    assert seen is not None
    assert seen.format == "eer"


@pytest.mark.parametrize("content", [b"", b"II*\0", b"II*\0\x08\0\0\0", b"no movie", bytes(2000)], ids=repr)
def test_a_file_that_is_no_whole_movie_says_nothing(tmp_path: Path, content: bytes) -> None:
    movie = tmp_path / "movie.tiff"
    movie.write_bytes(content)
    assert stored_frames(movie) is None
    with pytest.raises(FileNotFoundError):
        stored_frames(tmp_path / "none.tiff")
