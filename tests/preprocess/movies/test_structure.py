"""A file that is still being written is never taken for whole."""

from __future__ import annotations

import numpy as np
import pytest

from preprocess.movies import open_movie
from preprocess.movies.structure import missing_structure
from preprocess.settings import EerSettings
from preprocess.simulation import write_eer, write_mrc, write_tiff

FRAMES = [np.full((40, 30), value, np.uint8) for value in range(4)]


def written(path, frames=FRAMES):
    if path.suffix == ".eer":
        write_eer(path, frames, hardware_frames_per_frame=4, pixel_size_angstrom=1.3)
    elif path.suffix == ".mrc":
        write_mrc(path, frames, frame_count=len(frames), mode=1)
    else:
        write_tiff(path, frames, rows_per_strip=16)
    return path


@pytest.mark.parametrize("name", ["movie.tif", "movie.eer", "movie.mrc"])
def test_each_beginning_of_a_movie_lacks_something_or_is_a_shorter_movie(tmp_path, name):
    whole = written(tmp_path / name)
    assert missing_structure(whole) is None
    content = whole.read_bytes()
    part = tmp_path / f"part_{name}"
    for length in range(0, len(content), 97):
        part.write_bytes(content[:length])
        missing = missing_structure(part)
        if missing is None:  # a file written page by page may be whole in structure after a page
            grouping = EerSettings(hardware_frames_per_frame=1)
            assert open_movie(part, grouping).frame_count < open_movie(whole, grouping).frame_count
        else:
            assert missing


def test_mrc_says_which_frame_is_cut(tmp_path):
    path = written(tmp_path / "movie.mrc")
    with path.open("r+b") as file:
        file.truncate(1024 + 2 * 2400 + 7)
    assert missing_structure(path) == ("frame 3 of 4 is cut off (the header promises 10624 bytes, the file has 5831)")


def test_tiff_says_which_strip_is_cut(tmp_path):
    path = tmp_path / "movie.tif"
    import tifffile

    with tifffile.TiffWriter(path) as file:  # header first, values after it: as cameras stream
        for frame in FRAMES:
            file.write(frame, photometric="minisblack", rowsperstrip=16, contiguous=False, metadata=None)
    with tifffile.TiffFile(path) as file:
        last_strip = file.pages[3].dataoffsets[2]
    with path.open("r+b") as file:
        file.truncate(last_strip + 3)
    assert missing_structure(path) == "strip 3 of frame 4 lies beyond the end of the file"


@pytest.mark.parametrize(
    ("content", "missing"),
    [
        (b"", "the file is empty"),
        (b"II", "neither MRC, TIFF nor EER"),
        (b"II*\0", "the file's header lies beyond"),
        (b"II*\0\0\0\0\0", "the file has no frame yet"),
        (b"II+\0\x08\0\0\0" + bytes(8), "the file has no frame yet"),
        (b"II*\0\xff\xff\xff\x7f", "the header of frame 1 lies beyond"),
        (bytes(2000), "neither MRC, TIFF nor EER"),  # a copy tool's preallocated file
        (b"a text about movies" * 100, "neither MRC, TIFF nor EER"),
    ],
)
def test_odd_beginnings(tmp_path, content, missing):
    path = tmp_path / "movie.tif"
    path.write_bytes(content)
    assert missing in missing_structure(path)


def test_a_header_that_points_back_to_itself_ends(tmp_path):
    path = written(tmp_path / "movie.eer")
    content = bytearray(path.read_bytes())
    content[-8:] = content[8:16]  # the last page's link: to the first page
    path.write_bytes(content)
    assert "points back" in missing_structure(path)


def test_a_missing_file_and_a_folder_are_not_whole(tmp_path):
    assert "cannot be read" in missing_structure(tmp_path / "none.mrc")
    assert "cannot be read" in missing_structure(tmp_path)


@pytest.mark.parametrize("seed", range(8))
def test_damaged_headers_never_raise(tmp_path, seed):
    random = np.random.default_rng(seed)
    for name in ("movie.tif", "movie.eer", "movie.mrc"):
        content = np.frombuffer(written(tmp_path / name).read_bytes(), np.uint8).copy()
        for _ in range(30):
            damaged = content.copy()
            places = random.integers(0, len(content), 40)
            damaged[places] = random.integers(0, 256, 40)
            (tmp_path / name).write_bytes(damaged.tobytes())
            missing = missing_structure(tmp_path / name)
            assert missing is None or missing
