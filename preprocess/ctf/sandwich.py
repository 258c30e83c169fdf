"""The covariance of a fit whose model is wrong.

The curvature of the likelihood is the covariance where the model is true. Where it is not (background or envelope bend
otherwise, layers at two heights, crystals), residuals are correlated along a ring of the CTF, or within a sector. The
sandwich takes them as they are (White 1980, Econometrica 48, 817; for groups: Liang and Zeger 1986, Biometrika 73, 13),
here with Bell and McCaffrey's correction for few groups (2002, Survey Methodology 28, 169).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preprocess.ctf.model import PHASE
from preprocess.ctf.refinement import STEP_UNIT_ANGSTROM, FitTask, FittedModel, group_equations, ring_strength

LEAST_LEFT = 0.01
RING_GROUPS, SECTOR_GROUPS = 24, 12
"""The most groups of rings; groups of sectors, of 15 degrees each."""


def robust_covariance(task: FitTask, fit: FittedModel) -> NDArray[np.float64]:
    """Return the covariance of mean defocus and the two of astigmatism, Å², shape (3, 3).

    It is the larger one of those from groups of rings and from groups of sectors.

    Parameters
    ----------
    task : FitTask
        Of the spectrum's sectors and rings.
    """
    samples = task.samples
    azimuth = np.arctan2(samples.sin2, samples.cos2) / (2 * np.pi) + 0.5
    sectors = np.minimum((azimuth * SECTOR_GROUPS).astype(np.int64), SECTOR_GROUPS - 1)
    found = [_covariance(task, fit, groups) for groups in (ring_groups(task, fit), sectors)]
    return max(found, key=lambda one: float(one[0, 0]))


def model_error(task: FitTask, fit: FittedModel) -> float:
    """Return how many times as large as the curvature says the error of the mean defocus is; 1 at least."""
    curvature = max(float(fit.covariance[0, 0]), 1e-12)
    return float(np.sqrt(max(robust_covariance(task, fit)[0, 0] / curvature, 1.0)))


def _covariance(task: FitTask, fit: FittedModel, groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the sandwich: what each group adds to the gradient, over what of it the fit has left."""
    equations, right, prior = group_equations(task, fit, np.unique(groups, return_inverse=True)[1])
    root = np.linalg.inv(np.linalg.cholesky(equations.sum(0) + prior)).T
    share, turned = np.linalg.eigh(root.T @ equations @ root)
    left = np.sqrt(np.maximum(1 - share, LEAST_LEFT))
    seen = np.einsum("gji,gj->gi", turned, right @ root) / left
    changes = np.einsum("gij,gj->gi", turned, seen) @ root.T[:, :PHASE] * STEP_UNIT_ANGSTROM
    covariance: NDArray[np.float64] = changes.T @ changes
    return covariance


def ring_groups(task: FitTask, fit: FittedModel) -> NDArray[np.int64]:
    """Return each sample's group: rings of the CTF from peak to peak, joined where they hold little information."""
    frequency = np.asarray(task.samples.frequency, np.float64)
    turn = 2 * task.terms.chi(frequency, fit.defocus, float(fit.parameters[PHASE]))
    number = np.floor((turn + np.pi) / (2 * np.pi)).astype(np.int64)
    number -= number.min()
    each = task.samples.weight * ring_strength(task, fit, frequency) ** 2 * frequency**4
    information = np.bincount(number, each)
    before = np.cumsum(information) - information / 2
    group = np.floor(before / max(float(information.sum()), 1e-12) * RING_GROUPS).astype(np.int64)
    return np.asarray(group[number])
