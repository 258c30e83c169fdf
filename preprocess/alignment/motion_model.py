"""A model of motion: a displacement for each frame, polynomial in space, with as much freedom in time as data support.

Displacements are a sum of terms: orthonormal polynomials in the square root of time (motion is fastest at first; of
mean zero, since only motion relative to the movie's mean can be seen) times polynomials in space. Each group of terms
(spatial degree, octave of temporal orders) has a ridge of its own: a normal prior of mean zero, whose variance is what
makes the data most probable (MacKay 1992, Neural Computation 4, 415). Groups that data do not support vanish by
themselves, whole-frame jitter from frame to frame keeps the freedom that it needs.

The log-likelihood is used through its gradient and its mean curvature over frames. As the temporal terms are
orthonormal, each temporal order is then a small linear system of its own, so that cost grows with frames only linearly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FIRST_VARIANCE_PX2 = 4.0
LEAST_VARIANCE_PX2, MOST_VARIANCE_PX2 = 1e-6, 1e6
EVIDENCE_STEPS = 20
LAST_OCTAVE = 7

DEGREES = np.array([0, 1, 1, 2, 2, 2])
"""Degrees of the spatial terms 1, x, y, x² - 1/12, y² - 1/12, xy."""


def spatial_terms(places: NDArray[np.float64], degree: int) -> NDArray[np.float64]:
    """Return the terms up to a degree at places (n, 2): y and x from -0.5 to 0.5; shape (n, terms)."""
    y, x = places[:, 0], places[:, 1]
    terms = np.stack([np.ones_like(x), x, y, x * x - 1 / 12, y * y - 1 / 12, x * y], 1)
    return terms[:, degree >= DEGREES]


def temporal_terms(frame_count: int) -> NDArray[np.float64]:
    """Return orthonormal polynomials in √t of order 1 to frames - 1, shape (frames, frames - 1), each of mean zero."""
    root = 2 * np.sqrt(np.linspace(0, 1, frame_count)) - 1
    terms = np.empty((frame_count, frame_count))
    terms[:, 0] = 1 / np.sqrt(frame_count)
    for order in range(1, frame_count):
        term = terms[:, order - 1] * root
        for _ in range(2):  # once more, since rounding leaves a rest
            term -= terms[:, :order] @ (terms[:, :order].T @ term)
        terms[:, order] = term / np.linalg.norm(term)
    return terms[:, 1:]


@dataclass(frozen=True, slots=True)
class LocalEvidence:
    """What patches say about the displacements in use: gradient and curvature of the log-likelihood.

    Attributes
    ----------
    gradient : NDArray[np.float64]
        Shape (frames, patches, 2), 1/px.
    information : NDArray[np.float64]
        Minus the second derivatives, mean over frames: shape (patches, 2, 2), 1/px².
    """

    gradient: NDArray[np.float64]
    information: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MotionModel:
    """Coefficients and the variances of their priors.

    Attributes
    ----------
    coefficients : NDArray[np.float64]
        Shape (temporal orders, 2, spatial terms), px; (y, x).
    variances : NDArray[np.float64]
        Of the priors, px², shape (degrees, octaves of temporal orders).
    """

    coefficients: NDArray[np.float64]
    variances: NDArray[np.float64]

    @classmethod
    def from_shifts(cls, shifts: NDArray[np.float64], degree: int) -> MotionModel:
        """Return the model of whole-frame shifts (frames, 2) that terms up to `degree` may join."""
        count = len(shifts)
        coefficients = np.zeros((count - 1, 2, int((degree >= DEGREES).sum())))
        coefficients[:, :, 0] = temporal_terms(count).T @ shifts
        octaves = int(_octaves(count - 1).max()) + 1
        return cls(coefficients, np.full((degree + 1, octaves), FIRST_VARIANCE_PX2 * count))

    @property
    def degree(self) -> int:
        """Return the spatial degree."""
        return len(self.variances) - 1

    def displacements(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the displacements at places (n, 2), y and x from -0.5 to 0.5: shape (frames, n, 2)."""
        in_space = spatial_terms(places, self.degree)
        moved: NDArray[np.float64] = np.einsum("tk,kcs,ns->tnc", self.in_time(), self.coefficients, in_space)
        return moved

    def in_time(self) -> NDArray[np.float64]:
        """Return the temporal terms, shape (frames, orders)."""
        return temporal_terms(len(self.coefficients) + 1)

    def updated(self, evidence: LocalEvidence, places: NDArray[np.float64]) -> MotionModel:
        """Return the most probable model and prior variances, the log-likelihood taken as a parabola around this one.

        `places` (n, 2) are the patches' middles.
        """
        orders, _, terms = self.coefficients.shape
        in_space, in_time = spatial_terms(places, self.degree), self.in_time()
        curvature = np.einsum("ncd,ns,nu->csdu", evidence.information, in_space, in_space)
        curvature = curvature.reshape(2 * terms, 2 * terms)
        pull = np.einsum("tk,tnc,ns->kcs", in_time, evidence.gradient, in_space).reshape(orders, 2 * terms)
        pull += self.coefficients.reshape(orders, 2 * terms) @ curvature
        degrees, octaves = DEGREES[:terms], _octaves(orders)
        group = degrees[None] * len(self.variances[0]) + octaves[:, None]  # (orders, terms)
        variances = self.variances.ravel()
        for _ in range(EVIDENCE_STEPS):
            precision = np.tile(1 / variances[group], (1, 2))
            covariance = np.linalg.inv(curvature + precision[:, :, None] * np.eye(2 * terms))
            found = np.einsum("kij,kj->ki", covariance, pull)
            determined = 1 - np.einsum("kii->ki", covariance) * precision
            squares, freedoms = (
                np.bincount(np.tile(group, (1, 2)).ravel(), values.ravel(), variances.size)
                for values in (found**2, determined)
            )
            variances = np.clip(squares / np.maximum(freedoms, 1e-9), LEAST_VARIANCE_PX2, MOST_VARIANCE_PX2)
        return MotionModel(found.reshape(self.coefficients.shape), variances.reshape(self.variances.shape))


def _octaves(orders: int) -> NDArray[np.int64]:
    """Return the octave of temporal orders 1, 2…: first 1, then 2 and 3, then 4 to 7, and so on."""
    octaves: NDArray[np.int64] = np.minimum(np.log2(np.arange(1, orders + 1)) + 1e-9, LAST_OCTAVE).astype(np.int64)
    return octaves
