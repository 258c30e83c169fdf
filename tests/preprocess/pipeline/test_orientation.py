"""Frames and gain lie as RELION sees them: sums are compared with RELION's own, pixel by pixel."""

from __future__ import annotations

import shutil
import subprocess

import mrcfile
import numpy as np
import pytest

from preprocess.correction.gain import load_gain
from preprocess.movies import open_movie
from preprocess.settings import EerSettings, GainSettings
from preprocess.simulation import write_eer, write_gain, write_mrc, write_tiff

pytestmark = [
    pytest.mark.relion,
    pytest.mark.skipif(
        shutil.which("relion_run_motioncorr") is None, reason="RELION is not installed (Debian: apt-get install relion)"
    ),
]

FRAMES = 3
NO_GAIN, ONE_BY_ONE = GainSettings(), EerSettings(hardware_frames_per_frame=1)
RELION_FLIPS = {"none": "0", "y": "1", "x": "2"}


def relions_sum(folder, movie, *, gain=None, options=()):
    """Return RELION's sum of a movie that does not move, without its hot pixel correction."""
    command = ["relion_run_motioncorr", "--i", movie, "--o", "out/", "--use_own", "--j", "1", "--skip_defect"]
    command += ["--angpix", "1.5", "--voltage", "300", "--patch_x", "1", "--patch_y", "1", "--bfactor", "150", *options]
    if gain is not None:
        command += ["--gainref", gain]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    result = (folder / "out" / movie).with_suffix(".mrc")
    assert result.is_file(), done.stdout + done.stderr
    return mrcfile.read(result)


def our_sum(folder, movie, *, gain=NO_GAIN, eer=ONE_BY_ONE):
    opened = open_movie(folder / movie, eer)
    total = sum(frame.astype(np.float64) for frame in opened.frames())
    multiplied = load_gain(gain, opened)
    return total if multiplied is None else total * multiplied


def asymmetric_counts(height, width):
    """Return counts whose picture no rotation or flip leaves alike; strong structure keeps RELION's shifts at zero."""
    y, x = np.mgrid[:height, :width]
    disc = (y - 0.3 * height) ** 2 + (x - 0.6 * width) ** 2 < (0.15 * height) ** 2
    noise = np.random.default_rng(1).integers(0, 2, (height, width))
    counts = 3 + 2 * y / height + x / width + 4 * disc + 3 * ((y < height / 5) & (x < width / 5)) + noise
    return counts.astype(np.uint8)


def asymmetric_gain(height, width):
    y, x = np.mgrid[:height, :width]
    corner = (y < height / 4) & (x > width / 2)
    return (0.8 + 0.4 * y / height + 0.3 * (x / width) ** 2 + 0.2 * corner).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("movie.tiff", {"compression": "lzw"}),
        ("movie.tif", {"compression": "deflate", "rows_per_strip": 16}),
        ("movie.mrc", {"mode": 0}),
        ("movie.mrcs", {"mode": 1}),
        ("movie.mrc", {"mode": 2}),
        ("movie.mrc", {"mode": 6}),
        ("movie.mrc", {"mode": 101}),
    ],
    ids=str,
)
def test_sums_of_tiff_and_mrc_movies_without_and_with_gain(tmp_path, name, options):
    frames, gain = [asymmetric_counts(192, 256)] * FRAMES, asymmetric_gain(192, 256)
    if "tif" in name:
        write_tiff(tmp_path / name, frames, **options)
    else:
        write_mrc(tmp_path / name, frames, frame_count=FRAMES, **options)
    np.testing.assert_allclose(relions_sum(tmp_path, name), our_sum(tmp_path, name), atol=1e-3)
    for reference in ("gain_reference.mrc", "gain_reference.tif"):
        write_gain(tmp_path / reference, gain, movie_format="tiff")
        ours = our_sum(tmp_path, name, gain=GainSettings(path=tmp_path / reference))
        np.testing.assert_allclose(relions_sum(tmp_path, name, gain=reference), ours, atol=1e-3)


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
@pytest.mark.parametrize("flip", ["none", "x", "y"])
def test_turned_gains(tmp_path, rotate, flip):
    write_tiff(tmp_path / "movie.tiff", [asymmetric_counts(128, 128)] * FRAMES)
    write_gain(tmp_path / "g.mrc", asymmetric_gain(128, 128), movie_format="tiff")
    turned = ("--gain_rot", str(rotate // 90), "--gain_flip", RELION_FLIPS[flip])
    ours = our_sum(tmp_path, "movie.tiff", gain=GainSettings(path=tmp_path / "g.mrc", rotate_degrees=rotate, flip=flip))
    np.testing.assert_allclose(relions_sum(tmp_path, "movie.tiff", gain="g.mrc", options=turned), ours, atol=1e-3)


@pytest.mark.parametrize("reference", ["g.gain", "g.mrc"])
def test_sums_of_eer_movies(tmp_path, reference):
    """RELION 3.1 reads EER of 4096 x 4096 px alone; few electrons keep this quick."""
    side = 4096
    y = np.arange(side)[:, None]
    x = np.arange(side)[None, :]
    chance = 0.02 + 0.02 * y / side + 0.05 * ((y < side / 4) & (x > side / 2))
    frame = (np.random.default_rng(2).random((side, side), np.float32) < chance).astype(np.uint8)
    write_eer(tmp_path / "movie.eer", [frame] * FRAMES, hardware_frames_per_frame=2, pixel_size_angstrom=0.9)
    values = asymmetric_gain(side, side)
    values[100:300, 50:90] = 0  # a defect
    write_gain(tmp_path / reference, values, movie_format="eer")
    gain = GainSettings(path=tmp_path / reference)
    ours = our_sum(tmp_path, "movie.eer", gain=gain, eer=EerSettings(hardware_frames_per_frame=2))
    theirs = relions_sum(
        tmp_path, "movie.eer", gain=reference, options=("--eer_grouping", "2", "--eer_upsampling", "1")
    )
    np.testing.assert_allclose(theirs, ours, atol=1e-4)
