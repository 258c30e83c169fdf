import io

import numpy as np
import pytest
from PIL import Image

from preprocess.backends.cpu.backend import CpuBackend
from preprocess.ctf.spectrum import block_spectra
from preprocess.geometry.accumulated_motion import AccumulatedMotion, accumulated_motion
from preprocess.outputs.motion_plot import _ticks, motion_png
from preprocess.outputs.pictures import spectrum_png, thumbnail_boxes, thumbnail_png


def picture_of(image, pixel_size):
    spectra = block_spectra(image, pixel_size, CpuBackend(2))
    return spectrum_png(spectra.mean(), spectra.frequency_step)


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
    assert opened(picture_of(flat, 1.0)).size == (512, 512)


def test_a_wave_is_bright_at_its_frequency_and_its_opposite(image):
    y, x = np.mgrid[0:300, 0:420]
    wave = 2 * np.cos(2 * np.pi * (0.1 * x + 0.2 * y)).astype(np.float32)
    pixels = np.asarray(opened(picture_of(image + wave, 1.5)).convert("L")).astype(int)  # the edge is 3 Å
    for y, x in ((358, 307), (154, 205)):
        assert pixels[y - 2 : y + 3, x - 2 : x + 3].mean() > 220
        assert pixels[512 - y - 2 : 512 - y + 3, x - 2 : x + 3].mean() < 180


def test_spectrum_is_a_labelled_picture_in_colour(image):
    picture = opened(picture_of(image, 1.1))
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
