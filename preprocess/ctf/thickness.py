"""Finds the thickness of a specimen from the nodes of its rings, where they show it clearly.

Layers of a specimen differ in defocus, so that the rings fade as sin(u) / u with u = pi λ t k² (Elferich et al. 2024,
eLife 13, RP97227). The whole fit is repeated with that factor for some thicknesses, and its likelihoods are compared.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.cpu.row_threads import RowThreads
from preprocess.ctf.refinement import FitTask, FittedModel, refine

TRIED_FIRST_ANGSTROM = (950.0, 1500.0)
IMPOSSIBLE_LOSS = 15.0
"""A specimen is thin if both thicknesses that are tried first make the fit so much less probable."""
THICKNESSES_ANGSTROM = 800.0 * 1.13 ** np.arange(13)
LEAST_GAIN = 20.0
"""By how much a thickness must make the fit more probable."""
LEAST_ENERGY = 100.0
STEPS = 4


def find_thickness(task: FitTask, fit: FittedModel, threads: RowThreads) -> float | None:
    """Return the thickness, Å, if the rings show it.

    Parameters
    ----------
    task : FitTask
        The spectrum's sectors, of an infinitely thin specimen.
    fit : FittedModel
        What was fitted to them.
    """
    if fit.ring_energy < LEAST_ENERGY:
        return None
    thin = _likelihood(task, fit, 0.0, threads)
    if all(_likelihood(task, fit, tried, threads) < thin - IMPOSSIBLE_LOSS for tried in TRIED_FIRST_ANGSTROM):
        return None
    gains = np.array([_likelihood(task, fit, thickness, threads) - thin for thickness in THICKNESSES_ANGSTROM])
    best = int(gains.argmax())
    if gains[best] < LEAST_GAIN or best in (0, len(gains) - 1):
        return None
    return _peak(gains[best - 1 : best + 2], best)


def of_thickness(task: FitTask, thickness: float) -> FitTask:
    """Return the task for a specimen of some thickness, Å."""
    return replace(task, samples=task.samples.of_thickness(thickness, task.terms.wavelength))


def _likelihood(task: FitTask, fit: FittedModel, thickness: float, threads: RowThreads) -> float:
    thick = of_thickness(task, thickness) if thickness else task
    return refine(thick, fit.parameters, threads, steps=STEPS).log_likelihood


def _peak(gains: NDArray[np.float64], middle: int) -> float:
    """Return the thickness at the top of the parabola through three gains."""
    before, here, after = (float(gain) for gain in gains)
    bend = before - 2 * here + after
    offset = 0.5 * (before - after) / bend if bend < 0 else 0.0
    step = float(THICKNESSES_ANGSTROM[1] / THICKNESSES_ANGSTROM[0])
    return float(THICKNESSES_ANGSTROM[middle] * step**offset)
