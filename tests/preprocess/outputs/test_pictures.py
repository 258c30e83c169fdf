import io

import numpy as np
import pytest
from PIL import Image

from preprocess.backends.cpu.backend import CpuBackend
from preprocess.geometry.accumulated_motion import AccumulatedMotion, accumulated_motion
from preprocess.geometry.spectrum_tiles import lay_tiles
from preprocess.outputs.motion_plot import _ticks, motion_png
from preprocess.outputs.pictures import spectrum_png, thumbnail_boxes, thumbnail_png, whole_spectrum


def power_spectrum(image):
    return whole_spectrum(CpuBackend(2).tile_powers(image, lay_tiles(*image.shape)))


def thumbnail(image):
    return thumbnail_png(CpuBackend(2).reduced(image, thumbnail_boxes(*image.shape)), *image.shape)


def opened(content):
    return Image.open(io.BytesIO(content))


@pytest.fixture
def image():
    return np.random.default_rng(0).normal(10, 2, (300, 420)).astype(np.float32)


def test_thumbnail_keeps_proportions_and_top(image):
    image[:100] += 8
    picture = opened(thumbnail(image))
    assert picture.size == (512, 366)
    pixels = np.asarray(picture)
    assert pixels[:80].mean() > pixels[160:].mean() + 50
    assert picture.info == {}


@pytest.mark.parametrize("shape", [(300, 420), (1537, 1601), (1030, 2500), (4092, 5760), (40, 9000)])
def test_a_thumbnail_is_drawn_as_pillow_would_from_the_whole_image(shape):
    image = np.random.default_rng(3).normal(40, 6, shape).astype(np.float32)
    boxes = CpuBackend(2).reduced(image, thumbnail_boxes(*shape))
    assert max(boxes.shape) <= max(4 * 512, 2 * 3 * 512)
    factor_y, factor_x = thumbnail_boxes(*shape)
    np.testing.assert_array_equal(boxes, np.asarray(Image.fromarray(image).reduce((factor_x, factor_y))))
    size = opened(thumbnail(image)).size
    whole = Image.fromarray(image).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    box = (0, 0, shape[1] / factor_x, shape[0] / factor_y)
    drawn = Image.fromarray(boxes).resize(size, Image.Resampling.LANCZOS, box)
    np.testing.assert_array_equal(np.asarray(drawn), np.asarray(whole))


def test_a_flat_image_has_pictures_too():
    flat = np.zeros((64, 64), np.float32)
    assert opened(thumbnail(flat)).size == (512, 512)
    assert opened(spectrum_png(power_spectrum(flat), 1.0)).size == (512, 512)


def test_power_spectrum_shows_a_wave_at_its_frequency():
    y, x = np.mgrid[0:512, 0:512]
    wave = np.cos(2 * np.pi * (x * 16 + y * 8) / 128).astype(np.float32)
    power = power_spectrum(wave)
    side = len(power)
    found = np.array(np.unravel_index(np.argsort(power.ravel())[-2:], power.shape)).T - side // 2
    assert sorted(map(tuple, found.tolist())) == sorted([(side // 16, side // 8), (-side // 16, -side // 8)])
    assert power.shape == (side, side)


def test_power_is_the_same_at_opposite_frequencies(image):
    power = power_spectrum(image)[1:, 1:]
    np.testing.assert_allclose(power, power[::-1, ::-1], rtol=1e-4, atol=1e-4 * power.mean())


def test_spectrum_is_a_labelled_picture_in_colour(image):
    picture = opened(spectrum_png(power_spectrum(image), 1.1))
    assert (picture.size, picture.mode) == ((512, 512), "RGB")
    pixels = np.asarray(picture).astype(int)
    assert (pixels[..., 0] - pixels[..., 2] > 60).sum() > 500


@pytest.mark.parametrize("frames", [1, 2, 40])
def test_motion_picture_of_any_number_of_frames(frames):
    shifts = np.cumsum(np.random.default_rng(1).normal(0, 1, (frames, 2)), 0)
    motion = accumulated_motion(shifts, 1.0, None)
    content = motion_png(shifts, 1.0, motion, dose_known=False)
    assert opened(content).size == (720, 480)
    assert content == motion_png(shifts, 1.0, motion, dose_known=False)


def test_ticks_are_round_and_few():
    assert _ticks(-0.3, 9.7) == [0, 2, 4, 6, 8]
    assert _ticks(0, 0.1) == pytest.approx([0, 0.02, 0.04, 0.06, 0.08, 0.1])
    for width in (0.013, 1, 7.7, 1234):
        assert 3 <= len(_ticks(0.1, 0.1 + width)) <= 7


def test_motion_is_split_where_a_frame_ends_at_four_electrons():
    shifts = np.array([[0, 0], [3, 4], [3, 5], [3, 7]], np.float64)
    doses = np.array([2.0, 4.0, 6.0, 8.0])
    assert accumulated_motion(shifts, 2.0, doses) == AccumulatedMotion(16.0, 10.0, 6.0)
    assert accumulated_motion(shifts, 2.0, None) == AccumulatedMotion(16.0, 0.0, 16.0)
    assert accumulated_motion(shifts[:1], 2.0, doses[:1]) == AccumulatedMotion(0.0, 0.0, 0.0)
