"""Stacks with one header for all images are movies: ImageJ's and tifffile's."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile

from preprocess.correction.reference_image import image_count
from preprocess.errors import UnreadableMovie
from preprocess.movies import open_movie
from preprocess.movies.structure import missing_structure
from preprocess.movies.tiff_description import is_32768_added, named_image_count

SHAPE = (6, 50, 44)


def counts(dtype="u1", mean=3):
    return np.random.default_rng(2).poisson(mean, SHAPE).astype(dtype)


def as_imagej(path, frames, **options):
    """Write a stack as ImageJ does: one header, then all images; big-endian, unless told otherwise."""
    with tifffile.TiffWriter(path, imagej=True, byteorder=options.pop("byteorder", ">")) as file:
        file.write(frames, truncate=True, **options)
    with tifffile.TiffFile(path) as file:
        assert file.pages.first.tags["ImageDescription"].value.startswith("ImageJ=")
        assert len(file.pages) == 1


def same(movie, frames):
    return all(np.array_equal(a[::-1], b) for a, b in zip(movie.frames(), frames, strict=True))


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("options", [{}, {"byteorder": "<"}, {"rowsperstrip": 7}], ids=str)
def test_an_imagej_stack_is_a_movie(tmp_path, dtype, options):
    path, frames = tmp_path / "movie.tif", counts(dtype)
    as_imagej(path, frames, **options)
    np.testing.assert_array_equal(tifffile.imread(path), frames)
    movie = open_movie(path, threads=2)
    assert (movie.frame_count, movie.dtype, movie.remarks) == (6, np.dtype(dtype), ())
    assert same(movie, frames)
    assert len(movie.encoded().frames) == 6
    assert missing_structure(path) is None
    assert image_count(path) == 6


def test_tifffiles_stack_of_one_header_is_a_movie(tmp_path):
    path, frames = tmp_path / "movie.tif", counts()
    with tifffile.TiffWriter(path) as file:
        file.write(frames, photometric="minisblack", truncate=True)
    with tifffile.TiffFile(path) as file:
        assert len(file.pages) == 1
    assert same(open_movie(path), frames)


@pytest.mark.parametrize("part", [0.3, 0.5, 0.999])
def test_a_stack_cut_short_is_not_whole(tmp_path, part):
    path = tmp_path / "movie.tif"
    as_imagej(path, counts("u2"))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    missing = missing_structure(path)
    assert missing is not None
    assert missing.endswith("of 6 lies beyond the end of the file")
    with pytest.raises(UnreadableMovie, match=rf"movie\.tif: {missing}"):
        open_movie(path)


def test_a_stack_whose_images_are_not_written_yet(tmp_path):
    path = tmp_path / "movie.tif"
    as_imagej(path, counts("u2"))
    content = path.read_bytes()
    path.write_bytes(content[:9000] + bytes(len(content) - 9000))
    assert "frame 6 of 6 holds only zeros" in missing_structure(path)


def test_signed_values_that_imagej_wrote_as_unsigned_ones(tmp_path):
    path = tmp_path / "movie.tif"
    frames = counts("i2") - 1
    added = (frames.astype("i4") + 32768).astype("u2")
    as_imagej(path, added, metadata={"cf": 0, "c0": -32768.0, "c1": 1.0})
    movie = open_movie(path)
    assert movie.dtype == np.int16
    assert same(movie, frames)
    assert [remark.code for remark in movie.remarks] == ["values-judged"]
    assert movie.encoded() is None


def test_a_compressed_stack_has_a_header_for_each_image(tmp_path):
    path, frames = tmp_path / "movie.tif", counts()
    tifffile.imwrite(path, frames, imagej=True, compression="zlib")
    assert same(open_movie(path), frames)


def of_some_pages(path, frames, description, **options):
    with tifffile.TiffWriter(path) as file:
        for number, frame in enumerate(frames):
            file.write(
                frame,
                photometric="minisblack",
                metadata=None,
                contiguous=False,
                description=None if number else description,
                **options,
            )


def test_fewer_pages_than_the_description_names(tmp_path):
    path, frames = tmp_path / "movie.tif", counts()
    of_some_pages(path, frames[:4], "ImageJ=1.53\nimages=6\n")
    movie = open_movie(path)
    assert (movie.frame_count, movie.recorded_frame_count) == (4, 6)
    (remark,) = movie.remarks
    assert remark.code == "frame-count-differs"
    assert "names 6 images, but it holds 4 frames" in remark.text
    of_some_pages(path, frames[:1], "ImageJ=1.53\nimages=6\n", compression="lzw")
    assert missing_structure(path) == "the file's description names 6 images, but it holds one page"


@pytest.mark.parametrize(
    ("description", "count"),
    [
        ("", 0),
        ("a movie of images=7", 0),
        ("ImageJ=1.53t\nimages=7\nslices=7\nloop=false\n", 7),
        ("ImageJ=1.53t\r\nimages=7\r\n", 7),
        ("ImageJ=1.53t\nmin=0\n", 0),
        ("ImageJ=1.53t\nimages=99999999999999\n", 0),
        (json.dumps({"shape": [2, 3, 50, 44], "truncated": True}), 6),
        (json.dumps({"shape": [3, 50, 43]}), 0),
        (json.dumps({"shape": "movie"}), 0),
        ('{"shape": [', 0),
        ('{"shape": 5}', 0),
    ],
)
def test_what_descriptions_say(description, count):
    assert named_image_count(description, 50 * 44) == count


def test_imagejs_calibration():
    assert is_32768_added("ImageJ=1.53t\nimages=3\ncf=0\nc0=-32768.0\nc1=1.0\nvunit=gray value\n")
    assert not is_32768_added("ImageJ=1.53t\nimages=3\nc0=-3276.0\n")
    assert not is_32768_added("c0=-32768.0\n")


def test_an_image_of_no_values_is_named_by_no_description():
    assert named_image_count('{"shape": [2, 3]}', 0) == 0
