"""How likely other defoci near to a fit are: whether its likelihood has one peak there, or several.

Rings that are a few only, or faint, fit as well when they are shifted by one ring where they are finest, or when the
envelope changes its sign. Each of these is a peak of its own, of which Gauss and Newton's steps find one, and whose
curvature says nothing about the others. The spectrum's average along lines of equal phase has a few hundred values, and
at a given defocus the model is linear in all else: its likelihood has a closed form, and a scan costs milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.cpu.row_threads import RowThreads
from preprocess.ctf.refinement import FitTask, FittedModel, refine
from preprocess.ctf.ring_profile import RingProfile

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
    profile = RingProfile.of(task, fit, groups)
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
