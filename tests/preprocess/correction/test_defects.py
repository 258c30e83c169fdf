import numpy as np

from preprocess.backends.cpu.backend import CpuBackend
from preprocess.correction.defects import find_defects
from preprocess.geometry.replacements import find_replacements


def noisy_sum(seed=0):
    return np.random.default_rng(seed).poisson(40, (64, 80)).astype(np.float32)


def sum_of(total, gain=None):
    """The sum of one frame, on the CPU."""
    stack = CpuBackend(2).hold(1, *total.shape, np.dtype(np.float32))
    stack.put(0, total)
    stack.set_gain(gain)
    return stack.frame_sum()


def test_hot_pixels_are_found_though_hotter_ones_hide_them():
    total = noisy_sum()
    total[5, 6] = 50000
    total[20, 70] = 150
    found = find_defects(sum_of(total))
    assert found.hot.tolist() == [5 * 80 + 6, 20 * 80 + 70]
    assert found.pixels.tolist() == found.hot.tolist()


def test_no_noise_is_taken_for_a_hot_pixel():
    assert find_defects(sum_of(noisy_sum(1))).pixels.size == 0


def test_pixels_of_zero_gain_are_defects_but_not_hot():
    gain = np.ones((64, 80), np.float32)
    gain[:, 33] = 0
    total = noisy_sum()
    total[4, 4] = 900
    found = find_defects(sum_of(total, gain), None)
    assert found.hot.tolist() == [4 * 80 + 4]
    assert set(found.pixels) == {4 * 80 + 4, *range(33, 64 * 80, 80)}


def sources_of(replacements, frame_count):
    """The pixel that each defect is copied from in each frame, shape (frames, defects)."""
    turn = replacements.starts + np.arange(frame_count)[:, None] * replacements.steps
    return replacements.sources[np.arange(len(replacements.targets)), turn % replacements.counts]


def test_replacements_are_good_pixels_nearby_and_change_from_frame_to_frame():
    pixels = np.array([0, 33, 34, 35, 80 * 63 + 79])
    replacements = find_replacements(pixels, (64, 80))
    assert sorted(replacements.targets) == sorted(pixels)
    sources = sources_of(replacements, 12)
    assert sources.shape == (12, 5)
    assert not set(sources.ravel()) & set(pixels)
    distance_y = np.abs(sources // 80 - replacements.targets // 80)
    distance_x = np.abs(sources % 80 - replacements.targets % 80)
    assert distance_y.max() <= 2
    assert distance_x.max() <= 2
    assert (np.array([len(set(column)) for column in sources.T]) >= 8).all()


def test_a_wide_dead_stripe_is_filled_from_further_away_and_a_dead_frame_stays():
    y, x = np.mgrid[0:64, 20:29]
    stripe = (y * 80 + x).ravel()
    replacements = find_replacements(stripe, (64, 80))
    assert set(replacements.targets) == set(stripe)
    assert not set(sources_of(replacements, 3).ravel()) & set(stripe)
    assert find_replacements(np.arange(64 * 80), (64, 80)).targets.size == 0


def test_mended_gain_is_the_mean_of_the_pixels_that_stand_in():
    gain = np.ones((64, 80), np.float32)
    gain[10, 10] = 0
    gain[10, 11] = 3
    replacements = find_replacements(np.array([10 * 80 + 10]), (64, 80))
    np.testing.assert_array_equal(replacements.gains(gain), np.float32([(23 + 3) / 24]))
