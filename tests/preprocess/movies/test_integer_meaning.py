"""Integers mean what the camera counted: IMOD's signed bytes, 16 bit less 32768, bytes whose header says nothing."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import tifffile

from preprocess.movies import open_movie
from preprocess.simulation import write_mrc

STAMP, SIGNED = 1146047817, 1
SHAPE = (6, 40, 52)


def counts(mean: float, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).poisson(mean, SHAPE)


def write_bytes(path, stored, *, flags=None, order="<"):
    """Write an MRC file of mode 0 that says nothing about its bytes but IMOD's flags."""
    header = bytearray(1024)
    frames, height, width = stored.shape
    struct.pack_into(order + "10i", header, 0, width, height, frames, 0, 0, 0, 0, width, height, frames)
    header[208:216] = b"MAP " + (b"DD\0\0" if order == "<" else b"\x11\x11\0\0")
    if flags is not None:
        struct.pack_into(order + "2i", header, 152, STAMP, flags)
    path.write_bytes(bytes(header) + stored.astype(np.uint8).tobytes())
    return path


def same(movie, written) -> bool:
    read = list(movie.frames())
    delivered = {}
    for _ in movie.deliver(lambda index, frame: delivered.__setitem__(index, frame.copy())):
        pass
    assert all(frame.dtype == movie.dtype for frame in read)
    return np.array_equal(read, written) and all(np.array_equal(delivered[i], written[i]) for i in range(len(written)))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("mean", [0.5, 4, 120, 170])
def test_imods_signed_bytes_are_counts_less_128(tmp_path, mean, order):
    true = counts(mean)
    movie = open_movie(write_bytes(tmp_path / "a.mrc", (true - 128) & 255, flags=SIGNED, order=order))
    assert same(movie, true)
    assert movie.dtype == np.uint8
    assert movie.encoded() is None  # a device would not add anything
    assert movie.remarks == ()


def test_imods_unsigned_bytes_stay_as_they_are(tmp_path):
    true = counts(120)
    assert same(open_movie(write_bytes(tmp_path / "a.mrc", true, flags=0)), true)


@pytest.mark.parametrize(
    ("mean", "less", "told"),
    [
        (0.5, 0, None),
        (4, 0, None),
        (60, 0, None),
        (120, 0, "unsigned counts"),
        (170, 0, "unsigned counts"),
        (0.5, 128, "less 128"),
        (4, 128, "less 128"),
        (60, 128, "less 128"),
        (120, 128, "less 128"),
    ],
)
def test_bytes_whose_header_says_nothing_are_judged_by_their_values(tmp_path, mean, less, told):
    true = counts(mean)
    movie = open_movie(write_bytes(tmp_path / "a.mrc", (true - less) & 255))
    assert same(movie, true)
    assert [told in str(remark) for remark in movie.remarks] == [True] * (told is not None)


def test_values_around_zero_are_signed_as_the_standard_says(tmp_path):
    true = np.random.default_rng(5).normal(6, 9, SHAPE).round().astype(int)
    movie = open_movie(write_bytes(tmp_path / "a.mrc", true & 255))
    assert same(movie, true)


def test_a_few_saturated_pixels_make_no_bytes_signed(tmp_path):
    true = counts(4)
    true[:, 7, 9] = 255
    assert same(open_movie(write_bytes(tmp_path / "a.mrc", true)), true)


@pytest.mark.parametrize("dtype", ["<i2", ">i2"])
@pytest.mark.parametrize("extension", ["mrc", "tif"])
def test_16_bit_less_32768_is_restored(tmp_path, dtype, extension):
    true, path = counts(300), tmp_path / f"a.{extension}"
    stored = (true - 32768).astype(dtype)
    if extension == "tif":
        with tifffile.TiffWriter(path, byteorder=dtype[0]) as file:
            for frame in stored:
                file.write(frame[::-1], photometric="minisblack", compression="lzw", metadata=None)
    else:
        write_bytes(path, np.zeros((1, 1, 1)), order=dtype[0])
        header = bytearray(path.read_bytes()[:1024])
        struct.pack_into(dtype[0] + "4i", header, 0, SHAPE[2], SHAPE[1], SHAPE[0], 1)
        path.write_bytes(bytes(header) + stored.tobytes())
    movie = open_movie(path)
    assert same(movie, true)
    assert movie.dtype == np.uint16
    assert movie.encoded() is None
    assert "32768" in str(movie.remarks[0])


@pytest.mark.parametrize("low", [0, -300])
def test_other_16_bit_movies_stay_as_they_are(tmp_path, low):
    true = counts(300) + low
    write_mrc(tmp_path / "a.mrc", true, frame_count=len(true), mode=1)
    movie = open_movie(tmp_path / "a.mrc")
    assert same(movie, true)
    assert movie.remarks == ()
    assert movie.dtype == np.int16
