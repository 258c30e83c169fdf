"""SerialEM's RotationAndFlip, against the steps that its help names, done one after the other."""

from __future__ import annotations

import numpy as np
import pytest

from preprocess.correction.gain import turned
from preprocess.gains.orientation_by_mdoc import orientation_by_mdoc
from preprocess.settings import GainSettings

GAIN = np.arange(6).reshape(2, 3)


def turned_by_serialem(image, number):
    """Return it with y pointing up: the first row is the lowest."""
    shown = image[::-1]
    if number & 4:
        shown = shown[:, ::-1]
    shown = np.rot90(shown, number % 4)  # counter-clockwise
    if number & 8:
        shown = shown[:, ::-1]
    return shown[::-1]


@pytest.mark.parametrize("number", range(16))
def test_each_number_turns_as_serialem_does(number):
    assert np.array_equal(turned(GAIN, orientation_by_mdoc(number)), turned_by_serialem(GAIN, number))


@pytest.mark.parametrize("number", [None, -1, 16])
def test_what_is_no_orientation_turns_nothing(number):
    assert orientation_by_mdoc(number) == GainSettings()
