"""How likely other defoci near to a fit are: whether its likelihood has one peak there, or several.

Rings that are a few only, or faint, fit as well when they are shifted by one ring where they are finest, or when the
envelope changes its sign. Each of these is a peak of its own, of which Gauss and Newton's steps find one, and whose
curvature says nothing about the others. The spectrum's average along lines of equal phase has a few hundred values, and
at a given defocus the model is linear in all else: its likelihood has a closed form, and a scan costs milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.cpu.row_threads import RowThreads
from preprocess.ctf import kernels
from preprocess.ctf.model import window_transfer
from preprocess.ctf.refinement import (
    REVERSED_CONTRAST,
    REVERSIBLE_SPLINES,
    FitTask,
    FittedModel,
    linear_prior,
    refine,
)

Array = NDArray[np.float64]

REACH_ANGSTROM, REACH_SHARE = 100.0, 0.06
"""How far from the fit other defoci are looked at: twice the error that a reliable estimate may have."""
POINTS = 20
"""How many of them on each side."""
STEPS = 8
AZIMUTHS = 4
"""How many groups of azimuths tell astigmatic images apart."""
NEARLY_AS_LIKELY, PROFILE_ERROR = 6.0, 6.0
"""Loss of log-likelihood up to which another defocus cannot be excluded, 3.5 standard errors of one peak; and by how
much the likelihood of the averaged spectrum may differ from that of its sectors."""
REFINED_AT_MOST = 2
LEAST_POWER = 0.15


@dataclass(frozen=True, slots=True)
class NearDefoci:
    """Log-likelihoods of mean defoci around a fit, less the highest of them.

    `offset`, Å, from the fit's mean defocus, and `log_likelihood` have the shape (2 POINTS + 1,).
    """

    offset: Array
    log_likelihood: Array

    @property
    def reach(self) -> float:
        """Return how far the fit's own peak reaches, as far as its defoci are nearly as likely as the best, Å."""
        return float(np.abs(self.offset[self._around]).max(initial=0.0))

    @property
    def spread(self) -> float:
        """Return the root mean square of its distances from the fit, Å, each defocus counting by its likelihood."""
        offset, likelihood = self.offset[self._around], np.exp(self.log_likelihood[self._around])
        return float(np.sqrt((likelihood * offset**2).sum() / max(likelihood.sum(), 1e-9)))

    @property
    def _around(self) -> slice:
        """Return the defoci around the fit, up to the first on each side that is less likely."""
        unlikely = self.log_likelihood <= -NEARLY_AS_LIKELY
        below, above = np.flatnonzero(unlikely[:POINTS]), np.flatnonzero(unlikely[POINTS + 1 :])
        first = int(below[-1]) + 1 if len(below) else 0
        return slice(first, POINTS + 1 + int(above[0]) if len(above) else None)

    @property
    def other_peaks(self) -> Array:
        """Return the offsets of other peaks that may be nearly as likely as the best, the most likely first."""
        return self._peaks(-NEARLY_AS_LIKELY - PROFILE_ERROR)

    @property
    def better_peaks(self) -> Array:
        """Return the offsets of other peaks that are more likely than the fit, the most likely first."""
        return self._peaks(float(self.log_likelihood[POINTS]))

    def _peaks(self, above: float) -> Array:
        likelihood = np.pad(self.log_likelihood, 1, constant_values=-np.inf)
        peak = (likelihood[1:-1] >= likelihood[:-2]) & (likelihood[1:-1] > likelihood[2:])
        far = np.abs(np.arange(len(self.offset)) - POINTS) > 1
        places = np.flatnonzero(peak & far & (self.log_likelihood > above))
        others: Array = self.offset[places[np.argsort(-self.log_likelihood[places], kind="stable")]]
        return others


def near_defoci(task: FitTask, fit: FittedModel, groups: int = 1) -> NearDefoci:
    """Compare the mean defoci around a fit; astigmatism and phase shift stay as they are.

    Parameters
    ----------
    task : FitTask
        The spectrum's sectors and rings (`polar_samples`).
    groups : int
        In how many groups of azimuths the spectrum is averaged. Astigmatism moves rings against the envelope, so that
        several groups of an astigmatic image tell more than one does; each takes as long as one.
    """
    reach = REACH_ANGSTROM + REACH_SHARE * fit.defocus
    offset = np.linspace(-reach, reach, 2 * POINTS + 1)
    profile = _RingProfile.of(task, fit, groups)
    likelihood = np.array([profile.log_likelihood(fit.defocus + each) for each in offset])
    return NearDefoci(offset, likelihood - likelihood.max())


def closer_look(task: FitTask, fit: FittedModel, sigma: float) -> NearDefoci:
    """Compare the mean defoci around a fit, by groups of azimuths where other defoci seem likely.

    sigma: the standard error of the mean defocus by the likelihood's curvature, Å.
    """
    near = near_defoci(task, fit)
    if near.spread < 1.25 * sigma and not len(near.other_peaks):
        return near
    return near_defoci(task, fit, AZIMUTHS)


def near_fits(task: FitTask, fit: FittedModel, offsets: Array, threads: RowThreads) -> list[FittedModel]:
    """Return what everything fitted from these offsets of the mean defocus becomes, for the first of them."""
    starts = [fit.parameters + np.array([offset, 0, 0, 0]) for offset in offsets[:REFINED_AT_MOST]]
    return [refine(task, start, threads, steps=STEPS) for start in starts]


def distance(one: FittedModel, other: FittedModel) -> float:
    """Return how far two fits are apart along the axes of astigmatism, at most, Å."""
    return abs(one.defocus - other.defocus) + abs(one.astigmatism - other.astigmatism)


@dataclass(frozen=True, slots=True)
class _RingProfile:
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
    def of(cls, task: FitTask, fit: FittedModel, groups: int) -> _RingProfile:
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
        model = np.maximum(of_background - of_envelope * profile._rings(fit.defocus), LEAST_POWER)
        return replace(profile, weight=count / task.correlation / model**2)

    def _rings(self, mean_defocus: float) -> Array:
        """Return T cos 2 chi."""
        terms, frequency, defocus = self.task.terms, self.frequency, mean_defocus + self.more
        slope = np.pi * terms.wavelength * defocus - 2 * terms.aberration * frequency**2
        left = window_transfer(4 * terms.frequency_step * frequency * slope)
        rings: Array = np.cos(2 * terms.chi(frequency, defocus, self.phase_shift)) * left
        return rings

    def log_likelihood(self, defocus: float) -> float:
        """Return the log-likelihood of a defocus for the background and envelope that fit best, up to a constant."""
        functions = np.concatenate([self.background, -self.envelope * self._rings(defocus)[:, None]], 1)
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
        kernels.equiphase_sums(
            samples.value[chosen], samples.weight[chosen], rings[chosen], beyond, np.zeros_like(beyond), middle,
            terms.wavelength, terms.aberration, terms.frequency_step,
            sums[group : group + 1], counts[group : group + 1], 0, 1,
        )  # fmt: skip
    return sums, counts, more
