"""NaN, infinity and absurd values in float movies are defects where they are few, and refused where they are many."""

from __future__ import annotations

import numpy as np
import pytest

from preprocess.errors import UnreadableMovie
from preprocess.movies import open_movie
from preprocess.movies.float_pixels import read_by_cpu
from preprocess.simulation import write_mrc, write_tiff

FRAMES, HEIGHT, WIDTH = 4, 40, 50


def written(folder, kind, change):
    frames = np.random.default_rng(1).poisson(4, (FRAMES, HEIGHT, WIDTH)).astype(np.float32)
    change(frames)
    if kind == "tif":
        write_tiff(folder / "a.tif", list(frames))
        return open_movie(folder / "a.tif", threads=2)
    with np.errstate(over="ignore"):
        write_mrc(folder / "a.mrc", frames, frame_count=FRAMES, mode=12 if kind == "float16" else 2)
    return open_movie(folder / "a.mrc", threads=2)


def read(movie):
    held = np.empty((FRAMES, HEIGHT, WIDTH), movie.dtype)
    list(movie.deliver(held.__setitem__))
    return held


@pytest.mark.parametrize("kind", ["mrc", "float16", "tif"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, -1e30, 3e38, 1e6, 6e4])
def test_a_few_become_zero_and_are_named(tmp_path, kind, value):
    def change(frames):
        frames[2, 7, 9] = value
        frames[1, 3, 4] = value

    movie = written(tmp_path, kind, change)
    held = read(movie)
    assert np.isfinite(held).all()
    assert held.max() < 30
    assert held[2, 7, 9] == held[1, 3, 4] == 0
    assert movie.unbelievable_pixels.tolist() == [3 * WIDTH + 4, 7 * WIDTH + 9]
    (remark,) = movie.remarks
    assert remark.code == "unbelievable-pixels"
    assert "2 pixels (in 2 of the frames, the first in frame 2 at x 4, y 3)" in remark.text


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_infinity_is_no_bright_pixel_where_much_is_believed(tmp_path, value):
    """A thousand times what such frames count is more than float16 can hold."""

    def change(frames):
        frames *= 100
        frames[2, 7, 9] = value

    movie = written(tmp_path, "float16", change)
    assert read(movie)[2, 7, 9] == 0
    assert movie.unbelievable_pixels.tolist() == [7 * WIDTH + 9]


@pytest.mark.parametrize("kind", ["mrc", "float16", "tif"])
def test_many_are_refused_by_frame_and_pixel(tmp_path, kind):
    def change(frames):
        frames[1, 10:, 20] = np.nan

    with pytest.raises(UnreadableMovie, match=r"frame 2 has 30 of 2000 pixels .*\(the first at x 20, y 10: nan\)"):
        read(written(tmp_path, kind, change))


def test_different_pixels_in_each_frame_are_counted_together(tmp_path):
    def change(frames):
        for index in range(FRAMES):
            frames[index, index, :15] = np.nan

    movie = written(tmp_path, "mrc", change)
    read(movie)
    with pytest.raises(UnreadableMovie, match="60 of 2000 pixels"):
        _ = movie.unbelievable_pixels


def test_bright_and_empty_frames_are_believed(tmp_path):
    def change(frames):
        frames[0] = 0
        frames[1, 5, 5] = 900  # a very bright spot
        frames[2] *= 5e3  # an integrating camera

    movie = written(tmp_path, "mrc", change)
    assert read(movie)[1, 5, 5] == 900
    assert movie.remarks == ()
    assert movie.unbelievable_pixels.size == 0


def test_a_device_can_be_told_to_let_the_cpu_look(tmp_path):
    movie = written(tmp_path, "mrc", lambda _: None)
    assert movie.encoded() is not None
    assert read_by_cpu(movie).encoded() is None
    assert np.array_equal(read(read_by_cpu(movie)), read(movie))
