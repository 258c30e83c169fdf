"""Previews in a TIFF movie are left out and named; frames of another size are refused."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from preprocess.correction.reference_image import image_count
from preprocess.errors import UnreadableMovie
from preprocess.movies import open_movie
from preprocess.movies.structure import missing_structure

FRAMES = [np.random.default_rng(seed).poisson(1.0, (90, 80)).astype(np.uint8) for seed in range(5)]
SMALL = np.zeros((30, 20), np.uint8)


def written(path, pages):
    """Write pages; a pair is an image and the options for it."""
    with tifffile.TiffWriter(path) as file:
        for page in pages:
            image, options = page if isinstance(page, tuple) else (page, {})
            file.write(image, **{"photometric": "minisblack", "metadata": None, "contiguous": False, **options})
    return path


def same(movie, frames):
    return all(np.array_equal(a[::-1], b) for a, b in zip(movie.frames(), frames, strict=True))


@pytest.mark.parametrize(
    "preview",
    [
        SMALL,
        (np.zeros((30, 20, 3), np.uint8), {"photometric": "rgb"}),
        (np.zeros((32, 32), np.uint8), {"compression": "jpeg"}),
        (SMALL.astype("f4"), {"subfiletype": 1}),
    ],
)
@pytest.mark.parametrize("compression", [None, "lzw"])
def test_a_preview_behind_the_last_frame_is_left_out_and_named(tmp_path, preview, compression):
    path = written(tmp_path / "movie.tif", [*((frame, {"compression": compression}) for frame in FRAMES), preview])
    assert missing_structure(path) is None  # though the preview holds zeros alone
    movie = open_movie(path)
    assert movie.frame_count == 5
    assert same(movie, FRAMES)
    (remark,) = movie.remarks
    assert remark.code == "pages-left-out"
    assert remark.text.startswith("page 6 of 6 (3")
    assert len(movie.encoded().frames) == 5
    assert image_count(path) == 5


def test_smaller_forms_that_say_so_are_left_out_anywhere(tmp_path):
    reduced = (SMALL, {"subfiletype": 1})
    path = written(tmp_path / "movie.tif", [reduced, FRAMES[0], reduced, FRAMES[1], reduced])
    movie = open_movie(path)
    assert same(movie, FRAMES[:2])
    assert "pages 1, 3, 5 of 5 (30 x 20 px)" in movie.remarks[0].text
    assert missing_structure(path) is None


def test_frames_that_say_so_of_each_other_are_frames(tmp_path):
    movie = open_movie(written(tmp_path / "movie.tif", [(frame, {"subfiletype": 1}) for frame in FRAMES]))
    assert (movie.frame_count, movie.remarks) == (5, ())


@pytest.mark.parametrize(
    ("pages", "named"),
    [
        ([FRAMES[0], SMALL, FRAMES[1]], "frame 2 is 30 x 20 px, frame 1 is 90 x 80 px"),
        ([SMALL, *FRAMES], "frame 2 is 90 x 80 px, frame 1 is 30 x 20 px"),
        ([*FRAMES, *[SMALL + 1] * 4], "frame 6 is 30 x 20 px"),
        ([*FRAMES, np.ones((100, 80), np.uint8)], "frame 6 is 100 x 80 px"),
    ],
)
def test_frames_of_another_size_are_refused(tmp_path, pages, named):
    path = written(tmp_path / "movie.tif", pages)
    assert missing_structure(path) is None
    with pytest.raises(UnreadableMovie, match=named) as refused:
        open_movie(path)
    assert "previews" in refused.value.hint


def test_an_unwritten_frame_before_a_preview_is_found(tmp_path):
    path = written(tmp_path / "movie.tif", [*FRAMES, SMALL + 1])
    with tifffile.TiffFile(path) as file:
        offset, length = file.pages[4].dataoffsets[0], file.pages[4].databytecounts[0]
    content = bytearray(path.read_bytes())
    content[offset : offset + length] = bytes(length)
    path.write_bytes(content)
    assert "holds only zeros" in missing_structure(path)


def test_bytes_that_belong_to_no_page_are_named(tmp_path):
    path = written(tmp_path / "movie.tif", FRAMES)
    assert open_movie(path).remarks == ()
    with path.open("ab") as file:
        file.write(bytes(60000))
    (remark,) = open_movie(path).remarks
    assert remark.code == "surplus-bytes"
    assert "belong to none of its 5 pages" in remark.text
