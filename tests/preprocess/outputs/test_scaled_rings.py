"""Thon rings of one height, from those that fade."""

from dataclasses import replace

import numpy as np

from preprocess.outputs.scaled_rings import scaled_profile, scaled_spectra
from tests.ctf_estimates import estimate_of


def test_the_finest_rings_that_are_measured_are_as_high_as_the_first():
    estimate = estimate_of()
    profile = replace(estimate.profile, measured=estimate.profile.fitted)
    inside = profile.frequency_per_angstrom < 0.3
    np.testing.assert_allclose(scaled_profile(profile)[inside], profile.ctf_squared[inside], atol=0.03)


def test_noise_stays_in_the_middle_where_there_are_no_rings():
    estimate = estimate_of()
    noise = np.random.default_rng(1).normal(1, 0.02, len(estimate.profile.fitted))
    flat = replace(estimate.profile, measured=noise, fitted=np.ones_like(noise))
    assert 0.1 < np.std(scaled_profile(flat)) < 0.4
    assert abs(np.mean(scaled_profile(flat)) - 0.5) < 0.05


def test_the_scaled_spectrum_swings_about_the_middle_at_every_resolution():
    measured, fitted = scaled_spectra(estimate_of())
    assert measured.shape == fitted.shape == (721, 361)
    row = fitted[360, 20:180]
    assert row.min() < 0.05
    assert row.max() > 0.95
    assert np.corrcoef(measured[300:420, 20:120].ravel(), fitted[300:420, 20:120].ravel())[0, 1] > 0.9


def test_values_that_are_no_numbers_are_drawn_as_no_rings():
    estimate = estimate_of()
    nothing = np.full_like(estimate.measured_spectrum, np.nan)
    measured, fitted = scaled_spectra(replace(estimate, measured_spectrum=nothing, fitted_spectrum=nothing))
    assert np.all(measured == 0.5)
    assert np.all(fitted == 0.5)
