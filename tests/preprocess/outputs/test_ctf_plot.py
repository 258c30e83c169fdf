"""STEM_ctf.png for every kind of estimate."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from preprocess.outputs.ctf_plot import HEIGHT_PX, SPECTRUM, WIDTH_PX, ctf_png
from tests.ctf_estimates import estimate_of


def drawn(estimate):
    return np.asarray(Image.open(io.BytesIO(ctf_png(estimate))).convert("RGB")).astype(int)


def test_it_is_the_same_bytes_when_drawn_again():
    assert ctf_png(estimate_of()) == ctf_png(estimate_of())


def test_the_spectrum_lies_as_the_file_does():
    left, top, right, bottom = SPECTRUM
    middle_x, middle_y = (left + right) // 2, (top + bottom) // 2
    fit = drawn(estimate_of(30_000, 8_000, 45, fit_resolution_angstrom=9.0))[top:bottom, middle_x:right, 0]
    half = middle_y - top
    along, across = (np.array([fit[half + s * d, d] for d in range(5, 150)]) for s in (1, -1))  # y is downwards
    assert np.abs(np.diff(along)).mean() > 1.5 * np.abs(np.diff(across)).mean()  # rings are denser where defocus is U


def test_an_unreliable_estimate_says_so_in_red():
    def red_pixels(estimate):
        picture = drawn(estimate)[:64]
        return int(((picture[..., 0] > 150) & (picture[..., 1] < 90) & (picture[..., 2] < 90)).sum())

    reason = "The rings are not significant. Look at the micrograph."
    assert red_pixels(estimate_of(reliable=False, reason=reason)) > 100
    assert red_pixels(estimate_of()) == 0


@pytest.mark.parametrize("resolution", [float("inf"), 0.0, 999.0, 2.0])
def test_any_fit_resolution_can_be_drawn(resolution):
    assert drawn(estimate_of(fit_resolution_angstrom=resolution)).shape == (HEIGHT_PX, WIDTH_PX, 3)


def test_every_figure_that_can_be_measured_has_its_place():
    everything = {
        "phase_shift_degrees": 63.2,
        "tilt_degrees": 20.0,
        "tilt_axis_degrees": 35.0,
        "thickness_angstrom": 900.0,
    }
    assert np.abs(drawn(estimate_of(**everything)) - drawn(estimate_of())).sum() > 1e5


def test_an_estimate_without_numbers_can_be_drawn():
    estimate = estimate_of()
    nothing = np.full_like(estimate.measured_spectrum, np.nan)
    profile = replace(estimate.profile, measured=np.full_like(estimate.profile.measured, np.nan))
    assert drawn(replace(estimate, measured_spectrum=nothing, profile=profile)).any()
