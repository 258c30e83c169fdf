"""A file that is still being written is never taken for whole."""

from __future__ import annotations

import io

import numpy as np
import pytest

from preprocess.movies import open_movie
from preprocess.movies.structure import missing_structure
from preprocess.movies.tiff_layout import tiff_pages
from preprocess.movies.unwritten import unwritten_frame
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
    for unreadable in (tmp_path / "none.mrc", tmp_path):
        with pytest.raises(OSError, match=unreadable.name):
            missing_structure(unreadable)


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


COUNTS = [np.random.default_rng(seed).poisson(1.0, (90, 80)).astype(np.uint8) for seed in range(6)]
NAMES = ["movie.tif", "lzw.tif", "movie.eer", "movie.mrc"]


def counted(path, frames=COUNTS):
    if path.name == "movie.tif":
        write_tiff(path, frames, compression="none", rows_per_strip=30)
        return path
    return written(path, frames)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_got_its_full_size_at_once_lacks_something_until_its_last_bytes(tmp_path, name):
    whole = counted(tmp_path / name)
    content = whole.read_bytes()
    part = tmp_path / f"part_{name}"
    for length in (*range(0, len(content) - 5000, 1999), len(content) - 4500):
        part.write_bytes(content[:length] + bytes(len(content) - length))
        assert missing_structure(part), f"{length} of {len(content)} bytes are written"
    assert missing_structure(whole) is None


def test_the_reason_names_the_frame_that_is_not_written(tmp_path):
    path = counted(tmp_path / "movie.mrc")
    frame_bytes = 2 * COUNTS[0].size
    content = path.read_bytes()
    path.write_bytes(content[: 1024 + 2 * frame_bytes] + bytes(4 * frame_bytes))
    assert missing_structure(path) == "frame 6 of 6 holds only zeros: nothing was written to it yet"
    path.write_bytes(content[:-6000] + bytes(6000))
    assert missing_structure(path) == "frame 6 of 6 ends in zeros: its rest is not written yet"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("empty", [0, 3])
def test_an_empty_frame_at_the_beginning_or_in_the_middle_is_a_frame(tmp_path, name, empty):
    frames = [np.zeros_like(frame) if number == empty else frame for number, frame in enumerate(COUNTS)]
    assert missing_structure(counted(tmp_path / name, frames)) is None


def test_rows_that_are_zero_in_each_frame_are_the_cameras(tmp_path):
    frames = [frame.copy() for frame in COUNTS]
    for frame in frames:
        frame[-40:] = 0
    assert missing_structure(counted(tmp_path / "movie.mrc", frames)) is None
    assert missing_structure(counted(tmp_path / "movie.tif", frames)) is None


@pytest.mark.parametrize("name", ["lzw.tif", "movie.eer"])
def test_an_encoded_frame_of_zero_bytes_in_the_middle_is_not_written(tmp_path, name):
    path = counted(tmp_path / name)
    with path.open("rb") as file:
        pages = list(tiff_pages(file, path.stat().st_size))
    content = bytearray(path.read_bytes())
    page = pages[len(pages) // 2]
    for offset, size in zip(page.strip_offsets.tolist(), page.strip_byte_counts.tolist(), strict=True):
        content[offset : offset + size] = bytes(size)
    path.write_bytes(content)
    assert "holds only zeros" in missing_structure(path)


LARGE_COUNTS = [np.random.default_rng(seed).poisson(0.5, (256, 256)).astype(np.uint8) for seed in range(6)]
GAP_BYTES = 32 << 10


def without(content, gap, path, *, sparse):
    """Write a file of full size but for one part, as one of several writers leaves it, or as zeros that are written."""
    begin, end = gap
    if not sparse:
        path.write_bytes(content[:begin] + bytes(end - begin) + content[end:])
        return
    with path.open("wb") as file:
        file.truncate(len(content))
        file.write(content[:begin])
        file.seek(end)
        file.write(content[end:])


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_a_gap_anywhere_in_a_file_of_full_size_is_not_written(tmp_path, name, sparse):
    whole = counted(tmp_path / name, LARGE_COUNTS)
    content, part = whole.read_bytes(), tmp_path / f"part_{name}"
    for place in (0.1, 0.35, 0.5, 0.8):
        begin = int(len(content) * place) // 4096 * 4096
        without(content, (begin, begin + GAP_BYTES), part, sparse=sparse)
        assert missing_structure(part), place
    assert missing_structure(whole) is None


def test_a_frame_that_was_never_written_is_told_from_one_without_counts(tmp_path):
    whole = counted(tmp_path / "movie.mrc", LARGE_COUNTS)
    content, frame_bytes = whole.read_bytes(), 2 * LARGE_COUNTS[0].size
    gap = (1024 + 2 * frame_bytes, 1024 + 3 * frame_bytes)
    without(content, gap, whole, sparse=True)
    assert missing_structure(whole) == "frame 3 of 6 holds only zeros: nothing was written to it yet"
    without(content, gap, whole, sparse=False)
    assert missing_structure(whole) is None


def copied_without_zeros(path):
    """Copy a file as `cp --sparse=always` does: blocks of zeros become holes."""
    content = path.read_bytes()
    with path.open("r+b") as file:
        file.truncate(0)
        file.truncate(len(content))
        for begin in range(0, len(content), 4096):
            if any(content[begin : begin + 4096]):
                file.seek(begin)
                file.write(content[begin : begin + 4096])


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("mean", [0.05, 2e-3, 2e-4])
@pytest.mark.parametrize("seed", range(3))
def test_few_counts_are_no_gap(tmp_path, mean, seed, sparse):
    random = np.random.default_rng(seed)
    frames = [random.poisson(mean, (512, 512)).astype(np.uint8) for _ in range(8)]
    for frame in frames:
        frame[:, :100] = 0  # outside of the beam
        frame[300:330] = 0
    path = tmp_path / "movie.mrc"
    write_mrc(path, frames, frame_count=8, mode=0)
    if sparse:
        copied_without_zeros(path)
    assert missing_structure(path) is None


def test_a_gap_in_a_movie_of_few_counts_is_found(tmp_path):
    frames = [np.random.default_rng(seed).poisson(2e-3, (1024, 1024)).astype(np.uint8) for seed in range(6)]
    path = tmp_path / "movie.mrc"
    write_mrc(path, frames, frame_count=6, mode=0)
    content = path.read_bytes()
    for sparse in (True, False):
        without(content, (3 << 20, (3 << 20) + (256 << 10)), path, sparse=sparse)
        assert "a part of frame 3 of 6" in missing_structure(path) or "a part of frame 4 of 6" in missing_structure(
            path
        )


def test_a_whole_movie_costs_less_than_two_percent_of_its_bytes(tmp_path):
    class Counting(io.FileIO):
        read_bytes = 0

        def read(self, size=-1):
            block = super().read(size)
            self.read_bytes += len(block)
            return block

    frame = np.ones((1000, 1000), np.uint8)
    path = tmp_path / "movie.mrc"
    write_mrc(path, [frame] * 20, frame_count=20, mode=1)

    def pieces_of(number):
        return [(1024 + number * 2_000_000, 2_000_000)]

    size = path.stat().st_size
    with Counting(path) as file:
        assert unwritten_frame(file, size, 20, pieces_of, is_encoded=False) is None
        assert file.read_bytes <= 0.02 * size
