from dataclasses import replace

import numpy as np
import pytest

from preprocess.correction.gain_fit import LARGEST_SIDE_PX, GainDecision, check_gain
from preprocess.correction.gain_turns import ORIENTATIONS, turned
from preprocess.geometry.image_centre import centre_of
from preprocess.settings import GainSettings

NO_PIXELS = np.zeros(0, np.int64)


def fit_of(raw_sum, gain, defects, settings, decision=GainDecision.GIVEN, **divided):
    return check_gain(centre_of(raw_sum, LARGEST_SIDE_PX), gain, defects, settings, decision=decision, **divided)


def make_gain(height, width, seed=2):
    gain = np.random.default_rng(seed).normal(1, 0.05, (height, width)).astype(np.float32)
    gain[3, 4] = 0
    return gain


def raw_sum_behind(gain, seed=5):
    """What a camera of that gain counts: specimen and noise over sensitivity."""
    random = np.random.default_rng(seed)
    scene = 40 * (1 + 0.2 * np.sin(np.arange(gain.shape[1]) / 30))
    expected = np.divide(scene, gain, out=np.zeros_like(gain), where=gain > 0)
    return random.poisson(expected).astype(np.float32)


def test_the_right_gain_passes():
    gain = make_gain(256, 320)
    fit = fit_of(raw_sum_behind(gain), gain, NO_PIXELS, GainSettings(rotate_degrees=90))
    assert fit.warning is None
    assert abs(fit.residual_gain_correlation) < 0.03
    assert fit.raw_correlation > 0.2
    assert fit.best == GainSettings(rotate_degrees=90)


@pytest.mark.parametrize("wrong", ORIENTATIONS[1:])
@pytest.mark.parametrize("right", [ORIENTATIONS[0], ORIENTATIONS[1], ORIENTATIONS[7]])
def test_each_wrong_orientation_is_named_with_the_right_one(wrong, right):
    file = make_gain(256, 256)
    true_gain = turned(file, right)
    given = turned(file, wrong)
    fit = fit_of(raw_sum_behind(true_gain), given, NO_PIXELS, wrong)
    if np.array_equal(given, true_gain):
        assert fit.warning is None
        return
    assert fit.warning is not None
    assert fit.warning.startswith("the gain reference seems to have the wrong orientation: ")
    np.testing.assert_array_equal(turned(file, fit.best), true_gain)
    assert f"--gain-rotate {fit.best.rotate_degrees} --gain-flip {fit.best.flip}" in fit.warning
    assert fit.residual_gain_correlation > 0.1


def test_a_gain_to_divide_by_is_named():
    gain = make_gain(256, 256)
    inverse = np.divide(1, gain, out=np.zeros_like(gain), where=gain > 0)
    fit = fit_of(raw_sum_behind(gain), inverse, NO_PIXELS, GainSettings(operation="multiply"))
    assert fit.best == GainSettings(operation="divide")
    divided = fit_of(raw_sum_behind(gain), inverse, NO_PIXELS, GainSettings(), divided=True)
    assert divided.best == GainSettings(operation="multiply")
    assert fit.warning is not None
    assert "--gain-operation divide" in fit.warning


def test_a_movie_that_is_corrected_already_is_said():
    gain = make_gain(256, 256)
    flat = raw_sum_behind(np.ones_like(gain))
    fit = fit_of(flat, gain, NO_PIXELS, GainSettings())
    assert fit.warning is not None
    assert "may be gain-corrected already" in fit.warning


def test_a_movie_that_is_not_square_has_four_orientations():
    gain = make_gain(200, 300)
    fit = fit_of(raw_sum_behind(gain[::-1, ::-1].copy()), gain, NO_PIXELS, GainSettings())
    assert fit.warning is not None
    assert "--gain-rotate 180 --gain-flip none" in fit.warning


def test_what_was_decided_is_said():
    gain = make_gain(256, 256)
    raw = raw_sum_behind(gain)
    turned_itself = fit_of(raw, gain, NO_PIXELS, GainSettings(flip="x"), GainDecision.TURNED)
    assert turned_itself.warning_code == "gain-turned"
    assert "--gain-rotate 0 --gain-flip x" in turned_itself.warning
    wrong = fit_of(raw, gain[::-1].copy(), NO_PIXELS, GainSettings(), GainDecision.TURNED)
    assert wrong.warning_code == "gain-does-not-fit"
    assert fit_of(raw, gain, NO_PIXELS, GainSettings(), GainDecision.KEPT).warning_code is None
    faint = fit_of(
        np.random.default_rng(1).poisson(0.1, gain.shape), gain, NO_PIXELS, GainSettings(), GainDecision.UNSURE
    )
    assert faint.warning_code == "gain-orientation-unsure"
    flat = raw_sum_behind(np.ones_like(gain))
    corrected = fit_of(flat, gain, NO_PIXELS, GainSettings(), GainDecision.UNSURE)
    assert corrected.warning_code == "gain-does-not-fit"
    assert "in none of its orientations" in corrected.warning


@pytest.mark.parametrize("size", [(1024, 1025), (1300, 2047), (3000, 1023)])
def test_a_large_sum_is_judged_by_its_middle_wherever_defects_lie(size):
    gain = make_gain(*size)
    raw = raw_sum_behind(gain)
    defects = np.array([0, gain.size // 2 + 3, gain.size - 1])
    raw.reshape(-1)[defects] = 1e9
    fit = fit_of(raw, gain, defects, GainSettings())
    without = fit_of(raw * (raw < 1e8), gain, defects, GainSettings())
    assert fit.standard_errors == pytest.approx(without.standard_errors, rel=0.01)
    same = {"standard_errors": 0.0, "contrast_share": 0.0}
    assert replace(fit, **same) == replace(without, **same)
    assert abs(fit.residual_gain_correlation) < 0.03
