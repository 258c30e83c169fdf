"""Spectra of which one defocus is sure, and some that fit nearly as well at another one near to it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from preprocess.backends.cpu.row_threads import RowThreads
from preprocess.ctf.half_plane import SECTORS, half_plane
from preprocess.ctf.model import PhaseTerms
from preprocess.ctf.near_defoci import POINTS, NearDefoci, distance, near_defoci, near_fits
from preprocess.ctf.refinement import OVERLAP_FACTOR, FitTask, refine
from preprocess.ctf.samples import polar_samples
from preprocess.ctf.sectors import smooth_course

STEP, RADIUS, TILES = 1 / 1100, 392, 80
THREADS = RowThreads(1)


def task_of(
    optics, defocus: float, strength: Callable[[np.ndarray], np.ndarray], seed: int = 1, *, half: float = 0.0
) -> FitTask:
    """Return the sectors of a spectrum with rings of some strength at each frequency, and their noise.

    half: (U - V) / 2, U along x.
    """
    plane, terms = half_plane(RADIUS, 37), PhaseTerms.of(optics, STEP)
    frequency = np.arange(RADIUS + 1) * STEP
    azimuth = ((np.arange(SECTORS) + 0.5) / SECTORS - 0.5) * np.pi
    local = defocus + half * np.cos(2 * azimuth)
    expected = 1 - strength(frequency) * np.cos(2 * terms.chi(frequency[None], local[:, None]))
    noise = np.random.default_rng(seed).standard_normal((SECTORS, RADIUS + 1))
    sizes = plane.bin_sizes
    sums = expected * (sizes + np.sqrt(sizes * OVERLAP_FACTOR / TILES) * noise)
    return FitTask(polar_samples(sums, smooth_course(sums, plane, STEP), plane, STEP), terms, float(TILES), False)


def fit_at(task: FitTask, defocus: float):
    return refine(task, np.array([defocus, 0.0, 0.0, 0.0]), THREADS, steps=8)


def test_of_many_rings_one_defocus_is_sure(optics) -> None:
    task = task_of(optics, 12_000, lambda k: np.full_like(k, 0.2))
    near = near_defoci(task, fit_at(task, 12_010))
    assert near.log_likelihood[POINTS] == 0
    assert near.reach < 1e-6
    assert near.spread < 1e-6
    assert not len(near.other_peaks)


def test_of_few_rings_the_curvature_promises_too_much_and_the_spread_does_not(optics) -> None:
    by_curvature, by_spread = [], []
    for seed in range(10):
        task = task_of(optics, 12_000, lambda k: 0.08 * np.exp(-((k / 0.08) ** 2)), seed)
        fit = fit_at(task, 12_000)
        error = fit.defocus - 12_000
        by_curvature.append(error / np.sqrt(fit.covariance[0, 0]))
        by_spread.append(error / near_defoci(task, fit).spread)
    assert np.sqrt(np.mean(np.square(by_curvature))) > 1.3
    assert 0.4 < np.sqrt(np.mean(np.square(by_spread))) < 1.2


def test_a_fit_that_is_one_ring_off_finds_the_better_one(optics) -> None:
    task = task_of(optics, 12_000, lambda k: 0.12 * np.exp(-(((k - 0.2) / 0.02) ** 2)))
    stuck = fit_at(task, 11_350)
    assert stuck.defocus < 11_500
    best = max(
        near_fits(task, stuck, near_defoci(task, stuck).better_peaks, THREADS), key=lambda fit: fit.log_likelihood
    )
    assert best.log_likelihood > stuck.log_likelihood + 5
    assert best.defocus == pytest.approx(12_000, abs=50)
    assert distance(stuck, best) >= best.defocus - stuck.defocus


def test_astigmatism_tells_defoci_apart_that_circles_do_not(optics) -> None:
    task = task_of(optics, 2_300, lambda k: 0.3 * np.exp(-((k / 0.2) ** 2)), half=100)
    fit = refine(task, np.array([2_300, 100.0, 0.0, 0.0]), THREADS, steps=8)
    circles, azimuths = near_defoci(task, fit), near_defoci(task, fit, 4)
    assert azimuths.log_likelihood[[0, -1]].max() < 1.5 * circles.log_likelihood[[0, -1]].max() < 0
    assert azimuths.spread < circles.spread


def test_peaks_are_told_from_the_fits_own() -> None:
    offset = np.linspace(-100, 100, 2 * POINTS + 1)
    likelihood = np.maximum(-((offset / 10) ** 2), -4 - ((offset - 50) / 10) ** 2)
    near = NearDefoci(offset, likelihood)
    assert list(near.other_peaks) == [50]
    assert not len(near.better_peaks)
    assert list(NearDefoci(offset, np.maximum(likelihood - 6, -((offset - 50) ** 2))).better_peaks) == [50]
    assert near.reach == pytest.approx(20)
    assert near.spread == pytest.approx(7, rel=0.1)
