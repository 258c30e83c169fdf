"""What the stated error of a defocus is made of, beside the curvature of the likelihood."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from preprocess.backends.cpu.backend import CpuBackend
from preprocess.backends.cpu.row_threads import RowThreads
from preprocess.ctf.estimation import _elsewhere, estimate_ctf
from preprocess.ctf.half_plane import half_plane
from preprocess.ctf.model import PhaseTerms
from preprocess.ctf.near_defoci import near_defoci
from preprocess.ctf.refinement import FitTask, FittedModel, refine
from preprocess.ctf.samples import polar_samples
from preprocess.ctf.sandwich import robust_covariance
from preprocess.ctf.sectors import sector_sums, smooth_course
from preprocess.ctf.spectrum import block_spectra
from preprocess.settings import CtfSettings

U, V, ANGLE = 12_400.0, 11_800.0, 25.0
START = np.array([(U + V) / 2, 190.0, 230.0, 0.0])
ONE = RowThreads(1)


def task_of(image: np.ndarray, optics) -> FitTask:
    """Return what is fitted of an image."""
    spectra = block_spectra(image, optics.pixel_size_angstrom, CpuBackend(1))
    step = spectra.frequency_step
    plane = half_plane(spectra.radius, int(np.ceil(1 / 30 / step)))
    sums = sector_sums(spectra.mean()[None], plane, ONE)[0]
    samples = polar_samples(sums, smooth_course(sums, plane, step), plane, step)
    return FitTask(samples, PhaseTerms.of(optics, step), float(spectra.tile_count), with_phase=False)


def error(covariance: np.ndarray) -> float:
    return float(np.sqrt(covariance[0, 0]))


def fitted(task: FitTask) -> FittedModel:
    return refine(task, START, ONE, steps=8)


@pytest.fixture(scope="module")
def task(micrograph, optics) -> FitTask:
    return task_of(micrograph(U, V, ANGLE, strength=2), optics)


def test_the_sandwich_is_near_the_curvature_where_the_model_is_true(task) -> None:
    fit = fitted(task)
    assert 0.5 < error(robust_covariance(task, fit)) / error(fit.covariance) < 1.3


def test_the_sandwich_is_wider_where_the_rings_are_not_where_the_model_has_them(task) -> None:
    wrong = replace(task, terms=replace(task.terms, aberration=0.4 * task.terms.aberration))
    right, fit = fitted(task), fitted(wrong)
    of_true_model = error(robust_covariance(task, right))
    assert error(robust_covariance(wrong, fit)) > 1.5 * of_true_model
    assert error(fit.covariance) < 1.5 * error(right.covariance)


def test_another_peak_that_is_as_likely_is_part_of_the_error(task, micrograph, optics) -> None:
    faint = task_of(micrograph(U, V, ANGLE, strength=0.1), optics)
    errors = []
    for one in (task, faint):
        fit = fitted(one)
        reach, ambiguity = _elsewhere(one, fit, near_defoci(one, fit), ONE)
        assert ambiguity <= reach
        errors.append(ambiguity)
    assert errors[0] == 0
    assert errors[1] > 20


def test_errors_are_as_large_as_stated(micrograph, optics) -> None:
    of_stated = []
    for seed in range(12):
        u, strength = 9_000.0 + 900 * seed, (0.3, 0.6, 2.0)[seed % 3]
        image = micrograph(u, 0.96 * u, 10.0 * seed, side=768, strength=strength, seed=20 + seed)
        spectra = block_spectra(image, optics.pixel_size_angstrom, CpuBackend(1))
        found = estimate_ctf(spectra, optics, CtfSettings(), 1)
        if found.reliable:
            of_stated.append((found.mean_defocus_angstrom - 0.98 * u) / found.sigma_angstrom)
    assert len(of_stated) >= 6
    assert 0.4 < np.sqrt(np.mean(np.square(of_stated))) < 1.6
