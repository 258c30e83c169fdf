"""How much better rings at a fitted defocus explain a spectrum than a smooth background does: a Bayes factor.

A free envelope fits noise too, and the more places a defocus may have, the better one of them fits. A likelihood does
not count that; the evidence, its mean over all that the parameters may be, does (MacKay 1992, Neural Comput. 4, 415).
Around a fit the likelihood is a Gaussian, whose width the normal equations tell, so that the mean has a closed form and
costs no further look at the spectrum.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from preprocess.ctf.model import BACKGROUND, ENVELOPE, ENVELOPE_RING, PARAMETERS, PHASE

Array = NDArray[np.float64]

STRENGTHS = (0.03, 0.1, 0.3)
"""How strong rings are, relative to the background: standard deviations, each as likely as the others."""
RING_STRENGTH = 0.5
"""How strong they are within the ring of water, over that."""
DEFOCUS_RANGE_FACTOR = 50.0
"""Defoci from 0.1 to 5 µm are expected, as many in each equal ratio."""
DEFOCUS_UNIT_ANGSTROM = 1e3


def ring_evidence(
    equations: Array, right: Array, parameters: Array, linear: Array, bends: Array, *, with_phase: bool, with_ring: bool
) -> float:
    """Return the logarithm of the evidence for rings at this fit over that for a background alone.

    Parameters
    ----------
    equations, right : NDArray[np.float64]
        Normal equations at the fit, defoci in units of 1000 Å: Fisher's information, and the gradient of the
        likelihood, both with the prior of how splines bend.
    parameters, linear : NDArray[np.float64]
        The fit: see `FittedModel`.
    bends : NDArray[np.float64]
        Inverse covariance of the envelope's coefficients from how splines bend, (9, 9).
    with_phase, with_ring : bool
        Whether the phase shift is free, and whether the spectrum reaches the ring of water.
    """
    envelope = np.arange(ENVELOPE, PARAMETERS if with_ring else ENVELOPE_RING)
    background = np.arange(BACKGROUND, ENVELOPE if with_ring else ENVELOPE - 1)
    sought = np.arange(PHASE + 1 if with_phase else PHASE)
    mixed = np.linalg.solve(equations[np.ix_(background, background)], equations[np.ix_(background, envelope)]).T
    information = equations[np.ix_(envelope, envelope)] - mixed @ equations[np.ix_(background, envelope)]
    pull = information @ linear[envelope] + right[envelope] - mixed @ right[background]
    occam, strength = max((_gain(information, pull, _prior(bends, s, with_ring)), s) for s in STRENGTHS)
    usual = 0.01 * parameters[0] + 100
    known = equations[np.ix_(sought, sought)] + np.diag(_astigmatism_prior(usual, len(sought)))
    others = np.append(background, envelope)
    inner = equations[np.ix_(others, others)].copy()
    inner[len(background) :, len(background) :] += np.diag(_strength_prior(strength, with_ring))
    outer = equations[np.ix_(others, sought)]
    width = -0.5 * _log_determinant(known - outer.T @ np.linalg.solve(inner, outer)) + len(sought) / 2 * _LOG_2PI
    return float(occam - math.log(len(STRENGTHS)) + width + _log_prior(parameters, usual, with_phase))


_LOG_2PI = math.log(2 * math.pi)


def _gain(information: Array, pull: Array, prior: tuple[Array, Array]) -> float:
    """Return the evidence for an envelope with this prior over that for none, all else as it is."""
    added, whole = prior
    both = information + added
    fits = 0.5 * float(pull @ np.linalg.solve(both, pull))
    return fits - 0.5 * (_log_determinant(both) - _log_determinant(whole))


def _prior(bends: Array, strength: float, with_ring: bool) -> tuple[Array, Array]:
    """Return the inverse covariance of the envelope: what the strength adds to that of the bends, and the whole."""
    added = np.diag(_strength_prior(strength, with_ring))
    whole = added.copy()
    whole[: len(bends), : len(bends)] += bends
    return added, whole


def _strength_prior(strength: float, with_ring: bool) -> Array:
    inverse = np.full(ENVELOPE_RING - ENVELOPE, 1 / strength**2)
    return np.append(inverse, 1 / (RING_STRENGTH * strength) ** 2) if with_ring else inverse


def _astigmatism_prior(usual: float, count: int) -> Array:
    """Return the inverse variances of defocus, the two of astigmatism, and phase shift; 0: anything."""
    prior = np.zeros(count)
    prior[1:PHASE] = 3 * (DEFOCUS_UNIT_ANGSTROM / usual) ** 2
    return prior


def _log_prior(parameters: Array, usual: float, with_phase: bool) -> float:
    """Return the logarithm of how dense the prior is there: a defocus, an astigmatism that is usual, any phase."""
    squared = float(parameters[1] ** 2 + parameters[2] ** 2) / usual**2
    unit = DEFOCUS_UNIT_ANGSTROM
    density = -math.log(max(parameters[0], 1.0) / unit * math.log(DEFOCUS_RANGE_FACTOR))
    density += 2 * math.log(unit / usual) - _LOG_2PI - 1.5 * math.log1p(squared)
    return density - (math.log(math.pi) if with_phase else 0.0)


def _log_determinant(matrix: Array) -> float:
    return float(np.linalg.slogdet(matrix)[1])
