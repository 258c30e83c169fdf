"""Gain references: read by RELION's rules, turned as told, refused where they do not fit."""

from __future__ import annotations

import mrcfile
import numpy as np
import pytest
import tifffile

from preprocess.correction.gain import load_checked_gain, load_gain
from preprocess.correction.gain_fit import check_gain
from preprocess.errors import GainMismatch, UnsupportedFormat
from preprocess.movies import open_movie
from preprocess.settings import GainSettings
from preprocess.simulation import write_dm4, write_eer, write_gain, write_mrc, write_tiff

HEIGHT, WIDTH = 12, 20


@pytest.fixture(name="gain")
def _gain() -> np.ndarray:
    gain = np.random.default_rng(5).uniform(0.7, 1.4, (HEIGHT, WIDTH)).astype(np.float32)
    gain[3, 4] = 0
    return gain


def write_movie(folder, extension):
    path = folder / f"movie.{extension}"
    frames = [np.ones((HEIGHT, WIDTH), np.uint8)]
    if extension == "tif":
        write_tiff(path, frames)
    elif extension == "mrc":
        write_mrc(path, frames, frame_count=1)
    else:
        write_eer(path, frames)
    return open_movie(path)


@pytest.fixture(name="movie", params=["tif", "mrc", "eer"])
def _movie(request, tmp_path):
    return write_movie(tmp_path, request.param)


@pytest.mark.parametrize("movie_extension", ["tif", "mrc", "eer"])
@pytest.mark.parametrize("extension", ["mrc", "tif", "TIFF", "dm4"])
def test_a_gain_written_for_a_movie_comes_back(tmp_path, gain, movie_extension, extension):
    movie, path = write_movie(tmp_path, movie_extension), tmp_path / f"reference.{extension}"
    write_gain(path, gain, movie_format=movie.format)
    loaded = load_gain(GainSettings(path=path), movie)
    assert loaded.dtype == np.float32
    assert loaded.flags.c_contiguous
    if movie.format == "eer":  # divides, scaled by the file's mean
        loaded /= np.divide(1, gain, where=gain > 0, out=np.zeros_like(gain)).mean()
    np.testing.assert_allclose(loaded, gain, rtol=1e-5)
    assert loaded[3, 4] == 0


def test_falcons_gain_multiplies_and_lies_as_frames_do(tmp_path, gain):
    write_gain(tmp_path / "20250101_EER_GainReference.gain", gain, movie_format="eer")
    settings = GainSettings(path=tmp_path / "20250101_EER_GainReference.gain")
    assert np.array_equal(load_gain(settings, write_movie(tmp_path, "eer")), gain)


def test_without_a_gain_there_is_none(movie):
    assert load_gain(GainSettings(), movie) is None


@pytest.mark.parametrize("dtype", ["u2", "i4", "f8", "f4"])
def test_number_types_of_tiff_gains(tmp_path, movie, dtype):
    values = np.arange(21, HEIGHT * WIDTH + 21).reshape(HEIGHT, WIDTH).astype(dtype)
    tifffile.imwrite(tmp_path / "g.tif", values, photometric="minisblack", metadata=None)
    loaded = load_gain(GainSettings(path=tmp_path / "g.tif", operation="multiply"), movie)
    assert np.array_equal(loaded, values[::-1])


def test_operation_as_told(tmp_path, gain, movie):
    write_mrc(tmp_path / "g.mrc", [gain], frame_count=1, mode=2)
    multiplied = load_gain(GainSettings(path=tmp_path / "g.mrc", operation="multiply"), movie)
    divided = load_gain(GainSettings(path=tmp_path / "g.mrc", operation="divide"), movie)
    np.testing.assert_allclose(multiplied, gain, rtol=1e-6)
    hit = gain > 0
    np.testing.assert_allclose(divided[hit], gain.mean() / gain[hit], rtol=1e-5)
    assert not divided[~hit].any()


@pytest.mark.parametrize(
    ("rotate", "flip", "turn"),
    [
        (0, "y", lambda gain: gain[::-1]),
        (0, "x", lambda gain: gain[:, ::-1]),
        (90, "none", lambda gain: gain.T[:, ::-1]),  # clockwise: the first row becomes the last column
        (180, "none", lambda gain: gain[::-1, ::-1]),
        (270, "none", lambda gain: gain.T[::-1]),
        (90, "y", lambda gain: gain.T[::-1, ::-1]),  # rotated first, flipped then
        (270, "x", lambda gain: gain.T[::-1, ::-1]),
    ],
)
def test_turning(tmp_path, rotate, flip, turn):
    square = np.random.default_rng(6).uniform(0.5, 1.5, (HEIGHT, HEIGHT)).astype(np.float32)
    write_mrc(tmp_path / "movie.mrc", [np.ones((HEIGHT, HEIGHT))], frame_count=1)
    write_mrc(tmp_path / "g.mrc", [square], frame_count=1, mode=2)
    settings = GainSettings(path=tmp_path / "g.mrc", rotate_degrees=rotate, flip=flip)
    assert np.array_equal(load_gain(settings, open_movie(tmp_path / "movie.mrc")), turn(square))


