"""A spectrum averaged along lines of equal phase: a few hundred values, which are quick to look at again and again."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from preprocess.ctf.kernel_set import ctf_kernels
from preprocess.ctf.model import window_transfer
from preprocess.ctf.refinement import REVERSED_CONTRAST, REVERSIBLE_SPLINES, FitTask, FittedModel, linear_prior

Array = NDArray[np.float64]

LEAST_POWER = 0.15


@dataclass(frozen=True, slots=True)
class RingProfile:
    """A spectrum averaged along lines of equal phase, with what its model is linear in; arrays are (values, …).

    `more` is by how much the defocus of a value's azimuths differs from the mean defocus, Å; `weight` is 1 over the
    variance of each value; `prior` the inverse covariance of all coefficients.
    """

    task: FitTask
    phase_shift: float
    frequency: Array
    more: Array
    value: Array
    weight: Array
    background: Array
    envelope: Array
    prior: Array

    @classmethod
    def of(cls, task: FitTask, fit: FittedModel, groups: int) -> RingProfile:
        """Average a spectrum at a fit."""
        samples, terms = task.samples, task.terms
        sums, counts, more = _averaged(task, fit, groups)
        group, ring = np.nonzero(counts)
        frequency: Array = ring.astype(np.float64) * terms.frequency_step
        count = counts[group, ring]
        profile = cls(
            task,
            float(fit.parameters[3]),
            frequency,
            more[group],
            sums[group, ring] / count,
            count,
            samples.background_functions(frequency),
            samples.envelope_functions(frequency),
            linear_prior(task),
        )
        of_background, of_envelope = samples.curves(fit.linear, frequency)
        model = np.maximum(of_background - of_envelope * profile.rings(fit.defocus), LEAST_POWER)
        return replace(profile, weight=count / task.correlation / model**2)

    def rings(self, mean_defocus: float) -> Array:
        """Return T cos 2 chi."""
        terms, frequency, defocus = self.task.terms, self.frequency, mean_defocus + self.more
        slope = np.pi * terms.wavelength * defocus - 2 * terms.aberration * frequency**2
        left = window_transfer(4 * terms.frequency_step * frequency * slope)
        rings: Array = np.cos(2 * terms.chi(frequency, defocus, self.phase_shift)) * left
        return rings

    def log_likelihood(self, defocus: float) -> float:
        """Return the log-likelihood of a defocus for the background and envelope that fit best, up to a constant."""
        functions = np.concatenate([self.background, -self.envelope * self.rings(defocus)[:, None]], 1)
        weighted = functions * self.weight[:, None]
        matrix, right = weighted.T @ functions + self.prior, weighted.T @ self.value
        coefficients = np.linalg.solve(matrix, right)
        first = self.background.shape[1]
        reversible = np.arange(first, first + REVERSIBLE_SPLINES)
        reversed_ones = reversible[coefficients[reversible] < 0]
        if len(reversed_ones):
            matrix[reversed_ones, reversed_ones] += 1 / REVERSED_CONTRAST**2
            coefficients = np.linalg.solve(matrix, right)
        return 0.5 * float(coefficients @ right)


def _averaged(task: FitTask, fit: FittedModel, groups: int) -> tuple[Array, Array, Array]:
    """Return sums of power and of weights (groups, rings), and how much defocus each group has over the mean, Å."""
    samples, terms = task.samples, task.terms
    size = round(samples.highest_frequency / terms.frequency_step)
    sums, counts, more = np.zeros((groups, size)), np.zeros((groups, size)), np.zeros(groups)
    rings = samples.frequency / np.float32(terms.frequency_step)
    local = fit.parameters[1] * samples.cos2 + fit.parameters[2] * samples.sin2
    azimuth = np.arccos(np.clip(local / max(fit.astigmatism, 1e-9), -1, 1))
    number = np.minimum(azimuth * groups / np.pi, groups - 1).astype(np.int64)
    for group in range(groups):
        chosen = number == group
        more[group] = np.average(local[chosen], weights=samples.weight[chosen])
        beyond = (local[chosen] - more[group]).astype(np.float32)
        middle = np.array([fit.defocus + more[group], 1.0, 0.0, 0.0])
        ctf_kernels.equiphase_sums(
            samples.value[chosen], samples.weight[chosen], rings[chosen], beyond, np.zeros_like(beyond), middle,
            terms.wavelength, terms.aberration, terms.frequency_step,
            sums[group : group + 1], counts[group : group + 1], 0, 1,
        )  # fmt: skip
    return sums, counts, more
