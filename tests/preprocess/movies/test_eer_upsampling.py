"""EER at twice the camera's resolution: where events lie, gain and defects of the camera's size."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import mrcfile
import numpy as np
import pytest
import starfile

from preprocess.correction.defect_files import load_defects
from preprocess.correction.gain import load_gain
from preprocess.errors import GainMismatch
from preprocess.exposure.acquisition import Acquisition
from preprocess.movies import open_movie
from preprocess.pipeline.process_movie import process_movie
from preprocess.settings import AlignmentSettings, EerSettings, GainSettings
from preprocess.simulation import write_eer, write_gain, write_mrc
from preprocess.simulation.eer_writer import encode_events

SHAPE = (96, 128)
FINE = EerSettings(hardware_frames_per_frame=8, upsampling=2)


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    """Stripes and a spot, the same in all 10 frames, so that nothing moves."""
    random = np.random.default_rng(5)
    y, x = np.indices(SHAPE)
    expected = 1.0 + 0.8 * np.sin(x / 3) * np.cos(y / 5) + 4 * (np.hypot(y - 30, x - 90) < 8)
    frames = [np.minimum(random.poisson(expected), 8) for _ in range(10)]
    write_eer(tmp_path / "m.eer", frames, hardware_frames_per_frame=8, pixel_size_angstrom=1.0 + 1e-3)
    return tmp_path / "m.eer"


def test_each_event_lies_in_its_quarter_of_its_pixel(movie):
    fine, coarse = open_movie(movie, FINE), open_movie(movie, EerSettings(hardware_frames_per_frame=8))
    assert (fine.height, fine.width, fine.frame_count) == (192, 256, 10)
    assert fine.header_pixel_size_angstrom == pytest.approx(coarse.header_pixel_size_angstrom / 2)
    quarters = np.zeros(4)
    for one, other in zip(fine.frames(), coarse.frames(), strict=True):
        blocks = one.reshape(96, 2, 128, 2)
        np.testing.assert_array_equal(blocks.sum((1, 3)), other)
        quarters += blocks.sum((0, 2)).ravel()
    np.testing.assert_allclose(quarters / quarters.sum(), 0.25, atol=0.02)


def test_gain_and_defects_of_the_camera_s_size(movie, tmp_path):
    fine = open_movie(movie, FINE)
    gain = np.random.default_rng(1).uniform(0.8, 1.2, SHAPE).astype(np.float32)
    write_gain(tmp_path / "camera.gain", gain, movie_format="eer")
    settings = GainSettings(path=tmp_path / "camera.gain")
    loaded = load_gain(settings, fine)
    np.testing.assert_allclose(loaded, np.kron(load_gain(settings, open_movie(movie)), np.ones((2, 2))))
    write_gain(tmp_path / "small.gain", gain[::2, ::2], movie_format="eer")
    with pytest.raises(GainMismatch):
        load_gain(GainSettings(path=tmp_path / "small.gain"), open_movie(movie))
    mask = np.zeros(SHAPE, np.uint8)
    mask[3, 5] = 1
    write_mrc(tmp_path / "map.mrc", [mask], frame_count=1, mode=0)
    listed = load_defects(tmp_path / "map.mrc", (192, 256), upsampling=2)
    assert np.argwhere(listed).tolist() == [[6, 10], [6, 11], [7, 10], [7, 11]]


def test_the_sub_pixel_bits_are_read_as_relion_reads_them():
    """RELION: 4 bits, those of weight 2 (x) and 8 (y) inverted; it reads 4096 x 4096 px alone, so no run of it here."""
    random = np.random.default_rng(0)
    places, bits = np.sort(random.choice(64 * 64, 200, replace=False)), random.integers(0, 16, 200)
    found = imagecodecs.eer_decode(encode_events(places, bits, 64 * 64), (128, 128), 7, 2, 2, superres=1)
    symbols = bits ^ 0x0A
    rows = (places // 64 << 1) | ((symbols & 8) >> 3)
    columns = (places % 64 << 1) | ((symbols & 2) >> 1)
    expected = np.zeros((128, 128), np.uint8)
    expected[rows, columns] = 1
    np.testing.assert_array_equal(found, expected)


def test_a_movie_of_twice_the_resolution_is_aligned_and_says_so(movie, tmp_path):
    settings = AlignmentSettings(device="cpu", threads=1, float32=True, dose_weighting=False, eer=FINE)
    known = Acquisition(pixel_size_angstrom=0.5, voltage_kv=300)
    result = process_movie(movie, tmp_path / "ours", settings=settings, acquisition=known)
    assert mrcfile.read(result.file("micrograph")).shape == (192, 256)
    general = starfile.read(result.file("motion_star"))["general"]
    assert (general["rlnEERUpsampling"], general["rlnEERGrouping"], general["rlnImageSizeX"]) == (2, 8, 256)