def test_a_wrong_shape_names_both_and_may_fit_turned(tmp_path, gain, movie):
    write_mrc(tmp_path / "g.mrc", [np.ascontiguousarray(gain.T)], frame_count=1, mode=2)
    with pytest.raises(GainMismatch, match=r"20 x 12 px .* is 12 x 20 px") as refused:
        load_gain(GainSettings(path=tmp_path / "g.mrc"), movie)
    assert "--gain-rotate 90" in refused.value.hint
    turned = load_gain(GainSettings(path=tmp_path / "g.mrc", rotate_degrees=90), movie)
    assert turned.shape == (HEIGHT, WIDTH)


def test_a_super_resolution_gain_is_named(tmp_path, movie):
    for factor, told in ((2, "gain reference is super-resolution, but the movie is not"), (0.5, "--bin 2")):
        image = np.ones((int(factor * HEIGHT), int(factor * WIDTH)))
        write_mrc(tmp_path / "g.mrc", [image], frame_count=1, mode=2)
        with pytest.raises(GainMismatch, match="12 x 20 px") as refused:
            load_gain(GainSettings(path=tmp_path / "g.mrc"), movie)
        assert told in refused.value.hint


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (np.nan, "1 pixel that are not a finite number"),
        (np.inf, "not a finite"),
        (-0.5, "1 pixel that are negative"),
        (1e6, "1 pixel that are over 30 times"),
        (1e-6, "over 30 times larger or smaller"),
    ],
)
@pytest.mark.parametrize("operation", ["multiply", "divide"])
def test_a_few_values_that_no_gain_has_are_defects_and_named(tmp_path, gain, movie, value, named, operation):
    def loaded(content):
        write_mrc(tmp_path / "g.mrc", [content], frame_count=1, mode=2)
        return load_checked_gain(GainSettings(path=tmp_path / "g.mrc", operation=operation), movie)

    without = gain.copy()
    without[5, 5], gain[5, 5] = 0, value
    expected, found = loaded(without), loaded(gain)
    assert np.array_equal(found.image, expected.image)
    assert expected.doubts == ()
    assert named in found.doubts[0]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"rows": slice(0, 1), "value": np.nan}, "20 pixels that are not a finite number"),
        ({"rows": slice(0, None, 2), "value": 0.0}, "zero in 50% of its pixels"),
        ({"rows": slice(2, 4), "value": -1.0}, "40 pixels that are negative"),
    ],
)
def test_many_of_them_or_many_zeros_are_no_gain(tmp_path, gain, movie, change, named):
    gain[3, 4] = 1
    gain[change["rows"]] = change["value"]
    write_mrc(tmp_path / "g.mrc", [gain], frame_count=1, mode=2)
    with pytest.raises(GainMismatch, match=named):
        load_gain(GainSettings(path=tmp_path / "g.mrc"), movie)


def test_a_row_of_zeros_is_said(tmp_path, gain, movie):
    gain[2] = 0
    write_mrc(tmp_path / "g.mrc", [gain], frame_count=1, mode=2)
    (doubt,) = load_checked_gain(GainSettings(path=tmp_path / "g.mrc"), movie).doubts
    assert "is zero, which means a defect, in 8.8% of its pixels" in doubt


@pytest.mark.parametrize("extension", ["mrc", "tif"])
def test_a_stack_is_no_gain(tmp_path, gain, movie, extension):
    path = tmp_path / f"stack.{extension}"
    if extension == "mrc":
        write_mrc(path, [gain] * 3, frame_count=3, mode=2)
    else:
        write_tiff(path, [gain] * 3)
    with pytest.raises(GainMismatch, match="holds 3 images"):
        load_gain(GainSettings(path=path), movie)


