"""Whether a fit foretells what it has not seen: fitted to every other sector of the spectrum, compared with the rest.

Noise that a free envelope fits in some sectors is not there in the others, so that no noise passes, whatever the number
of places that were searched. What is the same in all sectors without being a CTF (rings of ice, bands of a camera)
passes this, but carries one ring of the fit alone, or only rings finer than ice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.cpu.row_threads import RowThreads
from preprocess.ctf.half_plane import HalfPlane
from preprocess.ctf.model import window_transfer
from preprocess.ctf.refinement import BACKGROUND_BEND, FitTask, FittedModel, refine

Array = NDArray[np.float64]

ICE_FROM_PER_ANGSTROM = 1 / 4.2
"""Crystals of ice have rings at 3.90, 3.67 and 3.44 Å, which are a CTF's for a defocus of 0.6 µm at 300 kV."""
LEAST_POWER, HIGHEST_RATIO = 0.15, 20.0
BACKGROUND_STEPS = 6
NOISE_LEFT = 0.45
"""What noise alone has for each ring: neighbouring pixels of one ring are less alike than `OVERLAP_FACTOR` says."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What a fit to half of the sectors says about the other half; both halves take turns.

    Attributes
    ----------
    gain : float
        By how much the log-likelihood of the unseen sectors exceeds that of a smooth background.
    gain_without_best_ring : float
        The same coarser than ice, without the ring of the CTF that has most of it.
    difference_in_sigmas : float
        By how much the defoci of the halves differ, in standard errors.
    unexplained : float
        What the rings' mean power has beside the fit, squared, in units of its noise and beyond that.
    """

    gain: float
    gain_without_best_ring: float
    difference_in_sigmas: float
    unexplained: float


def held_out(task: FitTask, plane: HalfPlane, fit: FittedModel, threads: RowThreads) -> HeldOut:
    """Compare. task: of the spectrum's sectors and rings (`polar_samples`)."""
    sector, ring = np.nonzero(plane.bin_sizes[:, plane.first_ring : plane.radius])
    chosen = [sector % 2 == number for number in range(2)]
    halves = [_part(task, one) for one in chosen]
    fits = [refine(half, fit.parameters, threads, steps=6, linear=fit.linear) for half in halves]
    frequency: Array = np.arange(plane.first_ring, plane.radius).astype(np.float64) * task.terms.frequency_step
    gain = np.zeros(len(frequency))
    for unseen, seen in ((0, 1), (1, 0)):
        background = _background(halves[seen], ring[chosen[seen]], frequency)[ring[chosen[unseen]]]
        better = _likelihood(halves[unseen], _model(halves[unseen], fits[seen])) - _likelihood(
            halves[unseen], background
        )
        gain += np.bincount(ring[chosen[unseen]], better, len(gain))
    spread = sum(max(float(one.covariance[0, 0]), 0.0) for one in fits)
    return HeldOut(
        float(gain.sum()),
        _without_best_ring(task, fit, frequency, gain),
        float(fits[0].defocus - fits[1].defocus) / max(float(np.sqrt(spread)), 1e-9),
        _unexplained(task, fit, ring, len(frequency)),
    )


def _part(task: FitTask, chosen: NDArray[np.bool_]) -> FitTask:
    """Return the task of some of the samples."""
    samples = task.samples
    names = ("frequency", "cos2", "sin2", "value", "weight", "basis", "places")
    part = {name: getattr(samples, name)[chosen] for name in names}
    return replace(task, samples=replace(samples, **part))


def _model(task: FitTask, fit: FittedModel) -> Array:
    """Return the power that a fit expects of each sample."""
    samples, terms = task.samples, task.terms
    frequency = samples.frequency.astype(np.float64)
    background, envelope = samples.curves(fit.linear, frequency)
    mean, of_cos, of_sin, phase = fit.parameters
    defocus = mean + of_cos * samples.cos2 + of_sin * samples.sin2
    slope = np.pi * terms.wavelength * defocus - 2 * terms.aberration * frequency**2
    left = window_transfer(4 * terms.frequency_step * frequency * slope)
    expected: Array = background - envelope * np.cos(2 * terms.chi(frequency, defocus, float(phase))) * left
    return np.maximum(expected, LEAST_POWER)


def _likelihood(task: FitTask, expected: Array) -> Array:
    """Return each sample's part of the log-likelihood."""
    samples = task.samples
    each: Array = np.log(expected) + np.minimum(samples.value / expected, HIGHEST_RATIO)
    return -samples.weight * each / task.correlation


def _background(task: FitTask, ring: NDArray[np.int64], frequency: Array) -> Array:
    """Return the smooth background, without any rings of a CTF, that fits the samples best: one value a ring."""
    samples, count = task.samples, len(frequency)
    weight = np.bincount(ring, samples.weight, count) / task.correlation
    mean = np.bincount(ring, samples.weight * samples.value, count) / task.correlation / np.maximum(weight, 1e-9)
    functions = samples.background_functions(frequency)
    bends = np.zeros((functions.shape[1] - 3, functions.shape[1]))
    bends[:, :-1] = np.diff(np.eye(functions.shape[1] - 1), 2, axis=0) / BACKGROUND_BEND
    prior = bends.T @ bends
    coefficients = np.append(np.ones(functions.shape[1] - 1), 0.0)
    for _ in range(BACKGROUND_STEPS):
        expected = np.maximum(functions @ coefficients, LEAST_POWER)
        slopes = functions / expected[:, None]
        right = (slopes * weight[:, None]).T @ np.clip(mean / expected - 1, -1, 3) - prior @ coefficients
        matrix = (slopes * weight[:, None]).T @ slopes + prior + 1e-6 * np.eye(len(prior))
        coefficients = coefficients + np.linalg.solve(matrix, right)
    fitted: Array = np.maximum(functions @ coefficients, LEAST_POWER)
    return fitted


def _unexplained(task: FitTask, fit: FittedModel, ring: NDArray[np.int64], count: int) -> float:
    samples = task.samples
    weight = samples.weight / task.correlation
    total = np.bincount(ring, weight, count)
    mean = np.bincount(ring, weight * (samples.value / _model(task, fit) - 1), count) / np.maximum(total, 1e-9)
    return float((total * mean**2 - NOISE_LEFT).sum())


def _without_best_ring(task: FitTask, fit: FittedModel, frequency: Array, gain: Array) -> float:
    """Return what is gained coarser than ice, less what the one ring gains that has most."""
    coarse = frequency < ICE_FROM_PER_ANGSTROM
    if not coarse.any():
        return 0.0
    phase = 2 * task.terms.chi(frequency[coarse], fit.defocus, float(fit.parameters[3]))
    number = np.floor((phase + np.pi) / (2 * np.pi)).astype(np.int64)
    each = np.bincount(number - number.min(), gain[coarse])
    return float(each.sum() - each.max())
