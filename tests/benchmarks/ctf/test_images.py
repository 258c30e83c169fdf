"""The defocus that a tilt predicts for a part of an image."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.ctf.answers import CtfAnswer
from benchmarks.ctf.images import predicted_defocus
from preprocess.simulation import MicrographSettings
from preprocess.simulation.imaging import tilt_surface

WHOLE = {"method": "x", "defocus_u_angstrom": 11000.0, "defocus_v_angstrom": 9000.0}


def test_a_tilt_predicts_what_the_simulator_makes() -> None:
    settings = MicrographSettings(
        height=64, width=96, pixel_size_angstrom=2.0, tilt_degrees=20.0, tilt_axis_degrees=-35.0
    )
    answer = CtfAnswer(**WHOLE, tilt_degrees=20.0, tilt_axis_degrees=-35.0)
    surface = tilt_surface(settings)
    for row, column in ((3, 90), (60, 5)):
        place = ((row - 31.5) * 2.0, (column - 47.5) * 2.0)
        assert predicted_defocus(answer, place) == pytest.approx(10000 + surface[row, column], abs=0.1)
    assert np.ptp(surface) > 50


def test_without_a_tilt_it_is_the_same_everywhere() -> None:
    assert predicted_defocus(CtfAnswer(**WHOLE), (500.0, -300.0)) == 10000