def test_a_dm4_gain_is_the_one_that_its_conversion_to_mrc_gives(tmp_path, gain):
    """The raw sum of the frames proves it: of all orientations, the one that is read fits, and none better."""
    random = np.random.default_rng(7)
    true_gain = random.normal(1, 0.05, (128, 96)).astype(np.float32)
    raw_sum = random.poisson(100 / true_gain).astype(np.float32)
    write_mrc(tmp_path / "movie.mrc", [raw_sum], frame_count=1, mode=2)
    movie = open_movie(tmp_path / "movie.mrc")
    write_dm4(tmp_path / "CountRef.dm4", true_gain[::-1])  # its rows count from the top
    loaded = load_gain(GainSettings(path=tmp_path / "CountRef.dm4"), movie)
    write_mrc(tmp_path / "CountRef.mrc", [true_gain], frame_count=1, mode=2)  # as IMOD's dm2mrc does
    assert np.array_equal(loaded, load_gain(GainSettings(path=tmp_path / "CountRef.mrc"), movie))
    defects = np.zeros(0, np.int64)
    assert check_gain(raw_sum, loaded, defects, GainSettings()).warning is None
    upside_down = check_gain(raw_sum, np.ascontiguousarray(loaded[::-1]), defects, GainSettings(flip="y"))
    assert "--gain-rotate 0 --gain-flip none" in upside_down.warning


def test_a_dm4_gain_that_is_cut_off_or_a_stack(tmp_path, gain, movie):
    path = tmp_path / "CountRef.dm4"
    write_dm4(path, np.stack([gain, gain]))
    with pytest.raises(GainMismatch, match="holds 2 images"):
        load_gain(GainSettings(path=path), movie)
    write_dm4(path, gain)
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(GainMismatch, match=r"CountRef\.dm4 cannot be read: the DM4 file is cut off or damaged"):
        load_gain(GainSettings(path=path), movie)


def test_a_small_preview_behind_a_gain_is_not_counted(tmp_path, gain, movie):
    write_tiff(tmp_path / "g.tif", [gain, gain[::4, ::4]])
    assert load_gain(GainSettings(path=tmp_path / "g.tif"), movie).shape == gain.shape


def test_a_gain_of_zeros(tmp_path, gain, movie):
    write_mrc(tmp_path / "g.mrc", [gain * 0], frame_count=1, mode=2)
    with pytest.raises(GainMismatch, match="zero everywhere"):
        load_gain(GainSettings(path=tmp_path / "g.mrc"), movie)


def test_files_that_cannot_be_read(tmp_path, gain, movie):
    with pytest.raises(GainMismatch, match="No such file"):
        load_gain(GainSettings(path=tmp_path / "none.mrc"), movie)
    with pytest.raises(UnsupportedFormat, match="dm3"):
        load_gain(GainSettings(path=tmp_path / "CountRef.dm3"), movie)
    (tmp_path / "text.dm4").write_text("this is no DM4 file at all")
    with pytest.raises(GainMismatch, match="not a DM4 file"):
        load_gain(GainSettings(path=tmp_path / "text.dm4"), movie)
    (tmp_path / "text.gain").write_text("this is no TIFF at all")
    with pytest.raises(GainMismatch, match="not a TIFF"):
        load_gain(GainSettings(path=tmp_path / "text.gain"), movie)
    write_mrc(tmp_path / "cut.mrc", [gain], frame_count=1, mode=2)
    with (tmp_path / "cut.mrc").open("r+b") as file:
        file.truncate(1500)
    with pytest.raises(GainMismatch, match="cut off"):
        load_gain(GainSettings(path=tmp_path / "cut.mrc"), movie)


def test_a_two_dimensional_mrc_by_mrcfile(tmp_path, gain, movie):
    mrcfile.write(tmp_path / "g.mrc", gain)
    loaded = load_gain(GainSettings(path=tmp_path / "g.mrc", operation="multiply"), movie)
    assert np.array_equal(loaded, gain)


def test_a_gain_is_read_once_for_movies_alike_and_anew_when_its_file_changes(tmp_path, gain):
    path = tmp_path / "g.mrc"
    settings = GainSettings(path=path, operation="multiply")
    mrcfile.write(path, gain)
    tiff, mrc = (write_movie(tmp_path, extension) for extension in ("tif", "mrc"))
    first = load_gain(settings, tiff)
    assert load_gain(settings, tiff) is first
    assert load_gain(GainSettings(path=path, operation="multiply", flip="y"), tiff) is not first
    assert np.array_equal(load_gain(settings, mrc), gain)
    mrcfile.write(path, 2 * gain, overwrite=True)
    assert np.array_equal(load_gain(settings, mrc), 2 * gain)
    path.unlink()
    with pytest.raises(GainMismatch, match="No such file"):
        load_gain(settings, mrc)
