"""The last fit: an envelope that changes fast, in a spectrum without noise, draws the defocus less than before."""

from __future__ import annotations

import numpy as np
import pytest

from preprocess.backends.cpu.row_threads import RowThreads
from preprocess.ctf.half_plane import half_plane
from preprocess.ctf.model import PhaseTerms, window_transfer
from preprocess.ctf.optics import CtfOptics
from preprocess.ctf.refinement import FitTask, refine
from preprocess.ctf.samples import SpectrumSamples, polar_samples
from preprocess.ctf.sectors import smooth_course

RADIUS, FIRST_RING = 160, 15
STEP = 1 / 450
DEFOCUS = 2200.0


def thick_ice(terms: PhaseTerms) -> SpectrumSamples:
    """Return a spectrum without noise of 500 Å of ice, whose scattering rises steeply at 3.9 Å."""
    plane = half_plane(RADIUS, FIRST_RING)
    frequency = np.maximum(np.arange(RADIUS + 1) * STEP, STEP)
    strength = 0.02 + 0.3 / (1 + np.exp((0.248 - frequency) / 0.014)) + 0.2 * np.exp(-((frequency / 0.1) ** 2))
    strength *= np.exp(-((frequency / 0.25) ** 2))
    turn = 4 * STEP * frequency * np.pi * terms.wavelength * DEFOCUS
    fading = np.sinc(terms.wavelength * 500 * frequency**2) * window_transfer(turn)
    power = 1 + strength - strength * fading * np.cos(2 * terms.chi(frequency, DEFOCUS))
    sums = plane.bin_sizes * power
    return polar_samples(sums, smooth_course(sums, plane, STEP), plane, STEP)


def test_the_last_fit_follows_an_envelope_that_bends() -> None:
    optics = CtfOptics(pixel_size_angstrom=1.0, voltage_kv=300.0, cs_mm=2.7, amplitude_contrast=0.1)
    terms, threads = PhaseTerms.of(optics, STEP), RowThreads(1)
    samples = thick_ice(terms)
    errors = []
    for is_last in (False, True):
        task = FitTask(samples, terms, 60.0, with_phase=False, is_last=is_last)
        fit = refine(task, np.array([DEFOCUS, 0.0, 0.0, 0.0]), threads, steps=20)
        errors.append(abs(fit.defocus - DEFOCUS))
    assert errors[1] < 0.7 * errors[0]
    assert errors[1] == pytest.approx(0, abs=50)
