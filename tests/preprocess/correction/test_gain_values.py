from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from preprocess.correction import gain_values
from preprocess.correction.gain_values import TIMES_TYPICAL, believable
from preprocess.errors import GainMismatch

GAIN = np.random.default_rng(8).uniform(0.7, 1.4, (60, 50)).astype(np.float32)


def changed(*pixels: float) -> np.ndarray:
    gain = GAIN.copy()
    gain.reshape(-1)[: len(pixels)] = pixels
    return gain


@pytest.mark.parametrize(
    ("gain", "is_quick"),
    [
        (GAIN, True),
        (changed(*[0.0] * 80), True),  # more than 2 %: said
        (changed(0.7 / 1.4, 1.4 * 1.4), True),
        (changed(0.1, 3.01), False),  # both near the typical one, but not each near the other
        (changed(0.01), False),
        (changed(TIMES_TYPICAL * 1.5), False),
        (changed(np.nan), False),
        (changed(-1.0, np.inf, 0.0), False),
        (changed(*[0.0] * 60, *[np.nan] * 20), False),
    ],
)
def test_the_quick_look_finds_what_the_whole_one_does(
    gain: np.ndarray, is_quick: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gain_values._are_all_near(gain) == is_quick
    image, doubts = believable(Path("gain.mrc"), gain)
    monkeypatch.setattr(gain_values, "_are_all_near", lambda _stored: False)
    expected, expected_doubts = believable(Path("gain.mrc"), gain.astype(np.float64))
    np.testing.assert_array_equal(image, expected)
    assert doubts == expected_doubts


@pytest.mark.parametrize("gain", [np.zeros((4, 5), np.float32), -GAIN, changed(*[0.0] * 800), np.empty((0, 0))])
def test_what_is_no_gain_is_refused(gain: np.ndarray) -> None:
    with pytest.raises(GainMismatch):
        believable(Path("gain.mrc"), gain)
