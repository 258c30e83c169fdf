"""SerialEM's frames of 4 bits in half as many bytes come back as pixels, known by their size and their values."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import tifffile

from preprocess.movies import open_movie
from preprocess.movies.packed_pixels import has_size_of_packed_frames, hold_second_pixels, unpacked

IMODS = [(7676, 3710), (7420, 3838), (7680, 3712), (7424, 3840), (8184, 5760), (11520, 4092)]
RELIONS = [
    (8184, 5760),
    (5760, 8184),
    (11520, 4092),
    (4092, 11520),
    (7676, 3710),
    (3710, 7676),
    (7420, 3838),
    (3838, 7420),
]


@pytest.mark.parametrize(("height", "width"), IMODS + RELIONS)
def test_imod_and_relion_know_these_sizes(height, width):
    assert has_size_of_packed_frames(height, width)


@pytest.mark.parametrize(
    ("height", "width"),
    [(4092, 5760), (8184, 11520), (3710, 3838), (7420, 7676), (4096, 4096), (5760, 4092), (3838, 3710), (7676, 7420)],
)
def test_frames_of_cameras_have_no_such_size(height, width):
    assert not has_size_of_packed_frames(height, width)


def test_the_low_half_is_the_first_pixel():
    assert unpacked(np.array([[0x21, 0x43]], np.uint8), 4).tolist() == [[1, 2, 3, 4]]
    assert unpacked(np.array([[0x21, 0x43]], np.uint8), 3).tolist() == [[1, 2, 3]]


def packed_frame(height: int, width: int) -> np.ndarray:
    """Return bytes whose first pixels count 1 and second ones 2, but for a marked corner."""
    stored = np.full((height, width), 0x21, np.uint8)
    stored[0, 0] = 0xF5
    return stored


@pytest.mark.parametrize("compression", [None, "lzw"])
def test_a_packed_tiff_has_twice_the_width(tmp_path, compression):
    stored = packed_frame(7676, 3710)
    tifffile.imwrite(tmp_path / "a.tif", stored[None], photometric="minisblack", compression=compression, metadata=None)
    movie = open_movie(tmp_path / "a.tif")
    assert (movie.height, movie.width, movie.remarks) == (7676, 7420, ())
    (frame,) = movie.frames()
    assert frame.shape == (7676, 7420)
    assert frame[-1, :4].tolist() == [5, 15, 1, 2]  # a TIFF is read upside down
    delivered = []
    list(movie.deliver(lambda _, frame: delivered.append(np.array(frame[-1, :4]))))
    assert delivered[0].tolist() == [5, 15, 1, 2]
    encoded = movie.encoded()
    assert encoded.packed_4_bit
    assert encoded.row_bytes == 3710


def test_bytes_of_that_size_without_second_pixels_stay_bytes_and_it_is_said(tmp_path):
    stored = np.random.default_rng(1).poisson(1.0, (7420, 3838)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="minisblack", metadata=None)
    movie = open_movie(tmp_path / "a.tif")
    assert (movie.width, [remark.code for remark in movie.remarks]) == (3838, ["values-judged"])


def test_what_values_say():
    random = np.random.default_rng(2)
    first, second = random.poisson(0.3, (2, 1000))
    assert hold_second_pixels((first + (second << 4)).astype(np.uint8))
    assert not hold_second_pixels(random.poisson(1.0, 1000).astype(np.uint8))
    assert hold_second_pixels(np.zeros(1000, np.uint8))


@pytest.mark.parametrize("label", [b"SerialEMCCD: 4 bits packed", b"something else"])
def test_an_mrc_file_whose_label_says_packed(tmp_path, label):
    header = bytearray(1024)
    struct.pack_into("<4i", header, 0, 3838, 7420, 1, 0)
    header[208:216] = b"MAP DD\0\0"
    struct.pack_into("<i", header, 220, 1)
    header[224 : 224 + len(label)] = label
    (tmp_path / "a.mrc").write_bytes(bytes(header) + packed_frame(7420, 3838).tobytes())
    movie = open_movie(tmp_path / "a.mrc")
    assert movie.width == (7676 if b"packed" in label else 3838)
    (frame,) = movie.frames()
    assert frame[0, :2].tolist() == ([5, 15] if b"packed" in label else [0xF5, 0x21])
