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

import functools
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

from preprocess.geometry.field import MOST_DEGREE
from preprocess.geometry.patches import patch_window

FIRST_VARIANCE_PX2 = 4.0
LEAST_VARIANCE_PX2, MOST_VARIANCE_PX2 = 1e-6, 1e6
EVIDENCE_STEPS = 20
LAST_OCTAVE = 7

CONFIDENCE = 0.6
"""Part of the log-likelihood that is believed: patches that a field has not seen gain most by about this one.

Weights and powers come from the same data, neighbouring frequencies of a patch are not independent, and the field
varies within a patch: with all of it, fields of more freedom fit noise (tempering; Grünwald 2012, ALT, 169).
"""

ORDERS = np.array([(degree - of_y, of_y) for degree in range(MOST_DEGREE + 1) for of_y in range(degree + 1)])
"""Orders in x and y of the spatial terms: products of Legendre polynomials of 2x and 2y, orthogonal over the frame."""
DEGREES = ORDERS.sum(1)


POINT = (0.0, 0.0)
_ACROSS = (np.arange(16) + 0.5) / 16 - 0.5
_SHARES = patch_window(16).astype(np.float64) ** 2


def spatial_terms(places: NDArray[np.float64], degree: int, extent: tuple[float, float] = POINT) -> NDArray[np.float64]:
    """Return the terms up to a degree at places (n, 2): y and x from -0.5 to 0.5; shape (n, terms).

    With `extent`, a patch's height and width: the terms' means over a patch around each place, weighted by its window.
    """
    in_y, in_x = (
        np.average(legendre.legvander(2 * (places[:, axis, None] + extent[axis] * _ACROSS), degree), 1, _SHARES)
        for axis in (0, 1)
    )
    of_x, of_y = ORDERS[degree >= DEGREES].T
    terms: NDArray[np.float64] = in_x[:, of_x] * in_y[:, of_y]
    return terms


@functools.lru_cache(maxsize=8)
def temporal_terms(frame_count: int) -> NDArray[np.float64]:
    """Return orthonormal polynomials in √t of order 1 to frames - 1, shape (frames, frames - 1), each of mean zero.

    They are kept for the next movie, and read-only.
    """
    root = 2 * np.sqrt(np.linspace(0, 1, frame_count)) - 1
    terms = np.empty((frame_count, frame_count))
    terms[:, 0] = 1 / np.sqrt(frame_count)
    for order in range(1, frame_count):
        term = terms[:, order - 1] * root
        for _ in range(2):  # once more, since rounding leaves a rest
            term -= terms[:, :order] @ (terms[:, :order].T @ term)
        terms[:, order] = term / np.linalg.norm(term)
    terms.flags.writeable = False
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

    def displacements(self, places: NDArray[np.float64], extent: tuple[float, float] = POINT) -> NDArray[np.float64]:
        """Return the displacements at places (n, 2), y and x from -0.5 to 0.5: shape (frames, n, 2)."""
        in_space = spatial_terms(places, self.degree, extent)
        moved: NDArray[np.float64] = np.tensordot(self.in_time(), self.coefficients, 1) @ in_space.T
        return np.ascontiguousarray(moved.transpose(0, 2, 1))

    def in_time(self) -> NDArray[np.float64]:
        """Return the temporal terms, shape (frames, orders)."""
        return temporal_terms(len(self.coefficients) + 1)

    def updated(
        self, evidence: LocalEvidence, places: NDArray[np.float64], extent: tuple[float, float] = POINT
    ) -> MotionModel:
        """Return the most probable model and prior variances, the log-likelihood taken as a parabola around this one.

        `places` (n, 2) are the patches' middles, `extent` is their height and width.
        """
        orders, _, terms = self.coefficients.shape
        in_space, in_time = spatial_terms(places, self.degree, extent), self.in_time()
        curvature = CONFIDENCE * _curvature(evidence.information, in_space)
        pulled = np.tensordot(in_time, evidence.gradient, (0, 0)).transpose(0, 2, 1) @ in_space
        pull = CONFIDENCE * pulled.reshape(orders, 2 * terms)
        pull += self.coefficients.reshape(orders, 2 * terms) @ curvature
        degree_of = np.tile(DEGREES[:terms], 2)
        octave_of, variances = _octaves(orders), self.variances
        for _ in range(EVIDENCE_STEPS):
            precisions = 1 / variances[degree_of].T  # (octaves, terms of both axes)
            covariances = np.linalg.inv(curvature + precisions[:, :, None] * np.eye(2 * terms))
            found = np.einsum("kij,kj->ki", covariances[octave_of], pull)
            determined = (1 - np.einsum("oii->oi", covariances) * precisions)[octave_of]
            squares, freedoms = (_by_group(values, degree_of, octave_of) for values in (found**2, determined))
            variances = np.clip(squares / np.maximum(freedoms, 1e-9), LEAST_VARIANCE_PX2, MOST_VARIANCE_PX2)
        return MotionModel(found.reshape(self.coefficients.shape), variances)


def _curvature(information: NDArray[np.float64], in_space: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the curvature for the coefficients of one temporal order, shape (2 terms, 2 terms), y before x.

    Products are made of two factors at a time: with three, NumPy runs through all indices at once, 60 times as long.
    """
    terms = in_space.shape[1]
    pairs = in_space[:, :, None] * in_space[:, None, :]  # (patches, terms, terms)
    by_axes = np.tensordot(information, pairs, (0, 0))  # (2, 2, terms, terms)
    return np.ascontiguousarray(by_axes.transpose(0, 2, 1, 3)).reshape(2 * terms, 2 * terms)


def _by_group(
    values: NDArray[np.float64], degree_of: NDArray[np.int64], octave_of: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the sums of values (orders, terms of both axes) of each spatial degree and octave of temporal orders."""
    sums = np.zeros((degree_of.max() + 1, octave_of.max() + 1))
    np.add.at(sums, (degree_of[None], octave_of[:, None]), values)
    return sums


def _octaves(orders: int) -> NDArray[np.int64]:
    """Return the octave of temporal orders 1, 2…: first 1, then 2 and 3, then 4 to 7, and so on."""
    octaves: NDArray[np.int64] = np.minimum(np.log2(np.arange(1, orders + 1)) + 1e-9, LAST_OCTAVE).astype(np.int64)
    return octaves
